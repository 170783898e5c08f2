// SetFlag, WaitFlag, PipeBarrier and the unit flags: what orders the pipes of one core.
#include <algorithm>

#include "core/engine.h"

namespace ascend_sim {

// Everything pipe knows and has issued.
void Machine::Fill(Core& core, Pipe pipe, Site site, Signal* signal) {
  signal->site = site;
  signal->time = pipe == Pipe::kS ? timeline.Now(core.index)
                                  : std::max(timeline.Now(core.index), timeline.DoneAt(core.index, pipe));
  if (options.timing_only) return;
  const uint32_t* clock = core.clock(pipe);
  signal->clock.assign(clock, clock + core.clock_size);
  signal->clock[core.who(pipe)] = core.seq[static_cast<int>(pipe)];
  signal->work.assign(1, order.Mark(core, pipe));
}

void Machine::Join(Core& core, Pipe pipe, const Signal& signal) {
  const int first = pipe == Pipe::kS ? 0 : static_cast<int>(pipe);
  const int last = pipe == Pipe::kS ? kPipeCount - 1 : static_cast<int>(pipe);
  for (int p = first; p <= last; ++p) {  // what the scalar unit waited for holds for all it issues later
    uint32_t* clock = core.clock(static_cast<Pipe>(p));
    const uint32_t* from = signal.clock.data();
    for (size_t i = 0; i < core.clock_size; ++i) clock[i] = std::max(clock[i], from[i]);
  }
}

void Machine::SetFlag(Pipe from, Pipe to, int id, Site site) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "SetFlag");
  if (id < 0 || id >= kFlagIds) {
    Report(Rule::kFlagId, site, "SetFlag", from, Format("event id %d is outside 0..7", id));
  }
  timeline.Advance(core.index);
  Core::Flag& flag = core.flags[static_cast<int>(from)][static_cast<int>(to)][id];
  if (flag.set != 0 && !options.timing_only) {
    Finding finding;
    finding.rule = Rule::kFlagSetTwice;
    finding.site = Place{site.file, site.line, "SetFlag", core.index, from};
    finding.other = Place{flag.signal.site.file, flag.signal.site.line, "SetFlag", core.index, from};
    finding.message = Format("flag %s -> %s id %d is set again before it was waited for (set at %s:%u): the chip hangs",
                             PipeName(from), PipeName(to), id, flag.signal.site.file, flag.signal.site.line);
    Report(std::move(finding));
  }
  flag.set = 1;
  Fill(core, from, site, &flag.signal);
}

void Machine::WaitFlag(Pipe from, Pipe to, int id, Site site) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "WaitFlag");
  if (id < 0 || id >= kFlagIds) {
    Report(Rule::kFlagId, site, "WaitFlag", to, Format("event id %d is outside 0..7", id));
  }
  timeline.Advance(core.index);
  Core::Flag& flag = core.flags[static_cast<int>(from)][static_cast<int>(to)][id];
  if (flag.set == 0) {
    if (!options.timing_only) {
      Report(Rule::kFlagWaitWithoutSet, site, "WaitFlag", to,
             Format("flag %s -> %s id %d is waited for but was not set before: the pipe hangs", PipeName(from),
                    PipeName(to), id));
    }
    return;
  }
  flag.set = 0;
  if (!options.timing_only) {
    Join(core, to, flag.signal);
    order.PushWait(core, to, flag.signal.work);
  }
  timeline.NotBefore(core.index, to, flag.signal.time);
}

void Machine::Barrier(Pipe pipe, Site site) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "PipeBarrier");
  timeline.Advance(core.index);
  if (!options.timing_only) {
    if (pipe == Pipe::kAll) {
      order.Drain(core, Pipe::kAll);
      for (int p = 0; p < kPipeCount; ++p) {
        Fill(core, static_cast<Pipe>(p), site, &scratch_);
        Join(core, Pipe::kS, scratch_);
      }
    } else {
      core.clock(pipe)[core.who(pipe)] = core.seq[static_cast<int>(pipe)];
      if (pipe != Pipe::kS) order.PushBarrier(core, pipe);
    }
  }
  timeline.Barrier(core.index, pipe);
}

void Machine::UnitBefore(Core& core, Pipe pipe, const char* name, Site site) {
  const bool consume = footprint_.unit == Footprint::Unit::kConsume;
  for (uint32_t b = footprint_.unit_offset / 512; b * 512 < footprint_.unit_offset + footprint_.unit_bytes; ++b) {
    Core::UnitBit& bit = core.unit_bits[b];
    if (bit.full != consume) {
      Report(Rule::kUnitFlag, site, name, pipe,
             consume
                 ? Format("waits for the unit flag of L0C byte %u, which no Mmad with unitFlag 3 has set", b * 512)
                 : Format("waits for the unit flag of L0C byte %u to be 0, but no Fixpipe has taken the last result",
                          b * 512));
    }
    if (bit.signal.clock.empty()) continue;
    if (b != footprint_.unit_offset / 512 && bit.signal.site.line == core.unit_bits[b - 1].signal.site.line &&
        bit.signal.time == core.unit_bits[b - 1].signal.time) {
      continue;  // the same producer as the block before
    }
    Join(core, pipe, bit.signal);
    order.PushWait(core, pipe, bit.signal.work);
    timeline.NotBefore(core.index, pipe, bit.signal.time);
  }
}

void Machine::UnitAfter(Core& core, Pipe pipe, Site site) {
  if (!footprint_.unit_flip) return;
  const bool produce = footprint_.unit == Footprint::Unit::kProduce;
  Fill(core, pipe, site, &scratch_);
  for (uint32_t b = footprint_.unit_offset / 512; b * 512 < footprint_.unit_offset + footprint_.unit_bytes; ++b) {
    core.unit_bits[b].full = produce;
    core.unit_bits[b].signal = scratch_;
  }
}

}  // namespace ascend_sim
