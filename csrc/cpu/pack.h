// Rows of user memory to panels of operands, [columns / nr][rows][nr] or transposed, and from panels of sums.
#pragma once
#include "csrc/cpu/operands.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// row_of(r) [columns], r < rows -> to [columns / nr][panel / nr rows][nr], the left operand of a product over columns;
// the last panel is filled up with zeros.
template <class E, class S, class RowOf>
TRIANGLE_INLINE void pack_rows(RowOf row_of, int rows, int columns, E* to, ptrdiff_t panel) {
  constexpr int width = kWidth<E>;
  constexpr int nr = Tiles<Sum<E>>::kNr;
  const int whole = columns / width * width;
  for (int r = 0; r < rows; ++r) {
    const S* from = row_of(r);
    E* row = to + r * nr;
    int c = 0;
    for (; c + nr <= columns; c += nr, row += panel) {
#pragma GCC unroll 4
      for (int v = 0; v < nr; v += width) store_words<E>(row + v, load_words<E>(from + c + v));
    }
    for (; c < columns; c += width)
      store_words<E>(row + c % nr, c < whole ? load_words<E>(from + c) : load_words_part<E>(from + c, columns - c));
    if (c % nr != 0) store_words<E>(row + c % nr, Vector<Sum<E>>{});
  }
}

// The same rows -> to [columns / nr][panel / nr / step][nr][step], the right operand of a product over rows. Where step
// is 1, that is the same thing.
template <class E, class S, class RowOf>
TRIANGLE_INLINE void pack_inner_rows(RowOf row_of, int rows, int columns, E* to, ptrdiff_t panel) {
  if constexpr (kStep<E> == 1) {
    pack_rows<E, S>(row_of, rows, columns, to, panel);
  } else {
    constexpr int nr = Tiles<Sum<E>>::kNr;
    static_assert(kStep<E> == 2 && kWidth<E> == nr);
    for (int r = 0; r < rows; r += 2) {
      const S* const first = row_of(r);
      const S* const second = r + 1 < rows ? row_of(r + 1) : nullptr;
      E* row = to + r * nr;
      for (int c = 0; c < columns; c += nr, row += panel) {
        const auto columns_of = [&](const S* from) __attribute__((always_inline)) {
          return c + nr <= columns ? load_words<E>(from + c) : load_words_part<E>(from + c, columns - c);
        };
        const Vector<Sum<E>> a = columns_of(first), b = second ? columns_of(second) : Vector<Sum<E>>{};
        store_words<E>(row, pair_up<0>(a, b));
        store_words<E>(row + nr, pair_up<1>(a, b));
      }
    }
  }
}

// run_of(key) [lanes][dim], rows `stride` elements apart -> to [keys / nr][dim / step][nr][step], the right operand of
// a product over dim; lanes past the last key are zeros, and so is what the last word has beyond dim.
template <class E, class S, class RunOf>
TRIANGLE_INLINE void pack_transposed(RunOf run_of, int64_t stride, int keys, int dim, E* to) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, step = kStep<E>, width = kWidth<E>;
  constexpr int nr = Tiles<T>::kNr;
  for (int key = 0; key < padded(keys, nr); key += lanes) {
    E* panel = to + ptrdiff_t(key / nr) * padded(dim, step) * nr + key % nr * step;
    const int present = keys - key;
    const S* const from = present > 0 ? run_of(key) : nullptr;
    for (int d = 0; d < dim; d += width) {
      Vector<T> square[lanes];
      const int wide = dim - d;
      if (present >= lanes && wide >= width) {
        const S* p = from + d;
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) square[i] = load_words<E>(p + i * stride);
      } else {
        for (int i = 0; i < lanes; ++i)
          square[i] = i < present ? load_words_part<E>(from + i * stride + d, wide) : Vector<T>{};
      }
      transpose<T>(square);
      if (wide >= width) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) store_words<E>(panel + (d + i * step) * nr, square[i]);
      } else {
        for (int i = 0; i * step < wide; ++i) store_words<E>(panel + (d + i * step) * nr, square[i]);
      }
    }
  }
}

// to [columns] = factor * from, `from` being one row of panels. Adding 0 turns -0 into +0, so that the sign of a zero
// cannot depend on how many hidden keys were passed over.
template <class T, class S>
TRIANGLE_INLINE void unpack_row(S* to, const T* from, ptrdiff_t panel, int columns, T factor) {
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  const Vector<T> scale = splat(factor);
  for (int c = 0; c < columns; c += lanes) {
    const Vector<T> x = load(from + c / nr * panel + c % nr) * scale + splat(T(0));
    if (c + lanes <= columns) {
      store_as(to + c, x);
    } else {
      store_part<T>(to + c, x, columns - c);
    }
  }
}

}  // namespace triangle::cpu::TRIANGLE_ISA
