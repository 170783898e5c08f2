#include "acl/settings.h"

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>

namespace ascend_sim {
namespace acl {

namespace {

std::string Text(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : fallback;
}

uint64_t Number(const char* name, const char* fallback, uint64_t low, uint64_t high, std::string* wrong) {
  const std::string text = Text(name, fallback);
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (errno == 0 && *end == 0 && text[0] != '-' && value >= low && value <= high) return value;
  *wrong =
      std::string(name) + ": expected " + std::to_string(low) + ".." + std::to_string(high) + ", got '" + text + "'";
  return std::strtoull(fallback, nullptr, 10);
}

Settings FromEnvironment() {
  Settings s;
  s.soc = Text("ASCEND_SIM_SOC", "Ascend910B2");
  s.soc_name = Text("ASCEND_SIM_SOC_NAME", s.soc.c_str());
  s.order = Text("ASCEND_SIM_ORDER", "eager");
  s.parameters = Text("ASCEND_SIM_PARAMETERS", "");
  s.report = Text("ASCEND_SIM_REPORT", "");
  s.cann = Text("ASCEND_SIM_CANN", "8.5.0");
  s.seed = Number("ASCEND_SIM_SEED", "0", 0, UINT64_MAX, &s.wrong);
  s.devices = static_cast<uint32_t>(Number("ASCEND_SIM_DEVICES", "2", 0, 16, &s.wrong));
  s.cores = static_cast<uint32_t>(Number("ASCEND_SIM_CORES", "0", 0, 64, &s.wrong));
  s.hbm_bytes = Number("ASCEND_SIM_HBM_BYTES", "4294967296", 1, 1ull << 46, &s.wrong);
  s.suppressions = Text("ASCEND_SIM_SUPPRESSIONS", "");
  s.ignore_sites = Text("ASCEND_SIM_IGNORE_SITES", "");
  s.trace = Text("ASCEND_SIM_TRACE", "");
  s.timing_only = Text("ASCEND_SIM_TIMING_ONLY", "0") != "0";
  s.lenient = Text("ASCEND_SIM_STRICT", "1") == "0";
  s.auto_sync = Text("ASCEND_SIM_AUTO_SYNC", "1") != "0";
  s.poison = Text("ASCEND_SIM_POISON", "0") != "0";
  s.determinism = Text("ASCEND_SIM_DETERMINISM", "0") != "0";
  const std::string findings = Text("ASCEND_SIM_FINDINGS", "exit");
  s.findings_fail = findings == "error";
  if (findings != "exit" && findings != "error") {
    s.wrong = "ASCEND_SIM_FINDINGS: expected exit or error, got '" + findings + "'";
  }
  s.watchdog_seconds = static_cast<double>(Number("ASCEND_SIM_WATCHDOG", "10", 1, 100000, &s.wrong));
  const std::string streams = Text("ASCEND_SIM_STREAMS", "eager");
  if (streams == "late") {
    s.streams = StreamOrder::kLate;
  } else if (streams == "random") {
    s.streams = StreamOrder::kRandom;
  } else if (streams != "eager") {
    s.wrong = "ASCEND_SIM_STREAMS: expected late, eager or random, got '" + streams + "'";
  }
  return s;
}

}  // namespace

const Settings& TheSettings() {
  // Outlive the program's static destructors. A forked process reads its own environment.
  static std::atomic<const Settings*> settings{nullptr};
  static std::mutex reading;
  if (const Settings* read = settings.load(std::memory_order_acquire)) return *read;
  const std::lock_guard<std::mutex> guard(reading);
  if (settings.load(std::memory_order_acquire) == nullptr) {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { settings.store(nullptr); });
    static_cast<void>(registered);
    settings.store(new Settings(FromEnvironment()), std::memory_order_release);
  }
  return *settings.load(std::memory_order_acquire);
}

}  // namespace acl
}  // namespace ascend_sim
