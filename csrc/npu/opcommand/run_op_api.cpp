#include "run_op_api.h"

#include <string>

#include "torch_npu/csrc/core/npu/NPUStream.h"
#include "torch_npu/csrc/framework/OpCommand.h"

namespace triangle::npu {

void run_op_api(const char* direction, int32_t device_index, std::function<int32_t(void* stream)> launch) {
  // stream(false) does not drain the queue: the launch keeps its place in it.
  void* stream = c10_npu::getCurrentNPUStream(static_cast<c10::DeviceIndex>(device_index)).stream(false);
  const std::string name = std::string("triangle_attn_") + direction;
  at_npu::native::OpCommand::RunOpApiV2(name, [launch = std::move(launch), stream]() -> int { return launch(stream); });
}

}  // namespace triangle::npu
