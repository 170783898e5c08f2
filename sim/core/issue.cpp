// The way of an instruction through the engine: limits, footprint, bounds, races, execution order, time.
#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "core/engine.h"
#include "core/watchdog.h"

namespace ascend_sim {

namespace {
constexpr uint32_t kYieldEvery = 256;  // instructions between visits of the scheduler, keeps cores close in time
}  // namespace

volatile uint64_t g_instructions = 0;

void IssueErased(const void* instruction, const InstructionOps& ops, Site site) {
  CurrentMachine().Issue(instruction, ops, site);
}

void Machine::CountStep(Core& core, Site site, const char* name) {
  if (trapped_divisions != 0) ReportDivisions();
  core.last_site = site;
  core.last_name = name;
  ++core.issued;
  g_instructions = instructions_;
  if (++instructions_ > options.instruction_budget) {
    Report(Rule::kEndlessLoop, site, name, Pipe::kS,
           Format("the launch's budget of %llu instructions is used up: an endless loop?",
                  static_cast<unsigned long long>(options.instruction_budget)));
  }
  const bool yields = options.order == OrderMode::kRandom && !options.timing_only
                          ? order.random()() % 16 == 0
                          : (++since_yield_ >= kYieldEvery || timeline.Frontier(core.index) > horizon_);
  if (yields || Watchdog::Interrupted()) {
    since_yield_ = 0;
    in_engine = false;
    core.fiber.Yield();
    in_engine = true;
  }
}

void Machine::Issue(const void* instruction, const InstructionOps& ops, Site site) {
  EngineScope scope(*this);
  Core& core = *g_core;
  const char* name = ops.name(instruction);
  const Pipe pipe = ops.pipe(instruction);
  CountStep(core, site, name);
  const Cost cost = ops.cost(instruction);
  if (!options.timing_only) {
    Check check(core, pipe, name, site);
    ops.validate(instruction, check);
    if (check.failed()) StopLaunch();
    footprint_.Clear();
    ops.touch(instruction, footprint_);
    CheckBounds(core, pipe, name, site);
    ++core.seq[static_cast<int>(pipe)];
    if (pipe != Pipe::kS) core.unfinished = Place{site.file, site.line, name, core.index, pipe};
    core.sites[static_cast<int>(pipe)].push_back(SiteId(site, name));
    if (options.auto_sync && core.type == CoreType::kAiv) AutoSync(core, pipe);
    if (footprint_.unit != Footprint::Unit::kNone) UnitBefore(core, pipe, name, site, timeline.Nominal(cost));
    TouchRegions(core, pipe, name, site);
    if (ops.carry != nullptr) ops.carry(instruction, core.shadow);
    order.Push(core, pipe, instruction, ops);
  } else if (pipe == Pipe::kM || pipe == Pipe::kFix) {  // unit flags are synchronisation, so they carry time
    footprint_.Clear();
    ops.touch(instruction, footprint_);
    if (footprint_.unit != Footprint::Unit::kNone) UnitBefore(core, pipe, name, site, timeline.Nominal(cost));
  } else {
    footprint_.unit = Footprint::Unit::kNone;
  }
  const TraceEvent& span = timeline.Add(core.index, pipe, cost);
  if (timeline.trace) {
    if (timeline.events.size() < timeline.trace_limit) {
      timeline.events.push_back(span);
      timeline.events.back().site = SiteId(site, name);
    } else {
      ++timeline.trace_dropped;
    }
  }
  if (footprint_.unit != Footprint::Unit::kNone) UnitAfter(core, pipe, site, span);
}

namespace {
// Lowest and one past the highest byte of a region.
void Extent(const Region& region, int64_t* begin, int64_t* end) {
  *begin = static_cast<int64_t>(region.offset);
  *end = *begin + region.bytes;
  for (int d = 0; d < 3; ++d) {
    const int64_t reach = region.stride[d] * (static_cast<int64_t>(region.count[d]) - 1);
    (reach < 0 ? *begin : *end) += reach;
  }
}
}  // namespace

void Machine::CheckBounds(Core& core, Pipe pipe, const char* name, Site site) {
  for (const Region& region : footprint_.regions) {
    const Footprint::Operand& operand = footprint_.operands[region.operand];
    const bool write = region.access != Access::kRead;
    const Rule out = write ? Rule::kOutOfBoundsWrite : Rule::kOutOfBoundsRead;
    int64_t begin, end;
    Extent(region, &begin, &end);
    if (region.buffer == Buffer::kGm) {
      GmRegion* gm_region = gm.Find(static_cast<uint64_t>(begin));
      if (gm_region != nullptr && static_cast<uint64_t>(end) <= gm_region->address + gm_region->bytes) continue;
      const GmRegion* near = gm_region != nullptr ? gm_region : gm.Nearest(static_cast<uint64_t>(begin));
      std::string text;
      if (begin >= 0 && begin < 65536) {
        text = Format("%s: a null GM pointer (address %lld)", operand.name, static_cast<long long>(begin));
      } else if (near == nullptr) {
        text = Format("%s: %s global memory, but the launch registered none", operand.name, write ? "writes" : "reads");
      } else {
        text = Format("%s: %s bytes [%lld, %lld) of GM '%s', which has %llu bytes", operand.name,
                      write ? "writes" : "reads", static_cast<long long>(begin - static_cast<int64_t>(near->address)),
                      static_cast<long long>(end - static_cast<int64_t>(near->address)), near->name.c_str(),
                      static_cast<unsigned long long>(near->bytes));
      }
      Report(out, site, name, pipe, text);
      continue;
    }
    const uint64_t capacity = core.capacity[static_cast<int>(region.buffer)];
    if (capacity == 0) {
      Report(Rule::kWrongCore, site, name, pipe,
             Format("%s is in %s, which an %s core does not have", operand.name, BufferName(region.buffer),
                    core.type == CoreType::kAic ? "AIC" : "AIV"));
    }
    if (begin < 0 || static_cast<uint64_t>(end) > capacity) {
      Report(out, site, name, pipe,
             Format("%s: %s bytes [%lld, %lld) of %s, which has %llu bytes", operand.name, write ? "writes" : "reads",
                    static_cast<long long>(begin), static_cast<long long>(end), BufferName(region.buffer),
                    static_cast<unsigned long long>(capacity)));
    }
    if (region.buffer == Buffer::kUb && static_cast<double>(end) > soc.ub_bytes - soc.ub_reserved_bytes) {
      ReportLenient(
          Rule::kReservedUb, site, name, pipe,
          Format("%s: bytes [%lld, %lld) reach the reserved end of UB (usable: %.0f bytes)", operand.name,
                 static_cast<long long>(begin), static_cast<long long>(end), soc.ub_bytes - soc.ub_reserved_bytes));
    }
    const Local& t = operand.local;
    if (t.bytes != 0 && (begin < t.offset || end > static_cast<int64_t>(t.offset) + t.bytes)) {
      ReportLenient(out, site, name, pipe,
                    Format("%s: %s bytes [%lld, %lld) relative to a tensor of %u bytes (in %s at %u)", operand.name,
                           write ? "writes" : "reads", static_cast<long long>(begin - t.offset),
                           static_cast<long long>(end - t.offset), t.bytes, BufferName(t.buffer), t.offset));
    }
    const Allocations::Entry* allocation = core.allocations.Find(t.handle);
    if (allocation != nullptr && !allocation->live) {
      Finding finding;
      finding.rule = write ? Rule::kUnallocatedWrite : Rule::kUnallocatedRead;
      finding.site = Place{site.file, site.line, name, core.index, pipe};
      finding.other = Place{allocation->freed.file, allocation->freed.line, "FreeTensor", core.index, Pipe::kS};
      finding.buffer = region.buffer;
      finding.begin = static_cast<uint64_t>(begin);
      finding.end = static_cast<uint64_t>(end);
      finding.message = Format("%s was freed before this use", operand.name);
      Report(std::move(finding));
    }
  }
}

// Reading, past the own cache, a line that another core wrote back is how kernels wait for each other through GM.
void Machine::AcquirePublished(Core& core, const Region& region) {
  const uint64_t last = (region.offset + region.bytes - 1) / ScalarCaches::kLineBytes;
  for (uint64_t line = region.offset / ScalarCaches::kLineBytes; line <= last; ++line) {
    const auto at = published_.find(line);
    if (at == published_.end() || scalar_caches.Holds(core.index, line)) continue;
    Join(core, Pipe::kS, at->second);
    order.PushWait(core, Pipe::kS, at->second.work);
    timeline.NotBefore(core.index, Pipe::kS, at->second.time);
  }
}

void Machine::Publish(Core& core, uint64_t line) {
  Signal& signal = published_[line];
  Fill(core, Pipe::kS, Site{}, &signal);
}

void Machine::TouchRegions(Core& core, Pipe pipe, const char* name, Site site) {
  Shadow::Context context;
  context.clock = core.clock(pipe);
  context.self = AccessId{core.seq[static_cast<int>(pipe)], core.who(pipe), Access::kRead};
  context.same_pipe_ordered = pipe == Pipe::kS || footprint_.in_order || (options.lenient && pipe == Pipe::kFix) ||
                              (options.auto_sync && core.type == CoreType::kAiv && pipe == Pipe::kV);
  context.report_atomics = options.determinism;
  for (const Region& region : footprint_.regions) {
    Shadow* shadow = &core.shadow[static_cast<int>(region.buffer)];
    GmRegion* gm_region = nullptr;
    uint64_t base = region.offset;
    if (region.buffer == Buffer::kGm) {
      int64_t begin, end;
      Extent(region, &begin, &end);
      gm_region = gm.Find(static_cast<uint64_t>(begin));
      if (gm_region == nullptr) continue;
      shadow = &gm_region->shadow;
      base -= gm_region->address;
      if (pipe == Pipe::kS && region.access != Access::kWrite && !published_.empty()) AcquirePublished(core, region);
    }
    context.self.kind = region.access;
    conflicts_.clear();
    const bool check_defined =
        region.access != Access::kWrite && !region.carry && !(gm_region != nullptr && gm_region->initialised);
    uint64_t undefined = ~0ull;
    for (uint32_t k = 0; k < region.count[2]; ++k) {
      for (uint32_t j = 0; j < region.count[1]; ++j) {
        for (uint32_t i = 0; i < region.count[0]; ++i) {
          const uint64_t at =
              base + static_cast<uint64_t>(region.stride[0] * i + region.stride[1] * j + region.stride[2] * k);
          if (check_defined && undefined == ~0ull) {
            const uint64_t first = shadow->FirstUndefined(at, region.bytes);
            if (first < at + region.bytes) undefined = first;
          }
          shadow->Touch(at, region.bytes, context, &conflicts_);
          if (gm_region != nullptr && (pipe == Pipe::kS || scalar_caches.active())) {
            TouchScalarCache(core, pipe, name, site, region, *gm_region, gm_region->address + at);
          }
        }
      }
    }
    if (undefined != ~0ull) {
      Finding finding;
      finding.rule = Rule::kUninitialisedRead;
      finding.site = Place{site.file, site.line, name, core.index, pipe};
      finding.buffer = region.buffer;
      finding.begin = undefined;
      finding.end = undefined + 1;
      if (gm_region != nullptr) finding.region = gm_region->name;
      finding.message = Format("%s: byte %llu of %s was never written", footprint_.operands[region.operand].name,
                               static_cast<unsigned long long>(undefined),
                               gm_region != nullptr ? gm_region->name.c_str() : BufferName(region.buffer));
      Report(std::move(finding));
    }
    for (const Shadow::Conflict& conflict : conflicts_) {
      ReportRace(core, pipe, name, site, region, gm_region, conflict);
    }
  }
}

void Machine::ReportRace(Core& core, Pipe pipe, const char* name, Site site, const Region& region,
                         const GmRegion* gm_region, const Shadow::Conflict& conflict) {
  const Access now = region.access, before = conflict.earlier.kind;
  // A core that reads a word past its cache again and again sees the old or the new one.
  if (gm_region != nullptr && pipe == Pipe::kS && now == Access::kWrite && before == Access::kRead) {
    const Place reader = PlaceOf(conflict.earlier.who, conflict.earlier.seq);
    const uint64_t line = (gm_region->address + conflict.begin) / ScalarCaches::kLineBytes;
    if (reader.pipe == Pipe::kS && reader.core != core.index && !scalar_caches.Holds(reader.core, line)) return;
  }
  Finding finding;
  if (now == Access::kAtomic && before == Access::kAtomic) {
    finding.rule = Rule::kNondeterministicAtomic;
  } else if (now == Access::kRead) {
    finding.rule = Rule::kRaceReadAfterWrite;
  } else if (before == Access::kRead) {
    finding.rule = Rule::kRaceWriteAfterRead;
  } else if (now != before) {
    finding.rule = Rule::kRaceAtomicStore;
  } else {
    finding.rule = Rule::kRaceWriteAfterWrite;
  }
  finding.site = Place{site.file, site.line, name, core.index, pipe};
  finding.other = PlaceOf(conflict.earlier.who, conflict.earlier.seq);
  finding.buffer = region.buffer;
  finding.begin = conflict.begin;
  finding.end = conflict.end;
  if (gm_region != nullptr) finding.region = gm_region->name;
  static const char* verbs[] = {"reads", "writes", "atomically updates"};
  static const char* past[] = {"read", "write", "atomic update"};
  std::string missing;
  if (finding.other.core != core.index) {
    missing = "a cross-core flag or SyncAll";
  } else if (finding.other.pipe == pipe) {
    missing = Format("a PipeBarrier<PIPE_%s>", PipeName(pipe));
  } else {
    missing = Format("SetFlag/WaitFlag<%s_%s>", PipeName(finding.other.pipe), PipeName(pipe));
  }
  finding.message = Format(
      "%s (%s, PIPE_%s) %s bytes [%llu, %llu) of %s while the %s by %s (%s, PIPE_%s, %s:%u) may not be complete: %s is "
      "missing",
      name, CoreName(core.index).c_str(), PipeName(pipe), verbs[static_cast<int>(now)],
      static_cast<unsigned long long>(conflict.begin), static_cast<unsigned long long>(conflict.end),
      gm_region != nullptr ? ("GM '" + gm_region->name + "'").c_str() : BufferName(region.buffer),
      past[static_cast<int>(before)], finding.other.instruction, CoreName(finding.other.core).c_str(),
      PipeName(finding.other.pipe), finding.other.file, finding.other.line, missing.c_str());
  Report(std::move(finding));
}

void Machine::TouchScalarCache(Core& core, Pipe pipe, const char* name, Site site, const Region& region,
                               const GmRegion& gm_region, uint64_t address) {
  const bool scalar = pipe == Pipe::kS, write = region.access != Access::kRead;
  const ScalarCaches::Stale dirty =
      scalar_caches.Other(scalar ? core.index : -1, core.index, address, region.bytes, write, site);
  ScalarCaches::Stale stale;
  // An atomic is done in global memory, past the core's own cache.
  if (scalar && region.access == Access::kWrite) scalar_caches.Store(core.index, address, region.bytes, site);
  if (scalar && !write) stale = scalar_caches.Load(core.index, address, region.bytes);
  if (!dirty.found && !stale.found) return;
  const ScalarCaches::Stale& shown = dirty.found ? dirty : stale;
  Finding finding;
  finding.rule = Rule::kScalarCache;
  finding.site = Place{site.file, site.line, name, core.index, pipe};
  finding.other = Place{shown.site.file, shown.site.line, dirty.found ? "SetValue" : "write", shown.core,
                        dirty.found ? Pipe::kS : pipe};
  finding.begin = shown.address - gm_region.address;
  finding.end = finding.begin + 1;
  finding.region = gm_region.name;
  const auto byte = static_cast<unsigned long long>(finding.begin);
  finding.message =
      dirty.found
          ? Format(
                "%s meets byte %llu of GM '%s' while the SetValue of %s (%s:%u) is still in its data cache: "
                "DataCacheCleanAndInvalid is missing after it",
                name, byte, gm_region.name.c_str(), CoreName(shown.core).c_str(), shown.site.file, shown.site.line)
          : Format(
                "%s may return an old byte %llu of GM '%s' from the data cache: it was written by %s (%s:%u) since the "
                "line was cached; DataCacheCleanAndInvalid is missing before it",
                name, byte, gm_region.name.c_str(), CoreName(shown.core).c_str(), shown.site.file, shown.site.line);
  Report(std::move(finding));
}

// What bisheng's automatic synchronisation orders on AIV besides V-V.
void Machine::AutoSync(Core& core, Pipe pipe) {
  static const Pipe partners[] = {Pipe::kV, Pipe::kMte2, Pipe::kMte3};
  if (pipe == Pipe::kS) {
    for (Pipe p : partners) {
      Fill(core, p, Site{}, &scratch_);
      Join(core, Pipe::kS, scratch_);
      order.PushWait(core, Pipe::kS, scratch_.work);
      timeline.NotBefore(core.index, Pipe::kS, scratch_.time);
    }
  } else if (pipe == Pipe::kV || pipe == Pipe::kMte2 || pipe == Pipe::kMte3) {
    uint32_t& known = core.clock(pipe)[core.who(Pipe::kS)];
    known = std::max(known, core.seq[static_cast<int>(Pipe::kS)]);
  }
}

void Check::Fail(Rule rule, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  Add(rule, false, text);
}

void Check::FailLenient(Rule rule, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  Add(rule, CurrentMachine().options.lenient, text);
}

void Check::Add(Rule rule, bool soft, const char* text) {
  failed_ |= InfoOf(rule).fatal && !soft;
  Finding finding;
  finding.soft = soft;
  finding.rule = rule;
  finding.site = Place{site_.file, site_.line, name_, core_.index, pipe_};
  finding.message = std::string(name_) + ": " + text;
  CurrentMachine().findings.Add(std::move(finding));
}

void Check::RangeFailed(const char* what, int64_t value, int64_t low, int64_t high) {
  Fail(Rule::kArgument, "%s: expected %lld..%lld, got %lld", what, static_cast<long long>(low),
       static_cast<long long>(high), static_cast<long long>(value));
}
void Check::AlignmentFailed(const char* operand, uint64_t offset, uint32_t alignment, bool write) {
  Fail(write ? Rule::kMisalignedWrite : Rule::kMisalignedRead, "%s: start address %llu is not a multiple of %u bytes",
       operand, static_cast<unsigned long long>(offset), alignment);
}
void Check::BufferFailed(const char* operand, Buffer got, Buffer want) {
  Fail(Rule::kArgument, "%s: expected a tensor in %s, got one in %s", operand, BufferName(want), BufferName(got));
}

}  // namespace ascend_sim
