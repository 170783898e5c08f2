// Shapes, strides and dtypes of views.
#include "acl/opapi/view.h"

namespace ascend_sim {
namespace opapi {

int64_t View::Count() const { return Product(sizes); }

int64_t Product(const Dims& dims) {
  int64_t product = 1;
  for (int64_t size : dims) product *= size;
  return product;
}

std::string ToString(const Dims& dims) {
  std::string text = "[";
  for (size_t d = 0; d < dims.size(); ++d) text += (d ? ", " : "") + std::to_string(dims[d]);
  return text + "]";
}

Dims Contiguous(const Dims& sizes) {
  Dims strides(sizes.size(), 1);
  for (int64_t d = static_cast<int64_t>(sizes.size()) - 2; d >= 0; --d) strides[d] = strides[d + 1] * sizes[d + 1];
  return strides;
}

bool IsFloating(DType type) {
  return type == DType::kF16 || type == DType::kBf16 || type == DType::kF32 || type == DType::kF64;
}

DType Promote(DType a, DType b) {
  if (a == b) return a;
  if (IsFloating(a) != IsFloating(b)) return IsFloating(a) ? a : b;
  if (IsFloating(a)) {
    if (a == DType::kF64 || b == DType::kF64) return DType::kF64;
    return DType::kF32;  // fp32 with a 16-bit type, or the two 16-bit types
  }
  if (a == DType::kBool) return b;
  if (b == DType::kBool) return a;
  if (BytesOf(a) != BytesOf(b)) {
    const DType wide = BytesOf(a) > BytesOf(b) ? a : b;
    return wide;
  }
  return DType::kI16;  // int8 with uint8
}

int64_t WrapDim(int64_t dim, int64_t rank) {
  rank = std::max<int64_t>(rank, 1);
  if (dim < -rank || dim >= rank) return -1;
  return dim < 0 ? dim + rank : dim;
}

bool Broadcast(const Dims& a, const Dims& b, Dims* result) {
  const size_t rank = std::max(a.size(), b.size());
  Dims sizes(rank);
  for (size_t d = 0; d < rank; ++d) {  // counted from the last dimension
    const int64_t x = d < a.size() ? a[a.size() - 1 - d] : 1;
    const int64_t y = d < b.size() ? b[b.size() - 1 - d] : 1;
    if (x != y && x != 1 && y != 1) return false;
    sizes[rank - 1 - d] = x == 1 ? y : x;
  }
  *result = sizes;
  return true;
}

View Expand(const View& view, const Dims& sizes) {
  View result = view;
  result.sizes = sizes;
  result.strides.assign(sizes.size(), 0);
  const size_t skip = sizes.size() - view.sizes.size();
  for (size_t d = 0; d < view.sizes.size(); ++d) {
    if (view.sizes[d] == sizes[skip + d]) result.strides[skip + d] = view.strides[d];
  }
  return result;
}

View Transpose(const View& view, int64_t a, int64_t b) {
  View result = view;
  std::swap(result.sizes[a], result.sizes[b]);
  std::swap(result.strides[a], result.strides[b]);
  return result;
}

View Permute(const View& view, const Dims& dims) {
  View result = view;
  result.sizes.clear();
  result.strides.clear();
  for (int64_t d : dims) {
    result.sizes.push_back(view.sizes[d]);
    result.strides.push_back(view.strides[d]);
  }
  return result;
}

View Select(const View& view, int64_t dim, int64_t index) {
  View result = Narrow(view, dim, index, 1);
  result.sizes.erase(result.sizes.begin() + dim);
  result.strides.erase(result.strides.begin() + dim);
  return result;
}

View Narrow(const View& view, int64_t dim, int64_t start, int64_t length) {
  View result = view;
  result.data = view.At(start * view.strides[dim]);
  result.sizes[dim] = length;
  return result;
}

View Unsqueeze(const View& view, int64_t dim) {
  View result = view;
  result.sizes.insert(result.sizes.begin() + dim, 1);
  result.strides.insert(result.strides.begin() + dim, 0);
  return result;
}

View DimLast(const View& view, int64_t dim) { return view.Rank() == 0 ? view : Transpose(view, dim, view.Rank() - 1); }

}  // namespace opapi
}  // namespace ascend_sim
