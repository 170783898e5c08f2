// What CANN's profilers are told of a launch: the operator's name, its tensors' shapes and types.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>

#include "problem.h"

namespace triangle::npu {

using Launch = std::function<int32_t(void* stream)>;

// `launch` inside a range of msprof (aclprofRangePushEx, aclprofRangePop) that says triangle_attn_<kind>, its
// blocks and its tensors, absent ones (null) left out; `launch` itself where nobody profiles. Somebody does where
// libmsprofiler.so is in the process, which torch_npu's profiler loads, or where msprof started the process; CANN 9.0
// is the first to have the two functions. Their results are not looked at: a profiler that refuses stops no launch.
Launch profiled(const char* kind, int64_t blocks, std::initializer_list<const Tensor*> inputs,
                std::initializer_list<const Tensor*> outputs, Launch launch);

// The tensor, or null.
inline const Tensor* given(const OptTensor& t) { return t.has_value() ? &*t : nullptr; }

}  // namespace triangle::npu
