// The micro-kernels: a product of a few rows with two vectors of columns, held in registers over the whole inner loop.
// Every matrix is kept in column panels [columns / nr][rows][nr], so that a result is at once an operand of the next
// product.
#pragma once
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// c [rows, nr] from a [rows, k] (or its transpose) and b [k, nr]; what happens to c is `finish`.
enum class Finish {
  kScale,    // c = alpha * ab
  kRescale,  // c = c * factor[row] + ab
  kAdd,      // c = c + ab
};

template <class T>
struct Product {
  const T* a = nullptr;  // plain: panels [k / nr][rows][nr]; transposed: one panel, element (row, k) at a[k * nr + row]
  ptrdiff_t a_panel = 0;  // elements from one panel of a to the next
  const T* b = nullptr;   // [k][nr]
  int k = 0;
  T* c = nullptr;  // [rows][nr]
  Finish finish = Finish::kScale;
  T alpha = 1;
  const T* factor = nullptr;  // [rows]
};

// Each element of the product is one chain of fused multiply-adds over k = 0, 1, ... starting from 0.
template <class T, bool kTransposed, int kRows, int kVectors>
__attribute__((noinline)) void micro_kernel(const Product<T>& g) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  V sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = V{};

  const T* panel = g.a;
  const T* b = g.b;
  for (int left = g.k; left > 0; panel += g.a_panel) {
    const int n = kTransposed ? left : smaller(left, nr);
    left -= n;
    const T* a = panel;
    for (int k = 0; k < n; ++k) {
      V column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) column[v] = load(b + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V x = splat(a[kTransposed ? r : r * nr]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = fma(x, column[v], sum[r][v]);
      }
      a += kTransposed ? nr : 1;
      b += nr;
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

template <class T, bool kTransposed, int kVectors>
void multiply_rows(int rows, const Product<T>& g) {
  constexpr int mr = Tiles<T>::kMr;
  switch (rows) {
    case mr:
      return micro_kernel<T, kTransposed, mr, kVectors>(g);
    case 8:
      return micro_kernel<T, kTransposed, (mr > 8 ? 8 : mr), kVectors>(g);
    case 2:
      return micro_kernel<T, kTransposed, 2, kVectors>(g);
    case 1:
      return micro_kernel<T, kTransposed, 1, kVectors>(g);
    default:
      return micro_kernel<T, kTransposed, (mr > 4 ? 4 : mr), kVectors>(g);
  }
}

// `rows` is one that micro_rows() gives; only the vectors that hold one of the first `columns` columns are computed.
template <class T>
TRIANGLE_INLINE void multiply(int rows, int columns, const Product<T>& g) {
  if (columns > kLanes<T>) {
    multiply_rows<T, false, 2>(rows, g);
  } else {
    multiply_rows<T, false, 1>(rows, g);
  }
}
template <class T>
TRIANGLE_INLINE void multiply_transposed(int rows, int columns, const Product<T>& g) {
  if (columns > kLanes<T>) {
    multiply_rows<T, true, 2>(rows, g);
  } else {
    multiply_rows<T, true, 1>(rows, g);
  }
}

}  // namespace triangle::cpu::TRIANGLE_ISA
