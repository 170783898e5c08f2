// Copy: UB to UB on the vector pipe, under a mask.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_fill.h"
#include "kernel_struct_copy.h"

namespace AscendC {

template <typename T>
inline void SimCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const ascend_sim::VecShape& shape,
                    int32_t repeat, const CopyRepeatParams& p, Site site) {
  Issue(ascend_sim::VecCopy{ascend_sim::kDTypeOf<T>, shape, repeat, SimWalk(dst, p.dstStride, p.dstRepeatSize),
                            SimWalk(src, p.srcStride, p.srcRepeatSize)},
        site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],
                            const uint8_t repeatTime, const CopyRepeatParams& repeatParams, Site site = Site::Here()) {
  SimCopy(dst, src, SimShape<isSetMask>(mask, repeatTime), repeatTime, repeatParams, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Copy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask,
                            const uint8_t repeatTime, const CopyRepeatParams& repeatParams, Site site = Site::Here()) {
  SimCopy(dst, src, SimShape<isSetMask>(mask, repeatTime), repeatTime, repeatParams, site);
}

}  // namespace AscendC
