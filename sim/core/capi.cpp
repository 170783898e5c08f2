#include "core/capi.h"

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/machine.h"
#include "core/registry.h"
#include "core/report.h"

using namespace ascend_sim;

struct ascend_sim_report {
  Machine machine;
  bool completed = false;
};

namespace {

struct Kernel {
  KernelType type = KernelType::kUnset;
  KernelEntry entry[2] = {};  // by core type
  bool has[2] = {false, false};
  std::vector<ArgInfo> args;
};
struct Library {
  void* handle = nullptr;
  std::map<std::string, Kernel> kernels;
  std::map<std::string, KernelType> types;  // by the kernel's function name
};

std::map<std::string, Library>& Libraries() {
  static std::map<std::string, Library> libraries;
  return libraries;
}
Library* g_loading = nullptr;
// Kernels linked into the program itself rather than loaded.
Library& Loading() { return g_loading != nullptr ? *g_loading : Libraries()[""]; }

char* Copy(const std::string& text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

KernelType TypeByName(const std::string& name, bool* known) {
  *known = true;
  for (int t = 0; t <= static_cast<int>(KernelType::kMix12); ++t) {
    if (name == KernelTypeName(static_cast<KernelType>(t))) return static_cast<KernelType>(t);
  }
  *known = name.empty();
  return KernelType::kUnset;
}

KernelType DeclaredType(const Library& library, const std::string& name, const Kernel& kernel) {
  if (kernel.type != KernelType::kUnset) return kernel.type;
  auto at = library.types.find(name.substr(0, name.find('<')));
  return at == library.types.end() ? KernelType::kUnset : at->second;
}

void Fail(ascend_sim_report* report, const std::string& message) {
  Finding finding;
  finding.rule = Rule::kLaunch;
  finding.message = message;
  report->machine.findings.Add(std::move(finding));
}

bool ApplyOptions(const ascend_sim_launch_options& from, ascend_sim_report* report) {
  LaunchOptions& to = report->machine.options;
  to.soc = from.soc;
  to.block_dim = from.block_dim;
  to.seed = from.seed;
  to.auto_sync = from.auto_sync != 0;
  to.timing_only = from.timing_only != 0;
  to.determinism = from.determinism != 0;
  to.trace = from.trace != 0;
  if (from.stack_bytes != 0) to.stack_bytes = from.stack_bytes;
  if (from.instruction_budget != 0) to.instruction_budget = from.instruction_budget;
  to.watchdog_seconds = from.watchdog_seconds;
  to.lenient = from.lenient != 0;
  to.poison = from.poison_zero != 0 ? 0 : 0xff;
  if (from.suppressions != nullptr && *from.suppressions != 0 &&
      !report->machine.findings.ReadSuppressions(from.suppressions)) {
    Fail(report, std::string("suppressions: ") + from.suppressions + " cannot be read");
    return false;
  }
  const std::string order = from.order;
  if (order == "eager") {
    to.order = OrderMode::kEager;
  } else if (order == "lazy") {
    to.order = OrderMode::kLazy;
  } else if (order == "random") {
    to.order = OrderMode::kRandom;
  } else {
    Fail(report, "order: expected eager, lazy or random, got '" + order + "'");
    return false;
  }
  const std::string sites = from.ignore_sites == nullptr ? "" : from.ignore_sites;
  for (size_t at = 0; at < sites.size();) {
    const size_t end = std::min(sites.find(';', at), sites.size());
    const std::string wrong = report->machine.sync_calls.Ignore(sites.substr(at, end - at));
    if (!wrong.empty()) {
      Fail(report, "ignore_sites: " + wrong);
      return false;
    }
    at = end + 1;
  }
  bool known;
  to.type = TypeByName(from.type, &known);
  if (!known) {
    Fail(report, std::string("type: unknown kernel type '") + from.type + "'");
    return false;
  }
  if (to.block_dim < 1 || to.block_dim > 65535) {
    Fail(report, "block_dim: expected 1..65535, got " + std::to_string(to.block_dim));
    return false;
  }
  Soc& soc = report->machine.soc;
  if (!Soc::Lookup(to.soc, &soc)) {
    std::string known;
    for (const std::string& name : Soc::Names()) known += (known.empty() ? "" : ", ") + name;
    Fail(report, "soc: unknown chip '" + to.soc + "'; known: " + known);
    return false;
  }
  const std::string text = from.parameters;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(';', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = item.find('=');
    const std::string wrong = equals == std::string::npos
                                  ? "expected name=value, got"
                                  : soc.Set(item.substr(0, equals), std::strtod(item.c_str() + equals + 1, nullptr));
    if (!wrong.empty()) {
      Fail(report, "parameters: " + wrong + " '" + item + "'");
      return false;
    }
    at = end + 1;
  }
  return true;
}

}  // namespace

namespace ascend_sim {

void RegisterKernel(const KernelEntry& entry) {
  Kernel& kernel = Loading().kernels[entry.name];
  const int c = static_cast<int>(entry.core);
  kernel.entry[c] = entry;
  kernel.has[c] = true;
  if (entry.type != KernelType::kUnset) kernel.type = entry.type;
  kernel.args.assign(entry.args, entry.args + entry.arg_count);
}

// `static const char* ns::kernel(uint8_t*)::Tag::Name()`, clang's `*ns::kernel`, -> ns::kernel
void RegisterKernelType(const char* function, int type) {
  std::string text = function;
  for (const std::string unnamed : {"(anonymous namespace)::", "{anonymous}::"}) {
    const size_t at = text.find(unnamed);
    if (at != std::string::npos) text.erase(at, unnamed.size());
  }
  text = text.substr(0, text.find('('));
  const size_t space = text.rfind(' ');
  if (space != std::string::npos) text = text.substr(space + 1);
  text.erase(0, text.find_first_not_of("*&"));
  const auto added = Loading().types.emplace(text.substr(0, text.find('<')), static_cast<KernelType>(type));
  // Tiling keys, by which a kernel may have several types, are not modelled: which one it is must be said at launch.
  if (!added.second && added.first->second != static_cast<KernelType>(type)) added.first->second = KernelType::kUnset;
}

}  // namespace ascend_sim

extern "C" {

const char* ascend_sim_load(const char* path) {
  static std::string error;
  Library& library = Libraries()[path];
  if (library.handle != nullptr) return nullptr;
  g_loading = &library;
  library.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  g_loading = nullptr;
  if (library.handle == nullptr) {
    error = dlerror();
    Libraries().erase(path);
    return error.c_str();
  }
  if (library.kernels.empty()) {
    error = std::string(path) + ": registers no kernel (or was loaded before by other means)";
    Libraries().erase(path);
    return error.c_str();
  }
  return nullptr;
}

char* ascend_sim_kernels(const char* path) {
  static const char* kinds[] = {"pointer", "integer", "float", "struct"};
  std::string json = "[";
  const Library& library = Libraries()[path];
  for (const auto& item : library.kernels) {
    if (json.size() > 1) json += ",";
    json += "{\"name\":" + JsonQuote(item.first) + ",\"type\":\"" +
            KernelTypeName(DeclaredType(library, item.first, item.second)) + "\",\"args\":[";
    for (size_t i = 0; i < item.second.args.size(); ++i) {
      json += std::string(i ? "," : "") + "{\"kind\":\"" + kinds[static_cast<int>(item.second.args[i].kind)] +
              "\",\"bytes\":" + std::to_string(item.second.args[i].bytes) + "}";
    }
    json += "]}";
  }
  return Copy(json + "]");
}

ascend_sim_report* ascend_sim_launch(const char* path, const char* name, const ascend_sim_launch_options* options,
                                     void* const* args, const uint64_t* arg_bytes, uint32_t arg_count,
                                     const ascend_sim_buffer* buffers, uint32_t buffer_count) {
  auto report = std::make_unique<ascend_sim_report>();
  Machine& machine = report->machine;
  if (!ApplyOptions(*options, report.get())) return report.release();
  auto library = Libraries().find(path);
  if (library == Libraries().end()) {
    Fail(report.get(), std::string(path) + ": not loaded");
    return report.release();
  }
  auto found = library->second.kernels.find(name);
  if (found == library->second.kernels.end()) {
    std::string known;
    for (const auto& item : library->second.kernels) known += (known.empty() ? "" : ", ") + item.first;
    Fail(report.get(), std::string("kernel '") + name + "' is not in the library; it has: " + known);
    return report.release();
  }
  const Kernel& kernel = found->second;
  if (machine.options.type == KernelType::kUnset) machine.options.type = DeclaredType(library->second, name, kernel);
  if (machine.options.type == KernelType::kUnset) {
    Fail(report.get(),
         std::string("kernel '") + name +
             "' declares no KERNEL_TASK_TYPE, or several; state the type (aiv_only, aic_only, mix_1_2, ...) at launch");
    return report.release();
  }
  if (arg_count != kernel.args.size()) {
    Fail(report.get(), std::string("kernel '") + name + "' takes " + std::to_string(kernel.args.size()) +
                           " arguments, got " + std::to_string(arg_count));
    return report.release();
  }
  for (uint32_t i = 0; i < arg_count; ++i) {
    if (arg_bytes[i] != kernel.args[i].bytes) {
      Fail(report.get(), std::string("kernel '") + name + "': argument " + std::to_string(i) + " has " +
                             std::to_string(kernel.args[i].bytes) + " bytes, got " + std::to_string(arg_bytes[i]));
      return report.release();
    }
  }
  for (uint32_t i = 0; i < buffer_count; ++i) {
    machine.gm.Register(buffers[i].name, reinterpret_cast<uint64_t>(buffers[i].address), buffers[i].bytes,
                        buffers[i].initialised != 0);
  }
  try {
    report->completed = machine.Run([&](CoreType type) { kernel.entry[static_cast<int>(type)].invoke(args); });
  } catch (const std::exception& e) {
    Fail(report.get(), std::string("the simulator failed: ") + e.what());
  }
  return report.release();
}

char* ascend_sim_report_json(const ascend_sim_report* report) {
  return Copy(ReportJson(report->machine, report->completed));
}
uint32_t ascend_sim_report_findings(const ascend_sim_report* report) {
  return static_cast<uint32_t>(report->machine.findings.all().size());
}
int ascend_sim_report_completed(const ascend_sim_report* report) { return report->completed ? 1 : 0; }
char* ascend_sim_report_text(const ascend_sim_report* report) { return Copy(FindingsText(report->machine)); }
int ascend_sim_report_trace(const ascend_sim_report* report, const char* file) {
  return WriteTrace(report->machine, file) ? 0 : 1;
}
const ascend_sim_trace_event* ascend_sim_report_events(const ascend_sim_report* report, uint64_t* count) {
  static_assert(sizeof(ascend_sim_trace_event) == sizeof(TraceEvent), "capi.h repeats the engine's struct");
  *count = report->machine.timeline.events.size();
  return reinterpret_cast<const ascend_sim_trace_event*>(report->machine.timeline.events.data());
}
void ascend_sim_report_free(ascend_sim_report* report) { delete report; }

uint64_t ascend_sim_progress(void) { return g_instructions; }
void* ascend_sim_gm_alloc(uint64_t bytes) { return GmAllocate(bytes); }
void ascend_sim_gm_free(void* address, uint64_t bytes) { GmFree(address, bytes); }
char* ascend_sim_socs(void) { return Copy(SocsJson()); }
void ascend_sim_free(char* text) { std::free(text); }

}  // extern "C"
