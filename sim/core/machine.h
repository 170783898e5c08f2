// The chip of one launch: cores, global memory, checkers, timeline, and the scheduler of the fibers.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/core.h"
#include "core/findings.h"
#include "core/memory.h"
#include "core/order.h"
#include "core/scalar_cache.h"
#include "core/soc.h"
#include "core/sync_calls.h"
#include "core/timeline.h"

namespace ascend_sim {

// How blocks map to cores; CANN's KERNEL_TYPE_*.
enum class KernelType : uint8_t { kUnset, kAicOnly, kAivOnly, kMix10, kMix01, kMix11, kMix12 };
const char* KernelTypeName(KernelType type);

struct LaunchOptions {
  std::string soc = "Ascend910B2";
  std::vector<std::pair<std::string, double>> parameters;  // overrides of SocParameters()
  KernelType type = KernelType::kUnset;                    // unset: what the kernel declares
  uint32_t block_dim = 1;
  OrderMode order = OrderMode::kEager;
  uint64_t seed = 0;
  bool auto_sync = false;    // as bisheng on AIV unless --cce-auto-sync=off: V-V and S-V, S-MTE2, S-MTE3 are ordered
  bool timing_only = false;  // no data, no checks: only the timeline
  bool determinism = false;  // report floating-point atomics whose order is open
  bool trace = false;
  uint64_t stack_bytes = 1u << 20;
  uint64_t instruction_budget = 2000000000;  // per launch
  // For kernels that were not written for this simulator: what they do beyond the documented limits and chips are known
  // to take is a finding, and the kernel goes on. See README.md, "Kernels of others".
  bool lenient = false;
  uint8_t poison = 0xff;         // bytes of on-chip memory that nobody wrote
  double watchdog_seconds = 10;  // CPU time without issuing an instruction
};

class Machine {
 public:
  Machine();
  ~Machine();

  LaunchOptions options;
  Soc soc;
  GlobalMemory gm;
  Findings findings;
  Timeline timeline;
  Order order;
  ScalarCaches scalar_caches;
  SyncCalls sync_calls;
  std::vector<std::unique_ptr<Core>> cores;

  // Runs `entry(core type)` on every core of every block; entry is called on a fiber. False when the launch stopped
  // early (a fatal finding says why).
  bool Run(const std::function<void(CoreType)>& entry);

  // ---- called on a fiber, through Current() ----
  void Issue(const void* instruction, const InstructionOps& ops, Site site);
  // `call`: its number where the kernel itself wrote it, from BeginSync.
  void SetFlag(Pipe from, Pipe to, int id, Site site, uint32_t call = 0);
  void WaitFlag(Pipe from, Pipe to, int id, Site site, uint32_t call = 0);
  void Barrier(Pipe pipe, Site site);
  void CrossSet(int mode, Pipe pipe, int id, Site site, uint32_t call = 0);
  void CrossWait(int id, Site site, uint32_t call = 0);
  // Before a synchronisation call of the kernel's: false where the launch leaves it out, else its number (0: not kept).
  bool BeginSync(Site site, const char* name, uint32_t* call);
  void ExchangeSlot(const char* name, uint64_t address, bool put, Site site, bool zeroed);  // see slots.cpp
  void ResetUnitFlags();
  // Reports at the running core's current call; a fatal rule does not return.
  void Report(Rule rule, Site site, const char* instruction, Pipe pipe, const std::string& message);
  void Report(Finding finding);
  // The same; stops the launch only where it is not lenient.
  void ReportLenient(Rule rule, Site site, const char* instruction, Pipe pipe, const std::string& message);
  [[noreturn]] void StopLaunch();

  // ---- sites: (file, line, instruction) by number ----
  uint32_t SiteId(Site site, const char* name);
  struct SiteInfo {
    const char* file;
    uint32_t line;
    const char* name;
  };
  const SiteInfo& SiteOf(uint32_t id) const { return sites_[id]; }
  size_t site_count() const { return sites_.size(); }
  Place PlaceOf(Who who, uint32_t seq) const;
  std::string CoreName(int index) const;  // "aic3", "aiv7"

  uint64_t instructions() const { return instructions_; }
  int group_size_aiv() const;
  bool has_aic() const;

