// Cast and SetDeqScale. CastDequant and the fused AddReluCast, SubReluCast are not there.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_cast.h"
#include "kernel_common.h"
#include "kernel_struct_unary.h"

namespace AscendC {

// A mask or count of int4b_t as one of pairs: the two elements of a byte go together.
inline ascend_sim::VecShape SimPairs(ascend_sim::VecShape shape, Site site) {
  uint64_t pairs[2] = {0, 0};
  bool odd = shape.counter && shape.mask[0] % 2 != 0;
  for (int i = 0; i < 128 && !shape.counter; i += 2) {
    const uint64_t both = shape.mask[i / 64] >> (i % 64) & 3;
    odd |= both == 1 || both == 2;
    pairs[0] |= (both & 1) << (i / 2);
  }
  if (odd || shape.contiguous % 2 != 0) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "Cast",
                               "Cast: with int4b_t the mask or count takes both elements of a byte or none");
  }
  if (shape.counter) pairs[0] = shape.mask[0] / 2;
  shape.mask[0] = pairs[0];
  shape.mask[1] = 0;
  shape.contiguous /= 2;
  return shape;
}
template <typename T, typename U>
inline void SimCast(const LocalTensor<T>& dst, const LocalTensor<U>& src, RoundMode roundMode,
                    ascend_sim::VecShape shape, const UnaryRepeatParams& p, Site site) {
  if constexpr (std::is_same<T, int4b_t>::value || std::is_same<U, int4b_t>::value) shape = SimPairs(shape, site);
  Issue(ascend_sim::VecCast{ascend_sim::kDTypeOf<T>, ascend_sim::kDTypeOf<U>,
                            static_cast<ascend_sim::Rounding>(roundMode),
                            static_cast<uint16_t>(ascend_sim::device::Regs().deq_scale), shape,
                            SimWalk(dst, p.dstBlkStride, p.dstRepStride), SimWalk(src, p.srcBlkStride, p.srcRepStride)},
        site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                            const uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,
                            Site site = Site::Here()) {
  SimCast(dst, src, roundMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                            const uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,
                            Site site = Site::Here()) {
  SimCast(dst, src, roundMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U>
__aicore__ inline void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                            const uint32_t count, Site site = Site::Here()) {
  constexpr uint64_t dense = 256 / (sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U));  // elements of a repeat
  const UnaryRepeatParams p(1, 1, static_cast<uint8_t>(SimBytesOf<T>(dense) / 32),
                            static_cast<uint8_t>(SimBytesOf<U>(dense) / 32));
  SimCast(dst, src, roundMode, SimCountShape(count), p, site);
}

// For int32_t -> half, which multiplies by it.
__aicore__ inline void SetDeqScale(half scale) { ascend_sim::device::Regs().deq_scale = scale.bits; }

}  // namespace AscendC
