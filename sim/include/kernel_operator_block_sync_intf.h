// Synchronisation of AIVs through words in global memory: the soft SyncAll, IBSet and IBWait. The hard SyncAll and the
// cross-core flags are in kernel_operator_common_intf.h.
#pragma once

#include "kernel_operator_common_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_tensor.h"
#include "kernel_tpipe.h"

namespace AscendC {

// Every AIV adds 1 to its own 32 bytes of gmWorkspace and goes on when all have done so. gmWorkspace is zeroed by the
// host; both workspaces hold 32 bytes an AIV.
template <bool isAIVOnly = true>
__aicore__ inline void SyncAll(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace,
                               const int32_t usedCores = 0, Site site = Site::Here()) {
  namespace sim = ascend_sim::device;
  if ASCEND_IS_AIC {
    return;
  }
  const int rule = static_cast<int>(ascend_sim::Rule::kArgument);
  const int64_t all = sim::BlockNum() * sim::SubBlockNum();
  if (isAIVOnly && sim::SubBlockNum() != 1) {
    sim::Report(rule, site, "SyncAll",
                "SyncAll: with workspaces CANN counts by block_idx, so both AIVs of an AI core would count in the same "
                "32 bytes: a mixed 1:2 kernel takes SyncAll<true>() without workspaces");
  }
  if (usedCores != 0 && usedCores != all) {
    sim::NotImplemented("SyncAll of some of the cores (usedCores)", site);
  }
  if (static_cast<int64_t>(ubWorkspace.GetSize()) < all * 8) {
    sim::Report(rule, site, "SyncAll", "SyncAll: ubWorkspace has %u elements, expected at least 8 an AIV: %lld",
                ubWorkspace.GetSize(), static_cast<long long>(all * 8));
  }
  ascend_sim::CurrentPipe("SyncAll", site);  // CANN takes its event ids from the TPipe
  sim::Barrier(ascend_sim::Pipe::kAll, site);
  const int64_t me = sim::BlockIdx();
  const GlobalTensor<int32_t> own = gmWorkspace[static_cast<uint64_t>(me) * 8];
  const LocalTensor<int32_t> local = ubWorkspace[static_cast<uint32_t>(me) * 8];
  DataCopy(local, own, 8, site);
  sim::SetFlag(ascend_sim::Pipe::kMte2, ascend_sim::Pipe::kS, 0, site);
  sim::WaitFlag(ascend_sim::Pipe::kMte2, ascend_sim::Pipe::kS, 0, site);
  const int32_t round = local.GetValue(0, site) + 1;
  local.SetValue(0, round, site);
  sim::SetFlag(ascend_sim::Pipe::kS, ascend_sim::Pipe::kMte3, 0, site);
  sim::WaitFlag(ascend_sim::Pipe::kS, ascend_sim::Pipe::kMte3, 0, site);
  DataCopy(own, local, 8, site);
  sim::SyncAll(true, site);
  if (sim::TimingOnly()) return;
  for (int64_t i = 0; i < all; ++i) {  // what the polling of a chip would compare
    const int32_t seen = gmWorkspace.GetPhyAddr()[i * 8];
    if (seen != round) {
      sim::Report(rule, site, "SyncAll", "SyncAll: gmWorkspace was not zero at first: AIV %lld counts %d, AIV %lld %d",
                  static_cast<long long>(me), round, static_cast<long long>(i), seen);
    }
  }
  sim::SyncAll(true, site);  // nobody starts the next round before all have compared
}

template <bool isAIVOnly = true>
inline uint64_t SimSlotAddress(const char* call, const GlobalTensor<int32_t>& gmWorkspace,
                               const LocalTensor<int32_t>& ubWorkspace, int32_t blockIdx, int32_t eventID, Site site) {
  const int64_t blocks = isAIVOnly ? ascend_sim::device::BlockNum() : ascend_sim::device::BlockNum() * 2;
  const int rule = static_cast<int>(ascend_sim::Rule::kArgument);
  if (blockIdx < 0 || blockIdx >= blocks || eventID < 0) {
    ascend_sim::device::Report(rule, site, call, "%s: expected blockIdx 0..%lld and eventID from 0, got %d and %d",
                               call, static_cast<long long>(blocks - 1), blockIdx, eventID);
  }
  if (ubWorkspace.GetSize() < 8) {
    ascend_sim::device::Report(rule, site, call, "%s: ubWorkspace has %u elements, expected at least 8", call,
                               ubWorkspace.GetSize());
  }
  return reinterpret_cast<uint64_t>(gmWorkspace.GetPhyAddr(static_cast<uint64_t>((blocks * eventID + blockIdx) * 8)));
}

// Tells AIV-only waiters of (blockIdx, eventID) to go on; waits while an earlier set is not taken.
template <bool isAIVOnly = true>
__aicore__ inline void IBSet(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace,
                             int32_t blockIdx, int32_t eventID, Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  const uint64_t address = SimSlotAddress<isAIVOnly>("IBSet", gmWorkspace, ubWorkspace, blockIdx, eventID, site);
  ascend_sim::device::Barrier(ascend_sim::Pipe::kAll, site);
  ascend_sim::device::ExchangeSlot("IBSet", address, true, site);
}
template <bool isAIVOnly = true>
__aicore__ inline void IBWait(const GlobalTensor<int32_t>& gmWorkspace, const LocalTensor<int32_t>& ubWorkspace,
                              int32_t blockIdx, int32_t eventID, Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  const uint64_t address = SimSlotAddress<isAIVOnly>("IBWait", gmWorkspace, ubWorkspace, blockIdx, eventID, site);
  ascend_sim::device::Barrier(ascend_sim::Pipe::kAll, site);
  ascend_sim::device::ExchangeSlot("IBWait", address, false, site);
}

}  // namespace AscendC
