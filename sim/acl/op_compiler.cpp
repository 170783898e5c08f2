// libacl_op_compiler.so: operators that CANN compiles. None is emulated; the error names the operator.
#include <map>
#include <mutex>
#include <string>

#include "acl/error.h"
#include "acl/unsupported.h"

using ascend_sim::acl::Fail;

namespace {

std::mutex g_mutex;
std::map<int, std::string> g_options;  // aclSetCompileopt

aclError NoOperator(const char* op_type) {
  return Fail(ACL_ERROR_API_NOT_SUPPORT, std::string("operator ") + (op_type != nullptr ? op_type : "?") +
                                             ": operators that CANN compiles are not emulated by the simulator, only "
                                             "those that libopapi.so has as aclnn functions");
}

}  // namespace

extern "C" {

aclError aclopCompileAndExecute(const char* opType) { return NoOperator(opType); }
aclError aclopCompileAndExecuteV2(const char* opType) { return NoOperator(opType); }

// Options of the compiler that never runs: kept and given back.
aclError aclSetCompileopt(int option, const char* value) {
  if (value == nullptr) return Fail(ACL_ERROR_INVALID_PARAM, "aclSetCompileopt: value is null");
  std::lock_guard<std::mutex> guard(g_mutex);
  g_options[option] = value;
  return ACL_SUCCESS;
}
size_t aclGetCompileoptSize(int option) {
  std::lock_guard<std::mutex> guard(g_mutex);
  return g_options[option].size() + 1;
}
aclError aclGetCompileopt(int option, char* value, size_t length) {
  std::lock_guard<std::mutex> guard(g_mutex);
  const std::string& text = g_options[option];
  if (value == nullptr || length < text.size() + 1) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclGetCompileopt: the buffer is too small");
  }
  text.copy(value, text.size());
  value[text.size()] = 0;
  return ACL_SUCCESS;
}

}  // extern "C"
