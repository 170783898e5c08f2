// The launch of CANN 8.1 to 8.3: by the function that ascendc_library generates. Whether the kernel's binary was
// registered is watched as in op_kernel/launch_ascendc_library.h.
#pragma once
#include <stddef.h>

// The generated header names it without declaring it.
struct TriangleMeasureWords;

#include "aclrtlaunch_triangle_measure.h"
#include "words.h"

#define TRIANGLE_LAUNCH_WAY "ascendc_library"

namespace {
int32_t registration = 500000;  // ACL_ERROR_INTERNAL_ERROR, until a constructor of the generated code has registered
}  // namespace
extern "C" {
uint32_t __real_RegisterAscendBinary(const char* binary, size_t bytes, uint32_t type, void** handle);
uint32_t __wrap_RegisterAscendBinary(const char* binary, size_t bytes, uint32_t type, void** handle) {
  const uint32_t status = __real_RegisterAscendBinary(binary, bytes, type, handle);
  registration = static_cast<int32_t>(status);
  return status;
}
}

namespace {

int32_t queue_measure(uint32_t cores, void* memory, TriangleMeasureWords words, void* stream) {
  if (registration != 0) return registration;
  return static_cast<int32_t>(aclrtlaunch_triangle_measure(cores, stream, memory, &words));
}

}  // namespace
