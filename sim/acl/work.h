// What the other libraries of the simulated CANN (libopapi.so, kernel libraries) use of libascendcl.so: work on a
// stream, kernel launches, errors, and what is known about device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "acl/acl_base.h"

namespace ascend_sim {
namespace acl {

// Queues work on a stream (null: the current device's default stream). It runs when the stream gets there, on whatever
// thread lets the device progress, so it owns what it needs: host memory that is the caller's may be gone by then. It
// must not call ACL functions, but may call Holds and MarkWritten. It returns "" or the text of its error; the stream
// then stops with ACL_ERROR_RT_AICORE_EXCEPTION and that text. An error is returned at once only for a bad stream.
aclError Enqueue(aclrtStream stream, const char* name, std::function<std::string()> work);

// Sets the text that aclGetRecentErrMsg gives this thread and returns code: `return Fail(ACL_ERROR_INVALID_PARAM,
// ...)`.
aclError Fail(aclError code, std::string message);

// Whether one live allocation of device memory, of any device, holds [p, p + bytes).
bool Holds(const void* p, size_t bytes);
// Records that the allocation holding p has been written: kernels may read it without an uninitialised-read finding.
void MarkWritten(const void* p);

}  // namespace acl
}  // namespace ascend_sim

// Queues a kernel that is registered with the simulator on a stream. args[i] points to argument i of arg_bytes[i]
// bytes; all are copied before this returns. type: an ascend_sim::KernelType, 0 (kUnset) takes what the kernel
// declares. The place (file, line) heads the findings; file must outlive the process's launches (a string literal).
extern "C" aclError ascend_sim_acl_launch(const char* kernel, int type, uint32_t blocks, void* stream,
                                          void* const* args, const uint64_t* arg_bytes, uint32_t arg_count,
                                          const char* file, uint32_t line);
