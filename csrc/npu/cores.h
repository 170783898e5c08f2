// How many AI cores a launch may use. A kernel waits for all cores of its launch, so asking for more than there are
// hangs: the figure is asked for at every call, because it can change.
#pragma once
#include <cstdint>

namespace triangle::npu {

// What CANN allows a kernel on `stream` of the device, whose context is current: the stream's limit
// (torch.npu.set_stream_limit), else the device's (set_device_limit), else what the chip, or the part of it that a
// virtual NPU is, has. Each AI core is one cube core with two vector cores. At most what a tiling holds.
int64_t ai_cores(int32_t device_index, void* stream);

}  // namespace triangle::npu
