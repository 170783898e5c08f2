// Cross-core flags, modes 0, 1 and 2: counters per core and id.
#include <algorithm>

#include "core/engine.h"

namespace ascend_sim {

void Machine::CrossSet(int mode, Pipe pipe, int id, Site site, uint32_t call) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "CrossCoreSetFlag");
  if (id < 0 || id >= kCrossFlagIds) {
    Report(Rule::kCrossFlagId, site, "CrossCoreSetFlag", pipe, Format("flag id %d is outside 0..15", id));
  }
  timeline.Advance(core.index);
  Signal signal;
  Fill(core, pipe, site, &signal);
  signal.call = call;
  const int per_group = aic_per_group_ + aiv_per_group_;
  auto member = [&](int k) -> Core* { return cores[static_cast<size_t>(core.group) * per_group + k].get(); };
  std::vector<Core*> targets;
  if (mode == 0) {
    for (auto& other : cores) {
      if (other->type == core.type) targets.push_back(other.get());
    }
    const int per_block = core.type == CoreType::kAic ? aic_per_group_ : aiv_per_group_;
    const size_t members = static_cast<size_t>(options.block_dim) * per_block;
    const size_t self = static_cast<size_t>(core.block) * per_block + core.sub_block;
    GatherAndDeliver(static_cast<uint32_t>(core.type) << 16 | static_cast<uint32_t>(id), self, members, signal, targets,
                     id);
  } else if (mode == 1) {
    if (core.type != CoreType::kAiv || aiv_per_group_ != 2) {
      Report(Rule::kArgument, site, "CrossCoreSetFlag", pipe,
             "mode 1 joins the two AIVs of a 1:2 kernel; this core has no such partner");
    }
    for (int k = aic_per_group_; k < per_group; ++k) targets.push_back(member(k));
    GatherAndDeliver(1u << 24 | static_cast<uint32_t>(core.group) << 8 | static_cast<uint32_t>(id),
                     static_cast<size_t>(core.sub_block), 2, signal, targets, id);
  } else if (mode == 2) {
    if (aic_per_group_ == 0 || aiv_per_group_ == 0) {
      Report(Rule::kArgument, site, "CrossCoreSetFlag", pipe,
             "mode 2 joins an AIC with its AIVs; this kernel has only one of them");
    }
    if (core.type == CoreType::kAic) {
      for (int k = aic_per_group_; k < per_group; ++k) Arrive(*member(k), id, signal, core, site);
    } else {
      targets.push_back(member(0));
      GatherAndDeliver(2u << 24 | static_cast<uint32_t>(core.group) << 8 | static_cast<uint32_t>(id),
                       static_cast<size_t>(core.sub_block), static_cast<size_t>(aiv_per_group_), signal, targets, id);
    }
  } else {
    Report(Rule::kArgument, site, "CrossCoreSetFlag", pipe, Format("mode %d is not 0, 1 or 2", mode));
  }
}

void Machine::GatherAndDeliver(uint32_t key, size_t member, size_t members, const Signal& signal,
                               const std::vector<Core*>& targets, int id) {
  Gather& gather = gathers_[key];
  gather.from.resize(std::max(gather.from.size(), members));
  gather.from[member].push_back(signal);
  for (const auto& queue : gather.from) {
    if (queue.empty()) return;
  }
  Signal all = gather.from[0].front();
  gather.from[0].pop_front();
  for (size_t m = 1; m < gather.from.size(); ++m) {
    const Signal& one = gather.from[m].front();
    for (size_t i = 0; i < all.clock.size(); ++i) all.clock[i] = std::max(all.clock[i], one.clock[i]);
    all.work.insert(all.work.end(), one.work.begin(), one.work.end());
    all.time.Later(one.time);
    gather.from[m].pop_front();
  }
  for (Core* target : targets) Arrive(*target, id, all, *g_core, signal.site);
}

void Machine::Arrive(Core& target, int id, Signal signal, const Core& setter, Site site) {
  ++target.cross_arrived[id];
  if (!options.timing_only) {
    // How many arrivals the setter knows to be consumed does not depend on the schedule.
    const uint32_t known = signal.clock[target.waits_clock()];
    while (!target.cross_waits[id].empty() && target.cross_waits[id].front() <= known) {
      target.cross_waits[id].pop_front();
      ++target.cross_consumed[id];
    }
    const uint64_t outstanding = target.cross_arrived[id] - target.cross_consumed[id];
    if (outstanding > 15) {
      Finding finding;
      finding.rule = Rule::kCrossFlagOverflow;
      finding.site = Place{site.file, site.line, "CrossCoreSetFlag", setter.index, Pipe::kS};
      finding.message = Format("flag %d of %s may count %llu outstanding sets; the counter holds 15", id,
                               CoreName(target.index).c_str(), static_cast<unsigned long long>(outstanding));
      Report(std::move(finding));
    }
  }
  target.cross[id].push_back(std::move(signal));
  if (target.state == Core::State::kBlocked && target.waiting_cross_id == id) target.state = Core::State::kReady;
}

void Machine::CrossWait(int id, Site site, uint32_t call) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "CrossCoreWaitFlag");
  if (id < 0 || id >= kCrossFlagIds) {
    Report(Rule::kCrossFlagId, site, "CrossCoreWaitFlag", Pipe::kS, Format("flag id %d is outside 0..15", id));
  }
  timeline.Advance(core.index);
  while (core.cross[id].empty()) {
    core.state = Core::State::kBlocked;
    core.waiting_cross_id = id;
    core.waiting_for = Format("cross-core flag %d", id);
    in_engine = false;
    core.fiber.Yield();
    in_engine = true;
  }
  core.waiting_cross_id = -1;
  Signal signal = std::move(core.cross[id].front());
  core.cross[id].pop_front();
  const bool orders = !sync_calls.Pair(signal.call, call);
  if (!options.timing_only) {
    core.cross_waits[id].push_back(++core.passed_waits);
    if (orders) Join(core, Pipe::kS, signal);
    for (int p = 0; p < kPipeCount; ++p) core.clock(static_cast<Pipe>(p))[core.waits_clock()] = core.passed_waits;
    if (orders) order.PushWait(core, Pipe::kS, signal.work);
  }
  if (orders) timeline.Arrived(core.index, signal.time);
}

}  // namespace ascend_sim
