// How a launch gets onto the current stream, and torch's global setting that the launches depend on.
//
//   TRIANGLE_ATTN_NPU_LAUNCH=drain   launches from the calling thread, as where torch_npu has no host queue
#pragma once
#include <cstdint>
#include <functional>

namespace triangle::npu {

// The current stream of a device, and the way onto it.
class LaunchQueue {
 public:
  explicit LaunchQueue(int32_t device_index);

  void* stream() const { return stream_; }  // an aclrtStream

  // Runs `launch` with the stream, in order with torch_npu's own operators: inside its host queue, as they run
  // themselves, so that neither waits for the other. An error then comes with a later call, as theirs do. Until the
  // process's first launch has succeeded, a call waits for the host queue and throws: kernels that CANN refuses stop
  // the call that wanted them, not the queue. `launch` owns what it needs and returns 0 or an aclError.
  //
  // Where this torch_npu's queue cannot be reached, or on request, the queue is drained at each call and `launch` runs
  // on the calling thread; the former is said once, as a warning.
  void launch(const char* direction, std::function<int32_t(void* stream)> launch) const;

 private:
  int32_t device_index_;
  bool in_host_queue_;
  void* stream_;
};

// torch.are_deterministic_algorithms_enabled(). The stable ABI has no function for it: this asks libtorch by the two
// C++ names that have carried it since torch 1.7, and where they should be gone says true, the setting that is always
// right and only slower.
bool deterministic_algorithms();

}  // namespace triangle::npu
