// Forward of one tile of rows: online softmax over key blocks inside chunks, chunks merged left to right.
// A row's bits depend on its visible keys, D, Dv and nothing else: every operation below is per row, and what a row
// does not see is an exact no-op for it (p = 0, factor = 1).
#pragma once
#include "csrc/cpu/bend.h"
#include "csrc/cpu/gemm.h"
#include "csrc/cpu/microtiles.h"
#include "csrc/cpu/pack.h"
#include "csrc/cpu/scores.h"
#include "csrc/cpu/stream.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class E>
struct ForwardScratch {
  using T = Sum<E>;
  E* q = nullptr;       // [D / nr][rows][nr]
  T* s = nullptr;       // [key_block / nr][rows][nr]: scores
  E* p = nullptr;       // [key_block / nr][rows][nr]: probabilities, in the scores' place where E is T
  T* acc = nullptr;     // [Dv / nr][rows][nr], of the chunk
  T* total = nullptr;   // [Dv / nr][rows][nr], of the chunks before it
  E* k = nullptr;       // [key_block / nr][D / step][nr][step], used where keys are not packed beforehand
  E* v = nullptr;       // [Dv / nr][key_block / step][nr][step]
  T* max = nullptr;     // [rows], of the chunk
  T* sum = nullptr;     // [rows][lanes], of the chunk: lane i sums keys i, i + lanes, ...
  T* factor = nullptr;  // [rows]: exp(old max - new max)
  T* total_max = nullptr;
  T* total_sum = nullptr;  // [rows]
  T* dropout = nullptr;    // [key_block]
  E* stream_q = nullptr;   // [D / step][stream_rows][step], see stream.h

  size_t lay_out(void* base, int dim, int dim_v) {
    using G = Tiles<T>;
    Arena arena{base};
    const size_t rows = G::kRowsForward, d = padded(dim, G::kNr), dv = padded(dim_v, G::kNr);
    arena.take(q, rows * d);
    arena.take(s, rows * G::kKeyBlock);
    if constexpr (std::is_same_v<E, T>) {
      p = s;
    } else {
      arena.take(p, rows * G::kKeyBlock);
    }
    arena.take(acc, rows * dv);
    arena.take(total, rows * dv);
    arena.take(k, G::kKeyBlock * size_t(padded(dim, kStep<E>)));
    arena.take(v, G::kKeyBlock * dv);
    arena.take(max, rows);
    arena.take(sum, rows * kLanes<T>);
    arena.take(factor, rows);
    arena.take(total_max, rows);
    arena.take(total_sum, rows);
    arena.take(dropout, G::kKeyBlock);
    arena.take(stream_q, size_t(padded(dim, kStep<E>)) * kStreamRows);
    return arena.used;
  }
};

template <class E>
struct ForwardContext {
  const ForwardTile& tile;
  const Common& common;
  ForwardScratch<E> scratch;
  MicroTiles micro;
  bool stream = false;      // few rows, keys not packed: see stream.h
  int64_t chunk_begin = 0;  // first key of the chunk at hand
  // With intervals, of the block at hand: the micro-tiles that see some key of it, and rows of which it hides some.
  MicroTiles active = {};
  bool touched[Tiles<Sum<E>>::kRowsForward] = {};
};

// Fills `active` and `touched`; whether any row may see a key of block key0.
template <class E>
inline bool classify(ForwardContext<E>& x, int64_t key0) {
  x.active.count = 0;
  for (int i = 0; i < x.micro.count; ++i) {
    const MicroTile& t = x.micro.tile[i];
    bool any = false;
    for (int r = t.row; r < t.row + t.rows; ++r) {
      const Hides hidden = hides(x.common, x.tile.row[r], key0 / Tiles<Sum<E>>::kKeyBlock);
      x.touched[r] = hidden != Hides::kNothing;
      any |= hidden != Hides::kAll;
    }
    if (any) x.active.tile[x.active.count++] = t;
  }
  return x.active.count > 0;
}

