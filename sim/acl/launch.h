// A kernel as a task of a stream: it runs on the simulator, on the memory of the stream's device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "acl/stream.h"

namespace ascend_sim {
namespace acl {

struct Launch {
  std::string kernel, type, file;
  uint32_t line = 0, blocks = 0;
  int32_t device = 0, stream = 0;
  int64_t thread = 0;      // that queued it
  uint32_t aic_cores = 0;  // that it may use when it runs
  std::vector<std::vector<uint8_t>> args;

  Outcome Run() const;
};

// Kernels that this thread has queued so far.
uint64_t& QueuedByThisThread();

// Appends a line to the file of ASCEND_SIM_REPORT, where there is one.
void WriteReport(const std::string& line);

}  // namespace acl
}  // namespace ascend_sim
