// The scalar unit's data cache: DataCacheCleanAndInvalid; and preloading hints, which change neither values nor the
// modelled time.
#pragma once

#include "isa/scalar.h"
#include "kernel_tensor.h"

namespace AscendC {

enum class CacheLine : uint64_t { SINGLE_CACHE_LINE = 0, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL = 0, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };

template <typename T, CacheLine entireType, DcciDst dcciDst>
__aicore__ inline void DataCacheCleanAndInvalid(const GlobalTensor<T>& dst,
                                                ascend_sim::Site site = ascend_sim::Site::Here()) {
  // CACHELINE_UB concerns the copies of UB only.
  if (dcciDst == DcciDst::CACHELINE_UB) return;
  ascend_sim::CleanScalarCache(dst.sim(), entireType == CacheLine::ENTIRE_DATA_CACHE, site);
}
template <typename T, CacheLine entireType>
__aicore__ inline void DataCacheCleanAndInvalid(const GlobalTensor<T>& dst,
                                                ascend_sim::Site site = ascend_sim::Site::Here()) {
  ascend_sim::CleanScalarCache(dst.sim(), entireType == CacheLine::ENTIRE_DATA_CACHE, site);
}

enum class MemDsbT : uint8_t { ALL = 0, DDR, UB, SEQ };
// Scalar accesses are done when they are issued, so there is nothing to wait for.
template <MemDsbT arg0>
__aicore__ inline void DataSyncBarrier() {}

template <typename T>
__aicore__ inline void DataCachePreload(const GlobalTensor<uint64_t>&, const T) {}
__aicore__ inline void ICachePreLoad(const int64_t) {}

}  // namespace AscendC