// At most a block of keys.
template <class E>
void pack_block_k(const Common& common, const Keys& keys, int64_t key0, int count, E* to) {
  with_storage<E>(common.dtype, [&](auto* s) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(s)>::type>::type;
    const auto rows = rows_of_k<Sum<E>, S>(keys, key0, count);
    pack_transposed<E, S>([&](int key) { return rows.template at<S>(key); }, rows.row, count, common.dim, to);
  });
}
template <class E>
void pack_block_v(const Common& common, const Keys& keys, int64_t key0, int count, E* to) {
  with_storage<E>(common.dtype, [&](auto* s) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(s)>::type>::type;
    const auto rows = rows_of_v<Sum<E>, S>(keys, key0, count);
    pack_inner_rows<E, S>([&](int key) { return rows.template at<S>(larger(key, rows.present)); }, count, common.dim_v,
                          to, ptrdiff_t(Tiles<Sum<E>>::kKeyBlock) * Tiles<Sum<E>>::kNr);
  });
}

// What row r sees of block key0: columns [first, past) of the micro-tile's columns [begin, end).
struct Span {
  int first, past;
};
template <class R>
TRIANGLE_INLINE Span visible_span(const R& row, int64_t key0, int begin, int end) {
  const int64_t from = row.lo - key0, to = row.hi - key0;
  const int first = from < begin ? begin : from > end ? end : int(from);
  return {first, to < first ? first : to > end ? end : int(to)};
}

// Hides what row r does not see, adds its mask, and returns its largest score of the block.
template <class E>
TRIANGLE_INLINE Sum<E> row_max(ForwardContext<E>& x, int r, int64_t key0, int begin, int end) {
  using T = Sum<E>;
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, block = Tiles<T>::kKeyBlock;
  const Row& row = x.tile.row[r];
  const ptrdiff_t panel = ptrdiff_t(x.tile.rows) * nr;
  T* s = x.scratch.s + r * nr;
  const auto at = [&](int column) __attribute__((always_inline)) { return s + column / nr * panel + column % nr; };
  const Span seen = visible_span(row, key0, begin, end);
  const bool touched = x.common.intervals && x.touched[r];
  if (seen.past - seen.first == block && !row.mask && !touched) {
    V most[4] = {load(at(0)), load(at(lanes)), load(at(2 * lanes)), load(at(3 * lanes))};
#pragma GCC unroll 2
    for (int c = 4 * lanes; c < block; c += 4 * lanes) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) most[i] = maximum(load(at(c + i * lanes)), most[i]);
    }
    return fold_max<T>(maximum(maximum(most[0], most[1]), maximum(most[2], most[3])));
  }
  V most = splat(-kInfinity<T>);
  for (int c = seen.first / lanes * lanes; c < seen.past; c += lanes) {
    V score = load(at(c));
    const bool edge = c < seen.first || c + lanes > seen.past;
    if (row.mask)
      score =
          apply_mask<T>(score, x.common, row.mask, key0 + c, larger(seen.first - c, 0), smaller(seen.past - c, lanes));
    if (touched) score = hide_intervals<T>(score, x.common, row, key0 + c);
    if (edge) score = hide_outside<T>(score, c, seen.first, seen.past);
    if (edge || row.mask || touched) store(at(c), score);
    most = maximum(score, most);
  }
  return fold_max<T>(most);
}

// The same with scores that softcap or alibi bend, in place.
template <class E, class B>
__attribute__((noinline)) Sum<E> bent_row_max(ForwardContext<E>& x, int r, int64_t key0, int begin, int end) {
  using T = Sum<E>;
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, block = Tiles<T>::kKeyBlock;
  const Row& row = x.tile.row[r];
  const ptrdiff_t panel = ptrdiff_t(x.tile.rows) * nr;
  T* s = x.scratch.s + r * nr;
  const auto at = [&](int column) __attribute__((always_inline)) { return s + column / nr * panel + column % nr; };
  const Span seen = visible_span(row, key0, begin, end);
  const B bend(x.common, row, key0);
  const bool touched = x.common.intervals && x.touched[r];
  V most = splat(-kInfinity<T>);
  if (seen.past - seen.first == block && !row.mask && !touched) {
#pragma GCC unroll 2
    for (int c = 0; c < block; c += 4 * lanes) {
      V score[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) score[i] = bend(load(at(c + i * lanes)), c + i * lanes);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) store(at(c + i * lanes), score[i]);
      most = maximum(maximum(maximum(score[0], score[1]), maximum(score[2], score[3])), most);
    }
    return fold_max<T>(most);
  }
  for (int c = seen.first / lanes * lanes; c < seen.past; c += lanes) {
    V score = bend(load(at(c)), c);
    if (row.mask)
      score =
          apply_mask<T>(score, x.common, row.mask, key0 + c, larger(seen.first - c, 0), smaller(seen.past - c, lanes));
    if (touched) score = hide_intervals<T>(score, x.common, row, key0 + c);
    if (c < seen.first || c + lanes > seen.past) score = hide_outside<T>(score, c, seen.first, seen.past);
    store(at(c), score);
    most = maximum(score, most);
  }
  return fold_max<T>(most);
}

