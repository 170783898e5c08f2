// exp, lane by lane: x = n ln 2 + r, |r| <= ln 2 / 2, a minimax polynomial in r, n added to the exponent field.
// Error at most 2 ulp (sampled: see tests/cpp); exp(0) == 1; below the smallest normal number the
// result is 0, so exp(-inf) == 0; above the largest it stays finite; NaN gives NaN.
#pragma once
#include "csrc/cpu/simd.h"
#include "csrc/glibc.h"

namespace triangle::cpu::TRIANGLE_ISA {

// p * 2^n with n in the low mantissa bits of t; as unsigned numbers, whose overflow is defined.
TRIANGLE_INLINE Vector<float> add_to_exponent(Vector<float> p, Vector<float> t) {
  return (Vector<float>)((Vector<uint32_t>)p + ((Vector<uint32_t>)t << 23));
}
TRIANGLE_INLINE Vector<double> add_to_exponent(Vector<double> p, Vector<double> t) {
  return (Vector<double>)((Vector<uint64_t>)p + ((Vector<uint64_t>)t << 52));
}

// What exp does below its upper clamp; scores less their maximum need no more.
TRIANGLE_INLINE Vector<float> exp_of_nonpositive(Vector<float> x) {
  using V = Vector<float>;
  const V magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer kept in the low mantissa bits
  const V t = fma(x, splat(0x1.715476p+0f), magic);
  const V n = t - magic;
  V r = fma(n, splat(-0x1.62e4p-1f), x);  // ln 2 in two pieces; n times the first is exact
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  // Degree 5 is at 1.97 ulp, too near the bound, for one multiply-add less.
  V p = splat(0x1.6a1a72p-10f);
  p = fma(p, r, splat(0x1.123fc6p-7f));
  p = fma(p, r, splat(0x1.555916p-5f));
  p = fma(p, r, splat(0x1.55548ap-3f));
  p = fma(p, r, splat(0x1.fffffcp-2f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const V y = add_to_exponent(p, t);
  return x < splat(-87.33f) ? V{} : y;
}

TRIANGLE_INLINE Vector<double> exp_of_nonpositive(Vector<double> x) {
  using V = Vector<double>;
  const V magic = splat(6755399441055744.0);  // 1.5 * 2^52
  const V t = fma(x, splat(0x1.71547652b82fep+0), magic);
  const V n = t - magic;
  V r = fma(n, splat(-0x1.62e42fee00000p-1), x);
  r = fma(n, splat(-0x1.a39ef35793c76p-33), r);
  // Taylor to degree 13: the remainder is below 2^-57.
  V p = splat(1.0 / 6227020800.0);
  p = fma(p, r, splat(1.0 / 479001600.0));
  p = fma(p, r, splat(1.0 / 39916800.0));
  p = fma(p, r, splat(1.0 / 3628800.0));
  p = fma(p, r, splat(1.0 / 362880.0));
  p = fma(p, r, splat(1.0 / 40320.0));
  p = fma(p, r, splat(1.0 / 5040.0));
  p = fma(p, r, splat(1.0 / 720.0));
  p = fma(p, r, splat(1.0 / 120.0));
  p = fma(p, r, splat(1.0 / 24.0));
  p = fma(p, r, splat(1.0 / 6.0));
  p = fma(p, r, splat(0.5));
  p = fma(p, r, splat(1.0));
  p = fma(p, r, splat(1.0));
  const V y = add_to_exponent(p, t);
  return x < splat(-708.3) ? V{} : y;
}

TRIANGLE_INLINE Vector<float> exp(Vector<float> x) {
  const Vector<float> most = splat(88.37f);
  return exp_of_nonpositive(minimum(most, x));  // in this order NaN stays
}
TRIANGLE_INLINE Vector<double> exp(Vector<double> x) {
  const Vector<double> most = splat(709.4);
  return exp_of_nonpositive(minimum(most, x));  // in this order NaN stays
}

#if defined(__AVX512BF16__)
// The same in three quarters of the time, for numbers that are rounded to 8 bits: at most 3 ulp of error in [-2, 0] and
// 24 anywhere, where one constant for 1 / ln 2 loses some. exp(0) == 1 here too. Degree 4, 32 ulp everywhere, shows in
// the lse of rows of few keys.
TRIANGLE_INLINE Vector<float> rough_exp_of_nonpositive(Vector<float> x) {
  using V = Vector<float>;
  const V magic = splat(12582912.0f);
  const V t = fma(x, splat(0x1.715476p+0f), magic);
  const V r = fma(x, splat(0x1.715476p+0f), magic - t);  // x / ln 2 less its integer part: a polynomial for 2^r
  V p = splat(0x1.5bba14p-10f);
  p = fma(p, r, splat(0x1.3cea88p-7f));
  p = fma(p, r, splat(0x1.c6b752p-5f));
  p = fma(p, r, splat(0x1.ebf9bcp-3f));
  p = fma(p, r, splat(0x1.62e42ap-1f));
  p = fma(p, r, splat(1.0f));
  const __mmask16 normal = _mm512_cmp_ps_mask(x, splat(-87.33f), _CMP_NLT_UQ);
  return (V)_mm512_maskz_add_epi32(normal, (__m512i)p, _mm512_slli_epi32((__m512i)t, 23));
}
TRIANGLE_INLINE Vector<float> rough_exp(Vector<float> x) { return rough_exp_of_nonpositive(minimum(splat(88.37f), x)); }
#endif

template <class T>
constexpr T kInfinity = T(__builtin_inf());

TRIANGLE_INLINE float log(float x) { return __builtin_logf(x); }
TRIANGLE_INLINE double log(double x) { return __builtin_log(x); }

}  // namespace triangle::cpu::TRIANGLE_ISA
