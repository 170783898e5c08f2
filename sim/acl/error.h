// Errors as ACL returns them, per thread, and injected failures.
//
// ASCEND_SIM_FAIL or ascend_sim_acl_fail: "aclrtMallocAlign32:3,launch:1+,aclrtMemcpyAsync:2=507899": the third call of
// aclrtMallocAlign32, every launch, the second aclrtMemcpyAsync (with that code) fail. A launch fails when it runs.
#pragma once

#include <cstdint>
#include <string>

#include "acl/acl_base.h"
#include "acl/work.h"

namespace ascend_sim {
namespace acl {

// Whether this call of `name` is to fail; *code is then what the injection names, or 0.
bool Injected(const char* name, aclError* code);
// Injected as the return value of an entry point: 0, or the code, with its text set.
aclError InjectedError(const char* name);

aclError LastError(bool clear);
// Null when the thread has had no error since the last call.
const char* TakeMessage();

}  // namespace acl
}  // namespace ascend_sim

// Replaces the injections; counts start anew. "" ends them. 0, or ACL_ERROR_INVALID_PARAM.
extern "C" aclError ascend_sim_acl_fail(const char* injections);