// Scores of row r become probabilities exp(s - shift), zeros where the row sees nothing; its sum is brought up to date,
// by the numbers before they are rounded to operands: lse is made from it.
// The lanes' sums grow by four vectors at a time, wherever the row's first and last visible keys are.
template <class E>
TRIANGLE_INLINE void row_probabilities(ForwardContext<E>& x, int r, int64_t key0, int begin, int end, Sum<E> shift) {
  using T = Sum<E>;
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, block = Tiles<T>::kKeyBlock;
  const Row& row = x.tile.row[r];
  const ptrdiff_t panel = ptrdiff_t(x.tile.rows) * nr;
  const T* s = x.scratch.s + r * nr;
  E* p_row = x.scratch.p + r * nr;
  const auto offset = [&](int column) __attribute__((always_inline)) { return column / nr * panel + column % nr; };
  const V shifts = splat(shift);
  V sum = load(x.scratch.sum + r * lanes) * splat(x.scratch.factor[r]);
  const Span seen = visible_span(row, key0, begin, end);
  if (seen.past - seen.first == block && !x.common.dropout) {
#pragma GCC unroll 2
    for (int c = 0; c < block; c += 4 * lanes) {
      V p[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) p[i] = exp_for_operands_of_nonpositive<E>(load(s + offset(c + i * lanes)) - shifts);
#pragma GCC unroll 2
      for (int i = 0; i < 4; i += 2) store_operands(p_row + offset(c + i * lanes), p[i], p[i + 1]);
      sum += (p[0] + p[1]) + (p[2] + p[3]);
    }
  } else {
    if (x.common.dropout && seen.first < seen.past)
      dropout_factors<T>(x.common, row.philox_row, row.philox_head, key0, seen.past, x.scratch.dropout);
    // The micro-tile's columns are whole groups of four vectors but for its last.
    for (int c = begin / (4 * lanes) * (4 * lanes); c < end; c += 4 * lanes) {
      V p[4] = {};
      for (int i = 0; i < 4; ++i) {
        const int column = c + i * lanes;
        if (column + lanes <= begin || column >= end) continue;
        if (column + lanes > seen.first && column < seen.past)
          p[i] = exp_for_operands_of_nonpositive<E>(load(s + offset(column)) - shifts);
        V kept = p[i];
        if (x.common.dropout && column < seen.past) kept *= load(x.scratch.dropout + column);
        store_operands(p_row + offset(column), kept);
      }
      sum += (p[0] + p[1]) + (p[2] + p[3]);
    }
  }
  store(x.scratch.sum + r * lanes, sum);
}

// Scores of a micro-tile become probabilities; max, factor and sum of its rows are brought up to date.
template <class E>
void softmax(ForwardContext<E>& x, const MicroTile& t, int64_t key0) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, block = Tiles<T>::kKeyBlock;
  const int begin = t.begin<T>(key0, block), end = t.end(key0, block);  // columns that some row sees
  if (begin >= end) return;
  const ForwardScratch<E>& s = x.scratch;
  constexpr int most = larger(Tiles<T>::kMr, kStreamRows) + lanes;
  T old_max[most], new_max[most];
  if (x.common.bends()) {
    with_bend<T>(x.common, [&](auto* bend) {
      using B = typename std::remove_pointer<decltype(bend)>::type;
      for (int i = 0; i < t.rows; ++i) new_max[i] = bent_row_max<E, B>(x, t.row + i, key0, begin, end);
    });
  } else {
    for (int i = 0; i < t.rows; ++i) new_max[i] = row_max<E>(x, t.row + i, key0, begin, end);
  }
  for (int i = 0; i < t.rows; ++i) {
    old_max[i] = s.max[t.row + i];
    new_max[i] = larger(old_max[i], new_max[i]);
    s.max[t.row + i] = new_max[i];
    if (new_max[i] == -kInfinity<T>) new_max[i] = 0;  // as what is subtracted: -inf - -inf would be NaN
  }
  for (int i = 0; i < t.rows; i += lanes) {
    const Vector<T> factor = exp(load(old_max + i) - load(new_max + i));
    if (i + lanes <= t.rows) {
      store(s.factor + t.row + i, factor);
    } else {
      store_part<T>(s.factor + t.row + i, factor, t.rows - i);
    }
  }
  for (int i = 0; i < t.rows; ++i) row_probabilities<E>(x, t.row + i, key0, begin, end, new_max[i]);
}

