// What the environment says about the simulated devices; README.md lists it.
#pragma once

#include <cstdint>
#include <string>

namespace ascend_sim {
namespace acl {

enum class StreamOrder { kEager, kLate, kRandom };

struct Settings {
  std::string soc, order, parameters, report, cann;
  std::string soc_name;  // what aclrtGetSocName says: soc, or a name that the simulator does not know
  uint64_t seed = 0, hbm_bytes = 0;
  uint32_t devices = 2;
  uint32_t cores = 0;  // AI cores of a device, 0: all of the chip
  StreamOrder streams = StreamOrder::kEager;
  std::string suppressions;  // a file of findings to leave out
  std::string ignore_sites;  // synchronisation calls to leave out, see core/sync_calls.h
  std::string trace;         // a folder to which every launch writes its trace
  bool timing_only = false;  // no data, no checks
  bool lenient = false;      // ASCEND_SIM_STRICT=0
  bool auto_sync = true, determinism = false, poison = false;
  bool findings_fail = false;  // a launch with findings fails its stream, also where the kernel ran to its end
  double watchdog_seconds = 10;
  std::string wrong;  // which variable cannot be read, or ""
};

// Read once, at the first call.
const Settings& TheSettings();

}  // namespace acl
}  // namespace ascend_sim
