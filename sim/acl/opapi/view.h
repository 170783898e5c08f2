// A view of device memory (dtype, sizes, strides) and what operators do with views before they touch elements.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "acl/opapi/types.h"

namespace ascend_sim {
namespace opapi {

struct View {
  DType type = DType::kF32;
  Dims sizes, strides;   // strides in elements, 0 where broadcast
  char* data = nullptr;  // element [0, 0, ...]

  int64_t Rank() const { return static_cast<int64_t>(sizes.size()); }
  int64_t Count() const;
  char* At(int64_t element_offset) const { return data + element_offset * static_cast<int64_t>(BytesOf(type)); }
};

int64_t Product(const Dims& dims);
std::string ToString(const Dims& dims);  // "[2, 3]"
Dims Contiguous(const Dims& sizes);      // its strides

bool IsFloating(DType type);
// The dtype in which two operands meet, by PyTorch's rules for tensors (fp16 with bf16 gives fp32).
DType Promote(DType a, DType b);

// 0 <= result < rank for -rank <= dim < rank (a scalar counts as rank 1); -1 for others.
int64_t WrapDim(int64_t dim, int64_t rank);

// The common size of broadcast operands; false where they do not fit.
bool Broadcast(const Dims& a, const Dims& b, Dims* result);
// The view with these sizes, which it must broadcast to.
View Expand(const View& view, const Dims& sizes);
View Transpose(const View& view, int64_t a, int64_t b);
// The view with its dimensions in this order.
View Permute(const View& view, const Dims& dims);
View Select(const View& view, int64_t dim, int64_t index);
View Narrow(const View& view, int64_t dim, int64_t start, int64_t length);
View Unsqueeze(const View& view, int64_t dim);
// The view with `dim` last; a scalar stays what it is.
View DimLast(const View& view, int64_t dim);

}  // namespace opapi
}  // namespace ascend_sim
