// What the NPU kernels do not do, of what the operator allows. One place for the operator and for the simulator's
// Python entries (triangle_attn_op/sim/attention.py), which reach it through C.
#pragma once
#include <cstdint>
#include <string>

namespace triangle::npu {

// "" where the kernels do it, else the message, which names the argument. dtype as in "torch.float16".
std::string unsupported(const std::string& dtype, int64_t dim, int64_t dim_v, double dropout_p);

}  // namespace triangle::npu
