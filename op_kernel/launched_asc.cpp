// The functions that generated launches call, wrapped (launched_asc.h). Plain C++, compiled by the host's compiler.
//
// | CANN | registers the binary, once or at every launch | finds the kernel        | launches it                    |
// |------|-----------------------------------------------|-------------------------|--------------------------------|
// | 8.5  | AscendDevBinaryRegister                       |                         | AscendKernelLaunchWithFlagV2   |
// | 9    | AscendDevBinaryLazyRegister                   | AscendGetFuncFromBinary | AscendLaunchKernelWithHostArgs |
#include "launched_asc.h"

#include <stddef.h>

#include <atomic>

namespace {

constexpr int32_t kNotLaunched = 500000;  // ACL_ERROR_INTERNAL_ERROR: none of the functions was called

std::atomic<int32_t> registration{0};
thread_local int32_t result = kNotLaunched;

int32_t registered(int32_t status) {
  registration.store(status);
  return status;
}

int32_t launched(int32_t status) {
  result = status;
  return status;
}

template <class Function, class... Args>
int32_t call(Function* real, Args... args) {
  return real != nullptr ? real(args...) : kNotLaunched;
}

}  // namespace

namespace triangle {

void launch_begins() { result = kNotLaunched; }

int32_t launch_result() {
  if (result == 0) return 0;
  const int32_t refused = registration.load();
  return refused != 0 ? refused : result;
}

}  // namespace triangle

// Weak: each CANN has its own. The generated code's calls of the profiler bring them in from the archive.
#define TRIANGLE_REAL extern "C" __attribute__((weak)) int32_t
TRIANGLE_REAL __real_AscendDevBinaryRegister(const void* file, size_t bytes, void** handle);
// From 9.0 on it has a sixth argument, bytes of UB; 8.5's, with five, does not look at it.
TRIANGLE_REAL __real_AscendKernelLaunchWithFlagV2(const char* name, uint32_t blocks, void** args, uint32_t bytes,
                                                  const void* stream, uint32_t ub_bytes);
TRIANGLE_REAL __real_AscendDevBinaryLazyRegister(const char* binary, size_t bytes, void** handle);
TRIANGLE_REAL __real_AscendGetFuncFromBinary(void* binary, const char* name, void** function);
TRIANGLE_REAL __real_AscendLaunchKernelWithHostArgs(void* function, uint32_t blocks, void* stream, void* args,
                                                    size_t bytes, uint32_t ub_bytes);

extern "C" {

int32_t __wrap_AscendDevBinaryRegister(const void* file, size_t bytes, void** handle) {
  return registered(call(__real_AscendDevBinaryRegister, file, bytes, handle));
}

int32_t __wrap_AscendKernelLaunchWithFlagV2(const char* name, uint32_t blocks, void** args, uint32_t bytes,
                                            const void* stream, uint32_t ub_bytes) {
  return launched(call(__real_AscendKernelLaunchWithFlagV2, name, blocks, args, bytes, stream, ub_bytes));
}

int32_t __wrap_AscendDevBinaryLazyRegister(const char* binary, size_t bytes, void** handle) {
  return registered(call(__real_AscendDevBinaryLazyRegister, binary, bytes, handle));
}

int32_t __wrap_AscendGetFuncFromBinary(void* binary, const char* name, void** function) {
  const int32_t status = call(__real_AscendGetFuncFromBinary, binary, name, function);
  return status == 0 ? 0 : launched(status);
}

int32_t __wrap_AscendLaunchKernelWithHostArgs(void* function, uint32_t blocks, void* stream, void* args, size_t bytes,
                                              uint32_t ub_bytes) {
  return launched(call(__real_AscendLaunchKernelWithHostArgs, function, blocks, stream, args, bytes, ub_bytes));
}

}  // extern "C"
