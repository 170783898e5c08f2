// What is called of torch_npu, all of it found in the process by name: its current stream, its host queue of launches
// and the format of its tensors. Its C++ names are the same in every wheel from 2.7.1 to 2.14.0 (cp311, x86_64, looked
// up in 2.7.1, 2.9.0, 2.10.0, 2.10.0.post4, 2.13.0 and 2.14.0); the C function aoti_torch_get_current_npu_stream exists
// from 2.10.0.post4 on only.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "problem.h"

namespace triangle::npu {

// An error where torch_npu is not in the process, or is one without any way to its stream.
void check_torch_npu();

// Whether launches can go into torch_npu's host queue (OpCommand::RunOpApiV2).
bool has_host_queue();

// torch_npu's current stream of a device (an aclrtStream); null is ACL's default stream of the current context, which
// an external stream may be. drained: what waits in the host queue is launched first, so that a launch by the caller is
// in order; where the queue has failed torch_npu gives null for a stream that is none, which is an error here.
void* current_stream(int32_t device_index, bool drained);

// Runs `launch` in the host queue, behind what was queued before, on the queue's thread with the device set; at once
// and on this thread where torch_npu keeps no queue (TASK_QUEUE_ENABLE=0, ASCEND_LAUNCH_BLOCKING=1; the latter also
// waits for the device). `name` is what profilers show. Errors are torch_npu's, of this call or of a later one.
void run_in_host_queue(const std::string& name, const std::function<int()>& launch);

// The name of a tensor's format where its memory is not laid out as its strides say (npu_format_cast to NZ and so on),
// "" where it is.
std::string private_format(const Tensor& t);

}  // namespace triangle::npu
