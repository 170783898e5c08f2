// Storage types: a vector of accumulators from, or to, consecutive fp32, bf16, fp16 or fp64 elements.
#pragma once
#include <cstring>

#include "csrc/cpu/attention.h"
#include "csrc/cpu/simd.h"

namespace triangle::cpu::TRIANGLE_ISA {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline int64_t storage_bytes(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 1;
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kFloat64:
      return 8;
    default:
      return 4;
  }
}

typedef uint16_t HalfVector __attribute__((vector_size(kVectorBytes / 2)));
typedef uint16_t HalfVectorUnaligned __attribute__((vector_size(kVectorBytes / 2), aligned(1), may_alias));
typedef uint32_t WordVector __attribute__((vector_size(kVectorBytes)));

TRIANGLE_INLINE HalfVector load_half(const void* p) { return *static_cast<const HalfVectorUnaligned*>(p); }

// One element of a user's tensor, which may begin at any byte.
template <class S>
TRIANGLE_INLINE S read(const S* p) {
  S x;
  std::memcpy(&x, p, sizeof x);
  return x;
}

TRIANGLE_INLINE float float_of(Float16 h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16;
  const uint32_t magnitude = uint32_t(h.bits & 0x7FFFu) << 13;
  float f;
  if (magnitude >= 0x0F800000u) {  // inf, NaN
    const uint32_t u = sign | 0x70000000u | magnitude;
    std::memcpy(&f, &u, 4);
    return f;
  }
  std::memcpy(&f, &magnitude, 4);
  f *= 0x1p112f;  // moves the exponent's bias from 15 to 127; exact, subnormals included
  uint32_t u;
  std::memcpy(&u, &f, 4);
  u |= sign;
  std::memcpy(&f, &u, 4);
  return f;
}
inline uint16_t half_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  const uint16_t sign = uint16_t(u >> 16 & 0x8000u);
  u &= 0x7FFFFFFFu;
  if (u > 0x7F800000u) return uint16_t(sign | 0x7E00u | (u >> 13 & 0x3FFu));
  if (u >= 0x477FF000u) return uint16_t(sign | 0x7C00u);  // rounds to infinity
  if (u < 0x38800000u) {                                  // subnormal: let the adder round at 2^-24
    float magnitude;
    std::memcpy(&magnitude, &u, 4);
    magnitude += 0.5f;
    std::memcpy(&u, &magnitude, 4);
    return uint16_t(sign | (u - 0x3F000000u));
  }
  return uint16_t(sign | ((u - 0x38000000u + 0xFFFu + (u >> 13 & 1u)) >> 13));
}

TRIANGLE_INLINE Vector<float> load_as(const float* p) { return load(p); }
TRIANGLE_INLINE Vector<double> load_as(const double* p) { return load(p); }
TRIANGLE_INLINE Vector<float> load_as(const BFloat16* p) {
#if defined(__AVX512F__)
  return (Vector<float>)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)load_half(p)), 16);
#else
  return (Vector<float>)(__builtin_convertvector(load_half(p), WordVector) << 16);
#endif
}
TRIANGLE_INLINE Vector<float> load_as(const Float16* p) {
#if defined(__AVX512F__)
  return _mm512_maskz_cvtph_ps(0xFFFF, (__m256i)load_half(p));  // the unmasked form warns under GCC 12
#elif defined(__AVX2__)
  return _mm256_cvtph_ps((__m128i)load_half(p));
#elif defined(__ARM_NEON)
  return vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)load_half(p)));
#else
  Vector<float> v{};
  for (int i = 0; i < kLanes<float>; ++i) v[i] = float_of(read(p + i));
  return v;
#endif
}

TRIANGLE_INLINE void store_as(float* p, Vector<float> v) { store(p, v); }
TRIANGLE_INLINE void store_as(double* p, Vector<double> v) { store(p, v); }
TRIANGLE_INLINE void store_as(BFloat16* p, Vector<float> v) {
  const WordVector u = (WordVector)v;
  const WordVector rounded = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;  // to nearest, ties to even
  const WordVector quiet = u >> 16 | 0x40u;
  const auto nan = (u & 0x7FFFFFFFu) > 0x7F800000u;
  const WordVector bits = nan ? quiet : rounded;
#if defined(__AVX512F__)
  *reinterpret_cast<HalfVectorUnaligned*>(p) = (HalfVector)_mm512_cvtepi32_epi16((__m512i)bits);
#else
  *reinterpret_cast<HalfVectorUnaligned*>(p) = __builtin_convertvector(bits, HalfVector);
#endif
}
TRIANGLE_INLINE void store_as(Float16* p, Vector<float> v) {
#if defined(__AVX512F__)
  *reinterpret_cast<HalfVectorUnaligned*>(p) = (HalfVector)_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__AVX2__)
  *reinterpret_cast<HalfVectorUnaligned*>(p) = (HalfVector)_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
#elif defined(__ARM_NEON)
  *reinterpret_cast<HalfVectorUnaligned*>(p) = (HalfVector)vreinterpret_u16_f16(vcvt_f16_f32(v));
#else
  for (int i = 0; i < kLanes<float>; ++i) p[i].bits = half_of(v[i]);
#endif
}

// The first n elements, zeros after them; nothing beyond p + n is touched.
template <class T, class S>
TRIANGLE_INLINE Vector<T> load_part(const S* p, int n) {
  S part[kLanes<T>] = {};
  for (int i = 0; i < n; ++i) part[i] = read(p + i);
  return load_as(part);
}
template <class T, class S>
TRIANGLE_INLINE void store_part(S* p, Vector<T> v, int n) {
  S part[kLanes<T>];
  store_as(part, v);
  for (int i = 0; i < n; ++i) p[i] = part[i];
}

}  // namespace triangle::cpu::TRIANGLE_ISA
