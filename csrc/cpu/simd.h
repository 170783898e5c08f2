// Vectors of one instruction set: loads, fused multiply-add, conversions. The file is compiled once per instruction set
// with TRIANGLE_ISA naming it; everything lives in a namespace of that name, so that no inline function is shared
// between objects compiled with different flags.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#ifndef TRIANGLE_ISA
#error "define TRIANGLE_ISA as avx512_bf16, avx512, avx2, neon or portable"
#endif

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define TRIANGLE_INLINE inline __attribute__((always_inline))

namespace triangle::cpu::TRIANGLE_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(1), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr int kLanes = kVectorBytes / int(sizeof(T));

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = int32_t;
};
template <>
struct IntOf<double> {
  using type = int64_t;
};
template <class T>
using IntVector = Vector<typename IntOf<T>::type>;

template <class T>
TRIANGLE_INLINE Vector<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::unaligned*>(p);
}
template <class T>
TRIANGLE_INLINE void store(T* p, Vector<T> v) {
  *reinterpret_cast<typename VectorOf<T>::unaligned*>(p) = v;
}
template <class T>
TRIANGLE_INLINE Vector<T> splat(T x) {
  return x - Vector<T>{};  // x - 0 keeps -0 and NaN, and compiles to one broadcast
}

// a * b + c: one rounding where the hardware has it; two on the portable target, the same everywhere on it.
TRIANGLE_INLINE Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}
TRIANGLE_INLINE Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__ARM_NEON)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}
// a > b ? a : b, lane by lane.
TRIANGLE_INLINE Vector<float> maximum(Vector<float> a, Vector<float> b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
TRIANGLE_INLINE Vector<double> maximum(Vector<double> a, Vector<double> b) {
#if defined(__AVX512F__)
  return _mm512_max_pd(a, b);
#elif defined(__AVX2__)
  return _mm256_max_pd(a, b);
#else
  return a > b ? a : b;
#endif
}

// a < b ? a : b, lane by lane.
TRIANGLE_INLINE Vector<float> minimum(Vector<float> a, Vector<float> b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}
TRIANGLE_INLINE Vector<double> minimum(Vector<double> a, Vector<double> b) { return a < b ? a : b; }

// Lane i of the result is index + i.
template <class T>
TRIANGLE_INLINE IntVector<T> indices(int index) {
  using I = typename IntOf<T>::type;
  IntVector<T> v;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) v[i] = I(i);
  return v + I(index);
}

namespace detail {
// Lane i of the result is lane index[i] of the two vectors, one after the other. GCC knows clang's builtin from 12 on.
template <int... index, class V>
TRIANGLE_INLINE V shuffle(V a, V b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, index...);
#else
  using Lane = std::conditional_t<sizeof(a[0]) == 2, int16_t, std::conditional_t<sizeof(a[0]) == 4, int32_t, int64_t>>;
  return __builtin_shuffle(a, b, Vector<Lane>{Lane(index)...});
#endif
}
template <int kHalf, int... i, class V>
TRIANGLE_INLINE V interleave(V a, V b, std::integer_sequence<int, i...>) {
  constexpr int n = sizeof...(i);
  return shuffle<(i % 2 * n + i / 2 + kHalf * (n / 2))...>(a, b);
}
template <int... i, class V>
TRIANGLE_INLINE V interleave_halves(V a, std::integer_sequence<int, i...>) {
  return shuffle<(i % 2 * (int(sizeof...(i)) / 2) + i / 2)...>(a, a);
}
template <int kDistance, int... i, class V>
TRIANGLE_INLINE V rotate(V a, std::integer_sequence<int, i...>) {
  return shuffle<((i + kDistance) % int(sizeof...(i)))...>(a, a);
}
}  // namespace detail

