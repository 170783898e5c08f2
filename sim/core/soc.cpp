#include "core/soc.h"

#include <cmath>

namespace ascend_sim {

namespace {

constexpr double kKiB = 1024.0, kMiB = 1024.0 * 1024.0;

// What every dav-2201 chip shares. Where each value comes from: SocParameters() below.
Soc Dav2201() {
  Soc s{};
  s.l1_bytes = 512 * kKiB;
  s.l0a_bytes = 64 * kKiB;
  s.l0b_bytes = 64 * kKiB;
  s.l0c_bytes = 128 * kKiB;
  s.ub_bytes = 192 * kKiB;
  s.ub_reserved_bytes = 256;
  s.bt_bytes = 1 * kKiB;
  s.fb_bytes = 2 * kKiB;
  s.l2_read = 126;
  s.l2_write = 86;
  s.ddr_read = 52;
  s.ddr_nd2nz = 32;
  s.nd2nz = 83;
  s.ub_write = 64;
  s.ub_write_atomic = 64;
  s.l1_to_l0a = 256;
  s.l1_to_l0b = 128;
  s.l1_to_table = 32;
  s.fixpipe = 128;
  s.fixpipe_atomic = 110;
  s.fixpipe_l1 = 128;
  s.ub_copy = 256;
  s.fill = 128;
  s.unaligned_pitch = 2;
  s.shared_line = 335;
  s.shared_piece = 256;
  s.shared_window = 65536;
  s.shared_now = 2000;
  s.shared_later = 0.75;
  s.hbm_bandwidth = 1.5e12;
  s.l2_read_bandwidth = 5e12;
  s.l2_mixed_bandwidth = 7e12;
  s.cube_cycles = 1;
  s.cube_fp32_cycles = 2;
  const double vector[kVectorClassCount] = {1, 1, 1.3, 1, 2, 4, 1, 7, 8};
  for (int i = 0; i < kVectorClassCount; ++i) s.vector_cycles[i] = vector[i];
  s.ub_read_conflict = 1;
  s.ub_write_conflict = 0.77;
  s.cube_head = 6;
  s.mte1_head = 8;
  s.mte_head = 16;
  s.fix_head = 15;
  s.gm_burst = 1;
  s.scalar_issue = 4;
  s.scalar_loop = 0;
  s.scalar_division = 64;
  s.vector_counter_extra = 16;
  s.vector_head = 13;
  s.vector_tail = 12;
  s.cube_latency = 60;
  s.mte1_latency = 60;
  s.mte_latency = 190;
  s.hbm_latency = 200;
  s.store_latency = 150;
  s.fix_latency = 30;
  s.cross_flag_latency = 100;
  s.launch = 0.55;
  s.launch_core = 0.014;
  s.l2_warm = 0;
  return s;
}

struct Row {
  const char* name;
  double aic, ghz, l2_mib;
};
const Row kRows[] = {
    {"Ascend910B1", 24, 1.85, 192},    {"Ascend910B2", 24, 1.80, 192},    {"Ascend910B2C", 24, 1.80, 192},
    {"Ascend910B3", 20, 1.80, 192},    {"Ascend910B4", 20, 1.50, 96},     {"Ascend910B4-1", 20, 1.50, 168},
    {"Ascend910_9391", 24, 1.85, 192}, {"Ascend910_9392", 24, 1.85, 192}, {"Ascend910_9381", 24, 1.80, 192},
    {"Ascend910_9382", 24, 1.80, 192}, {"Ascend910_9372", 20, 1.80, 192}, {"Ascend910_9362", 20, 1.50, 168},
};

}  // namespace

bool Soc::Lookup(const std::string& name, Soc* soc) {
  for (const Row& row : kRows) {
    if (name != row.name) continue;
    *soc = Dav2201();
    soc->name = row.name;
    soc->aic_cores = row.aic;
    soc->aiv_cores = 2 * row.aic;
    soc->ghz = row.ghz;
    soc->sustained_ghz = 1.5;
    soc->l2_bytes = row.l2_mib * kMiB;
    return true;
  }
  return false;
}

std::vector<std::string> Soc::Names() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.push_back(row.name);
  return names;
}

const char* KnownName(Known known) {
  static const char* names[] = {"published", "derived", "fitted", "assumed"};
  return names[static_cast<int>(known)];
}