 private:
  friend class Watchdog;
  void BuildCores();
  void StartBlock(int group, int block);
  void FinishCore(Core& core);
  void FinishBlock(Core& core);
  void CheckEnd();
  void ReportDeadlock();
  Core* PickNext();
  static void FiberMain(void* argument);

  void CheckBounds(Core& core, Pipe pipe, const char* name, Site site);
  void TouchRegions(Core& core, Pipe pipe, const char* name, Site site);
  void ReportRace(Core& core, Pipe pipe, const char* name, Site site, const Region& region, const GmRegion* gm_region,
                  const Shadow::Conflict& conflict);
  void TouchScalarCache(Core& core, Pipe pipe, const char* name, Site site, const Region& region,
                        const GmRegion& gm_region, uint64_t address);
  void AutoSync(Core& core, Pipe pipe);
  void UnitBefore(Core& core, Pipe pipe, const char* name, Site site, double cycles);
  void UnitAfter(Core& core, Pipe pipe, Site site, const TraceEvent& span);
  void Join(Core& core, Pipe pipe, const Signal& signal);
  void Fill(Core& core, Pipe pipe, Site site, Signal* signal);
  void ReportDivisions();
  void CountStep(Core& core, Site site, const char* name);

  std::function<void(CoreType)> entry_;
  Footprint footprint_;
  std::vector<Shadow::Conflict> conflicts_;
  uint64_t instructions_ = 0;
  uint32_t next_block_ = 0;
  int aic_per_group_ = 0, aiv_per_group_ = 0;
  bool stopped_ = false;
  uint32_t since_yield_ = 0;
  uint32_t unit_serial_ = 0;
  double horizon_ = 0;  // the running core yields when its time passes it, so that cores meet at shared memory
  int restart_group_ = -1, restart_block_ = 0;  // a block to start once its group's last fiber has left its stack
  Signal scratch_;
  std::unordered_map<uint64_t, Signal> published_;  // by line of the scalar caches
  void AcquirePublished(Core& core, const Region& region);

  // Cross-core sets that wait for their partners: mode 0 and 1 among one core type, mode 2 between the two AIVs.
  struct Gather {
    std::vector<std::deque<Signal>> from;
  };
  std::unordered_map<uint32_t, Gather> gathers_;
  struct Slot {
    bool full = false;
    Signal last;
    std::vector<Core*> waiting;
  };
  std::unordered_map<uint64_t, Slot> slots_;
  void GatherAndDeliver(uint32_t key, size_t member, size_t members, const Signal& signal,
                        const std::vector<Core*>& targets, int id);
  void Arrive(Core& target, int id, Signal signal, const Core& setter, Site site);

  std::vector<SiteInfo> sites_;
  struct SiteKey {
    const char* file;
    uint32_t line;
    const char* name;
    bool operator==(const SiteKey& o) const { return file == o.file && line == o.line && name == o.name; }
  };
  struct SiteHash {
    size_t operator()(const SiteKey& k) const {
      return reinterpret_cast<size_t>(k.file) * 31 + k.line * 0x9e3779b97f4a7c15ull + reinterpret_cast<size_t>(k.name);
    }
  };
  std::unordered_map<SiteKey, uint32_t, SiteHash> site_ids_;
  struct SiteCache {
    SiteKey key{nullptr, 0, nullptr};
    uint32_t id = 0;
  };
  SiteCache site_cache_[1024];

 public:
  // Scheduler's return point for a fiber that faulted or ran away; used by the signal handlers.
  sigjmp_buf fault_return;
  volatile bool fiber_running = false;
  volatile bool in_engine = false;
  volatile uint64_t progress = 0;
  volatile uint32_t trapped_divisions = 0;     // since the last call, by the signal handler
  volatile uint32_t overflowed_divisions = 0;  // those of them that are not by zero
  // A data cache line that a core wrote back: what was done before it is there for who reads the line afterwards.
  void Publish(Core& core, uint64_t line);
  struct Fault {
    int signal = 0;
    void* address = nullptr;
    void* pc = nullptr;
    bool endless = false;
  } fault;
};

// The machine and core whose fiber runs now; a call outside a launch is an error that names itself.
Machine& CurrentMachine();
bool MachineRunning();
Core& CurrentCore();
void SetCurrent(Machine* machine, Core* core);
// Of the launch that runs, for whoever watches from another thread.
extern volatile uint64_t g_instructions;

}  // namespace ascend_sim
