// SetFlag, WaitFlag, PipeBarrier and the unit flags: what orders the pipes of one core.
#include <algorithm>

#include "core/engine.h"

namespace ascend_sim {

// Everything pipe knows and has issued.
void Machine::Fill(Core& core, Pipe pipe, Site site, Signal* signal) {
  signal->site = site;
  signal->time = timeline.NowMoment(core.index);
  if (pipe != Pipe::kS) signal->time.Later(timeline.DoneAt(core.index, pipe));
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

bool Machine::BeginSync(Site site, const char* name, uint32_t* call) {
  EngineScope scope(*this);
  *call = 0;
  if (options.timing_only && !sync_calls.ignoring()) return true;
  *call = SiteId(site, name);
  return !sync_calls.Call(*call, site.file, site.line, name);
}

void Machine::SetFlag(Pipe from, Pipe to, int id, Site site, uint32_t call) {
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
  flag.signal.call = call;
}

void Machine::WaitFlag(Pipe from, Pipe to, int id, Site site, uint32_t call) {
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
  if (sync_calls.Pair(flag.signal.call, call)) return;
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
      core.unfinished = Place{};
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

namespace {
uint32_t UnitBits(const Footprint& f) { return f.unit_columns.count * ((f.unit_bytes + 511) / 512); }
// Calls body(bit number) for every 512 B of L0C the footprint's unit flags cover.
template <class Body>
void ForEachUnitBit(const Footprint& f, size_t bits, Body body) {
  for (uint32_t column = 0; column < f.unit_columns.count; ++column) {
    const uint32_t begin = f.unit_offset + static_cast<uint32_t>(column * f.unit_columns.stride);
    for (uint32_t b = begin / 512; b * 512 < begin + f.unit_bytes && b < bits; ++b) body(b);
  }
}
}  // namespace

// In time, an instruction of `cycles` takes up its unit flags one after the other at a steady pace, so it may start
// before the last of them is given.
void Machine::UnitBefore(Core& core, Pipe pipe, const char* name, Site site, double cycles) {
  const bool consume = footprint_.unit == Footprint::Unit::kConsume;
  const Core::UnitBit* joined = nullptr;
  const double pace = cycles / std::max(1u, UnitBits(footprint_));
  uint32_t taken = 0;
  const int other = static_cast<int>(pipe == Pipe::kM ? Pipe::kFix : Pipe::kM);  // whose work the overlap hides
  ForEachUnitBit(footprint_, core.unit_bits.size(), [&](uint32_t b) {
    const Core::UnitBit& bit = core.unit_bits[b];
    Moment needed = bit.signal.time;
    needed.Add(other, -pace * taken++);
    timeline.NotBefore(core.index, pipe, needed);
    if (options.timing_only) return;
    if (bit.full != consume) {
      Report(Rule::kUnitFlag, site, name, pipe,
             consume
                 ? Format("waits for the unit flag of L0C byte %u, which no Mmad with unitFlag 3 has set", b * 512)
                 : Format("waits for the unit flag of L0C byte %u to be 0, but no Fixpipe has taken the last result",
                          b * 512));
    }
    if (bit.signal.clock.empty()) return;
    if (joined != nullptr && bit.serial == joined->serial) return;  // the same producer as the block before
    joined = &bit;
    Join(core, pipe, bit.signal);
    order.PushWait(core, pipe, bit.signal.work);
  });
}

void Machine::UnitAfter(Core& core, Pipe pipe, Site site, const TraceEvent& span) {
  if (!footprint_.unit_flip) return;
  const bool produce = footprint_.unit == Footprint::Unit::kProduce;
  Fill(core, pipe, site, &scratch_);
  ++unit_serial_;
  // The flags are given at a steady pace too, the last with the instruction's result.
  Moment& given = scratch_.time;
  const double pace = (span.end - span.start) / std::max(1u, UnitBits(footprint_));
  const int part = static_cast<int>(pipe);
  given.Add(part, span.done - pace * UnitBits(footprint_) - given.at);
  ForEachUnitBit(footprint_, core.unit_bits.size(), [&](uint32_t b) {
    Core::UnitBit& bit = core.unit_bits[b];
    bit.full = produce;
    bit.serial = unit_serial_;
    given.Add(part, pace);
    if (options.timing_only) {
      bit.signal.time = given;
    } else {
      bit.signal = scratch_;
    }
  });
}

void Machine::ResetUnitFlags() {
  for (Core::UnitBit& bit : g_core->unit_bits) bit.full = false;
}

}  // namespace ascend_sim