const std::vector<SocParameter>& SocParameters() {
  constexpr Known kP = Known::kPublished, kD = Known::kDerived, kF = Known::kFitted, kA = Known::kAssumed;
  constexpr const char *kRate = "B/cycle/core", *kChip = "B/s", *kCycles = "cycles";
  constexpr const char* kPlatform = "CANN platform files";
  constexpr const char* kNone = "not published";
  constexpr const char* kVector = "vector unit: measured by others, per 64 fp32";
#define MEMBER(m) [](Soc& s) -> double* { return &s.m; }
#define VECTOR(c) [](Soc& s) -> double* { return &s.vector_cycles[static_cast<int>(VectorClass::c)]; }
  static const std::vector<SocParameter> rows = {
      {"aic_cores", MEMBER(aic_cores), "cores", kP, kPlatform, false},
      {"aiv_cores", MEMBER(aiv_cores), "cores", kP, kPlatform, false},
      {"ghz", MEMBER(ghz), "GHz", kP, kPlatform, false},
      {"sustained_ghz", MEMBER(sustained_ghz), "GHz", kF,
       "the wall of 792 cube-bound rows of a matmul tuning bank of 910B2, 1.49 to 1.52; other chips: as that one",
       false},
      {"l1_bytes", MEMBER(l1_bytes), "B", kP, kPlatform, false},
      {"l0a_bytes", MEMBER(l0a_bytes), "B", kP, kPlatform, false},
      {"l0b_bytes", MEMBER(l0b_bytes), "B", kP, kPlatform, false},
      {"l0c_bytes", MEMBER(l0c_bytes), "B", kP, kPlatform, false},
      {"ub_bytes", MEMBER(ub_bytes), "B", kP, kPlatform, false},
      {"ub_reserved_bytes", MEMBER(ub_reserved_bytes), "B", kP, "Ascend C API documentation", true},
      {"l2_bytes", MEMBER(l2_bytes), "B", kP, "platform files; 910_93xx other than 9362 as 910B2", false},
      {"l2_read_bytes_per_cycle", MEMBER(l2_read), kRate, kF, "matmul tuning bank of 910B2: 125 to 128", false},
      {"l2_write_bytes_per_cycle", MEMBER(l2_write), kRate, kP, kPlatform, false},
      {"ddr_read_bytes_per_cycle", MEMBER(ddr_read), kRate, kF,
       "public add sample on one AIV; 40 to 64 in a tuning bank where other cores idle", false},
      {"ddr_nd2nz_bytes_per_cycle", MEMBER(ddr_nd2nz), kRate, kP,
       "CANN platform files; of rows to NZ alone: the public data_copy sample into L1", false},
      {"nd2nz_bytes_per_cycle", MEMBER(nd2nz), kRate, kF, "MTE2 time of the public 8192^3 matmul sample", false},
      {"ub_write_bytes_per_cycle", MEMBER(ub_write), kRate, kP, kPlatform, false},
      {"ub_write_atomic_bytes_per_cycle", MEMBER(ub_write_atomic), kRate, kA, "not published: as ub_write", false},
      {"l1_to_l0a_bytes_per_cycle", MEMBER(l1_to_l0a), kRate, kP, "the lower of two figures (512, 256)", false},
      {"l1_to_l0b_bytes_per_cycle", MEMBER(l1_to_l0b), kRate, kP, "the lower of two figures (256, 128)", false},
      {"l1_to_table_bytes_per_cycle", MEMBER(l1_to_table), kRate, kA, kNone, false},
      {"fixpipe_bytes_per_cycle", MEMBER(fixpipe), kRate, kF,
       "matmul tuning banks of 910B: 110 to 122 NZ, 95 to 119 row-major, a tile's fix_head_cycles included; range 95 "
       "to 128",
       false},
      {"fixpipe_atomic_bytes_per_cycle", MEMBER(fixpipe_atomic), kRate, kA, "not published; range 53 to 110", false},
      {"fixpipe_l1_bytes_per_cycle", MEMBER(fixpipe_l1), kRate, kA, "not published: as fixpipe", false},
      {"ub_copy_bytes_per_cycle", MEMBER(ub_copy), kRate, kA, kNone, false},
      {"fill_bytes_per_cycle", MEMBER(fill), kRate, kA, kNone, false},
      {"unaligned_pitch_factor", MEMBER(unaligned_pitch), "times", kF,
       "public data_copy sample, rows 24,574 B apart: 1.28 into UB, 1.97 into L1, as the 512 B lines touched; this is "
       "the most; range 1.4 to 2",
       false},
      {"shared_line_bytes_per_cycle", MEMBER(shared_line), "B/cycle", kF,
       "public data_copy sample, all cores reading the same 6 MB in pieces of 128 B: 339 from UB, 333 from L1", false},
      {"shared_piece_bytes", MEMBER(shared_piece), "B", kD,
       "matmul tuning bank: pieces from 512 B on were read by 16 and 24 cores at once at 1,000 to 1,400 B/cycle, rows "
       "of "
       "256 B by 20 cores at 700; the worst case is no limit",
       true},
      {"shared_window_cycles", MEMBER(shared_window), kCycles, kA, "how long a line counts as read by others", true},
      {"shared_now_cycles", MEMBER(shared_now), kCycles, kA, "how long as read by others at once", true},
      {"shared_later_share", MEMBER(shared_later), "times", kF,
       "the data_copy sample with staggered cores: 516 B/cycle from UB, 380 from L1", true},
      {"hbm_bandwidth", MEMBER(hbm_bandwidth), kChip, kF,
       "public data_copy sample: 302 MB in 209 us; published 1.5e12 to 1.8e12", false},
      {"l2_read_bandwidth", MEMBER(l2_read_bandwidth), kChip, kP, "about 5e12", false},
      {"l2_mixed_bandwidth", MEMBER(l2_mixed_bandwidth), kChip, kP, "about 7e12 reading and writing", false},
      {"cube_cycles", MEMBER(cube_cycles), "cycles/step", kP, "16x16x16 fp16, 16x16x32 int8 a cycle", false},
      {"cube_fp32_cycles", MEMBER(cube_fp32_cycles), "cycles/step", kD, "fp32 at a quarter of fp16's FLOP/s", false},
      {"vector_add_cycles", VECTOR(kAdd), "cycles/repeat", kF,
       "public bank_conflict_ub sample: 64 repeats in 86 cycles, 150 where the sources share bank groups (2.1 a repeat "
       "elsewhere)",
       false},
      {"vector_mul_cycles", VECTOR(kMul), "cycles/repeat", kD,
       "2.3 measured by others, taken with shared bank groups as add's 2.1; range 1 to 2.3", false},
      {"vector_max_cycles", VECTOR(kMax), "cycles/repeat", kD,
       "2 measured by others, taken with shared bank groups as add's 2.1; range 1 to 2", false},
      {"vector_heavy_cycles", VECTOR(kHeavy), "cycles/repeat", kP, "exp, cast, select; others likewise", false},
      {"vector_div_cycles", VECTOR(kDiv), "cycles/repeat", kP, kVector, false},
      {"vector_scalar_cycles", VECTOR(kScalar), "cycles/repeat", kP, "muls, adds, block reductions", false},
      {"vector_reduce_cycles", VECTOR(kReduce), "cycles/repeat", kP, "WholeReduceSum", false},
      {"vector_gather_cycles", VECTOR(kGather), "cycles/repeat", kA, kNone, false},
      {"ub_read_conflict_cycles", MEMBER(ub_read_conflict), "cycles/repeat", kF,
       "public bank_conflict_ub sample: two sources in one bank group", true},
      {"ub_write_conflict_cycles", MEMBER(ub_write_conflict), "cycles/repeat", kF,
       "public bank_conflict_ub sample: a result in a source's bank", true},
      {"vector_counter_cycles", MEMBER(vector_counter_extra), kCycles, kP, "binary operations in counter mode", true},
      {"vector_head_cycles", MEMBER(vector_head), kCycles, kP, "head and tail together 22 to 33", true},
      {"vector_tail_cycles", MEMBER(vector_tail), kCycles, kP, "head and tail together 22 to 33", true},
      {"cube_head_cycles", MEMBER(cube_head), kCycles, kF,
       "Mmad 128x128x512 in 8 steps, 2172 cycles: 8; matmul tuning bank of 910B2: 4 +- 4", true},
      {"cube_latency_cycles", MEMBER(cube_latency), kCycles, kP, "the vendor's theory of the same table", true},
      {"mte1_head_cycles", MEMBER(mte1_head), kCycles, kF, "matmul tuning bank of 910B2; range 4 to 16", true},
      {"mte1_latency_cycles", MEMBER(mte1_latency), kCycles, kF,
       "matmul tuning bank of 910B2, tilings with two buffers in L0; range 30 to 110", true},
      {"mte_head_cycles", MEMBER(mte_head), kCycles, kA, "one DMA instruction of MTE2 or MTE3", true},
      {"mte_latency_cycles", MEMBER(mte_latency), kCycles, kF,
       "GM to L1 or UB, in L2: matmul tuning bank of 910B2, short packets of L1; range 130 to 300", true},
      {"hbm_latency_cycles", MEMBER(hbm_latency), kCycles, kF,
       "more where L2 misses: MTE2 time of the public add sample on one AIV", true},
      {"store_latency_cycles", MEMBER(store_latency), kCycles, kA, "UB or L1 to GM", true},
      {"fix_head_cycles", MEMBER(fix_head), kCycles, kF, "matmul tuning bank of 910B2: at most 15 a tile", true},
      {"fix_latency_cycles", MEMBER(fix_latency), kCycles, kA,
       "completion, which the PipeBarrier in each of CANN's Fixpipe calls waits for; range 30 to 450: 134 MB in 45.8 "
       "us "
       "is 128 B/cycle and 280 (at 1.5 GHz) to 470 (at 1.85) a call",
       true},
      {"gm_burst_cycles", MEMBER(gm_burst), kCycles, kA, "least for each contiguous piece of a DMA", true},
      {"scalar_issue_cycles", MEMBER(scalar_issue), kCycles, kA, "one API call", true},
      {"scalar_loop_cycles", MEMBER(scalar_loop), kCycles, kA,
       "the kernel's loops and addresses around each call; range 0 to 5: scalar time of the public mmad + gelu sample, "
       "about 8 cycles a call on its AICs, 2 on its AIVs, scalar_issue_cycles included",
       true},
      {"scalar_division_cycles", MEMBER(scalar_division), kCycles, kA,
       "a division of 64 bits, one cycle a bit; not published: 20 (four bits a step) to 200 (a routine of shifts)",
       true},
      {"cross_flag_latency_cycles", MEMBER(cross_flag_latency), kCycles, kA, kNone, true},
      {"launch_microseconds", MEMBER(launch), "us", kF,
       "tiny rows of a matmul tuning bank of 910B2: 0.77 on 1 core, a load, a product and a store included", true},
      {"launch_core_microseconds", MEMBER(launch_core), "us", kF, "the same: 1.09 on 24 cores", true},
      {"l2_warm", MEMBER(l2_warm), "0 or 1", kA, "whether L2 holds what fits when the launch begins", true},
  };
#undef MEMBER
#undef VECTOR
  return rows;
}

