// Products of a few rows (decode) straight from keys and values in user memory: K is transposed in registers, V is read
// where it lies, and while one is worked on the other is prefetched. Every element is the same chain of multiply-adds
// as in gemm.h, so the bits are the same; only what surrounds the chain differs.
#pragma once
#include "csrc/cpu/key_rows.h"
#include "csrc/cpu/operands.h"

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

// Brings rows of memory towards the second-level cache, one line a call, between arithmetic: a processor drops
// prefetches that find its buffers full, so bursts are lost.
struct Prefetcher {
  static constexpr int kLine = 64;
  const char* at = nullptr;
  const char* row_end = nullptr;
  int64_t row_bytes = 0, gap = 0;    // of a row, and from its end to the next
  int rows = 0;                      // left of the run at hand
  const char* const* run = nullptr;  // the next one, in pages
  int after = 0;                     // rows from there on

  Prefetcher() = default;
  // Rows [first, first + count) of a block, row_bytes of each; `of` outlives this.
  template <class T>
  Prefetcher(const KeyRows<T>& of, int first, int count, int64_t row_bytes)
      : row_bytes(row_bytes), gap(of.row_bytes - row_bytes) {
    if (count <= 0) return;
    const int here = of.paged ? smaller(count, kRun - first % kRun) : count;
    run = of.run + first / kRun + 1;
    after = count - here;
    start(of.run[first / kRun] + first % kRun * of.row_bytes, here);
  }

  TRIANGLE_INLINE void next() {
    if (rows == 0) return;
    __builtin_prefetch(at, 0, 2);
    at += kLine;
    if (at < row_end) return;
    if (gap != 0 && --rows > 0) {
      at = row_end + gap;
      row_end = at + row_bytes;
      return;
    }
    const int here = smaller(after, kRun);
    after -= here;
    rows = 0;
    if (here > 0) start(*run++, here);
  }

 private:
  TRIANGLE_INLINE void start(const char* first, int count) {
    at = first;
    row_end = at + (gap == 0 ? row_bytes * count : row_bytes);  // without gaps one long row
    rows = count;
  }
};

template <class E>
struct Stream {
  KeyRows<Sum<E>> k;  // [keys][dim]
  KeyRows<Sum<E>> v;  // [keys][dim_v]
  int64_t dim = 0;
  int dim_v = 0;
  int keys = 0;          // present in this block
  Prefetcher next_v;     // this block's V, while its K is worked on
  Prefetcher next_k;     // the next block's K
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
void stream_scores(Stream<E>& x, int begin, int end, Sum<E>* s) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, step = kStep<E>, width = kWidth<E>;
  const int64_t k_row = x.k.row;
  Prefetcher next_v = x.next_v, next_k = x.next_k;
  const int v_lines = int((x.dim_v + x.dim - 1) / x.dim);
  // For each line of K that was read, as much of V and half as much of the next K. `i` counts vectors of `bytes`.
  const auto prefetch = [&](int i, int bytes) __attribute__((always_inline)) {
    const int vectors = Prefetcher::kLine / bytes;
    if (i % vectors != 0) return;
    for (int line = 0; line < v_lines; ++line) next_v.next();
    if (i / vectors % 2 == 0) next_k.next();
  };
  for (int key = begin; key < end; key += lanes) {
    const int present = x.keys - key;
    Vector<T> sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = Vector<T>{};
    const S* from = x.k.template at<S>(key);
    const E* q = x.q;
    const auto add = [&](Vector<T> word) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = multiply_add<E>(splat_word(q + r * step), word, sum[r]);
      q += kRows * step;
    };
    int64_t d = 0;
    if constexpr (std::is_same_v<S, BFloat16> && step == 1) {
      // Pairs of d are transposed as one 32-bit element: half the shuffles.
      for (; present >= lanes && d + 2 * lanes <= x.dim; d += 2 * lanes, from += 2 * lanes) {
        Vector<T> pairs[lanes];
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) pairs[i] = load(reinterpret_cast<const float*>(from + i * k_row));
        transpose<T>(pairs);
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) {
          prefetch(i, kVectorBytes);
          add((Vector<T>)((WordVector)pairs[i] << 16));
          add((Vector<T>)((WordVector)pairs[i] & 0xFFFF0000u));
        }
      }
    }
    for (; d + width <= x.dim; d += width, from += width) {
      Vector<T> word[lanes];
      load_transposed<E, S>(from, k_row, present, word);
#pragma GCC unroll 16
      for (int i = 0; i < lanes; ++i) {
        prefetch(i, width * int(sizeof(S)));
        add(word[i]);
      }
    }
    if constexpr (step > 1) {
      if (d < x.dim) {  // a part of a vector
        const int left = int(x.dim - d);
        Vector<T> word[lanes];
        for (int i = 0; i < lanes; ++i)
          word[i] = i < present ? load_words_part<E>(from + i * k_row, left) : Vector<T>{};
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
  x.next_k = next_k;
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
void stream_value_columns(Stream<E>& x, int begin, int end, const E* p, const Sum<E>* factor, int first, Sum<E>* acc) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, step = kStep<E>;
  constexpr int run = smaller(nr, kRun);
  const int64_t v_row = x.v.row;
  Vector<T> sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) sum[r][i] = Vector<T>{};
  // A row that does not exist repeats the last one.
  int row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = smaller(r, x.rows - 1) * nr;
  Prefetcher next_k = x.next_k;
  // Three quarters of what is read: with the scores' share, a little more than there is.
  constexpr int bytes = kVectors * lanes * step * int(sizeof(S)),
                reads = bytes < Prefetcher::kLine ? Prefetcher::kLine / bytes : 1;
  constexpr int lines = (larger(bytes / Prefetcher::kLine, 1) * 3 + 3) / 4;
  for (int key = larger(begin, x.v.present); key < end;) {
    const E* weights = p + ptrdiff_t(key / nr) * x.rows * nr + key % nr;
    const S* v = x.v.template at<S>(key) + first;
    for (const int past = smaller(end, key / run * run + run); key < past;
         key += step, weights += step, v += step * v_row) {
      if (reads == 1 || key / step % reads == 0) {
#pragma GCC unroll 8
        for (int i = 0; i < lines; ++i) next_k.next();
      }
      Vector<T> column[kVectors];
      load_value_words<E, kVectors>(v, step == 1 || key + 1 >= end ? nullptr : v + v_row, column);
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
  x.next_k = next_k;
}

template <class E, class S, int kRows>
void stream_values(Stream<E>& x, int begin, int end, const E* p, const Sum<E>* factor, Sum<E>* acc) {
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
