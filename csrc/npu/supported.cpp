#include "supported.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "op_host/tiling.h"

namespace triangle::npu {

std::string unsupported(const std::string& dtype, int64_t dim, int64_t dim_v, double dropout_p) {
  std::ostringstream message;
  if (dtype != "torch.float16" && dtype != "torch.bfloat16") {
    message << "q: expected float16 or bfloat16, the operand types of the cube at full rate, got " << dtype
            << "; float32 and float64 run on the CPU";
    return message.str();
  }
  for (const auto& [name, size] : {std::pair<const char*, int64_t>{"q", dim}, {"v", dim_v}}) {
    if (size < 1 || size > WideTile::kWidth) {
      message << name << ": expected a head dimension of 1 .. " << WideTile::kWidth << ", got " << size;
      return message.str();
    }
  }
  if (dropout_p > 0.0) {
    message << "dropout_p: not supported on the NPU yet, expected 0.0, got " << dropout_p;
  }
  return message.str();
}

}  // namespace triangle::npu

// The message's length without its terminator; what fits is copied.
extern "C" __attribute__((visibility("default"))) int triangle_npu_unsupported(const char* dtype, int64_t dim,
                                                                               int64_t dim_v, double dropout_p,
                                                                               char* buffer, int size) {
  const std::string text = triangle::npu::unsupported(dtype, dim, dim_v, dropout_p);
  if (buffer != nullptr && size > 0) {
    const size_t n = std::min(text.size(), static_cast<size_t>(size) - 1);
    std::memcpy(buffer, text.data(), n);
    buffer[n] = '\0';
  }
  return static_cast<int>(text.size());
}
