// Axpy.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_scalar.h"
#include "kernel_struct_unary.h"

namespace AscendC {

template <typename T, typename U>
inline void SimAxpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, U scalar, const ascend_sim::VecShape& shape,
                    const UnaryRepeatParams& p, Site site) {
  Issue(ascend_sim::VecAxpy{ascend_sim::kDTypeOf<T>, ascend_sim::kDTypeOf<U>, ascend_sim::ScalarBits(scalar), shape,
                            SimWalk(dst, p.dstBlkStride, p.dstRepStride), SimWalk(src, p.srcBlkStride, p.srcRepStride)},
        site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, uint64_t mask,
                            const uint8_t repeatTime, const UnaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimAxpy(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue, uint64_t mask[],
                            const uint8_t repeatTime, const UnaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimAxpy(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U>
__aicore__ inline void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue,
                            const int32_t& count, Site site = Site::Here()) {
  const UnaryRepeatParams p(1, 1, 8, static_cast<uint8_t>(SimDenseStride<U>(sizeof(T))));
  SimAxpy(dst, src, scalarValue, SimCountShape(count), p, site);
}

}  // namespace AscendC
