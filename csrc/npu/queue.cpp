#include "queue.h"

#include "loader.h"
#include "problem.h"
#ifdef TRIANGLE_NPU_OPCOMMAND
#include "opcommand/run_op_api.h"
#endif

// at::Context& at::globalContext(); bool at::Context::deterministicAlgorithms() const. Weak: null where they are gone.
extern "C" {
__attribute__((weak)) void* triangle_global_context() __asm__("_ZN2at13globalContextEv");
__attribute__((weak)) bool triangle_is_deterministic(const void* context) __asm__(
    "_ZNK2at7Context23deterministicAlgorithmsEv");
}

namespace triangle::npu {

void queue(const char* direction, int32_t device_index, std::function<int32_t(void* stream)> launch) {
#ifdef TRIANGLE_NPU_OPCOMMAND
  run_op_api(direction, device_index, std::move(launch));
#else
  const int32_t code = launch(current_stream(device_index));
  check(code == 0, "npu: the launch of the ", direction, " kernel failed: ", code == 0 ? "" : acl_error_text(code));
#endif
}

bool deterministic_algorithms() {
  if (triangle_global_context == nullptr || triangle_is_deterministic == nullptr) return true;
  return triangle_is_deterministic(triangle_global_context());
}

}  // namespace triangle::npu
