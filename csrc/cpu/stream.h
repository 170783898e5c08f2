// Products of a few rows (decode) straight from keys and values in user memory: K is transposed in registers, V is read
// where it lies, and while one is worked on the other is prefetched. Every element is the same chain of multiply-adds
// as in gemm.h, so the bits are the same; only what surrounds the chain differs.
#pragma once
#include "csrc/cpu/operands.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

constexpr int kStreamRows = 8;  // at most; rows are computed in a power of two

constexpr int stream_rows(int rows) { return rows <= 1 ? 1 : rows <= 2 ? 2 : rows <= 4 ? 4 : 8; }

// Vectors of columns of v that stay in registers beside `rows` broadcast probabilities.
template <class T>
constexpr int stream_columns(int rows) {
#if defined(__AVX512F__) || defined(__ARM_NEON)
  return rows <= 2 ? 8 : rows == 4 ? 4 : 2;
#else
  return rows == 1 ? 8 : rows == 2 ? 4 : rows == 4 ? 2 : 1;
#endif
}

// A row of `bytes` bytes towards the second-level cache. A few lines at a time, between arithmetic: a burst of
// prefetches stalls on the first-level cache's miss buffers.
TRIANGLE_INLINE void prefetch_row(const char* p, int64_t bytes) {
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(p + b, 0, 2);
}

template <class E>
struct Stream {
  int64_t dim = 0;
  const void* k = nullptr;  // [keys][dim], rows `k_row` elements apart
  const void* v = nullptr;  // [keys][dim_v]
  int64_t k_row = 0, v_row = 0;
  int dim_v = 0;
  int keys = 0;          // present in this block
  int keys_after = 0;    // present after it: worth a prefetch of K
  int rows = 0;          // of the tile; all panels below are [..][rows][nr]
  const E* q = nullptr;  // words [dim / step][stream_rows(rows)][step], by pack_stream_q
  Sum<E> alpha = 1;
};

// q [D / nr][rows][nr] -> [D / step][stream_rows(rows)][step], zeros in rows that do not exist.
template <class E>
void pack_stream_q(const E* q, int rows, int dim, E* to) {
  constexpr int nr = Tiles<Sum<E>>::kNr, step = kStep<E>;
  const int wide = stream_rows(rows);
  for (int d = 0; d < dim; ++d)
    for (int r = 0; r < wide; ++r)
      to[(d / step * wide + r) * step + d % step] = r < rows ? q[(d / nr * rows + r) * nr + d % nr] : E{};
}

// The next kLanes words of d, one vector of keys each, into word[]; `present` < kLanes: the other keys are zeros.
template <class E, class S>
TRIANGLE_INLINE void load_transposed(const S* from, int64_t stride, int present,
                                     Vector<Sum<E>> (&word)[kLanes<Sum<E>>]) {
  constexpr int lanes = kLanes<Sum<E>>;
  if (present >= lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) word[i] = load_words<E>(from + i * stride);
  } else {
    for (int i = 0; i < lanes; ++i) word[i] = i < present ? load_words<E>(from + i * stride) : Vector<Sum<E>>{};
  }
  transpose<Sum<E>>(word);
}

// s [keys / nr][rows][nr] = alpha q k^T over the block's key panels [begin, end).
template <class E, class S, int kRows>
void stream_scores(const Stream<E>& x, int begin, int end, Sum<E>* s) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, step = kStep<E>, width = kWidth<E>;
  const S* const k = static_cast<const S*>(x.k);
  const char* const v = static_cast<const char*>(x.v);
  const int64_t v_stride = x.v_row * int64_t(sizeof(S));
  for (int key = begin; key < end; key += lanes) {
    const int present = x.keys - key;
    Vector<T> sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = Vector<T>{};
    const S* from = k + key * x.k_row;
    const E* q = x.q;
    int prefetched = 0;  // rows of V, as large a share of this group's as of D is done
    const auto prefetch_v = [&](int64_t done) __attribute__((always_inline)) {
      const int part = smaller(present, int(done * lanes / x.dim));
      for (; prefetched < part; ++prefetched)
        prefetch_row(v + (key + prefetched) * v_stride, x.dim_v * int64_t(sizeof(S)));
    };
    const auto add = [&](Vector<T> word) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = multiply_add<E>(splat_word(q + r * step), word, sum[r]);
      q += kRows * step;
    };
    int64_t d = 0;
    if constexpr (std::is_same_v<S, BFloat16> && step == 1) {
      // Pairs of d are transposed as one 32-bit element: half the shuffles.
      for (; present >= lanes && d + 2 * lanes <= x.dim; d += 2 * lanes, from += 2 * lanes) {
        prefetch_v(d + 2 * lanes);
        Vector<T> pairs[lanes];
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) pairs[i] = load(reinterpret_cast<const float*>(from + i * x.k_row));
        transpose<T>(pairs);
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) {
          add((Vector<T>)((WordVector)pairs[i] << 16));
          add((Vector<T>)((WordVector)pairs[i] & 0xFFFF0000u));
        }
      }
    }
    for (; d + width <= x.dim; d += width, from += width) {
      prefetch_v(d + width);
      Vector<T> word[lanes];
      load_transposed<E, S>(from, x.k_row, present, word);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) add(word[i]);
    }
    if constexpr (step > 1) {
      if (d < x.dim) {  // a part of a vector
        const int left = int(x.dim - d);
        prefetch_v(x.dim);
        Vector<T> word[lanes];
        for (int i = 0; i < lanes; ++i)
          word[i] = i < present ? load_words_part<E>(from + i * x.k_row, left) : Vector<T>{};
        transpose<T>(word);
        for (int i = 0; i * step < left; ++i) add(word[i]);
      }
    }
    T* to = s + ptrdiff_t(key / nr) * x.rows * nr + key % nr;
    const Vector<T> alpha = splat(x.alpha);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      if (r < x.rows) store(to + r * nr, sum[r] * alpha);
  }
}

