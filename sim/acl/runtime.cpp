#include "acl/runtime.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <vector>

#include "core/capi.h"

namespace ascend_sim {
namespace acl {

namespace {

constexpr int kFindingsExitCode = 86;
bool g_findings = false;

// A program whose kernels had findings does not end with success.
void AtExit(int status, void*) {
  if (status != 0 || !g_findings) return;
  std::cout.flush();
  std::fflush(nullptr);
  _exit(kFindingsExitCode);
}

std::string Text(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != 0 ? value : fallback;
}

}  // namespace

Settings Settings::FromEnvironment() {
  Settings s;
  s.soc = Text("ASCEND_SIM_SOC", "Ascend910B2");
  s.order = Text("ASCEND_SIM_ORDER", "eager");
  s.parameters = Text("ASCEND_SIM_PARAMETERS", "");
  s.report = Text("ASCEND_SIM_REPORT", "");
  s.seed = std::strtoull(Text("ASCEND_SIM_SEED", "0").c_str(), nullptr, 10);
  s.auto_sync = Text("ASCEND_SIM_AUTO_SYNC", "1") != "0";
  s.poison = Text("ASCEND_SIM_POISON", "0") != "0";
  s.determinism = Text("ASCEND_SIM_DETERMINISM", "0") != "0";
  return s;
}

Runtime::Runtime() : settings_(Settings::FromEnvironment()) { on_exit(AtExit, nullptr); }

Runtime& Runtime::Get() {
  static Runtime* runtime = new Runtime;  // outlives every static destructor of the program
  return *runtime;
}

void* Runtime::Malloc(size_t bytes) {
  void* address = ascend_sim_gm_alloc(bytes);
  if (address == nullptr) return nullptr;
  if (settings_.poison) std::memset(address, 0xff, bytes);
  blocks_[reinterpret_cast<uintptr_t>(address)] = Block{bytes, next_number_++, false};
  return address;
}

bool Runtime::Free(void* address) {
  auto at = blocks_.find(reinterpret_cast<uintptr_t>(address));
  if (at == blocks_.end()) return false;
  ascend_sim_gm_free(address, at->second.bytes);
  blocks_.erase(at);
  return true;
}

std::map<uintptr_t, Runtime::Block>::const_iterator Runtime::Find(const void* address) const {
  auto at = blocks_.upper_bound(reinterpret_cast<uintptr_t>(address));
  if (at == blocks_.begin()) return blocks_.end();
  --at;
  return reinterpret_cast<uintptr_t>(address) - at->first < at->second.bytes ? at : blocks_.end();
}

bool Runtime::Holds(const void* address, size_t bytes) const {
  auto at = Find(address);
  return at != blocks_.end() && reinterpret_cast<uintptr_t>(address) - at->first + bytes <= at->second.bytes;
}

void Runtime::MarkWritten(const void* address) {
  auto at = Find(address);
  if (at != blocks_.end()) blocks_[at->first].written = true;
}

void* Runtime::CreateStream() {
  void* stream = new char;
  streams_.insert(stream);
  return stream;
}

bool Runtime::DestroyStream(void* stream) {
  if (streams_.erase(stream) == 0) return false;
  delete static_cast<char*>(stream);
  return true;
}

bool Runtime::TakeFailure() {
  const bool failed = failed_;
  failed_ = false;
  return failed;
}

void Runtime::Launch(const char* kernel, const char* type, uint32_t blocks, void* stream, void* const* args,
                     const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line) {
  if (!KnowsStream(stream)) {
    std::fprintf(stderr, "%s:%u: %s: the launch names a stream that does not exist\n", file, line, kernel);
    g_findings = failed_ = true;
    return;
  }
  std::vector<std::string> names;
  std::vector<ascend_sim_buffer> buffers;
  names.reserve(blocks_.size());
  for (const auto& [address, block] : blocks_) {
    names.push_back("device memory " + std::to_string(block.number));
    buffers.push_back({names.back().c_str(), reinterpret_cast<void*>(address), block.bytes, block.written ? 1 : 0});
  }
  ascend_sim_launch_options options{};
  options.soc = settings_.soc.c_str();
  options.parameters = settings_.parameters.c_str();
  options.type = type;
  options.order = settings_.order.c_str();
  options.block_dim = blocks;
  options.seed = settings_.seed;
  options.auto_sync = settings_.auto_sync ? 1 : 0;
  options.determinism = settings_.determinism ? 1 : 0;
  options.watchdog_seconds = 10;
  ascend_sim_report* report = ascend_sim_launch("", kernel, &options, args, arg_bytes, arg_count, buffers.data(),
                                                static_cast<uint32_t>(buffers.size()));
  const uint32_t findings = ascend_sim_report_findings(report);
  std::fflush(stdout);
  if (findings != 0) {
    char* text = ascend_sim_report_text(report);
    std::fprintf(stderr, "%s:%u: %s<<<%u>>>: %u findings\n%s", file, line, kernel, blocks, findings, text);
    error = text;
    ascend_sim_free(text);
    g_findings = true;
  }
  if (ascend_sim_report_completed(report) == 0) failed_ = true;
  if (!settings_.report.empty()) {
    char* json = ascend_sim_report_json(report);
    if (FILE* out = std::fopen(settings_.report.c_str(), "a")) {
      std::fprintf(out, "%s\n", json);
      std::fclose(out);
    } else {
      std::fprintf(stderr, "ASCEND_SIM_REPORT: %s cannot be written\n", settings_.report.c_str());
    }
    ascend_sim_free(json);
  }
  ascend_sim_report_free(report);
  for (auto& item : blocks_) item.second.written = true;  // a kernel may have written any of it
}

}  // namespace acl
}  // namespace ascend_sim
