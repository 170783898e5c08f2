#include "acl/launch.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>

#include "acl/error.h"
#include "acl/memory.h"
#include "acl/settings.h"
#include "acl/work.h"
#include "core/capi.h"
#include "core/machine.h"
#include "core/report.h"

namespace ascend_sim {
namespace acl {

namespace {

constexpr int kFindingsExitCode = 86;
bool g_findings = false;

// A program whose kernels had findings that no ACL call reported does not end with success.
void AtExit(int status, void*) {
  if (status != 0 || !g_findings) return;
  std::cout.flush();
  std::fflush(nullptr);
  _exit(kFindingsExitCode);
}

void NoteFindings() {
  static const int registered = on_exit(AtExit, nullptr);
  static_cast<void>(registered);
  g_findings = true;
}

// The number after `"key":` outside strings; keys of the report's top level are unique there.
double NumberIn(const std::string& json, const std::string& key) {
  const size_t at = json.find(",\"" + key + "\":");
  return at == std::string::npos ? 0 : std::strtod(json.c_str() + at + key.size() + 4, nullptr);
}

std::string Line(const Launch& launch, const std::string& json) {
  const size_t cores = json.rfind(",\"cores\":[");  // one entry a core and pipe: too much for every launch
  return "{\"kernel\":" + JsonQuote(launch.kernel) + ",\"blocks\":" + std::to_string(launch.blocks) +
         ",\"device\":" + std::to_string(launch.device) + ",\"stream\":" + std::to_string(launch.stream) +
         ",\"thread\":" + std::to_string(launch.thread) + "," +
         json.substr(1, cores == std::string::npos ? std::string::npos : cores - 1) +
         (cores == std::string::npos ? "" : "}");
}

// The report, its bars and the trace for Perfetto, as files of the folder: PROCESS-LAUNCH.json, .events, .trace.json.
void WriteTraceOf(const ascend_sim_report* report, const char* json, const std::string& folder) {
  static std::atomic<int> launches{0};
  const std::string base = folder + "/" + std::to_string(getpid()) + "-" + std::to_string(++launches);
  uint64_t count = 0;
  const ascend_sim_trace_event* events = ascend_sim_report_events(report, &count);
  const auto write = [](const std::string& path, const void* bytes, size_t size) {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    const bool whole = file != nullptr && std::fwrite(bytes, 1, size, file) == size;
    return (file == nullptr || std::fclose(file) == 0) && whole;
  };
  if (!write(base + ".events", events, count * sizeof *events) ||
      ascend_sim_report_trace(report, (base + ".trace.json").c_str()) != 0 ||
      !write(base + ".json", json, std::strlen(json))) {  // last: it says that the others are there
    std::fprintf(stderr, "ASCEND_SIM_TRACE: %s cannot be written\n", folder.c_str());
  }
}

// What the kernel can reach through its arguments, it may have written.
void MarkReachable(const std::vector<std::vector<uint8_t>>& args) {
  for (const auto& bytes : args) {
    for (size_t at = 0; at + sizeof(void*) <= bytes.size(); at += sizeof(void*)) {
      void* pointer = nullptr;
      std::memcpy(&pointer, bytes.data() + at, sizeof pointer);
      MarkWritten(pointer);
    }
  }
}

}  // namespace

Outcome Launch::Run() const {
  Outcome outcome;
  if (Injected("launch", &outcome.code)) {
    outcome.text = "failure injected by ASCEND_SIM_FAIL";
    return outcome;
  }
  const Settings& settings = TheSettings();
  std::vector<std::string> names;
  std::vector<ascend_sim_buffer> buffers;
  const auto& allocations = Memory::Get().allocations();
  names.reserve(allocations.size());
  for (const auto& [address, allocation] : allocations) {
    if (allocation.device != device) continue;
    names.push_back("device memory " + std::to_string(allocation.number));
    buffers.push_back(
        {names.back().c_str(), reinterpret_cast<void*>(address), allocation.bytes, allocation.written ? 1 : 0});
  }
  ascend_sim_launch_options options{};
  options.soc = settings.soc.c_str();
  std::string parameters = settings.parameters;
  if (aic_cores != 0) {
    const std::string cores = std::to_string(aic_cores), vectors = std::to_string(2 * aic_cores);
    parameters += (parameters.empty() ? "aic_cores=" : ",aic_cores=") + cores + ",aiv_cores=" + vectors;
  }
  options.parameters = parameters.c_str();
  options.type = type.c_str();
  options.order = settings.order.c_str();
  options.block_dim = blocks;
  options.seed = settings.seed;
  options.auto_sync = settings.auto_sync ? 1 : 0;
  options.determinism = settings.determinism ? 1 : 0;
  options.watchdog_seconds = settings.watchdog_seconds;
  options.lenient = settings.lenient ? 1 : 0;
  options.suppressions = settings.suppressions.c_str();
  options.ignore_sites = settings.ignore_sites.c_str();
  options.timing_only = settings.timing_only ? 1 : 0;
  options.trace = settings.trace.empty() ? 0 : 1;
  std::vector<void*> values;
  std::vector<uint64_t> bytes;
  for (const auto& arg : args) {
    values.push_back(const_cast<uint8_t*>(arg.data()));
    bytes.push_back(arg.size());
  }
  ascend_sim_report* report =
      ascend_sim_launch("", kernel.c_str(), &options, values.data(), bytes.data(), static_cast<uint32_t>(args.size()),
                        buffers.data(), static_cast<uint32_t>(buffers.size()));
  std::fflush(stdout);
  MarkReachable(args);

  char* json = ascend_sim_report_json(report);
  const double ghz = NumberIn(json, "ghz");
  if (ghz > 0) outcome.microseconds = NumberIn(json, "cycles") / ghz / 1e3;
  WriteReport(Line(*this, json));
  if (!settings.trace.empty()) WriteTraceOf(report, json, settings.trace);
  ascend_sim_free(json);

  const uint32_t findings = ascend_sim_report_findings(report);
  if (findings != 0) {
    char* text = ascend_sim_report_text(report);
    outcome.text = file + ":" + std::to_string(line) + ": " + kernel + "<<<" + std::to_string(blocks) +
                   ">>>: " + std::to_string(findings) + " findings\n" + text;
    ascend_sim_free(text);
    if (!settings.findings_fail) {
      std::fputs(outcome.text.c_str(), stderr);
      NoteFindings();
    }
  }
  if (ascend_sim_report_completed(report) == 0 || (findings != 0 && settings.findings_fail)) {
    outcome.code = ACL_ERROR_RT_AICORE_EXCEPTION;
  }
  ascend_sim_report_free(report);
  return outcome;
}

uint64_t& QueuedByThisThread() {
  thread_local uint64_t queued = 0;
  return queued;
}

void WriteReport(const std::string& line) {
  const std::string& path = TheSettings().report;
  if (path.empty()) return;
  // One write, so that the lines of several processes do not mix; each says whose it is.
  const std::string text = "{\"process\":" + std::to_string(getpid()) + "," + line.substr(1) + "\n";
  const int out = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (out < 0 || write(out, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::fprintf(stderr, "ASCEND_SIM_REPORT: %s cannot be written\n", path.c_str());
  }
  if (out >= 0) close(out);
}

}  // namespace acl
}  // namespace ascend_sim
