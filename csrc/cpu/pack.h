// Rows of user memory to and from panels of accumulator type: [columns / nr][rows][nr], or transposed.
#pragma once
#include "csrc/cpu/convert.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// row_of(r) [columns], r < rows -> to [columns / nr][panel / nr rows][nr]; the last panel is filled up with zeros.
template <class T, class S, class RowOf>
TRIANGLE_INLINE void pack_rows(RowOf row_of, int rows, int columns, T* to, ptrdiff_t panel) {
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  const int whole = columns / lanes * lanes;
  for (int r = 0; r < rows; ++r) {
    const S* from = row_of(r);
    T* row = to + r * nr;
    int c = 0;
    for (; c + nr <= columns; c += nr, row += panel) {
#pragma GCC unroll 4
      for (int v = 0; v < nr; v += lanes) store(row + v, load_as(from + c + v));
    }
    for (; c < columns; c += lanes)
      store(row + c % nr, c < whole ? load_as(from + c) : load_part<T>(from + c, columns - c));
    if (c % nr != 0) store(row + c % nr, Vector<T>{});
  }
}

// from [keys][dim], rows `stride` elements apart -> to [keys / nr][dim][nr]; lanes past the last key are zeros.
template <class T, class S>
TRIANGLE_INLINE void pack_transposed(const S* from, int64_t stride, int keys, int dim, T* to) {
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  for (int key = 0; key < padded(keys, nr); key += lanes) {
    T* panel = to + ptrdiff_t(key / nr) * dim * nr + key % nr;
    const int present = keys - key;
    for (int d = 0; d < dim; d += lanes) {
      Vector<T> square[lanes];
      const int wide = dim - d;
      if (present >= lanes && wide >= lanes) {
        const S* p = from + key * stride + d;
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) square[i] = load_as(p + i * stride);
      } else {
        for (int i = 0; i < lanes; ++i)
          square[i] = i < present ? load_part<T>(from + (key + i) * stride + d, smaller(wide, lanes)) : Vector<T>{};
      }
      transpose<T>(square);
      if (wide >= lanes) {
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) store(panel + (d + i) * nr, square[i]);
      } else {
        for (int i = 0; i < wide; ++i) store(panel + (d + i) * nr, square[i]);
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