std::string Soc::Set(const std::string& parameter, double value) {
  std::string name = parameter;
  if (name == "fixpipe" || name == "fixpipe_atomic") name += "_bytes_per_cycle";
  for (const SocParameter& row : SocParameters()) {
    if (name != row.name) continue;
    if (!std::isfinite(value) || value < 0 || (value == 0 && !row.may_be_zero)) {
      return "expected a finite value " + std::string(row.may_be_zero ? "of 0 or more" : "above 0") + " for";
    }
    *row.member(*this) = value;
    return "";
  }
  return "unknown SoC parameter in";
}

uint64_t Soc::Capacity(Buffer buffer) const {
  switch (buffer) {
    case Buffer::kGm:
      return 0;
    case Buffer::kL1:
      return static_cast<uint64_t>(l1_bytes);
    case Buffer::kL0A:
      return static_cast<uint64_t>(l0a_bytes);
    case Buffer::kL0B:
      return static_cast<uint64_t>(l0b_bytes);
    case Buffer::kL0C:
      return static_cast<uint64_t>(l0c_bytes);
    case Buffer::kUb:
      return static_cast<uint64_t>(ub_bytes);
    case Buffer::kBt:
      return static_cast<uint64_t>(bt_bytes);
    case Buffer::kFb:
      return static_cast<uint64_t>(fb_bytes);
    case Buffer::kIndex:
      return static_cast<uint64_t>(l0b_bytes) / 4;
  }
  return 0;
}

}  // namespace ascend_sim
