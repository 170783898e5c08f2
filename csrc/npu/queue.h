// How a launch gets onto the current stream, and torch's global setting that the launches depend on.
#pragma once
#include <cstdint>
#include <functional>

namespace triangle::npu {

// Calls `launch` with the current stream of the device; an error of it throws, with CANN's words.
//
// By default at once, after torch_npu has launched what waits in its host queue (TASK_QUEUE_ENABLE): so it is in order,
// and the binary depends on no C++ of torch_npu. Built with TRIANGLE_NPU_OPCOMMAND, the launch itself waits in that
// queue, which spares the drain; errors then come with a later call, as for torch_npu's own operators.
void queue(const char* direction, int32_t device_index, std::function<int32_t(void* stream)> launch);

// torch.are_deterministic_algorithms_enabled(). The stable ABI has no function for it: this asks libtorch by the two
// C++ names that have carried it since torch 1.7, and where they should be gone says true, the setting that is always
// right and only slower.
bool deterministic_algorithms();

}  // namespace triangle::npu