// kVectors vectors of columns, as words: of one row of v, or of two rows (the second null: zeros) paired up.
template <class E, int kVectors, class S>
TRIANGLE_INLINE void load_value_words(const S* first, const S* second, Vector<Sum<E>> (&word)[kVectors]) {
  constexpr int lanes = kLanes<Sum<E>>;
  if constexpr (kStep<E> == 1) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) word[i] = load_as(first + i * lanes);
  } else if constexpr (kVectors == 1) {
    word[0] =
        pair_up<0>(load_words_part<E>(first, lanes), second ? load_words_part<E>(second, lanes) : Vector<Sum<E>>{});
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; i += 2) {
      const Vector<Sum<E>> a = load_words<E>(first + i * lanes);
      const Vector<Sum<E>> b = second ? load_words<E>(second + i * lanes) : Vector<Sum<E>>{};
      word[i] = pair_up<0>(a, b);
      word[i + 1] = pair_up<1>(a, b);
    }
  }
}

// Columns [first, first + kVectors * lanes) of acc [Dv / nr][rows][nr] = acc * factor + p v over keys [begin, end).
template <class E, class S, int kRows, int kVectors>
void stream_value_columns(const Stream<E>& x, int begin, int end, const E* p, const Sum<E>* factor, int first,
                          Sum<E>* acc) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, step = kStep<E>;
  const S* v = static_cast<const S*>(x.v) + begin * x.v_row + first;
  Vector<T> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) sum[r][i] = Vector<T>{};
  // A row that does not exist repeats the last one.
  int row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = smaller(r, x.rows - 1) * nr;
  // The next block's K alongside, as large a share of each of its rows as this is of V's.
  const int64_t k_stride = x.k_row * int64_t(sizeof(S));
  const char* const next_k = static_cast<const char*>(x.k) + x.keys * k_stride;
  const int64_t from_byte = first * x.dim / x.dim_v * int64_t(sizeof(S)) / 64 * 64;
  const int64_t past_byte = (first + kVectors * lanes) * x.dim / x.dim_v * int64_t(sizeof(S));
  for (int key = begin; key < end;) {
    const E* weights = p + ptrdiff_t(key / nr) * x.rows * nr + key % nr;
    for (const int past = smaller(end, key / nr * nr + nr); key < past;
         key += step, weights += step, v += step * x.v_row) {
#pragma GCC unroll 2
      for (int i = 0; i < step; ++i)
        if (key + i < x.keys_after) prefetch_row(next_k + (key + i) * k_stride + from_byte, past_byte - from_byte);
      Vector<T> column[kVectors];
      load_value_words<E, kVectors>(v, step == 1 || key + 1 >= end ? nullptr : v + x.v_row, column);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vector<T> weight = splat_word(weights + row[r]);
#pragma GCC unroll 8
        for (int i = 0; i < kVectors; ++i) sum[r][i] = multiply_add<E>(weight, column[i], sum[r][i]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    if (r >= x.rows) break;
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      const int column = first + i * lanes;
      T* to = acc + ptrdiff_t(column / nr) * x.rows * nr + r * nr + column % nr;
      store(to, fma(load(to), splat(factor[r]), sum[r][i]));
    }
  }
}

template <class E, class S, int kRows>
void stream_values(const Stream<E>& x, int begin, int end, const E* p, const Sum<E>* factor, Sum<E>* acc) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, most = stream_columns<T>(kRows);
  int c = 0;
  const auto columns = [&](auto vectors) {
    constexpr int n = decltype(vectors)::value;
    stream_value_columns<E, S, kRows, n>(x, begin, end, p, factor, c, acc);
    c += n * lanes;
  };
  while (c + most * lanes <= x.dim_v) columns(std::integral_constant<int, most>());
  while (c < x.dim_v) columns(std::integral_constant<int, 1>());
}

// Calls f(storage, rows) with the storage type and the compiled number of rows.
template <class E, class F>
TRIANGLE_INLINE void with_stream(DType dtype, int rows, F f) {
  with_storage<E>(dtype, [&](auto* storage) {
    switch (stream_rows(rows)) {
      case 1:
        return f(storage, std::integral_constant<int, 1>());
      case 2:
        return f(storage, std::integral_constant<int, 2>());
      case 4:
        return f(storage, std::integral_constant<int, 4>());
      default:
        return f(storage, std::integral_constant<int, 8>());
    }
  });
}

// Whole vectors of d and of columns only: ragged ones go through packed panels.
template <class E>
constexpr bool can_stream(int rows, int dim, int dim_v) {
  return rows <= kStreamRows && dim % kLanes<Sum<E>> == 0 && dim_v % kLanes<Sum<E>> == 0;
}

}  // namespace triangle::cpu::TRIANGLE_ISA
