// What products are made of. An operand's elements E are summed in Sum<E>; a "word" is what one lane of a multiply-add
// takes of it: one float or one double, or two bf16 numbers, neighbours in the inner dimension, where the instruction
// set multiplies and adds pairs of them into fp32. Vectors of words are Vector<Sum<E>>, whatever their bits mean.
#pragma once
#include "csrc/cpu/convert.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class E>
struct OperandOf {
  using Sum = E;
};
template <>
struct OperandOf<BFloat16> {
  using Sum = float;
};
template <class E>
using Sum = typename OperandOf<E>::Sum;

template <class E>
constexpr int kStep = int(sizeof(Sum<E>) / sizeof(E));  // elements of a word
template <class E>
constexpr int kWidth = kLanes<Sum<E>> * kStep<E>;  // elements of a vector of words

typedef uint16_t BothHalves __attribute__((vector_size(kVectorBytes)));
// Of two vectors of bf16 numbers the pairs (a[i], b[i]): the lower half of them, or the upper half.
template <int kHalf>
TRIANGLE_INLINE Vector<float> pair_up(Vector<float> a, Vector<float> b) {
  return (Vector<float>)detail::interleave<kHalf>((BothHalves)a, (BothHalves)b,
                                                  std::make_integer_sequence<int, kVectorBytes / 2>{});
}
// Pairs (x[i], x[lanes + i]) of one vector of bf16 numbers.
TRIANGLE_INLINE Vector<float> pair_halves(Vector<float> x) {
  constexpr int n = kVectorBytes / 2;
  return (Vector<float>)detail::interleave_halves((BothHalves)x, std::make_integer_sequence<int, n>{});
}
#if defined(__AVX512BF16__)
TRIANGLE_INLINE Vector<float> splat_word(const BFloat16* p) {
  int32_t pair;
  std::memcpy(&pair, p, sizeof pair);
  return (Vector<float>)_mm512_set1_epi32(pair);
}

// By definition of these three instructions a denormal number, given or made, counts as 0.
TRIANGLE_INLINE Vector<float> multiply_add_pairs(Vector<float> a, Vector<float> b, Vector<float> c) {
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
// bf16 numbers: those of a, then those of b.
TRIANGLE_INLINE Vector<float> round_both(Vector<float> a, Vector<float> b) {
  return (Vector<float>)_mm512_cvtne2ps_pbh(b, a);
}
TRIANGLE_INLINE void store_operands(BFloat16* p, Vector<float> x) {
  *reinterpret_cast<HalfVectorUnaligned*>(p) = (HalfVector)_mm512_cvtneps_pbh(x);
}

// The first half of x to one place, the second half to another.
TRIANGLE_INLINE void store_halves(BFloat16* first, BFloat16* second, Vector<float> x) {
  *reinterpret_cast<HalfVectorUnaligned*>(first) = (HalfVector)_mm512_castsi512_si256((__m512i)x);
  *reinterpret_cast<HalfVectorUnaligned*>(second) = (HalfVector)_mm512_extracti64x4_epi64((__m512i)x, 1);
}
#endif

// Calls f with a null pointer to the storage type, f(const float*), f(const Float16*), ...: fp32 operands are read from
// any type, bf16 operands as they are stored.
template <class E, class F>
TRIANGLE_INLINE void with_storage(DType dtype, F f) {
  if constexpr (std::is_same_v<E, float>) {
    switch (dtype) {
      case DType::kBFloat16:
        return f(static_cast<const BFloat16*>(nullptr));
      case DType::kFloat16:
        return f(static_cast<const Float16*>(nullptr));
      default:
        return f(static_cast<const float*>(nullptr));
    }
  } else {
    f(static_cast<const E*>(nullptr));
  }
}

// kWidth consecutive elements as words; or the first n of them, zeros after them, and nothing beyond p + n touched.
template <class E, class S>
TRIANGLE_INLINE Vector<Sum<E>> load_words(const S* p) {
  if constexpr (kStep<E> == 1) {
    return load_as(p);
  } else {
    return load(reinterpret_cast<const Sum<E>*>(p));  // the type that is loaded may alias any
  }
}
template <class E, class S>
TRIANGLE_INLINE Vector<Sum<E>> load_words_part(const S* p, int n) {
  if constexpr (kStep<E> == 1) {
    return load_part<Sum<E>>(p, smaller(n, kLanes<Sum<E>>));
  } else {
#if defined(__AVX512BF16__)
    const __mmask32 mask = n >= 32 ? 0xFFFFFFFFu : (1u << n) - 1;
    return (Vector<float>)_mm512_maskz_loadu_epi16(mask, p);
#else
    S part[kWidth<E>] = {};
    for (int i = 0; i < smaller(n, kWidth<E>); ++i) part[i] = read(p + i);
    return load_words<E>(part);
#endif
  }
}
template <class E>
TRIANGLE_INLINE void store_words(E* p, Vector<Sum<E>> words) {
  store(reinterpret_cast<Sum<E>*>(p), words);
}

// The word at p in every lane.
TRIANGLE_INLINE Vector<float> splat_word(const float* p) { return splat(*p); }
TRIANGLE_INLINE Vector<double> splat_word(const double* p) { return splat(*p); }

// c + the products of two words' elements.
template <class E>
TRIANGLE_INLINE Vector<Sum<E>> multiply_add(Vector<Sum<E>> a, Vector<Sum<E>> b, Vector<Sum<E>> c) {
  if constexpr (kStep<E> == 1) {
    return fma(a, b, c);
  } else {
    return multiply_add_pairs(a, b, c);
  }
}

// Sums as elements of an operand: one vector of them, or two that follow each other.
TRIANGLE_INLINE void store_operands(float* p, Vector<float> x) { store(p, x); }
TRIANGLE_INLINE void store_operands(double* p, Vector<double> x) { store(p, x); }
template <class E>
TRIANGLE_INLINE void store_operands(E* p, Vector<Sum<E>> first, Vector<Sum<E>> second) {
  if constexpr (kStep<E> == 1) {
    store(p, first);
    store(p + kLanes<E>, second);
  } else {
    store_words<E>(p, round_both(first, second));
  }
}

}  // namespace triangle::cpu::TRIANGLE_ISA
