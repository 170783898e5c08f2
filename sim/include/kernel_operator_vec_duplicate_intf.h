// Duplicate.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_fill.h"

namespace AscendC {

template <typename T>
inline void SimDuplicate(const LocalTensor<T>& dst, T scalar, const ascend_sim::VecShape& shape, uint16_t blockStride,
                         uint16_t repeatStride, Site site) {
  Issue(ascend_sim::VecDuplicate{ascend_sim::kDTypeOf<T>, ascend_sim::ScalarBits(scalar), shape,
                                 SimWalk(dst, blockStride, repeatStride)},
        site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask,
                                 const uint8_t repeatTime, const uint16_t dstBlockStride, const uint8_t dstRepeatStride,
                                 Site site = Site::Here()) {
  SimDuplicate(dst, scalarValue, SimShape<isSetMask>(mask, repeatTime), dstBlockStride, dstRepeatStride, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask[],
                                 const uint8_t repeatTime, const uint16_t dstBlockStride, const uint8_t dstRepeatStride,
                                 Site site = Site::Here()) {
  SimDuplicate(dst, scalarValue, SimShape<isSetMask>(mask, repeatTime), dstBlockStride, dstRepeatStride, site);
}
template <typename T>
__aicore__ inline void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const int32_t& count,
                                 Site site = Site::Here()) {
  SimDuplicate(dst, scalarValue, SimCountShape(count), 1, 8, site);
}

}  // namespace AscendC
