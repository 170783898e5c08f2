// CreateVecIndex.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_index.h"

namespace AscendC {

template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T>& dst, const T& firstValue, uint64_t mask, uint8_t repeatTime,
                                      uint16_t dstBlkStride, uint8_t dstRepStride, Site site = Site::Here()) {
  ascend_sim::IssueIndexRepeats(
      {ascend_sim::kDTypeOf<T>, ascend_sim::ScalarBits(firstValue), SimWalk(dst, dstBlkStride, dstRepStride)},
      SimShape<true>(mask, repeatTime), site);
}
template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T>& dst, const T& firstValue, uint64_t mask[], uint8_t repeatTime,
                                      uint16_t dstBlkStride, uint8_t dstRepStride, Site site = Site::Here()) {
  ascend_sim::IssueIndexRepeats(
      {ascend_sim::kDTypeOf<T>, ascend_sim::ScalarBits(firstValue), SimWalk(dst, dstBlkStride, dstRepStride)},
      SimShape<true>(mask, repeatTime), site);
}
template <typename T>
__aicore__ inline void CreateVecIndex(LocalTensor<T> dst, const T& firstValue, uint32_t count,
                                      Site site = Site::Here()) {
  ascend_sim::IssueIndexCount({ascend_sim::kDTypeOf<T>, ascend_sim::ScalarBits(firstValue), SimWalk(dst)}, count, site);
}

}  // namespace AscendC
