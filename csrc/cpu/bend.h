// What bends a score between the product and its mask, in this order:
//   s = softcap * tanh(s / softcap)      (Gemma Team, "Gemma 2", 2024)
//   s = s - slope * (p - key)            (Press et al., "Train Short, Test Long" (ALiBi), 2022)
// with p the row's position: a visible key is never right of it, so p - key is |p - key|.
#pragma once
#include "csrc/cpu/exp.h"
#include "csrc/cpu/kernels.h"

namespace triangle::cpu::TRIANGLE_ISA {

// An odd rational function, minimax in relative error over [-9.05, 9.05] (2e-8 before rounding), beyond which tanh is 1
// to fp32. Error at most 6 ulp (sampled: see tests/cpp), most of it above 1, where an ulp is 6e-8; below 0.1 3 ulp.
// tanh(+-0) == +-0; +-inf gives +-1; NaN gives NaN.
TRIANGLE_INLINE Vector<float> tanh(Vector<float> x) {
  using V = Vector<float>;
  x = maximum(splat(-9.05f), minimum(splat(9.05f), x));  // in this order NaN stays
  const V u = x * x;
  V p = splat(0x1.c7c3dap-27f);
  p = fma(p, u, splat(0x1.58ac66p-16f));
  p = fma(p, u, splat(0x1.c9a828p-9f));
  p = fma(p, u, splat(0x1.11f9b6p-3f));
  p = fma(p, u, splat(1.0f));
  V q = splat(0x1.9f859cp-21f);
  q = fma(q, u, splat(0x1.57d8ecp-12f));
  q = fma(q, u, splat(0x1.a7b904p-6f));
  q = fma(q, u, splat(0x1.de5224p-2f));
  q = fma(q, u, splat(1.0f));
  return x * p / q;
}

// Below 0.6 the continued fraction x / (1 + u / (3 + u / (5 + ...))), u = x^2, to its eighth level (4e-18 there),
// above by exp. Error at most 4 ulp.
TRIANGLE_INLINE Vector<double> tanh(Vector<double> x) {
  using V = Vector<double>;
  const V size = x < V{} ? -x : x;
  const V u = x * x;
  V p = splat(36.0);
  p = fma(p, u, splat(6930.0));
  p = fma(p, u, splat(270270.0));
  p = fma(p, u, splat(2027025.0));
  V q = u + splat(630.0);
  q = fma(q, u, splat(51975.0));
  q = fma(q, u, splat(945945.0));
  q = fma(q, u, splat(2027025.0));
  const V far = splat(1.0) - splat(2.0) / (exp(size + size) + splat(1.0));
  return size < splat(0.6) ? x * p / q : x < V{} ? -far : far;
}

// The bend of one row's scores of the block of keys that begins at key0. Without softcap and slope it is nothing.
template <class T, bool kCap, bool kSlope>
struct Bend {
  using V = Vector<T>;
  static constexpr bool kCapped = kCap, kAny = kCap || kSlope;
  V cap, inverse, slope, distance;  // distance: from the keys of lanes 0, 1, ... to the row's position

  template <class R>
  TRIANGLE_INLINE Bend(const Common& common, const R& row, int64_t key0) {
    if constexpr (kCap) {
      cap = splat(T(common.softcap));
      inverse = splat(T(1.0 / common.softcap));
    }
    if constexpr (kSlope) {
      slope = splat(T(row.slope));
      V lane{};
      for (int i = 0; i < kLanes<T>; ++i) lane[i] = T(i);
      distance = splat(T(row.position - double(key0))) - lane;
    }
  }

  // Scores of columns c, c + 1, ... of the block.
  TRIANGLE_INLINE V operator()(V s, int c) const {
    V derivative;
    return with_derivative(s, c, derivative);
  }
  // The same, and what a gradient of the bent score is multiplied by.
  TRIANGLE_INLINE V with_derivative(V s, int c, V& derivative) const {
    if constexpr (kCap) {
      const V t = tanh(s * inverse);
      derivative = fma(-t, t, splat(T(1)));
      s = t * cap;
    }
    if constexpr (kSlope) s = fma(-slope, distance - splat(T(c)), s);
    return s;
  }
};

// f(Bend type) for what the problem has.
template <class T, class F>
TRIANGLE_INLINE auto with_bend(const Common& common, F f) {
  if (common.softcap == 0) return common.alibi ? f((Bend<T, false, true>*)nullptr) : f((Bend<T, false, false>*)nullptr);
  return common.alibi ? f((Bend<T, true, true>*)nullptr) : f((Bend<T, true, false>*)nullptr);
}

}  // namespace triangle::cpu::TRIANGLE_ISA
