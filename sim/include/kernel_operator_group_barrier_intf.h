// GroupBarrier: AIVs that wait until all AIVs of another group have arrived, round after round.
#pragma once

#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"
#include "kernel_tpipe.h"

namespace AscendC {

enum class PipeMode : uint8_t { SCALAR_MODE = 0, MTE3_MODE = 1, MAX };

// groupWorkspace: 512 B for each AIV of the larger group, aligned to 512 B, zeroed by the host. Here a waiter's 512 B
// hold a word for each arriver; a chip counts there. The 1600 B at the end of UB that CANN uses are not looked after.
template <PipeMode pipeMode>
class GroupBarrier {
 public:
  static_assert(pipeMode == PipeMode::MTE3_MODE, "GroupBarrier takes PipeMode::MTE3_MODE only");
  __aicore__ inline GroupBarrier(GM_ADDR groupWorkspace, uint32_t arriveSizeIn, uint32_t waitSizeIn,
                                 Site site = Site::Here())
      : workspace_(reinterpret_cast<uint64_t>(groupWorkspace)), arrive_(arriveSizeIn), wait_(waitSizeIn) {
    const int64_t blocks = ascend_sim::device::BlockNum() * ascend_sim::device::SubBlockNum();
    if (arrive_ < 1 || arrive_ > blocks || wait_ < 1 || wait_ > blocks || workspace_ % kLine != 0) {
      ascend_sim::device::Report(
          static_cast<int>(ascend_sim::Rule::kArgument), site, "GroupBarrier",
          "GroupBarrier: expected arriveSizeIn and waitSizeIn in 1..%lld, groupWorkspace aligned "
          "to 512 B, got %u, %u and %llu",
          static_cast<long long>(blocks), arrive_, wait_, static_cast<unsigned long long>(workspace_ % kLine));
    }
  }
  // Of what pipe MTE3 was given before, all is done for who waits. Waits for the waiters of the round before.
  __aicore__ inline void Arrive(uint32_t arriveIndex, Site site = Site::Here()) {
    if ASCEND_IS_AIV {
      Check("Arrive", arriveIndex, arrive_, site);
      const int32_t event = GetTPipePtr(site)->FetchEventID(HardEvent::MTE3_S, site);
      ascend_sim::device::SetFlag(ascend_sim::Pipe::kMte3, ascend_sim::Pipe::kS, event, site);
      ascend_sim::device::WaitFlag(ascend_sim::Pipe::kMte3, ascend_sim::Pipe::kS, event, site);
      for (uint32_t i = 0; i < wait_; ++i) {
        ascend_sim::device::ExchangeSlot("GroupBarrier::Arrive", workspace_ + i * kLine + arriveIndex * 4, true, site);
      }
    }
  }
  __aicore__ inline void Wait(uint32_t waitIndex, Site site = Site::Here()) {
    if ASCEND_IS_AIV {
      Check("Wait", waitIndex, wait_, site);
      for (uint32_t i = 0; i < arrive_; ++i) {
        ascend_sim::device::ExchangeSlot("GroupBarrier::Wait", workspace_ + waitIndex * kLine + i * 4, false, site);
      }
    }
  }
  // bytes
  __aicore__ inline uint64_t GetWorkspaceLen() const { return kLine * (arrive_ > wait_ ? arrive_ : wait_); }

 private:
  static constexpr uint64_t kLine = 512;
  static void Check(const char* call, uint32_t index, uint32_t size, Site site) {
    if (index < size) return;
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "GroupBarrier",
                               "GroupBarrier::%s: index %u, expected 0..%u", call, index, size - 1);
  }
  uint64_t workspace_;
  uint32_t arrive_, wait_;
};

}  // namespace AscendC
