// Capture into a graph (torch.npu.NPUGraph), during which the host may neither wait for the device nor read from it.
#pragma once
#include <cstdint>

#include "process.h"

namespace triangle::npu {

// Whether what is queued on the stream goes into a graph instead of to the device. False in a CANN without graphs.
inline bool capturing(void* stream) {
  // aclmdlRICaptureGetInfo(aclrtStream, aclmdlRICaptureStatus*, aclmdlRI*); 1 is ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE.
  static auto* const ask = acl<int32_t(void*, int*, void**)>("aclmdlRICaptureGetInfo");
  int status = 0;
  void* graph = nullptr;
  return ask != nullptr && ask(stream, &status, &graph) == 0 && status == 1;
}

}  // namespace triangle::npu
