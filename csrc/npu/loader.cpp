#include "loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cann_version.h"
#include "cores.h"
#include "problem.h"
#include "process.h"
#include "torch_npu.h"

namespace triangle::npu {
namespace {

constexpr const char* kLibraryName = "libtriangle_attn_npu.so";
constexpr const char* kLibraryVariable = "TRIANGLE_ATTN_NPU_LIBRARY";

// ---- the chip
// --------------------------------------------------------------------------------------------------------

// "Ascend910B" without a figure behind it is the first generation, another architecture.
bool is_dav_2201(const std::string& soc) {
  const std::string a2 = "Ascend910B", a3 = "Ascend910_93";
  return (soc.compare(0, a2.size(), a2) == 0 && soc.size() > a2.size() && soc[a2.size()] >= '0' &&
          soc[a2.size()] <= '9') ||
         soc.compare(0, a3.size(), a3) == 0;
}

std::string soc_name() {
  auto* name = acl<const char*()>("aclrtGetSocName");
  check(name != nullptr, "npu: CANN's libascendcl.so is not loaded or has no aclrtGetSocName");
  const char* soc = name();
  check(soc != nullptr, "npu: the runtime does not tell which chip it drives (aclrtGetSocName)");
  check(is_dav_2201(soc),
        "npu: the kernels are built for dav-2201 (Atlas A2 and A3: Ascend910B1 .. B4, Ascend910_93..), ", "got ", soc);
  return soc;
}

// ---- CANN
// ------------------------------------------------------------------------------------------------------------

// The CANN that runs, "" where it does not tell.
std::string running_cann() {
  struct PackageVersion {  // aclCANNPackageVersion
    char version[128];
    char parts[4][64];
    char reserved[128];
  } version = {};
  constexpr int kCann = 0;  // ACL_PKG_NAME_CANN
  auto* query = acl<int32_t(int, PackageVersion*)>("aclsysGetCANNVersion");
  if (query == nullptr || query(kCann, &version) != 0) return "";
  version.version[sizeof version.version - 1] = '\0';
  return version.version;
}

// "cann=8.5.0;way=asc;..." -> "8.5.0"
std::string field(const std::string& build, const std::string& name) {
  const std::string text = ";" + build + ";";
  const size_t begin = text.find(";" + name + "=");
  if (begin == std::string::npos) return "";
  const size_t value = begin + name.size() + 2;
  return text.substr(value, text.find(';', value) - value);
}

void check_cann(const std::string& build, const std::string& running) {
  const std::string built = field(build, "cann");
  if (built == "none") return;  // the simulator
  const CannComparison comparison = compare_cann(built, running);
  check(comparison.match != CannMatch::kRefuse, "npu: ", comparison.text);
  if (comparison.match == CannMatch::kWarn) {
    const std::string text = "triangle_attn_op: npu: " + comparison.text;
    aoti_torch_warn("triangle_attn", "triangle_attn_op", 0, text.c_str());
  }
}

// ---- the library
// ------------------------------------------------------------------------------------------------------

std::string library_path() {
  const char* given = std::getenv(kLibraryVariable);
  if (given != nullptr && *given != '\0') {
    check(access(given, R_OK) == 0, kLibraryVariable, ": expected the path of a ", kLibraryName, ", got \"", given,
          "\", which cannot be read");
    return given;
  }
  Dl_info self;
  check(dladdr(reinterpret_cast<void*>(&runtime), &self) != 0 && self.dli_fname != nullptr,
        "npu: the place of the extension library is unknown; set ", kLibraryVariable);
  const std::string extension = self.dli_fname;
  const std::string path = extension.substr(0, extension.find_last_of('/') + 1) + "lib/" + kLibraryName;
  if (access(path.c_str(), R_OK) == 0) return path;
  const std::string running = running_cann();
  check(false, "npu: this installation is CPU-only, ", path, " is missing. Install the wheel for your CANN",
        running.empty() ? "" : " (" + running + ")", ", triangle_attn_op-<version>+cann",
        running.empty() ? "<CANN>" : cann_in_wheel_names(running), "-*.whl, or build one with `make wheel` where ",
        "ASCEND_HOME_PATH is set, or name a ", kLibraryName, " in ", kLibraryVariable);
  return path;
}

template <class Function>
Function* entry(void* library, const std::string& path, const char* symbol) {
  void* function = dlsym(library, symbol);
  check(function != nullptr, "npu: ", path, " is not a ", kLibraryName, ": it has no ", symbol);
  return reinterpret_cast<Function*>(function);
}

Runtime load() {
  check_torch_npu();
  Runtime result;
  result.soc = soc_name();
  result.backend = "npu/" + result.soc;

  const std::string path = library_path(), running = running_cann();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    check(false, "npu: ", path, " cannot be loaded with the CANN that runs",
          running.empty() ? "" : " (" + running + ")", ": ", why != nullptr ? why : "the reason is unknown");
  }
  try {
    const int32_t abi = entry<decltype(triangle_npu_abi)>(library, path, "triangle_npu_abi")();
    check(abi == kNpuAbi, "npu: ", path, " belongs to another version of triangle_attn_op: expected ABI ", kNpuAbi,
          ", got ", abi);
    result.build = entry<decltype(triangle_npu_build)>(library, path, "triangle_npu_build")();
    check_cann(result.build, running);
    result.forward = entry<decltype(triangle_npu_forward)>(library, path, "triangle_npu_forward");
    result.backward = entry<decltype(triangle_npu_backward)>(library, path, "triangle_npu_backward");
    result.cache = entry<decltype(triangle_npu_cache)>(library, path, "triangle_npu_cache");
  } catch (...) {
    dlclose(library);
    throw;
  }
  return result;  // the library stays loaded
}

}  // namespace

const Runtime& runtime() {
  static const Runtime loaded = load();
  return loaded;
}

std::string acl_error_text(int32_t code) {
  std::string text = "ACL error " + std::to_string(code);
  auto* recent = acl<const char*()>("aclGetRecentErrMsg");
  const char* message = recent != nullptr ? recent() : nullptr;
  if (message != nullptr && *message != '\0') text += std::string(": ") + message;
  return text;
}

}  // namespace triangle::npu

// For triangle_attn_op.env: "npu/Ascend910B2, 24 AI cores, <build>", or "error: ...".
extern "C" __attribute__((visibility("default"))) int triangle_npu_description(char* buffer, int size) {
  std::string text;
  try {
    using namespace triangle;
    using namespace triangle::npu;
    const Runtime& npu = runtime();
    const int32_t device = torch_api::current_device_index();
    const DeviceGuard guard(device);
    text = npu.backend + ", " + std::to_string(ai_cores(device, current_stream(device, false))) + " AI cores, " +
           npu.build;
  } catch (const std::exception& error) {
    text = std::string("error: ") + error.what();
  }
  if (buffer != nullptr && size > 0) {
    const size_t n = std::min(text.size(), static_cast<size_t>(size) - 1);
    std::memcpy(buffer, text.data(), n);
    buffer[n] = '\0';
  }
  return static_cast<int>(text.size());
}
