#include "core/machine.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <limits>

#include "core/engine.h"
#include "core/watchdog.h"

namespace ascend_sim {

Core* g_core = nullptr;

namespace {
Machine* g_machine = nullptr;
constexpr double kSkewCycles = 2000;  // how far one core's time may run ahead of another's that could run
}  // namespace

std::string Format(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

bool MachineRunning() { return g_machine != nullptr; }
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
    if (Watchdog::Interrupted()) {
      finding.rule = Rule::kLaunch;
      finding.message = "interrupted";
    } else if (fault.endless) {
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
    if (Watchdog::Interrupted()) {
      Finding finding;
      finding.rule = Rule::kLaunch;
      finding.message = "interrupted";
      findings.Add(std::move(finding));
      stopped_ = true;
      break;
    }
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
      static const Buffer aic_buffers[] = {Buffer::kL1, Buffer::kL0A, Buffer::kL0B,  Buffer::kL0C,
                                           Buffer::kBt, Buffer::kFb,  Buffer::kIndex};
      static const Buffer aiv_buffers[] = {Buffer::kUb};
      const Buffer* list = type == CoreType::kAic ? aic_buffers : aiv_buffers;
      const int count = type == CoreType::kAic ? 7 : 1;
      uint64_t total = 0;
      for (int b = 0; b < count; ++b) {
        // Kernels in the field use 7 KiB of the fixpipe buffer.
        const bool larger = options.lenient && list[b] == Buffer::kFb;
        core->capacity[static_cast<int>(list[b])] = std::max<uint64_t>(soc.Capacity(list[b]), larger ? 7168 : 0);
        total += core->capacity[static_cast<int>(list[b])] + 64;
      }
      core->storage.reset(new uint8_t[total]);
      uint8_t* at = core->storage.get();
      for (int b = 0; b < count; ++b) {
        at += (64 - reinterpret_cast<uintptr_t>(at) % 64) % 64;
        core->bases[static_cast<int>(list[b])] = at;
        at += core->capacity[static_cast<int>(list[b])];
      }
      core->clock_size = options.timing_only ? 0 : clock_size;
      core->clocks.assign(core->clock_size * kPipeCount, 0);
      core->unit_bits.resize(static_cast<size_t>(core->capacity[static_cast<int>(Buffer::kL0C)]) / 512);
      pointers.push_back(core.get());
      cores.push_back(std::move(core));
    }
  }
  order.Reset(options.timing_only ? OrderMode::kEager : options.order, options.seed, options.auto_sync, pointers);
  std::vector<bool> aic;
  for (const Core* core : pointers) aic.push_back(core->type == CoreType::kAic);
  timeline.Reset(soc, aic);
  timeline.Launch((soc.launch + soc.launch_core * (groups - 1)) * soc.ghz * 1e3);
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
    core.tpipe = nullptr;
    for (int b = 1; b < kBufferCount; ++b) {
      if (core.bases[b] == nullptr) continue;
      if (options.timing_only) {
        std::memset(core.bases[b], 0, core.capacity[b]);
      } else {
        std::memset(core.bases[b], options.poison, core.capacity[b]);  // all ones: NaN in every floating-point format
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
  if (trapped_divisions != 0) ReportDivisions();
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
    finding.site =
        Place{core.unit_bits[i].signal.site.file, core.unit_bits[i].signal.site.line, "Mmad", core.index, Pipe::kM};
    finding.message = Format(
        "unit flag of L0C byte %zu is still 1 when the kernel ends: no Fixpipe with unitFlag 3 took it", i * 512);
    finding.buffer = Buffer::kL0C;
    findings.Add(std::move(finding));
    break;
  }
  core.unit_bits.assign(core.unit_bits.size(), Core::UnitBit{});
  if (core.registers.atomic != AtomicOp::kNone) {
    Finding finding;
    finding.rule = Rule::kAtomicLeftSet;
    finding.site =
        Place{core.registers.atomic_site.file, core.registers.atomic_site.line, "SetAtomic", core.index, Pipe::kS};
    finding.message = "the atomic mode set here is still on when the kernel ends: the next kernel's stores would add";
    findings.Add(std::move(finding));
  }
  if (core.unfinished.line != 0) {
    Finding finding;
    finding.rule = Rule::kEndBarrier;
    finding.site = core.unfinished;
    finding.message =
        "the kernel ends without a PipeBarrier<PIPE_ALL> after this instruction, its last: CANN asks for one of "
        "kernels "
        "that no TPipe's destructor gives it, or the next kernel may begin before this one has ended";
    findings.Add(std::move(finding));
    core.unfinished = Place{};
  }
  scalar_caches.CleanAndInvalidate(core.index, 0);  // the end of a kernel writes the cache back
  core.state = Core::State::kDone;
  FinishBlock(core);
}

// When all cores of the group are done the next block starts there.
void Machine::FinishBlock(Core& core) {
  const int per_group = aic_per_group_ + aiv_per_group_;
  Moment end;
  for (int k = 0; k < per_group; ++k) {
    Core& member = *cores[static_cast<size_t>(core.group) * per_group + k];
    if (member.state != Core::State::kDone) return;
    end.Later(timeline.EndOf(member.index));
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
  double second = std::numeric_limits<double>::infinity();
  for (auto& core : cores) {
    if (core->state == Core::State::kBlocked) blocked = true;
    if (core->state != Core::State::kReady) continue;
    ++ready;
    if (options.order == OrderMode::kRandom && !options.timing_only) {
      if (order.random()() % ready == 0) best = core.get();
    } else if (best == nullptr || timeline.Frontier(core->index) < timeline.Frontier(best->index)) {
      if (best != nullptr) second = timeline.Frontier(best->index);
      best = core.get();
    } else {
      second = std::min(second, timeline.Frontier(core->index));
    }
  }
  horizon_ = second + kSkewCycles;
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
    finding.message =
        Format("mode %u id %u: %zu of %zu cores set the flag, the others never did; nobody could receive it",
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
      finding.message =
          Format("cross-core flag %d of %s still counts %zu when the kernel ends: it poisons the next kernel", id,
                 CoreName(core->index).c_str(), core->cross[id].size());
      findings.Add(std::move(finding));
    }
  }
}

}  // namespace ascend_sim