// One key block: s = q k^T, softmax, acc = acc * factor + p v, the products by micro-kernels on panels. False where
// intervals hide all of it.
template <class E>
bool forward_block(ForwardContext<E>& x, int64_t key0) {
  if (x.common.intervals && !classify(x, key0)) return false;
  const MicroTiles& micro = x.common.intervals ? x.active : x.micro;
  using T = Sum<E>;
  using G = Tiles<T>;
  constexpr int nr = G::kNr, block = G::kKeyBlock;
  const int inner = padded(x.common.dim, kStep<E>);
  const int rows = x.tile.rows, dim = x.common.dim, dim_v = x.common.dim_v;
  const ptrdiff_t panel = ptrdiff_t(rows) * nr;
  const Keys& keys = x.tile.keys;
  const E* k = x.scratch.k;
  const E* v = x.scratch.v;
  if (keys.packed_k) {
    k = static_cast<const E*>(keys.packed_k) + key0 * inner;
    v = static_cast<const E*>(keys.packed_v) + key0 * padded(dim_v, nr);
  } else {
    const int count = int(smaller<int64_t>(block, x.micro.hi - key0));
    pack_block_k<E>(x.common, keys, key0, count, x.scratch.k);
    pack_block_v<E>(x.common, keys, key0, count, x.scratch.v);
  }

  Product<E> score;
  score.a_panel = panel;
  score.k = dim;
  score.alpha = T(x.common.scale);
  for (int c = 0; c < block; c += nr) {
    score.b = k + ptrdiff_t(c) * inner;
    for (int i = 0; i < micro.count; ++i) {
      const MicroTile& t = micro.tile[i];
      if (t.end(key0, block) <= c || t.begin<T>(key0, block) > c) continue;
      score.a = x.scratch.q + t.row * nr;
      score.c = x.scratch.s + c / nr * panel + t.row * nr;
      multiply<E>(t.rows, t.end(key0, block) - c, score);
    }
  }

  for (int i = 0; i < micro.count; ++i) softmax<E>(x, micro.tile[i], key0);

  Product<E> value;
  value.a_panel = panel;
  for (int c = 0; c < dim_v; c += nr) {
    for (int i = 0; i < micro.count; ++i) {
      const MicroTile& t = micro.tile[i];
      const int begin = t.begin<T>(key0, block), end = t.end(key0, block);
      if (begin >= end) continue;
      value.a = x.scratch.p + begin / nr * panel + t.row * nr;
      value.b = v + ptrdiff_t(c) * block + begin * nr;
      value.k = end - begin;
      value.c = x.scratch.acc + c / nr * panel + t.row * nr;
      value.factor = x.scratch.factor + t.row;
      // The first block of the chunk that the micro-tile sees finds nothing to rescale; with intervals, zeros.
      value.finish = key0 <= larger(x.chunk_begin, t.lo) && !x.common.intervals ? Finish::kScale : Finish::kRescale;
      multiply<E>(t.rows, dim_v - c, value);
    }
  }
  return true;
}

// The same for a few rows, K and V read in place. The rows count as one micro-tile.
template <class E>
bool stream_block(ForwardContext<E>& x, int64_t key0) {
  if (x.common.intervals && !classify(x, key0)) return false;
  using T = Sum<E>;
  constexpr int block = Tiles<T>::kKeyBlock;
  const Keys& keys = x.tile.keys;
  const ForwardScratch<E>& s = x.scratch;
  const MicroTile all{0, x.tile.rows, x.micro.lo, x.micro.hi};
  const int begin = all.begin<T>(key0, block), end = all.end(key0, block);
  with_stream<E>(x.common.dtype, x.tile.rows, [&](auto* storage, auto rows) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    constexpr int n = decltype(rows)::value;
    Stream<E> stream;
    stream.dim = x.common.dim;
    stream.dim_v = x.common.dim_v;
    stream.keys = int(smaller<int64_t>(block, x.micro.hi - key0));
    stream.k = rows_of_k<T, S>(keys, key0, stream.keys);
    stream.v = rows_of_v<T, S>(keys, key0, stream.keys);
    const int after = int(smaller<int64_t>(block, x.micro.hi - key0 - stream.keys));
    const KeyRows<T> next_k = rows_of_k<T, S>(keys, key0 + stream.keys, after);
    stream.next_v = Prefetcher(stream.v, begin, stream.keys - begin, x.common.dim_v * int64_t(sizeof(S)));
    stream.next_k = Prefetcher(next_k, 0, after, x.common.dim * int64_t(sizeof(S)));
    stream.rows = x.tile.rows;
    stream.q = s.stream_q;
    stream.alpha = T(x.common.scale);
    stream_scores<E, S, n>(stream, begin, end, s.s);
    softmax<E>(x, all, key0);
    stream_values<E, S, n>(stream, begin, end, s.p, s.factor, s.acc);
  });
  return true;
}

