// Cast and SetDeqScale. int4b_t, CastDequant and the fused AddReluCast, SubReluCast are not there.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_cast.h"
#include "kernel_common.h"
#include "kernel_struct_unary.h"

namespace AscendC {

template <typename T, typename U>
inline void SimCast(const LocalTensor<T>& dst, const LocalTensor<U>& src, RoundMode roundMode,
                    const ascend_sim::VecShape& shape, const UnaryRepeatParams& p, Site site) {
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
  constexpr uint32_t wide = sizeof(T) > sizeof(U) ? sizeof(T) : sizeof(U);
  const UnaryRepeatParams p(1, 1, static_cast<uint8_t>(SimDenseStride<T>(wide)),
                            static_cast<uint8_t>(SimDenseStride<U>(wide)));
  SimCast(dst, src, roundMode, SimCountShape(count), p, site);
}

// For int32_t -> half, which multiplies by it.
__aicore__ inline void SetDeqScale(half scale) { ascend_sim::device::Regs().deq_scale = scale.bits; }

}  // namespace AscendC
