// Names that CANN declares for every chip and documents for Ascend 950 only. They compile, so that kernels which choose
// between chips do, and stop the launch with a word on it where they are called.
#pragma once

#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

template <typename T>
__aicore__ inline void Interleave(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&,
                                  const LocalTensor<T>&, const int32_t, Site site = Site::Here()) {
  ascend_sim::device::OfOtherChips("Interleave", site);
}
template <typename T>
__aicore__ inline void DeInterleave(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&,
                                    const LocalTensor<T>&, const int32_t, Site site = Site::Here()) {
  ascend_sim::device::OfOtherChips("DeInterleave", site);
}
template <typename T>
__aicore__ inline void DeInterleave(const LocalTensor<T>&, const LocalTensor<T>&, const LocalTensor<T>&, const int32_t,
                                    Site site = Site::Here()) {
  ascend_sim::device::OfOtherChips("DeInterleave", site);
}

using MutexID = uint8_t;
class Mutex {
 public:
  template <pipe_t pipe>
  static __aicore__ inline void Lock(MutexID, Site site = Site::Here()) {
    ascend_sim::device::OfOtherChips("Mutex::Lock", site);
  }
  template <pipe_t pipe>
  static __aicore__ inline void Unlock(MutexID, Site site = Site::Here()) {
    ascend_sim::device::OfOtherChips("Mutex::Unlock", site);
  }
};
__aicore__ inline MutexID AllocMutexID(Site site = Site::Here()) {
  ascend_sim::device::OfOtherChips("AllocMutexID", site);
}
__aicore__ inline void ReleaseMutexID(MutexID, Site site = Site::Here()) {
  ascend_sim::device::OfOtherChips("ReleaseMutexID", site);
}

}  // namespace AscendC
