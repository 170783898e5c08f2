// Flags, barriers, core identity, atomic mode and masks: the calls every kernel makes.
#pragma once

#include "core/core.h"
#include "core/device.h"
#include "kernel_macros.h"
#include "kernel_operator_set_atomic_intf.h"

namespace AscendC {

using ascend_sim::Site;

enum class HardEvent : uint8_t {
  MTE2_MTE1,
  MTE1_MTE2,
  MTE1_M,
  M_MTE1,
  MTE2_V,
  V_MTE2,
  MTE3_V,
  V_MTE3,
  M_V,
  V_M,
  V_V,
  MTE3_MTE1,
  MTE1_MTE3,
  MTE1_V,
  MTE2_M,
  M_MTE2,
  V_MTE1,
  M_FIX,
  FIX_M,
  MTE3_MTE2,
  MTE2_MTE3,
  S_V,
  V_S,
  S_MTE2,
  MTE2_S,
  S_MTE3,
  MTE3_S,
  MTE2_FIX,
  FIX_MTE2,
  FIX_S,
  M_S,
  FIX_MTE3,
  MTE1_FIX,
  FIX_MTE1,
  FIX_FIX,
  MAX,
};

struct SimEventPipes {
  ascend_sim::Pipe from, to;
};
constexpr SimEventPipes SimPipesOf(HardEvent event) {
  using P = ascend_sim::Pipe;
  // In the order of HardEvent.
  constexpr SimEventPipes rows[] = {
      {P::kMte2, P::kMte1}, {P::kMte1, P::kMte2}, {P::kMte1, P::kM},    {P::kM, P::kMte1},   {P::kMte2, P::kV},
      {P::kV, P::kMte2},    {P::kMte3, P::kV},    {P::kV, P::kMte3},    {P::kM, P::kV},      {P::kV, P::kM},
      {P::kV, P::kV},       {P::kMte3, P::kMte1}, {P::kMte1, P::kMte3}, {P::kMte1, P::kV},   {P::kMte2, P::kM},
      {P::kM, P::kMte2},    {P::kV, P::kMte1},    {P::kM, P::kFix},     {P::kFix, P::kM},    {P::kMte3, P::kMte2},
      {P::kMte2, P::kMte3}, {P::kS, P::kV},       {P::kV, P::kS},       {P::kS, P::kMte2},   {P::kMte2, P::kS},
      {P::kS, P::kMte3},    {P::kMte3, P::kS},    {P::kMte2, P::kFix},  {P::kFix, P::kMte2}, {P::kFix, P::kS},
      {P::kM, P::kS},       {P::kFix, P::kMte3},  {P::kMte1, P::kFix},  {P::kFix, P::kMte1}, {P::kFix, P::kFix},
  };
  return rows[static_cast<int>(event)];
}

template <HardEvent event>
__aicore__ inline void SetFlag(int32_t eventID, Site site = Site::Here()) {
  ascend_sim::device::KernelSetFlag(SimPipesOf(event).from, SimPipesOf(event).to, eventID, site);
}
template <HardEvent event>
__aicore__ inline void WaitFlag(int32_t eventID, Site site = Site::Here()) {
  ascend_sim::device::KernelWaitFlag(SimPipesOf(event).from, SimPipesOf(event).to, eventID, site);
}
template <pipe_t pipe>
__aicore__ inline void PipeBarrier(Site site = Site::Here()) {
  ascend_sim::device::KernelBarrier(SimPipe(pipe), site);
}

template <uint8_t modeId, pipe_t pipe>
__aicore__ inline void CrossCoreSetFlag(uint16_t flagId, Site site = Site::Here()) {
  ascend_sim::device::KernelCrossSet(modeId, SimPipe(pipe), ascend_sim::device::UserCrossId(flagId, site), site);
}
template <uint8_t modeId = 0, pipe_t pipe = PIPE_S>
__aicore__ inline void CrossCoreWaitFlag(uint16_t flagId, Site site = Site::Here()) {
  ascend_sim::device::KernelCrossWait(ascend_sim::device::UserCrossId(flagId, site), site);
}
__aicore__ inline void WaitEvent(uint16_t flagId, Site site = Site::Here()) { CrossCoreWaitFlag(flagId, site); }
// Where the flags lie is the runtime's business here.
__aicore__ inline void SetSyncBaseAddr(uint64_t) {}
template <bool isAIVOnly = true>
__aicore__ inline void SyncAll(Site site = Site::Here()) {
  ascend_sim::device::SyncAll(isAIVOnly, site);
}

__aicore__ inline int64_t GetBlockIdx() { return ascend_sim::device::BlockIdx(); }
__aicore__ inline int64_t GetBlockNum() { return ascend_sim::device::BlockNum(); }
__aicore__ inline int64_t GetSubBlockIdx() { return ascend_sim::device::SubBlockIdx(); }
__aicore__ inline int64_t GetSubBlockNum() { return ascend_sim::device::SubBlockNum(); }
__aicore__ inline int64_t GetTaskRation() { return ascend_sim::device::SubBlockNum(); }
__aicore__ inline int64_t GetSystemCycle() { return static_cast<int64_t>(ascend_sim::device::Cycle()); }

// Vector mask registers.
__aicore__ inline void SetMaskCount() { ascend_sim::device::Regs().counter_mode = true; }
__aicore__ inline void SetMaskNorm() { ascend_sim::device::Regs().counter_mode = false; }
__aicore__ inline void ResetMask() {
  ascend_sim::device::Regs().mask[0] = ~0ull;
  ascend_sim::device::Regs().mask[1] = ~0ull;
}

}  // namespace AscendC
