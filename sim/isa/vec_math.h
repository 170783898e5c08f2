// Arithmetic of vector lanes. Half computes in float and rounds once per operation; integers wrap. NaN wins in Max and
// Min. Loops are plain so that they vectorise; a destination may equal a source, never overlap it in part.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/types.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

constexpr uint32_t kChunk = 256;  // elements converted at a time

inline void LoadHalf(const Half* from, float* to, uint32_t n) {
  uint32_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
#endif
  for (; i < n; ++i) to[i] = HalfToFloat(from[i].bits);
}

// Control bit 48 set: inf -> +-65504, NaN -> 0.
inline uint16_t SaturateHalf(uint16_t bits) {
  if ((bits & 0x7c00u) != 0x7c00u) return bits;
  return (bits & 0x3ffu) != 0 ? 0 : static_cast<uint16_t>((bits & 0x8000u) | 0x7bffu);
}

inline void StoreHalf(const float* from, Half* to, uint32_t n, bool saturate) {
  uint32_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
  }
#endif
  for (; i < n; ++i) to[i].bits = FloatToHalf(from[i]);
  if (saturate) {
    for (i = 0; i < n; ++i) to[i].bits = SaturateHalf(to[i].bits);
  }
}

// The type lanes compute in.
template <class T>
using LaneType = std::conditional_t<std::is_same<T, Half>::value, float, T>;

// Lanes as numbers to compute with, Half as float; and back.
template <class T, class L>
inline void LoadLanes(const T* from, L* to, uint32_t n) {
  if constexpr (std::is_same<T, Half>::value) {
    LoadHalf(from, to, n);
  } else {
    std::copy(from, from + n, to);
  }
}
template <class T, class L>
inline void StoreLanes(const L* from, T* to, uint32_t n, bool saturate) {
  if constexpr (std::is_same<T, Half>::value) {
    StoreHalf(from, to, n, saturate);
  } else {
    std::copy(from, from + n, to);
  }
}

// to[i] = f(a[i]), f on LaneType.
template <class To, class A, class F>
inline void MapLanes(To* to, const A* a, uint32_t n, bool saturate, F f) {
  if constexpr (!std::is_same<To, Half>::value && !std::is_same<A, Half>::value) {
#pragma GCC ivdep
    for (uint32_t i = 0; i < n; ++i) to[i] = f(a[i]);
  } else {
    float x[kChunk];
    LaneType<To> y[kChunk];
    for (uint32_t base = 0; base < n; base += kChunk) {
      const uint32_t m = std::min(kChunk, n - base);
      LoadLanes(a + base, x, m);
      for (uint32_t i = 0; i < m; ++i) y[i] = f(x[i]);
      StoreLanes(y, to + base, m, saturate);
    }
  }
}

// to[i] = f(a[i], b[i]).
template <class To, class A, class B, class F>
inline void MapLanes(To* to, const A* a, const B* b, uint32_t n, bool saturate, F f) {
  if constexpr (!std::is_same<To, Half>::value && !std::is_same<A, Half>::value && !std::is_same<B, Half>::value) {
#pragma GCC ivdep
    for (uint32_t i = 0; i < n; ++i) to[i] = f(a[i], b[i]);
  } else {
    float x[kChunk], y[kChunk], z[kChunk];
    for (uint32_t base = 0; base < n; base += kChunk) {
      const uint32_t m = std::min(kChunk, n - base);
      LoadLanes(a + base, x, m);
      LoadLanes(b + base, y, m);
      for (uint32_t i = 0; i < m; ++i) z[i] = f(x[i], y[i]);
      StoreLanes(z, to + base, m, saturate);
    }
  }
}

// to[i] = f(a[i], b[i], to[i]): sources of one type A, a destination that is read as well.
template <class To, class A, class F>
inline void UpdateLanes(To* to, const A* a, const A* b, uint32_t n, bool saturate, F f) {
  float x[kChunk], y[kChunk], z[kChunk];
  for (uint32_t base = 0; base < n; base += kChunk) {
    const uint32_t m = std::min(kChunk, n - base);
    LoadLanes(a + base, x, m);
    LoadLanes(b + base, y, m);
    LoadLanes(to + base, z, m);
    for (uint32_t i = 0; i < m; ++i) z[i] = f(x[i], y[i], z[i]);
    StoreLanes(z, to + base, m, saturate);
  }
}

// The instruction's dst = f(src), elements of T.
template <class T, class Instruction, class F>
inline void MapRuns(const Instruction& i, const Exec& exec, F f) {
  const VecWalk* const walks[2] = {&i.dst, &i.src};
  const uint32_t bytes[2] = {sizeof(T), sizeof(T)};
  ForEachRun(i.shape, kRepeatBytes / sizeof(T), walks, bytes, [&](const VecRun<2>& run) {
    MapLanes(exec.At<T>(i.dst.t, run.offset[0]), exec.At<const T>(i.src.t, run.offset[1]), run.count, i.shape.saturate,
             f);
  });
}

template <class T>
inline T WrapAdd(T a, T b) {
  if constexpr (std::is_integral<T>::value) return static_cast<T>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  return a + b;
}
template <class T>
inline T WrapSub(T a, T b) {
  if constexpr (std::is_integral<T>::value) return static_cast<T>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
  return a - b;
}
template <class T>
inline T WrapMul(T a, T b) {
  if constexpr (std::is_integral<T>::value) return static_cast<T>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b));
  return a * b;
}
template <class T>
inline T MaxOf(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
inline T MinOf(T a, T b) {
  return a < b || a != a ? a : b;
}

// A scalar argument of the API, kept as the bytes of its own type.
template <class T>
inline uint64_t ScalarBits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
inline T ScalarFrom(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace ascend_sim
