#include "queue.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "loader.h"
#include "problem.h"
#include "torch_npu.h"

// at::Context& at::globalContext(); bool at::Context::deterministicAlgorithms() const. Weak: null where they are gone.
extern "C" {
__attribute__((weak)) void* triangle_global_context() __asm__("_ZN2at13globalContextEv");
__attribute__((weak)) bool triangle_is_deterministic(const void* context) __asm__(
    "_ZNK2at7Context23deterministicAlgorithmsEv");
}

namespace triangle::npu {
namespace {

// What a launch came to. The text is CANN's for the thread that launched.
struct Outcome {
  int32_t code = -1;
  std::string text;
  std::atomic<bool> known{false};  // set last, by the thread that launched
};

void find_out(const std::function<int32_t(void*)>& launch, void* stream, Outcome* outcome) {
  outcome->code = launch(stream);
  if (outcome->code != 0) outcome->text = acl_error_text(outcome->code);
  outcome->known.store(true);
}

void check_launched(const char* direction, const Outcome& outcome) {
  check(outcome.code == 0, "npu: the launch of the ", direction, " kernel failed: ", outcome.text);
}

// Whether to launch inside torch_npu's host queue.
bool in_host_queue() {
  const char* wanted = std::getenv("TRIANGLE_ATTN_NPU_LAUNCH");
  if (wanted != nullptr && *wanted != '\0') {
    check(std::string(wanted) == "drain", "TRIANGLE_ATTN_NPU_LAUNCH: expected drain or nothing, got \"", wanted, "\"");
    return false;
  }
  if (has_host_queue()) return true;
  static const bool warned = [] {
    aoti_torch_warn("triangle_attn", "triangle_attn_op", 0,
                    "triangle_attn_op: npu: this torch_npu has no OpCommand::RunOpApiV2; every call first launches "
                    "what waits in its host queue, which costs host time");
    return true;
  }();
  static_cast<void>(warned);
  return false;
}

}  // namespace

LaunchQueue::LaunchQueue(int32_t device_index)
    : device_index_(device_index), in_host_queue_(in_host_queue()), stream_(current_stream(device_index, false)) {}

void LaunchQueue::launch(const char* direction, std::function<int32_t(void*)> launch) const {
  if (!in_host_queue_) {
    current_stream(device_index_, true);  // drains what was queued since the constructor, too
    Outcome outcome;
    find_out(launch, stream_, &outcome);
    check_launched(direction, outcome);
    return;
  }
  static std::atomic<bool> launched{false};
  const std::string name = std::string("triangle_attn_") + direction;
  // torch_npu copies the function into its queue: an address, not the tiling.
  const auto shared = std::make_shared<const std::function<int32_t(void*)>>(std::move(launch));
  if (launched.load()) {
    run_in_host_queue(name, [shared, stream = stream_]() -> int { return (*shared)(stream); });
    return;
  }
  const auto outcome = std::make_shared<Outcome>();
  run_in_host_queue(name, [shared, stream = stream_, outcome]() -> int {
    find_out(*shared, stream, outcome.get());
    return 0;  // the queue goes on
  });
  current_stream(device_index_, true);
  if (!outcome->known.load()) return;  // this torch_npu did not wait: the next call looks again
  check_launched(direction, *outcome);
  launched.store(true);
}

bool deterministic_algorithms() {
  if (triangle_global_context == nullptr || triangle_is_deterministic == nullptr) return true;
  return triangle_is_deterministic(triangle_global_context());
}

}  // namespace triangle::npu
