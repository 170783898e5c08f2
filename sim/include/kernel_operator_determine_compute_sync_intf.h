// AIVs one after the other, in the order of their block indices: InitDetermineComputeWorkspace, WaitPreBlock and
// NotifyNextBlock. A chip polls the whole of gmWorkspace; here each AIV has one word of it, see core/slots.cpp.
#pragma once

#include "core/core.h"
#include "kernel_operator_common_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_operator_vec_duplicate_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

// Stops where the workspaces are too small or both AIVs of an AI core would count as one.
inline void SimCheckBlockOrder(const char* call, const GlobalTensor<int32_t>& gmWorkspace,
                               const LocalTensor<int32_t>& ubWorkspace, Site site) {
  namespace sim = ascend_sim::device;
  const int rule = static_cast<int>(ascend_sim::Rule::kArgument);
  const int64_t all = sim::BlockNum();
  if (sim::SubBlockNum() != 1) {
    sim::Report(rule, site, call, "%s: CANN counts GetBlockNum() AIVs, a mixed 1:2 kernel has twice as many", call);
  }
  if (static_cast<int64_t>(ubWorkspace.GetSize()) < all * 8 + 8) {
    sim::Report(rule, site, call, "%s: ubWorkspace has %u elements, expected 8 an AIV and 8 more: %lld", call,
                ubWorkspace.GetSize(), static_cast<long long>(all * 8 + 8));
  }
  if (gmWorkspace.GetSize() != 0 && static_cast<int64_t>(gmWorkspace.GetSize()) < all * 8) {
    sim::Report(rule, site, call, "%s: gmWorkspace has %llu elements, expected 8 an AIV: %lld", call,
                static_cast<unsigned long long>(gmWorkspace.GetSize()), static_cast<long long>(all * 8));
  }
}
inline uint64_t SimBlockOrderWord(const GlobalTensor<int32_t>& gmWorkspace, int64_t block) {
  return reinterpret_cast<uint64_t>(gmWorkspace.GetPhyAddr(static_cast<uint64_t>(block) * 8));
}

// What gmWorkspace held does not matter.
__aicore__ inline void InitDetermineComputeWorkspace(GlobalTensor<int32_t>& gmWorkspace,
                                                     LocalTensor<int32_t>& ubWorkspace, Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  namespace sim = ascend_sim::device;
  SimCheckBlockOrder("InitDetermineComputeWorkspace", gmWorkspace, ubWorkspace, site);
  sim::Barrier(ascend_sim::Pipe::kAll, site);
  if (sim::BlockIdx() == 0) {
    const int32_t words = static_cast<int32_t>(sim::BlockNum() * 8);
    Duplicate(ubWorkspace, 0, words, site);
    sim::Barrier(ascend_sim::Pipe::kAll, site);
    DataCopy(gmWorkspace, ubWorkspace, static_cast<uint32_t>(words), site);
  }
  sim::Barrier(ascend_sim::Pipe::kAll, site);
  sim::Regs().block_round = 1;
}

// Goes on when the AIV before this one has notified in this round; AIV 0 when the last one has in the round before.
__aicore__ inline void WaitPreBlock(GlobalTensor<int32_t>& gmWorkspace, LocalTensor<int32_t>& ubWorkspace,
                                    Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  namespace sim = ascend_sim::device;
  SimCheckBlockOrder("WaitPreBlock", gmWorkspace, ubWorkspace, site);
  sim::Barrier(ascend_sim::Pipe::kAll, site);
  const int64_t me = sim::BlockIdx();
  if (sim::Regs().block_round == 0) {
    sim::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "WaitPreBlock",
                "WaitPreBlock: InitDetermineComputeWorkspace was not called before");
  }
  if (me != 0 || sim::Regs().block_round > 1) {
    sim::ExchangeSlot("WaitPreBlock", SimBlockOrderWord(gmWorkspace, me), false, site, false);
  }
  sim::Barrier(ascend_sim::Pipe::kAll, site);
}
__aicore__ inline void NotifyNextBlock(GlobalTensor<int32_t>& gmWorkspace, LocalTensor<int32_t>& ubWorkspace,
                                       Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  namespace sim = ascend_sim::device;
  SimCheckBlockOrder("NotifyNextBlock", gmWorkspace, ubWorkspace, site);
  sim::Barrier(ascend_sim::Pipe::kAll, site);
  const int64_t next = (sim::BlockIdx() + 1) % sim::BlockNum();
  sim::ExchangeSlot("NotifyNextBlock", SimBlockOrderWord(gmWorkspace, next), true, site, false);
  sim::Regs().block_round += 1;
  sim::Barrier(ascend_sim::Pipe::kAll, site);
}

}  // namespace AscendC