// The state of one chunk from nothing; false: no row of the tile sees a key of it.
template <class E>
bool forward_chunk(ForwardContext<E>& x, int64_t chunk) {
  using T = Sum<E>;
  using G = Tiles<T>;
  const int rows = x.tile.rows;
  const int64_t begin = larger<int64_t>(chunk * G::kChunk, x.micro.lo / G::kKeyBlock * G::kKeyBlock);
  const int64_t end = smaller<int64_t>((chunk + 1) * G::kChunk, x.micro.hi);
  x.chunk_begin = chunk * G::kChunk;
  for (int r = 0; r < rows; ++r) x.scratch.max[r] = -kInfinity<T>;
  std::memset(x.scratch.sum, 0, sizeof(T) * rows * kLanes<T>);
  for (int i = 0; i < x.micro.count; ++i) {  // what no product will write
    const MicroTile& t = x.micro.tile[i];
    if (!x.stream && !x.common.intervals && larger(t.lo, begin) < smaller(t.hi, end)) continue;
    for (int c = 0; c < x.common.dim_v; c += G::kNr)
      std::memset(x.scratch.acc + (ptrdiff_t(c / G::kNr) * rows + t.row) * G::kNr, 0, sizeof(T) * t.rows * G::kNr);
  }
  bool seen = false;
  for (int64_t key0 = begin; key0 < end; key0 += G::kKeyBlock)
    seen |= x.stream ? stream_block<E>(x, key0) : forward_block<E>(x, key0);
  return seen;
}

// total = total merged with (max, sum, acc); either may be empty, and then the other comes out unchanged.
template <class E>
void merge_state(const ForwardScratch<E>& s, int rows, int dim_v, const Sum<E>* acc, const Sum<E>* max,
                 const Sum<E>* sum) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  for (int r = 0; r < rows; ++r) {
    const T new_max = larger(s.total_max[r], max[r]);
    const T shift = new_max == -kInfinity<T> ? T(0) : new_max;
    const Vector<T> old_factor = exp(splat(s.total_max[r] - shift));
    const Vector<T> new_factor = exp(splat(max[r] - shift));
    s.total_max[r] = new_max;
    s.total_sum[r] = fma(splat(s.total_sum[r]), old_factor, splat(sum[r]) * new_factor)[0];
    for (int c = 0; c < dim_v; c += lanes) {
      const ptrdiff_t at = ptrdiff_t(c / nr) * rows * nr + r * nr + c % nr;
      store(s.total + at, fma(load(s.total + at), old_factor, load(acc + at) * new_factor));
    }
  }
}

// The sink joins a row's sum once its keys are all in it. A row that saw nothing gets sum 1 and max = sink, exactly.
template <class T>
TRIANGLE_INLINE void add_sink(T sink, T& max, T& sum, T& factor) {
  const T new_max = larger(max, sink);
  if (new_max == -kInfinity<T>) return;
  factor = exp(splat(max - new_max))[0];
  sum = fma(splat(sum), splat(factor), exp(splat(sink - new_max)))[0];
  max = new_max;
}

