// What the NPU backend finds at run time, at the first call on an NPU and never at import: the library of the kernels'
// launches, torch_npu, the chip and the CANN that run.
//
//   TRIANGLE_ATTN_NPU_LIBRARY   path of libtriangle_attn_npu.so; by default lib/libtriangle_attn_npu.so beside the
//                               extension
#pragma once
#include <cstdint>
#include <string>

#include "op_kernel/launch.h"

namespace triangle::npu {

struct Runtime {
  std::string soc;      // "Ascend910B2"
  std::string backend;  // "npu/Ascend910B2", for last_backend()
  std::string build;    // what triangle_npu_build() says
  decltype(&triangle_npu_forward) forward = nullptr;
  decltype(&triangle_npu_backward) backward = nullptr;
  decltype(&triangle_npu_cache) cache = nullptr;
};

// Loads and checks everything once; an error names what is missing and what to do, and the next call tries again.
const Runtime& runtime();

// "ACL error 507018: <what the runtime says about it>".
std::string acl_error_text(int32_t code);

}  // namespace triangle::npu
