#include "core/soc.h"

namespace ascend_sim {

namespace {

constexpr double kKiB = 1024.0;

// What every dav-2201 chip shares.
Soc Dav2201(const char* name, double aic, double ghz) {
  Soc s{};
  s.name = name;
  s.aic_cores = aic;
  s.aiv_cores = 2 * aic;
  s.ghz = ghz;
  s.l1_bytes = 512 * kKiB;
  s.l0a_bytes = 64 * kKiB;
  s.l0b_bytes = 64 * kKiB;
  s.l0c_bytes = 128 * kKiB;
  s.ub_bytes = 192 * kKiB;
  s.ub_reserved_bytes = 256;
  s.bt_bytes = 1 * kKiB;
  s.fb_bytes = 2 * kKiB;
  s.l2_read = 110;
  s.l2_write = 86;
  s.ddr = 32;
  s.ub_write = 64;
  s.l1_to_l0a = 256;
  s.l1_to_l0b = 128;
  s.fixpipe = 53;
  s.fixpipe_atomic = 53;
  s.ub_copy = 256;
  s.hbm_bandwidth = 1.6e12;
  s.l2_read_bandwidth = 5e12;
  s.l2_mixed_bandwidth = 7e12;
  s.vector_head = 15;
  s.vector_tail = 14;
  s.vector_counter_extra = 16;
  s.mte_latency = 300;
  s.mte1_latency = 30;
  s.fix_latency = 60;
  s.cube_head = 15;
  s.scalar_issue = 4;
  return s;
}

}  // namespace

bool Soc::Lookup(const std::string& name, Soc* soc) {
  struct Row {
    const char* name;
    double aic, ghz;
  };
  static const Row rows[] = {
      {"Ascend910B1", 24, 1.85},    {"Ascend910B2", 24, 1.80},    {"Ascend910B2C", 24, 1.80},
      {"Ascend910B3", 20, 1.80},    {"Ascend910B4", 20, 1.50},    {"Ascend910B4-1", 20, 1.50},
      {"Ascend910_9391", 24, 1.85}, {"Ascend910_9392", 24, 1.85}, {"Ascend910_9381", 24, 1.80},
      {"Ascend910_9382", 24, 1.80}, {"Ascend910_9372", 20, 1.80}, {"Ascend910_9362", 20, 1.50},
  };
  for (const Row& row : rows) {
    if (name == row.name) {
      *soc = Dav2201(row.name, row.aic, row.ghz);
      return true;
    }
  }
  return false;
}

std::vector<std::string> Soc::Names() {
  return {"Ascend910B1",    "Ascend910B2",    "Ascend910B2C",   "Ascend910B3",    "Ascend910B4",    "Ascend910B4-1",
          "Ascend910_9391", "Ascend910_9392", "Ascend910_9381", "Ascend910_9382", "Ascend910_9372", "Ascend910_9362"};
}

const std::vector<SocParameter>& SocParameters() {
  static const std::vector<SocParameter> rows = {
      {"aic_cores", &Soc::aic_cores, "cores", "platform files", false},
      {"aiv_cores", &Soc::aiv_cores, "cores", "platform files", false},
      {"ghz", &Soc::ghz, "GHz", "platform files", false},
      {"l1_bytes", &Soc::l1_bytes, "B", "platform files", false},
      {"l0a_bytes", &Soc::l0a_bytes, "B", "platform files", false},
      {"l0b_bytes", &Soc::l0b_bytes, "B", "platform files", false},
      {"l0c_bytes", &Soc::l0c_bytes, "B", "platform files", false},
      {"ub_bytes", &Soc::ub_bytes, "B", "platform files", false},
      {"ub_reserved_bytes", &Soc::ub_reserved_bytes, "B", "API documentation", false},
      {"l2_read", &Soc::l2_read, "B/cycle/core", "platform files", false},
      {"l2_write", &Soc::l2_write, "B/cycle/core", "platform files", false},
      {"ddr", &Soc::ddr, "B/cycle/core", "platform files", false},
      {"ub_write", &Soc::ub_write, "B/cycle/core", "platform files", false},
      {"l1_to_l0a", &Soc::l1_to_l0a, "B/cycle/core", "the lower of two published figures", false},
      {"l1_to_l0b", &Soc::l1_to_l0b, "B/cycle/core", "the lower of two published figures", false},
      {"fixpipe", &Soc::fixpipe, "B/cycle/core", "41 to 66 published", false},
      {"fixpipe_atomic", &Soc::fixpipe_atomic, "B/cycle/core", "not published", true},
      {"ub_copy", &Soc::ub_copy, "B/cycle/core", "not published", true},
      {"hbm_bandwidth", &Soc::hbm_bandwidth, "B/s", "1.6e12 to 1.8e12 published", false},
      {"l2_read_bandwidth", &Soc::l2_read_bandwidth, "B/s", "published", false},
      {"l2_mixed_bandwidth", &Soc::l2_mixed_bandwidth, "B/s", "published", false},
      {"vector_head", &Soc::vector_head, "cycles", "head and tail together 25 to 33 published", false},
      {"vector_tail", &Soc::vector_tail, "cycles", "head and tail together 25 to 33 published", false},
      {"vector_counter_extra", &Soc::vector_counter_extra, "cycles", "published", false},
      {"mte_latency", &Soc::mte_latency, "cycles", "not published", true},
      {"mte1_latency", &Soc::mte1_latency, "cycles", "not published", true},
      {"fix_latency", &Soc::fix_latency, "cycles", "not published", true},
      {"cube_head", &Soc::cube_head, "cycles", "not published", true},
      {"scalar_issue", &Soc::scalar_issue, "cycles", "not published", true},
  };
  return rows;
}

bool Soc::Set(const std::string& parameter, double value) {
  for (const SocParameter& row : SocParameters()) {
    if (parameter == row.name) {
      this->*row.member = value;
      return true;
    }
  }
  return false;
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
  }
  return 0;
}

}  // namespace ascend_sim