// out = total / sum, lse = max + log(sum); a row that saw nothing gets 0 and -inf, or its sink.
template <class E>
void write_rows(const ForwardScratch<E>& s, const Common& common, const Row* row, int rows) {
  using T = Sum<E>;
  constexpr int nr = Tiles<T>::kNr;
  for (int r = 0; r < rows; ++r) {
    T max = s.total_max[r], sum = s.total_sum[r], factor = 1;
    if (common.sinks) add_sink<T>(T(row[r].sink), max, sum, factor);
    const bool empty = max == -kInfinity<T>;
    const T inverse = empty ? T(0) : factor / sum;
    with_storage<E>(common.dtype, [&](auto* storage) {
      using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
      unpack_row<T, S>(static_cast<S*>(row[r].out), s.total + r * nr, ptrdiff_t(rows) * nr, common.dim_v, inverse);
    });
    *static_cast<T*>(row[r].lse) = empty ? -kInfinity<T> : max + log(sum);
  }
}

// State of one chunk in memory: acc [Dv / nr][rows][nr], max [rows], sum [rows].
template <class T>
size_t partial_elements(int rows, int dim_v) {
  return size_t(rows) * (padded(dim_v, Tiles<T>::kNr) + 2);
}

template <class E>
void clear_total(const ForwardScratch<E>& s, int rows, int dim_v) {
  using T = Sum<E>;
  for (int r = 0; r < rows; ++r) s.total_max[r] = -kInfinity<T>;
  std::memset(s.total_sum, 0, sizeof(T) * rows);
  std::memset(s.total, 0, sizeof(T) * rows * padded(dim_v, Tiles<T>::kNr));
}

template <class E>
void forward_tile(const ForwardTile& tile) {
  using T = Sum<E>;
  const Common& common = *tile.common;
  const int rows = tile.rows;
  ForwardContext<E> x{tile, common, {}, {}, !tile.keys.packed_k && can_stream<E>(rows, common.dim, common.dim_v)};
  ForwardScratch<E>& s = x.scratch;
  s.lay_out(tile.scratch, common.dim, common.dim_v);
  x.micro.template cut<T>(tile.row, rows);
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    pack_rows<E, S>([&](int r) { return static_cast<const S*>(tile.row[r].q); }, rows, common.dim, s.q,
                    ptrdiff_t(rows) * Tiles<T>::kNr);
  });

  if (x.stream) pack_stream_q<E>(s.q, rows, common.dim, s.stream_q);

  T* const chunk_sum = s.factor;  // the lanes' sums folded, once the chunk's factors are no longer needed
  const auto run_chunk = [&](int64_t chunk) {
    const bool seen = forward_chunk<E>(x, chunk);
    for (int r = 0; r < rows; ++r) chunk_sum[r] = fold_sum<T>(load(s.sum + r * kLanes<T>));
    return seen;
  };
  if (tile.partial) {
    run_chunk(tile.chunk_begin);
    T* to = static_cast<T*>(tile.partial);
    const size_t elements = size_t(rows) * padded(common.dim_v, Tiles<T>::kNr);
    std::memcpy(to, s.acc, elements * sizeof(T));
    std::memcpy(to + elements, s.max, rows * sizeof(T));
    std::memcpy(to + elements + rows, chunk_sum, rows * sizeof(T));
    return;
  }
  bool fresh = true;
  for (int64_t chunk = tile.chunk_begin; chunk < tile.chunk_end; ++chunk) {
    if (!run_chunk(chunk)) continue;
    if (fresh) {
      std::swap(s.total, s.acc);
      std::memcpy(s.total_max, s.max, rows * sizeof(T));
      std::memcpy(s.total_sum, chunk_sum, rows * sizeof(T));
      fresh = false;
    } else {
      merge_state<E>(s, rows, common.dim_v, s.acc, s.max, chunk_sum);
    }
  }
  if (fresh) clear_total(s, rows, common.dim_v);
  write_rows(s, common, tile.row, rows);
}

template <class E>
void merge_tile(const MergeTile& tile) {
  using T = Sum<E>;
  const int rows = tile.rows, dim_v = tile.common->dim_v;
  ForwardScratch<E> s;
  s.lay_out(tile.scratch, tile.common->dim, dim_v);
  clear_total(s, rows, dim_v);
  const size_t elements = size_t(rows) * padded(dim_v, Tiles<T>::kNr);
  for (int64_t chunk = 0; chunk < tile.chunks; ++chunk) {
    const T* acc = static_cast<const T*>(tile.partials) + chunk * partial_elements<T>(rows, dim_v);
    merge_state<E>(s, rows, dim_v, acc, acc + elements, acc + elements + rows);
  }
  write_rows(s, *tile.common, tile.row, rows);
}

}  // namespace triangle::cpu::TRIANGLE_ISA
