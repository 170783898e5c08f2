// Rows of elements between memory and arithmetic, and the walk over them.
#include "acl/opapi/element.h"

namespace ascend_sim {
namespace opapi {

namespace {

// Calls f with a value of the type that `type` has in memory.
template <class F>
void WithStored(DType type, F f) {
  switch (type) {
    case DType::kF32:
      return f(float{});
    case DType::kF16:
      return f(Half{});
    case DType::kBf16:
      return f(Bf16{});
    case DType::kF64:
      return f(double{});
    case DType::kI8:
      return f(int8_t{});
    case DType::kU8:
      return f(uint8_t{});
    case DType::kI16:
      return f(int16_t{});
    case DType::kI32:
      return f(int32_t{});
    case DType::kI64:
      return f(int64_t{});
    case DType::kBool:
      return f(bool{});
    default:
      return;  // Call::In and Call::Out let no other through
  }
}

}  // namespace

template <class C>
void LoadRow(DType type, const char* p, int64_t stride, int64_t n, C* to) {
  WithStored(type, [&](auto stored) {
    using T = decltype(stored);
    const T* from = reinterpret_cast<const T*>(p);
    if constexpr (std::is_same_v<T, bool>) {  // a byte other than 0 or 1 is no bool in C++
      const uint8_t* bytes = reinterpret_cast<const uint8_t*>(p);
      for (int64_t i = 0; i < n; ++i) to[i] = static_cast<C>(bytes[i * stride] != 0);
    } else if (stride == 1) {
      for (int64_t i = 0; i < n; ++i) to[i] = Convert<C>(from[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i] = Convert<C>(from[i * stride]);
    }
  });
}
template <class C>
void StoreRow(DType type, char* p, int64_t stride, int64_t n, const C* from) {
  WithStored(type, [&](auto stored) {
    using T = decltype(stored);
    T* to = reinterpret_cast<T*>(p);
    if (stride == 1) {
      for (int64_t i = 0; i < n; ++i) to[i] = Convert<T>(from[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * stride] = Convert<T>(from[i]);
    }
  });
}

template void LoadRow(DType, const char*, int64_t, int64_t, float*);
template void LoadRow(DType, const char*, int64_t, int64_t, double*);
template void LoadRow(DType, const char*, int64_t, int64_t, int64_t*);
template void StoreRow(DType, char*, int64_t, int64_t, const float*);
template void StoreRow(DType, char*, int64_t, int64_t, const double*);
template void StoreRow(DType, char*, int64_t, int64_t, const int64_t*);

Walker::Walker(const View* views, size_t count) : views_(views), count_(count) {
  for (int64_t d = views[0].Rank() - 1; d >= 0; --d) {
    Axis axis{views[0].sizes[d], {}};
    if (axis.size == 0) done_ = true;
    if (axis.size == 1) continue;
    for (size_t v = 0; v < count; ++v) axis.strides[v] = views[v].strides[d];
    bool merged = !axes_.empty();
    for (size_t v = 0; v < count && merged; ++v) {
      merged = axis.strides[v] == axes_.back().strides[v] * axes_.back().size;
    }
    if (merged) {
      axes_.back().size *= axis.size;
    } else {
      axes_.push_back(axis);
    }
  }
  if (axes_.empty()) axes_.push_back(Axis{1, {}});
  index_.assign(axes_.size(), 0);
}

bool Walker::Next(char** p) {
  if (done_) return false;
  for (size_t v = 0; v < count_; ++v) {
    int64_t offset = 0;
    for (size_t a = 1; a < axes_.size(); ++a) offset += index_[a] * axes_[a].strides[v];
    p[v] = views_[v].At(offset);
  }
  size_t a = 1;
  while (a < axes_.size() && ++index_[a] == axes_[a].size) index_[a++] = 0;
  done_ = a >= axes_.size();
  return true;
}

}  // namespace opapi
}  // namespace ascend_sim
