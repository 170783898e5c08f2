// Launches inside torch_npu's host queue (the CMake option TRIANGLE_NPU_OPCOMMAND): the one source of the extension
// that is compiled against torch_npu's C++ headers, and so against one version of it.
#pragma once
#include <cstdint>
#include <functional>

namespace triangle::npu {

void run_op_api(const char* direction, int32_t device_index, std::function<int32_t(void* stream)> launch);

}  // namespace triangle::npu
