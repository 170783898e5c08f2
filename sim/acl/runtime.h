// The device behind the ACL calls: its memory, its streams, and launches on the simulator. One device, one thread; a
// launch runs when it is issued, so streams are in order by themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace ascend_sim {
namespace acl {

// Read once from the environment:
//   ASCEND_SIM_SOC, ASCEND_SIM_ORDER (eager, lazy, random), ASCEND_SIM_SEED, ASCEND_SIM_PARAMETERS ("fixpipe=41;...")
//   ASCEND_SIM_AUTO_SYNC: 1 (default here) as bisheng compiles samples, 0 as with --cce-auto-sync=off
//   ASCEND_SIM_DETERMINISM: 1 reports floating-point atomics in open order
//   ASCEND_SIM_POISON: 1 fills new device memory with NaN; by default it is zero, as samples tend to expect
//   ASCEND_SIM_REPORT: a file for the JSON reports of all launches, one a line
struct Settings {
  std::string soc = "Ascend910B2", order = "eager", parameters, report;
  uint64_t seed = 0;
  bool auto_sync = true, determinism = false, poison = false;
  static Settings FromEnvironment();
};

class Runtime {
 public:
  static Runtime& Get();

  void* Malloc(size_t bytes);  // null when there is no memory
  bool Free(void* address);
  // The allocation must hold [address, address + bytes).
  bool Holds(const void* address, size_t bytes) const;
  void MarkWritten(const void* address);

  void* CreateStream();
  bool DestroyStream(void* stream);
  bool KnowsStream(const void* stream) const { return stream == nullptr || streams_.count(stream) != 0; }

  void Launch(const char* kernel, const char* type, uint32_t blocks, void* stream, void* const* args,
              const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line);
  // Whether a launch failed since the last call of it: what synchronising reports.
  bool TakeFailure();

  std::string error;  // for aclGetRecentErrMsg
  int device = -1;
  bool initialised = false;

 private:
  Runtime();
  struct Block {
    size_t bytes;
    uint32_t number;
    bool written;  // reading it before is a finding
  };
  std::map<uintptr_t, Block>::const_iterator Find(const void* address) const;

  Settings settings_;
  std::map<uintptr_t, Block> blocks_;
  std::set<const void*> streams_;
  uint32_t next_number_ = 0;
  bool failed_ = false;
};

}  // namespace acl
}  // namespace ascend_sim
