#include "core/machine.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "core/watchdog.h"

namespace ascend_sim {

namespace {

Machine* g_machine = nullptr;
Core* g_core = nullptr;

// While engine code runs the watchdog must not jump away; also tells it that the kernel makes progress.
class EngineScope {
 public:
  explicit EngineScope(Machine& machine) : machine_(machine) {
    machine_.in_engine = true;
    machine_.progress = machine_.progress + 1;
  }
  ~EngineScope() { machine_.in_engine = false; }

 private:
  Machine& machine_;
};

constexpr uint32_t kYieldEvery = 256;  // instructions between visits of the scheduler, keeps cores close in time

std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string Format(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

}  // namespace

Machine& CurrentMachine() {
  if (g_machine == nullptr) {
    std::fprintf(stderr, "ascend_sim: an Ascend C call outside a kernel launch\n");
    std::abort();
  }
  return *g_machine;
}
Core& CurrentCore() {
  CurrentMachine();
  return *g_core;
}
void SetCurrent(Machine* machine, Core* core) {
  g_machine = machine;
  g_core = core;
}

const char* KernelTypeName(KernelType type) {
  static const char* names[] = {"unset", "aic_only", "aiv_only", "mix_1_0", "mix_0_1", "mix_1_1", "mix_1_2"};
  return names[static_cast<int>(type)];
}

void IssueErased(const void* instruction, const InstructionOps& ops, Site site) {
  CurrentMachine().Issue(instruction, ops, site);
}

Machine::Machine() { sites_.push_back(SiteInfo{"", 0, ""}); }
Machine::~Machine() = default;

bool Machine::has_aic() const { return options.type != KernelType::kAivOnly && options.type != KernelType::kMix01; }
int Machine::group_size_aiv() const {
  switch (options.type) {
    case KernelType::kAicOnly:
    case KernelType::kMix10:
      return 0;
    case KernelType::kMix12:
      return 2;
    default:
      return 1;
  }
}

// ---- running ------------------------------------------------------------------------------------------------------

bool Machine::Run(const std::function<void(CoreType)>& entry) {
  entry_ = entry;
  BuildCores();
  Watchdog watchdog(*this, options.watchdog_seconds);
  if (sigsetjmp(fault_return, 0) != 0) {
    // A fiber crashed or ran away: we are back on the scheduler's stack.
    fiber_running = false;
    in_engine = false;
    Watchdog::UnblockSignals();
    Core& core = *g_core;
    core.state = Core::State::kDead;
    Finding finding;
    finding.site = Place{core.last_site.file, core.last_site.line, core.last_name, core.index, Pipe::kS};
    if (fault.endless) {
      finding.rule = Rule::kEndlessLoop;
      finding.message = Format("the kernel ran %.1f s without issuing an instruction; its last call is given",
                               options.watchdog_seconds);
    } else {
      finding.rule = Rule::kCrash;
      finding.message = Watchdog::Describe(fault, core);
    }
    findings.Add(std::move(finding));
    stopped_ = true;
  }
  while (!stopped_) {
    Core* core = PickNext();
    if (core == nullptr) break;
    g_machine = this;
    g_core = core;
    since_yield_ = 0;
    fiber_running = true;
    core->fiber.Resume();
    fiber_running = false;
    in_engine = false;
  }
  if (!stopped_) CheckEnd();
  g_machine = nullptr;
  g_core = nullptr;
  return !stopped_;
}

void Machine::BuildCores() {
  aic_per_group_ = has_aic() ? 1 : 0;
  aiv_per_group_ = group_size_aiv();
  const double physical = has_aic() ? soc.aic_cores : soc.aiv_cores;
  const int groups = static_cast<int>(std::min<double>(options.block_dim, physical));
  const int per_group = aic_per_group_ + aiv_per_group_;
  const size_t clock_size = static_cast<size_t>(groups) * per_group * kClocksPerCore;
  std::vector<Core*> pointers;
  for (int g = 0; g < groups; ++g) {
    for (int k = 0; k < per_group; ++k) {
      const CoreType type = k < aic_per_group_ ? CoreType::kAic : CoreType::kAiv;
      auto core = std::make_unique<Core>(g * per_group + k, type);
      core->group = g;
      core->sub_block = type == CoreType::kAic ? 0 : k - aic_per_group_;
      static const Buffer aic_buffers[] = {Buffer::kL1, Buffer::kL0A, Buffer::kL0B, Buffer::kL0C, Buffer::kBt, Buffer::kFb};
      static const Buffer aiv_buffers[] = {Buffer::kUb};
      const Buffer* list = type == CoreType::kAic ? aic_buffers : aiv_buffers;
      const int count = type == CoreType::kAic ? 6 : 1;
      uint64_t total = 0;
      for (int b = 0; b < count; ++b) {
        core->capacity[static_cast<int>(list[b])] = soc.Capacity(list[b]);
        total += soc.Capacity(list[b]) + 64;
      }
      core->storage.reset(new uint8_t[total]);
      uint8_t* at = core->storage.get();
      for (int b = 0; b < count; ++b) {
        at += (64 - reinterpret_cast<uintptr_t>(at) % 64) % 64;
        core->bases[static_cast<int>(list[b])] = at;
        at += soc.Capacity(list[b]);
      }
      core->clock_size = options.timing_only ? 0 : clock_size;
      core->clocks.assign(core->clock_size * kPipeCount, 0);
      core->unit_bits.resize(static_cast<size_t>(core->capacity[static_cast<int>(Buffer::kL0C)]) / 512);
      pointers.push_back(core.get());
      cores.push_back(std::move(core));
    }
  }
  order.Reset(options.timing_only ? OrderMode::kEager : options.order, options.seed, options.auto_sync, pointers);
  timeline.Reset(soc, static_cast<int>(cores.size()), aic_per_group_ * groups, aiv_per_group_ * groups);
  timeline.trace = options.trace;
  if (!options.timing_only) {
    for (GmRegion& region : gm.regions()) region.shadow.Reset(region.bytes);
  }
  for (int g = 0; g < groups; ++g) StartBlock(g, static_cast<int>(next_block_++));
}

void Machine::StartBlock(int group, int block) {
  const int per_group = aic_per_group_ + aiv_per_group_;
  for (int k = 0; k < per_group; ++k) {
    Core& core = *cores[static_cast<size_t>(group) * per_group + k];
    core.block = block;
    core.registers = Registers{};
    core.allocations = Allocations{};
    for (int b = 1; b < kBufferCount; ++b) {
      if (core.bases[b] == nullptr) continue;
      if (options.timing_only) {
        std::memset(core.bases[b], 0, core.capacity[b]);
      } else {
        std::memset(core.bases[b], 0xff, core.capacity[b]);  // all ones: NaN in every floating-point format
        core.shadow[b].Reset(core.capacity[b]);
      }
    }
    core.state = Core::State::kReady;
    core.fiber.Start(options.stack_bytes, &Machine::FiberMain, &core);
  }
}

void Machine::FiberMain(void* argument) {
  Core& core = *static_cast<Core*>(argument);
  try {
    g_machine->entry_(core.type);
  } catch (const std::exception& e) {
    g_machine->Report(Rule::kCrash, core.last_site, core.last_name, Pipe::kS,
                      std::string("the kernel threw a C++ exception: ") + e.what());
  } catch (...) {
    g_machine->Report(Rule::kCrash, core.last_site, core.last_name, Pipe::kS, "the kernel threw a C++ exception");
  }
  g_machine->FinishCore(core);
  core.fiber.Yield();  // never resumed
  std::abort();
}

void Machine::FinishCore(Core& core) {
  EngineScope scope(*this);
  order.Drain(core, Pipe::kAll);
  for (int f = 0; f < kPipeCount; ++f) {
    for (int t = 0; t < kPipeCount; ++t) {
      for (int id = 0; id < kFlagIds; ++id) {
        Core::Flag& flag = core.flags[f][t][id];
        if (flag.set == 0) continue;
        Finding finding;
        finding.rule = Rule::kFlagLeftSet;
        finding.site = Place{flag.signal.site.file, flag.signal.site.line, "SetFlag", core.index, static_cast<Pipe>(f)};
        finding.message = Format("flag %s -> %s id %d is still set when the kernel ends: it poisons the next kernel",
                                 PipeName(static_cast<Pipe>(f)), PipeName(static_cast<Pipe>(t)), id);
        findings.Add(std::move(finding));
        flag.set = 0;
      }
    }
  }
  for (size_t i = 0; i < core.unit_bits.size(); ++i) {
    if (!core.unit_bits[i].full) continue;
    Finding finding;
    finding.rule = Rule::kUnitFlag;
    finding.site = Place{core.unit_bits[i].signal.site.file, core.unit_bits[i].signal.site.line, "Mmad", core.index, Pipe::kM};
    finding.message = Format("unit flag of L0C byte %zu is still 1 when the kernel ends: no Fixpipe with unitFlag 3 took it", i * 512);
    finding.buffer = Buffer::kL0C;
    findings.Add(std::move(finding));
    break;
  }
  core.unit_bits.assign(core.unit_bits.size(), Core::UnitBit{});
  core.state = Core::State::kDone;
  FinishBlock(core);
}

// When all cores of the group are done the next block starts there.
void Machine::FinishBlock(Core& core) {
  const int per_group = aic_per_group_ + aiv_per_group_;
  double end = 0;
  for (int k = 0; k < per_group; ++k) {
    Core& member = *cores[static_cast<size_t>(core.group) * per_group + k];
    if (member.state != Core::State::kDone) return;
    end = std::max(end, timeline.EndOf(member.index));
  }
  if (next_block_ >= options.block_dim) return;
  Signal all;
  if (!options.timing_only) {
    all.clock.assign(core.clock_size, 0);
    for (int k = 0; k < per_group; ++k) {
      Core& member = *cores[static_cast<size_t>(core.group) * per_group + k];
      for (int p = 0; p < kPipeCount; ++p) {
        const uint32_t* clock = member.clock(static_cast<Pipe>(p));
        for (size_t i = 0; i < core.clock_size; ++i) all.clock[i] = std::max(all.clock[i], clock[i]);
        all.clock[member.who(static_cast<Pipe>(p))] = member.seq[p];
      }
    }
  }
  const int block = static_cast<int>(next_block_++);
  for (int k = 0; k < per_group; ++k) {
    Core& member = *cores[static_cast<size_t>(core.group) * per_group + k];
    if (!options.timing_only) Join(member, Pipe::kS, all);
    timeline.NotBefore(member.index, Pipe::kS, end);
  }
  // The running fiber's stack is still in use: its core restarts from the scheduler.
  restart_group_ = core.group;
  restart_block_ = block;
}

Core* Machine::PickNext() {
  if (restart_group_ >= 0) {
    StartBlock(restart_group_, restart_block_);
    restart_group_ = -1;
  }
  Core* best = nullptr;
  bool blocked = false;
  size_t ready = 0;
  for (auto& core : cores) {
    if (core->state == Core::State::kBlocked) blocked = true;
    if (core->state != Core::State::kReady) continue;
    ++ready;
    if (options.order == OrderMode::kRandom && !options.timing_only) {
      if (order.random()() % ready == 0) best = core.get();
    } else if (best == nullptr || timeline.Now(core->index) < timeline.Now(best->index)) {
      best = core.get();
    }
  }
  if (best == nullptr && blocked) ReportDeadlock();
  return best;
}

void Machine::ReportDeadlock() {
  Finding finding;
  finding.rule = Rule::kDeadlock;
  std::string text = "every core that still runs waits:";
  bool first = true;
  for (auto& core : cores) {
    if (core->state != Core::State::kBlocked) continue;
    if (first) finding.site = Place{core->last_site.file, core->last_site.line, core->last_name, core->index, Pipe::kS};
    text += Format("%s %s (%s:%u) waits for %s", first ? "" : ";", CoreName(core->index).c_str(), core->last_site.file,
                   core->last_site.line, core->waiting_for.c_str());
    first = false;
  }
  if (next_block_ < options.block_dim) {
    text += Format("; %u launched blocks have not started: the chip has cores for %u at a time",
                   options.block_dim - next_block_, next_block_);
  }
  for (auto& entry : gathers_) {
    const Gather& gather = entry.second;
    size_t have = 0;
    for (const auto& queue : gather.from) have += queue.empty() ? 0 : 1;
    if (have != 0 && have < gather.from.size()) {
      text += Format("; mode %u id %u: only %zu of %zu cores have set it", entry.first >> 24, entry.first & 0xffu, have,
                     gather.from.size());
    }
  }
  finding.message = text;
  findings.Add(std::move(finding));
  stopped_ = true;
}

void Machine::CheckEnd() {
  for (auto& entry : gathers_) {
    Gather& gather = entry.second;
    size_t have = 0;
    const Signal* one = nullptr;
    for (auto& queue : gather.from) {
      if (queue.empty()) continue;
      ++have;
      one = &queue.front();
    }
    if (one == nullptr) continue;
    Finding finding;
    finding.rule = Rule::kCrossFlagHalf;
    finding.site = Place{one->site.file, one->site.line, "CrossCoreSetFlag", -1, Pipe::kS};
    finding.message = Format("mode %u id %u: %zu of %zu cores set the flag, the others never did; nobody could receive it",
                             entry.first >> 24, entry.first & 0xffu, have, gather.from.size());
    findings.Add(std::move(finding));
  }
  for (auto& core : cores) {
    for (int id = 0; id < kCrossFlagIds; ++id) {
      if (core->cross[id].empty()) continue;
      Finding finding;
      finding.rule = Rule::kCrossFlagLeftSet;
      const Site site = core->cross[id].front().site;
      finding.site = Place{site.file, site.line, "CrossCoreSetFlag", core->index, Pipe::kS};
      finding.message = Format("cross-core flag %d of %s still counts %zu when the kernel ends: it poisons the next kernel",
                               id, CoreName(core->index).c_str(), core->cross[id].size());
      findings.Add(std::move(finding));
    }
  }
}

// ---- issuing ------------------------------------------------------------------------------------------------------

void Machine::CountStep(Core& core, Site site, const char* name) {
  core.last_site = site;
  core.last_name = name;
  ++core.issued;
  if (++instructions_ > options.instruction_budget) {
    Report(Rule::kEndlessLoop, site, name, Pipe::kS,
           Format("the launch's budget of %llu instructions is used up: an endless loop?",
                  static_cast<unsigned long long>(options.instruction_budget)));
  }
  if (options.order == OrderMode::kRandom && !options.timing_only ? order.random()() % 16 == 0
                                                                 : ++since_yield_ >= kYieldEvery) {
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
  if (!options.timing_only) {
    Check check(core, pipe, name, site);
    ops.validate(instruction, check);
    if (check.failed()) StopLaunch();
    footprint_.Clear();
    ops.touch(instruction, footprint_);
    CheckBounds(core, pipe, name, site);
    ++core.seq[static_cast<int>(pipe)];
    core.sites[static_cast<int>(pipe)].push_back(SiteId(site, name));
    if (options.auto_sync && core.type == CoreType::kAiv) AutoSync(core, pipe);
    if (footprint_.unit != Footprint::Unit::kNone) UnitBefore(core, pipe, name, site);
    TouchRegions(core, pipe, name, site);
    order.Push(core, pipe, instruction, ops);
  }
  const Span span = timeline.Add(core.index, pipe, ops.cost(instruction));
  if (timeline.trace && timeline.events.size() < timeline.trace_limit) {
    timeline.events.push_back(TraceEvent{core.index, pipe, SiteId(site, name), span.start, span.end});
  }
  if (!options.timing_only && footprint_.unit != Footprint::Unit::kNone) UnitAfter(core, pipe, site);
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
      if (near == nullptr) {
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
      Report(Rule::kReservedUb, site, name, pipe,
             Format("%s: bytes [%lld, %lld) reach the reserved end of UB (usable: %.0f bytes)", operand.name,
                    static_cast<long long>(begin), static_cast<long long>(end), soc.ub_bytes - soc.ub_reserved_bytes));
    }
    const Local& t = operand.local;
    if (t.bytes != 0 && (begin < t.offset || end > static_cast<int64_t>(t.offset) + t.bytes)) {
      Report(out, site, name, pipe,
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

void Machine::TouchRegions(Core& core, Pipe pipe, const char* name, Site site) {
  Shadow::Context context;
  context.clock = core.clock(pipe);
  context.self = AccessId{core.seq[static_cast<int>(pipe)], core.who(pipe), Access::kRead};
  context.same_pipe_ordered = pipe == Pipe::kS || footprint_.in_order ||
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
    }
    context.self.kind = region.access;
    conflicts_.clear();
    const bool check_defined =
        region.access != Access::kWrite && !(gm_region != nullptr && gm_region->initialised);
    uint64_t undefined = ~0ull;
    for (uint32_t k = 0; k < region.count[2]; ++k) {
      for (uint32_t j = 0; j < region.count[1]; ++j) {
        for (uint32_t i = 0; i < region.count[0]; ++i) {
          const uint64_t at = base + static_cast<uint64_t>(region.stride[0] * i + region.stride[1] * j + region.stride[2] * k);
          if (check_defined && undefined == ~0ull) {
            const uint64_t first = shadow->FirstUndefined(at, region.bytes);
            if (first < at + region.bytes) undefined = first;
          }
          shadow->Touch(at, region.bytes, context, &conflicts_);
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
  Finding finding;
  const Access now = region.access, before = conflict.earlier.kind;
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
      "%s (%s, PIPE_%s) %s bytes [%llu, %llu) of %s while the %s by %s (%s, PIPE_%s, %s:%u) may not be complete: %s is missing",
      name, CoreName(core.index).c_str(), PipeName(pipe), verbs[static_cast<int>(now)],
      static_cast<unsigned long long>(conflict.begin), static_cast<unsigned long long>(conflict.end),
      gm_region != nullptr ? ("GM '" + gm_region->name + "'").c_str() : BufferName(region.buffer),
      past[static_cast<int>(before)], finding.other.instruction, CoreName(finding.other.core).c_str(),
      PipeName(finding.other.pipe), finding.other.file, finding.other.line, missing.c_str());
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

// ---- flags --------------------------------------------------------------------------------------------------------

// Everything pipe knows and has issued.
void Machine::Fill(Core& core, Pipe pipe, Site site, Signal* signal) {
  signal->site = site;
  signal->time = pipe == Pipe::kS ? timeline.Now(core.index) : std::max(timeline.Now(core.index), timeline.DoneAt(core.index, pipe));
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

// ---- cross-core flags ---------------------------------------------------------------------------------------------

void Machine::CrossSet(int mode, Pipe pipe, int id, Site site) {
  EngineScope scope(*this);
  Core& core = *g_core;
  CountStep(core, site, "CrossCoreSetFlag");
  if (id < 0 || id >= kCrossFlagIds) {
    Report(Rule::kCrossFlagId, site, "CrossCoreSetFlag", pipe, Format("flag id %d is outside 0..15", id));
  }
  timeline.Advance(core.index);
  Signal signal;
  Fill(core, pipe, site, &signal);
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
    GatherAndDeliver(static_cast<uint32_t>(core.type) << 16 | static_cast<uint32_t>(id), self, members, signal, targets, id);
  } else if (mode == 1) {
    if (core.type != CoreType::kAiv || aiv_per_group_ != 2) {
      Report(Rule::kArgument, site, "CrossCoreSetFlag", pipe, "mode 1 joins the two AIVs of a 1:2 kernel; this core has no such partner");
    }
    for (int k = aic_per_group_; k < per_group; ++k) targets.push_back(member(k));
    GatherAndDeliver(1u << 24 | static_cast<uint32_t>(core.group) << 8 | static_cast<uint32_t>(id), static_cast<size_t>(core.sub_block), 2,
                     signal, targets, id);
  } else if (mode == 2) {
    if (aic_per_group_ == 0 || aiv_per_group_ == 0) {
      Report(Rule::kArgument, site, "CrossCoreSetFlag", pipe, "mode 2 joins an AIC with its AIVs; this kernel has only one of them");
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
    all.time = std::max(all.time, one.time);
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

void Machine::CrossWait(int id, Site site) {
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
  if (!options.timing_only) {
    core.cross_waits[id].push_back(++core.passed_waits);
    Join(core, Pipe::kS, signal);
    for (int p = 0; p < kPipeCount; ++p) core.clock(static_cast<Pipe>(p))[core.waits_clock()] = core.passed_waits;
    order.PushWait(core, Pipe::kS, signal.work);
  }
  timeline.NotBefore(core.index, Pipe::kS, signal.time);
}

// ---- unit flags ---------------------------------------------------------------------------------------------------

void Machine::UnitBefore(Core& core, Pipe pipe, const char* name, Site site) {
  const bool consume = footprint_.unit == Footprint::Unit::kConsume;
  for (uint32_t b = footprint_.unit_offset / 512; b * 512 < footprint_.unit_offset + footprint_.unit_bytes; ++b) {
    Core::UnitBit& bit = core.unit_bits[b];
    if (bit.full != consume) {
      Report(Rule::kUnitFlag, site, name, pipe,
             consume ? Format("waits for the unit flag of L0C byte %u, which no Mmad with unitFlag 3 has set", b * 512)
                     : Format("waits for the unit flag of L0C byte %u to be 0, but no Fixpipe has taken the last result", b * 512));
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

// ---- findings and sites -------------------------------------------------------------------------------------------

std::string Machine::CoreName(int index) const {
  if (index < 0 || static_cast<size_t>(index) >= cores.size()) return "-";
  const Core& core = *cores[static_cast<size_t>(index)];
  if (core.type == CoreType::kAic) return Format("aic%d", core.group);
  return Format("aiv%d", core.group * aiv_per_group_ + core.sub_block);
}

void Machine::Report(Rule rule, Site site, const char* instruction, Pipe pipe, const std::string& message) {
  Finding finding;
  finding.rule = rule;
  finding.site = Place{site.file, site.line, instruction, g_core == nullptr ? -1 : g_core->index, pipe};
  finding.message = message;
  Report(std::move(finding));
}

void Machine::Report(Finding finding) {
  const bool fatal = InfoOf(finding.rule).fatal;
  findings.Add(std::move(finding));
  if (fatal) StopLaunch();
}

// Kernel frames are abandoned, not unwound: their destructors would issue instructions.
void Machine::StopLaunch() {
  stopped_ = true;
  g_core->state = Core::State::kDead;
  g_core->fiber.Yield();
  std::abort();
}

uint32_t Machine::SiteId(Site site, const char* name) {
  const SiteKey key{site.file, site.line, name};
  SiteCache& cached = site_cache_[SiteHash()(key) >> 4 & 1023];
  if (cached.key == key) return cached.id;
  auto at = site_ids_.find(key);
  if (at == site_ids_.end()) {
    at = site_ids_.emplace(key, static_cast<uint32_t>(sites_.size())).first;
    sites_.push_back(SiteInfo{site.file, site.line, name});
  }
  cached.key = key;
  cached.id = at->second;
  return at->second;
}

Place Machine::PlaceOf(Who who, uint32_t seq) const {
  const int core = who / kClocksPerCore;
  const auto pipe = static_cast<Pipe>(who % kClocksPerCore);
  const std::vector<uint32_t>& log = cores[static_cast<size_t>(core)]->sites[static_cast<int>(pipe)];
  const SiteInfo& info = seq >= 1 && seq <= log.size() ? sites_[log[seq - 1]] : sites_[0];
  return Place{info.file, info.line, info.name, core, pipe};
}

// ---- Check and Allocations ----------------------------------------------------------------------------------------

void Check::Fail(Rule rule, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  failed_ = true;
  Finding finding;
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

uint32_t Allocations::Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site) {
  entries_.push_back(Entry{buffer, offset, bytes, true, site, Site{}});
  return static_cast<uint32_t>(entries_.size());
}

void Allocations::Free(uint32_t handle, Site site) {
  Entry* entry = Find(handle);
  if (entry == nullptr) return;
  if (!entry->live) {
    Finding finding;
    finding.rule = Rule::kDoubleFree;
    finding.site = Place{site.file, site.line, "FreeTensor", CurrentCore().index, Pipe::kS};
    finding.other = Place{entry->freed.file, entry->freed.line, "FreeTensor", CurrentCore().index, Pipe::kS};
    finding.message = "the tensor was freed already";
    CurrentMachine().Report(std::move(finding));
    return;
  }
  entry->live = false;
  entry->freed = site;
}

}  // namespace ascend_sim
