// Gather and Gatherb.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_gather.h"
#include "kernel_struct_gather.h"

namespace AscendC {

template <typename T>
inline void SimGather(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint32_t>& offsets,
                      uint32_t base, const ascend_sim::VecShape& shape, uint16_t repeatStride, Site site) {
  Issue(ascend_sim::VecGather{ascend_sim::kDTypeOf<T>, base, shape, SimWalk(dst, 1, repeatStride), src.sim(),
                              offsets.sim(), nullptr},
        site);
}
template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseOffset, const uint64_t mask,
                              const uint8_t repeatTime, const uint16_t dstRepStride, Site site = Site::Here()) {
  SimGather(dst, src, srcOffset, srcBaseOffset, SimShape<true>(mask, repeatTime), dstRepStride, site);
}
template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseOffset,
                              const uint64_t mask[], const uint8_t repeatTime, const uint16_t dstRepStride,
                              Site site = Site::Here()) {
  SimGather(dst, src, srcOffset, srcBaseOffset, SimShape<true>(mask, repeatTime), dstRepStride, site);
}
template <typename T>
__aicore__ inline void Gather(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                              const LocalTensor<uint32_t>& srcOffset, const uint32_t srcBaseOffset,
                              const uint32_t count, Site site = Site::Here()) {
  SimGather(dst, src, srcOffset, srcBaseOffset, SimCountShape(count), 8, site);
}

template <typename T>
__aicore__ inline void Gatherb(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                               const LocalTensor<uint32_t>& offset, const uint8_t repeatTime,
                               const GatherRepeatParams& repeatParams, Site site = Site::Here()) {
  ResetMask();
  const uint16_t blockStride = repeatParams.dstBlkStride == 0 ? 1 : repeatParams.dstBlkStride;
  Issue(ascend_sim::VecGatherBlocks{ascend_sim::kDTypeOf<T>, repeatTime,
                                    SimWalk(dst, blockStride, repeatParams.dstRepStride), src.sim(), offset.sim(),
                                    nullptr},
        site);
}

}  // namespace AscendC