// In-register transpose of a square: log2(lanes) rounds of interleaving row i with row i + lanes / 2.
template <class T>
TRIANGLE_INLINE void transpose(Vector<T> (&row)[kLanes<T>]) {
  constexpr int n = kLanes<T>;
  using Sequence = std::make_integer_sequence<int, n>;
#pragma GCC unroll 4
  for (int round = 1; round < n; round *= 2) {
    Vector<T> next[n];
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i) {
      next[2 * i] = detail::interleave<0>(row[i], row[i + n / 2], Sequence{});
      next[2 * i + 1] = detail::interleave<1>(row[i], row[i + n / 2], Sequence{});
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) row[i] = next[i];
  }
}

#if defined(__AVX512F__)
// The same with shuffles that need no index vectors: squares of 4 x 4 inside 128-bit lanes, then the lanes themselves.
template <>
TRIANGLE_INLINE void transpose<float>(Vector<float> (&row)[16]) {
  __m512 u[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(row[i], row[i + 1]), b = _mm512_unpackhi_ps(row[i], row[i + 1]);
    const __m512 c = _mm512_unpacklo_ps(row[i + 2], row[i + 3]), d = _mm512_unpackhi_ps(row[i + 2], row[i + 3]);
    u[i] = (__m512)_mm512_unpacklo_pd((__m512d)a, (__m512d)c);
    u[i + 1] = (__m512)_mm512_unpackhi_pd((__m512d)a, (__m512d)c);
    u[i + 2] = (__m512)_mm512_unpacklo_pd((__m512d)b, (__m512d)d);
    u[i + 3] = (__m512)_mm512_unpackhi_pd((__m512d)b, (__m512d)d);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 a = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xDD);
    const __m512 c = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88),
                 d = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xDD);
    row[j] = _mm512_shuffle_f32x4(a, c, 0x88);
    row[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
    row[8 + j] = _mm512_shuffle_f32x4(a, c, 0xDD);
    row[12 + j] = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
}
#elif defined(__AVX2__)
template <>
TRIANGLE_INLINE void transpose<float>(Vector<float> (&row)[8]) {
  __m256 u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(row[i], row[i + 1]), b = _mm256_unpackhi_ps(row[i], row[i + 1]);
    const __m256 c = _mm256_unpacklo_ps(row[i + 2], row[i + 3]), d = _mm256_unpackhi_ps(row[i + 2], row[i + 3]);
    u[i] = (__m256)_mm256_unpacklo_pd((__m256d)a, (__m256d)c);
    u[i + 1] = (__m256)_mm256_unpackhi_pd((__m256d)a, (__m256d)c);
    u[i + 2] = (__m256)_mm256_unpacklo_pd((__m256d)b, (__m256d)d);
    u[i + 3] = (__m256)_mm256_unpackhi_pd((__m256d)b, (__m256d)d);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    row[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
    row[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
  }
}
#endif

// Folds a vector to one value by halves: lane i with lane i + n / 2, then n / 4, and so on.
template <class T, class Op, int kDistance = kLanes<T> / 2>
TRIANGLE_INLINE T fold(Vector<T> v, Op op) {
  if constexpr (kDistance == 0) {
    return v[0];
  } else {
    return fold<T, Op, kDistance / 2>(op(v, detail::rotate<kDistance>(v, std::make_integer_sequence<int, kLanes<T>>{})),
                                      op);
  }
}
template <class T>
TRIANGLE_INLINE T fold_max(Vector<T> v) {
  return fold<T>(v, [](Vector<T> a, Vector<T> b) __attribute__((always_inline)) { return maximum(a, b); });
}
template <class T>
TRIANGLE_INLINE T fold_sum(Vector<T> v) {
  return fold<T>(v, [](Vector<T> a, Vector<T> b) __attribute__((always_inline)) { return a + b; });
}

template <class N>
TRIANGLE_INLINE constexpr N smaller(N a, N b) {
  return b < a ? b : a;
}
template <class N>
TRIANGLE_INLINE constexpr N larger(N a, N b) {
  return a < b ? b : a;
}

}  // namespace triangle::cpu::TRIANGLE_ISA
