// The micro-kernels: a product of a few rows with two vectors of columns, held in registers over the whole inner loop.
// Every matrix is kept in column panels [columns / nr][rows][nr], so that a result is at once an operand of the next
// product; of operands that are multiplied in pairs, the elements of a pair lie side by side (see operands.h).
#pragma once
#include "csrc/cpu/operands.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// c [rows, nr] from a [rows, k] (or its transpose) and b [k, nr]; what happens to c is `finish`.
enum class Finish {
  kScale,    // c = alpha * ab
  kRescale,  // c = c * factor[row] + ab
  kAdd,      // c = c + ab
};

// Words hold kStep<E> elements along k; what a word has beyond k is 0 in both operands.
template <class E>
struct Product {
  const E* a = nullptr;   // plain: panels [k / nr][rows][nr]; transposed: one panel of words [k / step][nr][step]
  ptrdiff_t a_panel = 0;  // elements from one panel of a to the next
  const E* b = nullptr;   // words [k / step][nr][step]
  int k = 0;
  Sum<E>* c = nullptr;  // [rows][nr]
  Finish finish = Finish::kScale;
  Sum<E> alpha = 1;
  const Sum<E>* factor = nullptr;  // [rows]
};

// Each element of the product is one chain of multiply-adds over the words k = 0, 1, ... starting from 0.
template <class E, bool kTransposed, int kRows, int kVectors>
__attribute__((noinline)) void micro_kernel(const Product<E>& g) {
  using T = Sum<E>;
  using V = Vector<T>;
  constexpr int step = kStep<E>;
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  V sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = V{};

  const E* panel = g.a;
  const E* b = g.b;
  for (int left = g.k; left > 0; panel += g.a_panel) {
    const int n = kTransposed ? left : smaller(left, nr);
    left -= n;
    const E* a = panel;
    for (int k = 0; k < n; k += step) {
      V column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) column[v] = load_words<E>(b + v * kWidth<E>);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V x = splat_word(a + r * (kTransposed ? step : nr));
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = multiply_add<E>(x, column[v], sum[r][v]);
      }
      a += kTransposed ? nr * step : step;
      b += nr * step;
    }
  }

  const auto finish = [&](auto result) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        T* to = g.c + r * nr + v * lanes;
        store(to, result(to, r, sum[r][v]));
      }
    }
  };
  switch (g.finish) {
    case Finish::kScale: {
      const V alpha = splat(g.alpha);
      return finish([&](const T*, int, V ab) __attribute__((always_inline)) { return ab * alpha; });
    }
    case Finish::kRescale: {
      const T* factor = g.factor;
      return finish([&](const T* to, int r, V ab)
                        __attribute__((always_inline)) { return fma(load(to), splat(factor[r]), ab); });
    }
    case Finish::kAdd:
      return finish([&](const T* to, int, V ab) __attribute__((always_inline)) { return load(to) + ab; });
  }
}

template <class E, bool kTransposed, int kVectors>
void multiply_rows(int rows, const Product<E>& g) {
  constexpr int mr = Tiles<Sum<E>>::kMr;
  switch (rows) {
    case mr:
      return micro_kernel<E, kTransposed, mr, kVectors>(g);
    case 8:
      return micro_kernel<E, kTransposed, (mr > 8 ? 8 : mr), kVectors>(g);
    case 2:
      return micro_kernel<E, kTransposed, 2, kVectors>(g);
    case 1:
      return micro_kernel<E, kTransposed, 1, kVectors>(g);
    default:
      return micro_kernel<E, kTransposed, (mr > 4 ? 4 : mr), kVectors>(g);
  }
}

// `rows` is one that micro_rows() gives; only the vectors that hold one of the first `columns` columns are computed.
template <class E>
TRIANGLE_INLINE void multiply(int rows, int columns, const Product<E>& g) {
  if (columns > kLanes<Sum<E>>) {
    multiply_rows<E, false, 2>(rows, g);
  } else {
    multiply_rows<E, false, 1>(rows, g);
  }
}
template <class E>
TRIANGLE_INLINE void multiply_transposed(int rows, int columns, const Product<E>& g) {
  if (columns > kLanes<Sum<E>>) {
    multiply_rows<E, true, 2>(rows, g);
  } else {
    multiply_rows<E, true, 1>(rows, g);
  }
}

}  // namespace triangle::cpu::TRIANGLE_ISA
