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
  double aic_cores, aiv_cores, ghz, sustained_ghz;
  double l1_bytes, l0a_bytes, l0b_bytes, l0c_bytes, ub_bytes, ub_reserved_bytes, bt_bytes, fb_bytes, l2_bytes;
  // Bytes per cycle and core.
  double l2_read, l2_write, ddr_read, ddr_nd2nz, nd2nz, ub_write, ub_write_atomic, l1_to_l0a, l1_to_l0b, l1_to_table,
      fixpipe, fixpipe_atomic, fixpipe_l1, ub_copy, fill;
  // Reads whose rows start at other than multiples of 512 B take up to this many times as long.
  double unaligned_pitch;
  // Bytes per cycle of the chip for lines that other cores read within shared_window cycles, in pieces below
  // shared_piece bytes; the share such a byte takes where the other read is older than shared_now cycles.
  double shared_line, shared_piece, shared_window, shared_now, shared_later;
  // Bytes per second for the chip.
  double hbm_bandwidth, l2_read_bandwidth, l2_mixed_bandwidth;
  // Cycles per step of 16 x 16 x 32 B, and per 256 B repeat of each vector class.
  double cube_cycles, cube_fp32_cycles;
  double vector_cycles[kVectorClassCount];
  // Cycles of a repeat that waits for a bank of UB: a read for a read of its bank group, a write for a read of its
  // bank.
  double ub_read_conflict, ub_write_conflict;
  // Cycles an instruction holds its pipe besides its work.
  double cube_head, mte1_head, mte_head, fix_head, gm_burst, scalar_issue, vector_counter_extra;
  double scalar_loop;      // of the scalar unit, for the kernel's own loops and addresses, with each call
  double scalar_division;  // of the scalar unit, for a division of 64 bits that the kernel tells of
  // Cycles until its result is there, after it has left the pipe.
  double vector_head, vector_tail, cube_latency, mte1_latency, mte_latency, hbm_latency, store_latency, fix_latency,
      cross_flag_latency;
  // Microseconds from the launch on the device to the first instruction: of one group of cores, of each further one.
  double launch, launch_core;
  double l2_warm;  // 1: what fits L2 is there when the launch begins

  // Looks a chip up by its name ("Ascend910B2"); false when unknown.
  static bool Lookup(const std::string& name, Soc* soc);
  static std::vector<std::string> Names();
  // Overrides one parameter by name. Empty, or what is wrong with name or value.
  std::string Set(const std::string& parameter, double value);

  uint64_t Capacity(Buffer buffer) const;
};

// How a value is known. Published: in a vendor's file or document. Derived: computed from published figures. Fitted: to
// a measurement, which is then no validation. Assumed: none of these.
enum class Known : uint8_t { kPublished, kDerived, kFitted, kAssumed };
const char* KnownName(Known known);

struct SocParameter {
  const char* name;
  double* (*member)(Soc&);
  const char* unit;
  Known known;
  const char* source;
  bool may_be_zero;
};
const std::vector<SocParameter>& SocParameters();

}  // namespace ascend_sim
