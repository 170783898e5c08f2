// One-word mailboxes in global memory, between any two cores: IBSet waits for 0 and writes 1, IBWait waits for 1 and
// writes 0. A chip polls the word; here the core blocks, so that waiting for ever is a deadlock that can be named. The
// polling itself takes no modelled time.
#include "core/engine.h"

namespace ascend_sim {

void Machine::ExchangeSlot(const char* name, uint64_t address, bool put, Site site, bool zeroed) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, name);
  timeline.Advance(core.index);
  const GmRegion* region = gm.Find(address);
  if (region == nullptr || address + kBlockBytes > region->address + region->bytes) {
    Report(Rule::kOutOfBoundsWrite, site, name, Pipe::kS,
           Format("%s: gmWorkspace ends before this flag's 32 bytes", name));
  }
  auto* word = reinterpret_cast<int32_t*>(address);
  auto found = slots_.find(address);
  if (found == slots_.end()) {
    if (zeroed && !options.timing_only && *word != 0) {
      Report(Rule::kArgument, site, name, Pipe::kS,
             Format("%s: gmWorkspace must be zero at first, got %d", name, *word));
    }
    found = slots_.emplace(address, Slot{}).first;
  }
  Slot& slot = found->second;
  while (slot.full == put) {
    core.state = Core::State::kBlocked;
    core.waiting_for =
        Format("the flag of %s at byte %llu of GM '%s' to become %d", name,
               static_cast<unsigned long long>(address - region->address), region->name.c_str(), put ? 0 : 1);
    slot.waiting.push_back(&core);
    in_engine = false;
    core.fiber.Yield();
    in_engine = true;
  }
  if (!options.timing_only && !slot.last.clock.empty()) {
    Join(core, Pipe::kS, slot.last);
    order.PushWait(core, Pipe::kS, slot.last.work);
  }
  timeline.Arrived(core.index, slot.last.time);
  slot.full = put;
  if (!options.timing_only) *word = put ? 1 : 0;
  Fill(core, Pipe::kS, site, &slot.last);
  for (Core* waiting : slot.waiting) waiting->state = Core::State::kReady;
  slot.waiting.clear();
}

}  // namespace ascend_sim
