#include "acl/error.h"

#include <cstdlib>
#include <map>
#include <mutex>

namespace ascend_sim {
namespace acl {

namespace {

struct Injection {
  uint64_t call = 1, seen = 0;
  bool onwards = false;
  aclError code = 0;
};
struct Injections {
  std::mutex mutex;
  std::map<std::string, Injection> by_name;
};

struct ThreadErrors {
  std::string message, taken;
  bool fresh = false;
  aclError last = 0;
};
thread_local ThreadErrors t_errors;

// "name:call[+][=code],..."; false where it cannot be read.
bool Parse(const std::string& text, std::map<std::string, Injection>* out) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    at = end + 1;
    const size_t colon = item.find(':');
    if (colon == std::string::npos || colon == 0) return false;
    Injection injection;
    char* rest = nullptr;
    injection.call = std::strtoull(item.c_str() + colon + 1, &rest, 10);
    if (*rest == '+') {
      injection.onwards = true;
      ++rest;
    }
    if (*rest == '=') injection.code = static_cast<aclError>(std::strtol(rest + 1, &rest, 10));
    if (*rest != 0 || injection.call == 0) return false;
    (*out)[item.substr(0, colon)] = injection;
  }
  return true;
}

Injections& TheInjections() {
  static Injections* injections = [] {
    auto* made = new Injections;
    const char* text = std::getenv("ASCEND_SIM_FAIL");
    if (text != nullptr && !Parse(text, &made->by_name)) {
      std::fprintf(stderr, "ASCEND_SIM_FAIL: expected name:call[+][=code],..., got '%s'\n", text);
      std::abort();
    }
    return made;
  }();
  return *injections;
}

aclError DefaultCode(const std::string& name) {
  if (name.compare(0, 11, "aclrtMalloc") == 0) return ACL_ERROR_RT_MEMORY_ALLOCATION;
  if (name == "launch") return ACL_ERROR_RT_AICORE_EXCEPTION;
  return ACL_ERROR_RT_INTERNAL_ERROR;
}

}  // namespace

bool Injected(const char* name, aclError* code) {
  Injections& injections = TheInjections();
  std::lock_guard<std::mutex> guard(injections.mutex);
  auto at = injections.by_name.find(name);
  if (at == injections.by_name.end()) return false;
  Injection& injection = at->second;
  ++injection.seen;
  if (injection.seen != injection.call && !(injection.onwards && injection.seen > injection.call)) return false;
  *code = injection.code != 0 ? injection.code : DefaultCode(name);
  return true;
}

aclError InjectedError(const char* name) {
  aclError code = 0;
  return Injected(name, &code) ? Fail(code, std::string(name) + ": failure injected by ASCEND_SIM_FAIL") : ACL_SUCCESS;
}

aclError Fail(aclError code, std::string message) {
  t_errors.message = std::move(message);
  t_errors.fresh = true;
  t_errors.last = code;
  return code;
}

aclError LastError(bool clear) {
  const aclError last = t_errors.last;
  if (clear) t_errors.last = 0;
  return last;
}

const char* TakeMessage() {
  if (!t_errors.fresh) return nullptr;
  t_errors.fresh = false;
  t_errors.taken = t_errors.message;
  return t_errors.taken.c_str();
}

}  // namespace acl
}  // namespace ascend_sim

extern "C" aclError ascend_sim_acl_fail(const char* text) {
  using namespace ascend_sim::acl;
  std::map<std::string, Injection> parsed;
  if (text == nullptr || !Parse(text, &parsed)) {
    return Fail(ACL_ERROR_INVALID_PARAM, "ascend_sim_acl_fail: expected name:call[+][=code],...");
  }
  Injections& injections = TheInjections();
  std::lock_guard<std::mutex> guard(injections.mutex);
  injections.by_name = std::move(parsed);
  return ACL_SUCCESS;
}
