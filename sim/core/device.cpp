#include "core/device.h"

#include <cstdarg>
#include <cstdio>

#include "core/machine.h"

namespace ascend_sim {
namespace device {

bool Running() { return MachineRunning(); }
CoreType Type() { return CurrentCore().type; }

int64_t BlockIdx() {
  const Core& core = CurrentCore();
  if (core.type == CoreType::kAic) return core.block;
  return static_cast<int64_t>(core.block) * CurrentMachine().group_size_aiv() + core.sub_block;
}

int64_t BlockNum() { return CurrentMachine().options.block_dim; }
int64_t SubBlockIdx() { return CurrentCore().sub_block; }
int64_t SubBlockNum() {
  if (CurrentCore().type == CoreType::kAic) return 1;
  const int aivs = CurrentMachine().group_size_aiv();
  return aivs == 0 ? 1 : aivs;
}
int64_t PhysicalCore() { return CurrentCore().index; }
uint64_t Cycle() { return static_cast<uint64_t>(CurrentMachine().timeline.Now(CurrentCore().index)); }
void ScalarDivision() { CurrentMachine().timeline.Divide(CurrentCore().index); }
bool TimingOnly() { return CurrentMachine().options.timing_only; }
uint64_t Capacity(Buffer buffer) { return CurrentCore().capacity[static_cast<int>(buffer)]; }

uint8_t* HostAddress(const Local& t) {
  uint8_t* base = CurrentCore().bases[static_cast<int>(t.buffer)];
  return base == nullptr ? nullptr : base + t.offset;
}

Registers& Regs() { return CurrentCore().registers; }

void SetFlag(Pipe from, Pipe to, int id, Site site) { CurrentMachine().SetFlag(from, to, id, site); }
void WaitFlag(Pipe from, Pipe to, int id, Site site) { CurrentMachine().WaitFlag(from, to, id, site); }
void Barrier(Pipe pipe, Site site) { CurrentMachine().Barrier(pipe, site); }
void CrossSet(int mode, Pipe pipe, int id, Site site) { CurrentMachine().CrossSet(mode, pipe, id, site); }
void CrossWait(int id, Site site) { CurrentMachine().CrossWait(id, site); }

namespace {
void CheckEventId(int id, Site site, const char* call, Pipe pipe) {
  if (id != 6 && id != 7) return;
  CurrentMachine().Report(Rule::kPortability, site, call, pipe,
                          "event id " + std::to_string(id) + " is reserved by CANN; a kernel's own are 0..5");
}
}  // namespace

void KernelSetFlag(Pipe from, Pipe to, int id, Site site) {
  CheckEventId(id, site, "SetFlag", from);
  uint32_t call;
  if (CurrentMachine().BeginSync(site, FlagCallName(true, from, to), &call)) {
    CurrentMachine().SetFlag(from, to, id, site, call);
  }
}
void KernelWaitFlag(Pipe from, Pipe to, int id, Site site) {
  CheckEventId(id, site, "WaitFlag", to);
  uint32_t call;
  if (CurrentMachine().BeginSync(site, FlagCallName(false, from, to), &call)) {
    CurrentMachine().WaitFlag(from, to, id, site, call);
  }
}
void KernelBarrier(Pipe pipe, Site site) {
  uint32_t call;
  if (CurrentMachine().BeginSync(site, BarrierCallName(pipe), &call)) CurrentMachine().Barrier(pipe, site);
}
void KernelCrossSet(int mode, Pipe pipe, int id, Site site) {
  uint32_t call;
  if (CurrentMachine().BeginSync(site, "CrossCoreSetFlag", &call))
    CurrentMachine().CrossSet(mode, pipe, id, site, call);
}
void KernelCrossWait(int id, Site site) {
  uint32_t call;
  if (CurrentMachine().BeginSync(site, "CrossCoreWaitFlag", &call)) CurrentMachine().CrossWait(id, site, call);
}
void ResetUnitFlags() { CurrentMachine().ResetUnitFlags(); }

void ExchangeSlot(const char* name, uint64_t address, bool put, Site site, bool zeroed) {
  CurrentMachine().ExchangeSlot(name, address, put, site, zeroed);
}

int UserCrossId(int id, Site site) {
  if (id < 0 || id > 10) {
    if (id >= 11 && id <= 14 && CurrentMachine().options.lenient) {
      CurrentMachine().Report(Rule::kPortability, site, "CrossCoreSetFlag/WaitFlag", Pipe::kS,
                              "flag id " + std::to_string(id) + " belongs to SyncAll; a kernel's own are 0..10");
      return id;
    }
    CurrentMachine().Report(Rule::kCrossFlagId, site, "CrossCoreSetFlag/WaitFlag", Pipe::kS,
                            "flag id " + std::to_string(id) + " is outside 0..10 (11 to 15 belong to SyncAll)");
  }
  return id;
}

namespace {
// The ids CANN keeps for SyncAll.
constexpr int kSyncAiv = 14, kSyncAic = 11, kSyncAivToAic = 12, kSyncAicToAiv = 13;
}  // namespace

void SyncAll(bool aiv_only, Site site) {
  Machine& machine = CurrentMachine();
  const Core& core = CurrentCore();
  uint32_t call;
  if (!machine.BeginSync(site, "SyncAll", &call)) return;
  machine.Barrier(Pipe::kAll, site);
  const bool mixed = machine.has_aic() && machine.group_size_aiv() > 0;
  if (!mixed || aiv_only) {
    if (mixed && core.type == CoreType::kAic) return;
    const int id = core.type == CoreType::kAiv ? kSyncAiv : kSyncAic;
    machine.CrossSet(0, core.type == CoreType::kAiv ? Pipe::kMte3 : Pipe::kFix, id, site);
    machine.CrossWait(id, site);
    return;
  }
  // Everyone: each AIC collects its AIVs, the AICs meet, then release their AIVs.
  if (core.type == CoreType::kAic) {
    machine.CrossWait(kSyncAivToAic, site);
    machine.CrossSet(0, Pipe::kFix, kSyncAic, site);
    machine.CrossWait(kSyncAic, site);
    machine.CrossSet(2, Pipe::kMte2, kSyncAicToAiv, site);
  } else {
    machine.CrossSet(2, Pipe::kMte3, kSyncAivToAic, site);
    machine.CrossWait(kSyncAicToAiv, site);
  }
}

void*& CurrentTPipe() { return CurrentCore().tpipe; }
uint32_t Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site) {
  return CurrentCore().allocations.Allocate(buffer, offset, bytes, site);
}
void Free(uint32_t handle, Site site) { CurrentCore().allocations.Free(handle, site); }

void Report(int rule, Site site, const char* call, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  CurrentMachine().Report(static_cast<Rule>(rule), site, call, Pipe::kS, text);
}

void NotImplemented(const char* call, Site site) {
  CurrentMachine().Report(Rule::kNotImplemented, site, call, Pipe::kS,
                          std::string(call) + " is not implemented by the simulator");
  CurrentMachine().StopLaunch();
}

void OfOtherChips(const char* call, Site site) {
  CurrentMachine().Report(
      Rule::kNotImplemented, site, call, Pipe::kS,
      std::string(call) + " is not of this chip: CANN documents it for Ascend 950 and not for A2 and A3");
  CurrentMachine().StopLaunch();
}

}  // namespace device
}  // namespace ascend_sim
