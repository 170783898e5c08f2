// Elements between memory and arithmetic. Every operator computes in one of three types, into which rows of any dtype
// are loaded and from which they are stored with one rounding: float for fp32, fp16 and bf16, double for fp64, int64
// for integers and bool.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "acl/opapi/view.h"

namespace ascend_sim {
namespace opapi {

// Calls f with a value of the type that computes `type`.
template <class F>
void WithCompute(DType type, F f) {
  if (type == DType::kF64) {
    f(double{});
  } else if (IsFloating(type)) {
    f(float{});
  } else {
    f(int64_t{});
  }
}
// The same for operators that only exist for floating point: integers compute as fp32.
template <class F>
void WithFloating(DType type, F f) {
  if (type == DType::kF64) {
    f(double{});
  } else {
    f(float{});
  }
}

// From memory to arithmetic and back. Floating to integer truncates and saturates, NaN gives 0; integer to narrower
// integer wraps; anything but 0 is true.
template <class To, class From>
To Convert(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, Bf16>) {
    return Convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, Bf16>) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From(0);
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if (std::isnan(value)) return 0;
    if (value <= static_cast<From>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (value >= static_cast<From>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

// n elements from p on, stride elements apart.
template <class C>
void LoadRow(DType type, const char* p, int64_t stride, int64_t n, C* to);
template <class C>
void StoreRow(DType type, char* p, int64_t stride, int64_t n, const C* from);

// The rows that together cover views of the same sizes, in order of their elements.
class Walker {
 public:
  static constexpr size_t kMost = 4;
  Walker(const View* views, size_t count);
  // The next row: p[v] is its first element in view v.
  bool Next(char** p);
  int64_t Length() const { return axes_[0].size; }
  const int64_t* Strides() const { return axes_[0].strides; }  // of a row's elements in each view

 private:
  struct Axis {
    int64_t size;
    int64_t strides[kMost];
  };
  const View* views_;
  size_t count_;
  std::vector<Axis> axes_;  // innermost first; neighbours that are one run in every view are merged
  std::vector<int64_t> index_;
  bool done_ = false;
};

// Calls row(p, strides, n) for all of them.
template <size_t kViews, class Row>
void Walk(const View (&views)[kViews], Row row) {
  static_assert(kViews <= Walker::kMost, "too many views");
  Walker walker(views, kViews);
  char* p[kViews];
  while (walker.Next(p)) row(p, walker.Strides(), walker.Length());
}

// out[i] = f(in[i]...), all views of the same sizes; the result is rounded once, to out's dtype. C computes the inputs.
// out may be one of the inputs.
template <class C, class F, class... In>
void Map(F f, const View& out, const In&... in) {
  constexpr size_t kIn = sizeof...(In);
  constexpr int64_t kChunk = 512;
  using R = decltype(f((static_cast<void>(in), C{})...));
  using Result = std::conditional_t<std::is_same_v<R, bool>, int64_t, R>;
  const View views[kIn + 1] = {out, in...};
  Walk(views, [&](char* const* p, const int64_t* strides, int64_t n) {
    C values[kIn == 0 ? 1 : kIn][kChunk];
    Result results[kChunk];
    for (int64_t start = 0; start < n; start += kChunk) {
      const int64_t length = std::min(kChunk, n - start);
      for (size_t v = 0; v < kIn; ++v) {
        const View& view = views[v + 1];
        LoadRow(view.type, p[v + 1] + start * strides[v + 1] * static_cast<int64_t>(BytesOf(view.type)), strides[v + 1],
                length, values[v]);
      }
      for (int64_t i = 0; i < length; ++i) {
        if constexpr (kIn == 0) {
          results[i] = f();
        } else if constexpr (kIn == 1) {
          results[i] = f(values[0][i]);
        } else if constexpr (kIn == 2) {
          results[i] = f(values[0][i], values[1][i]);
        } else if constexpr (kIn == 3) {
          results[i] = f(values[0][i], values[1][i], values[2][i]);
        } else {
          static_assert(kIn < 4, "Map takes up to three inputs");
        }
      }
      StoreRow(out.type, p[0] + start * strides[0] * static_cast<int64_t>(BytesOf(out.type)), strides[0], length,
               results);
    }
  });
}

// All elements in order of their indices, and back.
template <class C>
std::vector<C> Load(const View& view) {
  std::vector<C> values(static_cast<size_t>(view.Count()));
  C* next = values.data();
  const View views[1] = {view};
  Walk(views, [&](char* const* p, const int64_t* strides, int64_t n) {
    LoadRow(view.type, p[0], strides[0], n, next);
    next += n;
  });
  return values;
}
template <class C>
void Store(const View& view, const std::vector<C>& values) {
  const C* next = values.data();
  const View views[1] = {view};
  Walk(views, [&](char* const* p, const int64_t* strides, int64_t n) {
    StoreRow(view.type, p[0], strides[0], n, next);
    next += n;
  });
}

// Copies with conversion; values keep every bit that the destination's dtype can hold.
inline void Copy(const View& to, const View& from) {
  WithCompute(from.type, [&](auto compute) {
    using C = decltype(compute);
    Map<C>([](C x) { return x; }, to, from);
  });
}

}  // namespace opapi
}  // namespace ascend_sim
