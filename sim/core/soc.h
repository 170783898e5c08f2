// The chips: cores, clock, buffer sizes and rates, each a named parameter that a launch can override.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cost.h"
#include "core/types.h"

namespace ascend_sim {

struct Soc {
  std::string name;
  double aic_cores, aiv_cores, ghz;
  double l1_bytes, l0a_bytes, l0b_bytes, l0c_bytes, ub_bytes, ub_reserved_bytes, bt_bytes, fb_bytes;
  // Bytes per cycle and core.
  double l2_read, l2_write, ddr, ub_write, l1_to_l0a, l1_to_l0b, fixpipe, fixpipe_atomic, ub_copy;
  // Bytes per second for the chip.
  double hbm_bandwidth, l2_read_bandwidth, l2_mixed_bandwidth;
  // Cycles.
  double vector_head, vector_tail, vector_counter_extra, mte_latency, mte1_latency, fix_latency, cube_head,
      scalar_issue;

  // Looks a chip up by its name ("Ascend910B2"); false when unknown.
  static bool Lookup(const std::string& name, Soc* soc);
  static std::vector<std::string> Names();
  // Overrides one parameter by name; false when there is none of that name.
  bool Set(const std::string& parameter, double value);

  uint64_t Capacity(Buffer buffer) const;
};

// One row per parameter: what it is, its unit, where it comes from, and whether it was fitted rather than published.
struct SocParameter {
  const char* name;
  double Soc::* member;
  const char* unit;
  const char* source;
  bool fitted;
};
const std::vector<SocParameter>& SocParameters();

}  // namespace ascend_sim
