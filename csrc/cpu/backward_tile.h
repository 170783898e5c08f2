// Backward of one block of rows against one column of keys, P recomputed from lse (Dao, "FlashAttention-2",
// 2023, 2.3.2):
//   P = exp(scale q k^T + mask - lse),  dP = dout v^T,  dS = P (dP - delta),
//   dv += P^T dout,  dk += scale dS^T q,  dq += scale dS k;  with dropout, P and dP are masked and scaled as in the
//   forward; with softcap, scores are bent as there and dS is times what that adds to the chain rule (bend.h).
// Each product of a block is summed by itself and then added: the order is fixed by the tile sizes alone.
#pragma once
#include "csrc/cpu/forward_tile.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class E>
struct BackwardScratch {
  using T = Sum<E>;
  // Of the column, kept from begin_column to end_column.
  E* k_transposed = nullptr;  // [keys / nr][D / step][nr][step]
  E* v_transposed = nullptr;  // [keys / nr][Dv / step][nr][step]
  E* k = nullptr;             // [D / nr][keys / step][nr][step]
  T* dk = nullptr;            // [D / nr][keys][nr]
  T* dv = nullptr;            // [Dv / nr][keys][nr]
  // Of the row block. What is multiplied along rows as well as along columns exists twice, unless a word is one
  // element.
  E* q = nullptr;           // [D / nr][rows][nr]
  E* q_inner = nullptr;     // [D / nr][rows / step][nr][step]
  E* dout = nullptr;        // [Dv / nr][rows][nr]
  E* dout_inner = nullptr;  // [Dv / nr][rows / step][nr][step]
  T* scores = nullptr;      // [keys / nr][rows][nr]
  T* dp = nullptr;          // [keys / nr][rows][nr]
  E* p_inner = nullptr;     // [keys / nr][rows / step][nr][step]
  E* ds = nullptr;          // [keys / nr][rows][nr]
  E* ds_inner = nullptr;    // [keys / nr][rows / step][nr][step]
  T* dropout = nullptr;     // [step][keys]

  void lay_out_column(Arena& arena, int dim, int dim_v) {
    using G = Tiles<T>;
    const size_t keys = G::kKeysBackward, d = padded(dim, G::kNr), dv_wide = padded(dim_v, G::kNr);
    arena.take(k_transposed, keys * padded(dim, kStep<E>));
    arena.take(v_transposed, keys * padded(dim_v, kStep<E>));
    arena.take(k, keys * d);
    arena.take(dk, keys * d);
    arena.take(dv, keys * dv_wide);
  }

  void lay_out_rows(Arena& arena, int dim, int dim_v) {
    using G = Tiles<T>;
    const size_t rows = G::kRowsBackward, d = padded(dim, G::kNr), dv_wide = padded(dim_v, G::kNr);
    arena.take(q, rows * d);
    arena.take(dout, rows * dv_wide);
    if constexpr (kStep<E> == 1) {
      q_inner = q;
      dout_inner = dout;
    } else {
      arena.take(q_inner, rows * d);
      arena.take(dout_inner, rows * dv_wide);
    }
  }

  // The column's and the rows' panels at places of their own, or, where those are null, at `base` like everything else.
  size_t lay_out(void* base, void* column_panels, void* row_panels, int dim, int dim_v) {
    using G = Tiles<T>;
    const size_t rows = G::kRowsBackward, keys = G::kKeysBackward;
    Arena arena{base}, column{column_panels}, row{row_panels};
    lay_out_column(column_panels ? column : arena, dim, dim_v);
    lay_out_rows(row_panels ? row : arena, dim, dim_v);
    arena.take(scores, rows * keys);
    arena.take(dp, rows * keys);
    if constexpr (kStep<E> == 1) {
      p_inner = scores;
      ds = ds_inner = dp;
    } else {
      arena.take(p_inner, rows * keys);
      arena.take(ds, rows * keys);
      arena.take(ds_inner, rows * keys);
    }
    arena.take(dropout, kStep<E> * keys);
    return arena.used;
  }
};

template <class E>
void begin_column(const BackwardColumn& column) {
  using T = Sum<E>;
  using G = Tiles<T>;
  const Common& common = *column.common;
  const Keys& keys = column.keys;
  BackwardScratch<E> s;
  s.lay_out(column.scratch, column.panels, nullptr, common.dim, common.dim_v);
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    const S* k = static_cast<const S*>(keys.k) + column.key0 * keys.k_row;
    const S* v = static_cast<const S*>(keys.v) + column.key0 * keys.v_row;
    // All of it at once: rows come from memory sixteen at a time otherwise, each sixteen waited for.
    const auto fetch = [&](const S* rows, int64_t stride, int columns) {
      for (int r = 0; r < column.count; ++r)
        for (int c = 0; c < columns; c += 64 / int(sizeof(S))) __builtin_prefetch(rows + r * stride + c, 0, 2);
    };
    fetch(k, keys.k_row, common.dim);
    fetch(v, keys.v_row, common.dim_v);
    pack_transposed<E, S>([&](int key) { return k + key * keys.k_row; }, keys.k_row, column.count, common.dim,
                          s.k_transposed);
    pack_transposed<E, S>([&](int key) { return v + key * keys.v_row; }, keys.v_row, column.count, common.dim_v,
                          s.v_transposed);
    pack_inner_rows<E, S>([&](int r) { return k + r * keys.k_row; }, column.count, common.dim, s.k,
                          ptrdiff_t(G::kKeysBackward) * G::kNr);
  });
  if (column.seen) return;  // the first tile writes dk and dv
  for (int c = 0; c < common.dim; c += G::kNr)
    std::memset(s.dk + ptrdiff_t(c) * G::kKeysBackward, 0, sizeof(T) * column.count * G::kNr);
  for (int c = 0; c < common.dim_v; c += G::kNr)
    std::memset(s.dv + ptrdiff_t(c) * G::kKeysBackward, 0, sizeof(T) * column.count * G::kNr);
}

// A row's P (with dropout applied) and dS from its scores and dP, a vector of keys at a time; unseen pairs give 0.
template <class E, class B>
struct GradientRow {
  using T = Sum<E>;
  const Common& common;
  const BackwardRow& row;
  int64_t key0;
  int first, past;  // visible columns
  Hides hidden = Hides::kNothing;
  Vector<T> lse, delta;
  B bend;
  T* dropout;

  TRIANGLE_INLINE GradientRow(const Common& common, const BackwardRow& row, int64_t key0, int begin, int end,
                              T* dropout)
      : common(common), row(row), key0(key0), bend(common, row, key0), dropout(dropout) {
    const int64_t from = row.lo - key0, to = row.hi - key0;
    first = from < begin ? begin : from > end ? end : int(from);
    past = to < first ? first : to > end ? end : int(to);
    if (common.intervals) {
      hidden = hides(common, row, key0 / Tiles<T>::kKeyBlock);
      if (hidden == Hides::kAll) past = first;
    }
    // A row hidden altogether has lse = -inf, and every score is -inf: +inf in its place gives exp(-inf) = 0.
    lse = splat(row.lse == -kInfinity<double> ? kInfinity<T> : T(row.lse));
    delta = splat(T(row.delta));
    if (common.dropout && first < past)
      dropout_factors<T>(common, row.philox_row, row.philox_head, key0, past, dropout);
  }

  // Of the columns from `begin` on, those before this one are seen, and nothing but the scores decides.
  TRIANGLE_INLINE int plain_past(int begin) const {
    return first == begin && !row.mask && !common.dropout && row.factor == 1 && hidden == Hides::kNothing ? past
                                                                                                          : begin;
  }
  TRIANGLE_INLINE void plain_at(int c, const T* scores, const T* dps, Vector<T>& p, Vector<T>& ds) const {
    Vector<T> derivative;
    p = exp_for_operands<E>(bent(c, load(scores), derivative) - lse);
    ds = p * (load(dps) - delta);
    if constexpr (B::kCapped) ds *= derivative;
  }
  TRIANGLE_INLINE Vector<T> bent(int c, Vector<T> score, Vector<T>& derivative) const {
    if constexpr (B::kAny) return bend.with_derivative(score, c, derivative);
    return score;
  }

  // Columns c, c + 1, ..., of which the scores and dP lie at the pointers.
  TRIANGLE_INLINE void at(int c, const T* scores, const T* dps, Vector<T>& kept, Vector<T>& ds) const {
    constexpr int lanes = kLanes<T>;
    if (c + lanes <= first || c >= past) {
      kept = ds = Vector<T>{};
      return;
    }
    Vector<T> derivative;
    Vector<T> score = bent(c, load(scores), derivative);
    Vector<T> dp = load(dps);
    if (row.mask)
      score = apply_mask<T>(score, common, row.mask, key0 + c, larger(first - c, 0), smaller(past - c, lanes));
    if (hidden == Hides::kSome) score = hide_intervals<T>(score, common, row, key0 + c);
    if (c < first || c + lanes > past) score = hide_outside<T>(score, c, first, past);
    const Vector<T> p = exp_for_operands<E>(score - lse) * splat(T(row.factor));  // by 1, as a rule
    kept = p;
    if (common.dropout) {
      const Vector<T> factor = load(dropout + c);
      kept = p * factor;
      dp = dp * factor;
    }
    ds = p * (dp - delta);
    if constexpr (B::kCapped) ds *= derivative;
  }
};

// P and dS of the rows [row, past) over the panels [begin, end), as operands along rows and, dS, along keys. `row` is a
// multiple of step, and so is `past` but at the tile's end.
template <class E, class B>
void gradient_rows(const Common& common, const BackwardScratch<E>& s, const BackwardRow* rows, int row, int past,
                   int64_t key0, int begin, int end) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, nr = Tiles<T>::kNr, step = kStep<E>;
  constexpr ptrdiff_t panel = ptrdiff_t(Tiles<T>::kRowsBackward) * nr;
  for (; row < past; row += step) {
    const GradientRow<E, B> first(common, rows[row], key0, begin, end, s.dropout);
    if constexpr (step == 1) {
      int c = begin;
      for (const int plain = first.plain_past(begin); c + nr <= plain; c += nr) {
        const ptrdiff_t at = c / nr * panel + row * nr;
#pragma GCC unroll 4
        for (int v = 0; v < nr; v += lanes) {
          Vector<T> p, ds;
          first.plain_at(c + v, s.scores + at + v, s.dp + at + v, p, ds);
          store(s.p_inner + at + v, p);
          store(s.ds + at + v, ds);
        }
      }
      for (; c < end; c += lanes) {
        const ptrdiff_t at = c / nr * panel + row * nr + c % nr;
        Vector<T> p, ds;
        first.at(c, s.scores + at, s.dp + at, p, ds);
        store(s.p_inner + at, p);
        store(s.ds + at, ds);
      }
    } else {
      const bool alone = row + 1 == past;
      const GradientRow<E, B> second(common, rows[alone ? row : row + 1], key0, begin, end,
                                     s.dropout + Tiles<T>::kKeysBackward);
      const auto put = [&](ptrdiff_t at, ptrdiff_t inner, const Vector<T>(&p)[2], const Vector<T>(&ds)[2])
                           __attribute__((always_inline)) {
                             store_words<E>(s.p_inner + inner, pair_halves(round_both(p[0], p[1])));
                             const Vector<T> both = round_both(ds[0], ds[1]);
                             store_words<E>(s.ds_inner + inner, pair_halves(both));
                             store_halves(s.ds + at, s.ds + at + nr, both);
                           };
      int c = begin;
      for (const int plain = alone ? begin : smaller(first.plain_past(begin), second.plain_past(begin));
           c + nr <= plain; c += nr) {
        const ptrdiff_t at = c / nr * panel + row * nr;
#pragma GCC unroll 4
        for (int v = 0; v < nr; v += lanes) {
          Vector<T> p[2], ds[2];
          first.plain_at(c + v, s.scores + at + v, s.dp + at + v, p[0], ds[0]);
          second.plain_at(c + v, s.scores + at + nr + v, s.dp + at + nr + v, p[1], ds[1]);
          put(at + v, at + v * step, p, ds);
        }
      }
      for (; c < end; c += lanes) {
        const ptrdiff_t at = c / nr * panel + row * nr + c % nr, inner = c / nr * panel + row * nr + c % nr * step;
        Vector<T> p[2], ds[2];
        first.at(c, s.scores + at, s.dp + at, p[0], ds[0]);
        if (alone) {
          p[1] = ds[1] = Vector<T>{};
        } else {
          second.at(c, s.scores + at + nr, s.dp + at + nr, p[1], ds[1]);
        }
        put(at, inner, p, ds);
      }
    }
  }
}

// gradient [columns / nr][keys][nr] += weights^T rows over the tile's rows [begin, end), for `keys` keys from `key` on;
// weights [keys / nr][rows / step][nr][step] (P or dS), rows [columns / nr][rows / step][nr][step]. The column's first
// tile finds nothing to add to.
template <class E>
void add_key_gradient(const BackwardTile& tile, int key, int keys, int begin, int end, const E* weights, const E* rows,
                      int columns, Sum<E>* gradient) {
  using G = Tiles<Sum<E>>;
  constexpr int nr = G::kNr, step = kStep<E>;
  Product<E> g;
  g.finish = tile.first_of_column ? Finish::kScale : Finish::kAdd;
  g.a = weights + ptrdiff_t(key / nr) * G::kRowsBackward * nr + begin * nr + key % nr * step;
  g.k = end - begin;
  for (int c = 0; c < columns; c += nr) {
    g.b = rows + (ptrdiff_t(c / nr) * G::kRowsBackward + begin) * nr;
    g.c = gradient + (ptrdiff_t(c / nr) * G::kKeysBackward + key) * nr;
    if (begin < end) {
      multiply_transposed<E>(keys, columns - c, g);
    } else if (tile.first_of_column) {
      std::memset(g.c, 0, sizeof(Sum<E>) * keys * nr);
    }
  }
}

template <class E>
void add_key_gradients(const BackwardColumn& column, const BackwardTile& tile, const BackwardScratch<E>& s) {
  constexpr int nr = Tiles<Sum<E>>::kNr;
  for (int key = 0; key < column.count;) {
    const int keys = micro_rows<Sum<E>>(smaller(column.count, key / nr * nr + nr) - key);
    // Rows that see one of these keys; both ends of what a row sees never decrease from row to row.
    const int64_t key0 = column.key0 + key;
    int begin = 0, end = tile.rows;
    while (begin < end && tile.row[begin].hi <= key0) ++begin;
    while (begin < end && tile.row[end - 1].lo >= key0 + keys) --end;
    // A pair of rows lies in one micro-tile, which begins at an even row: its other row was computed too.
    if (begin < end) begin -= begin % kStep<E>;
    add_key_gradient<E>(tile, key, keys, begin, end, s.p_inner, s.dout_inner, column.common->dim_v, s.dv);
    add_key_gradient<E>(tile, key, keys, begin, end, s.ds_inner, s.q_inner, column.common->dim, s.dk);
    key += keys;
  }
}

template <class E>
void pack_tile(const Common& common, const BackwardTile& tile, const BackwardScratch<E>& s) {
  constexpr ptrdiff_t panel = ptrdiff_t(Tiles<Sum<E>>::kRowsBackward) * Tiles<Sum<E>>::kNr;
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    const auto q = [&](int r) { return static_cast<const S*>(tile.row[r].q); };
    const auto dout = [&](int r) { return static_cast<const S*>(tile.row[r].dout); };
    pack_rows<E, S>(q, tile.rows, common.dim, s.q, panel);
    pack_rows<E, S>(dout, tile.rows, common.dim_v, s.dout, panel);
    if constexpr (kStep<E> > 1) {
      pack_inner_rows<E, S>(q, tile.rows, common.dim, s.q_inner, panel);
      pack_inner_rows<E, S>(dout, tile.rows, common.dim_v, s.dout_inner, panel);
    }
  });
}

template <class E>
void column_rows(const BackwardColumn& column, const BackwardTile& tile) {
  using T = Sum<E>;
  using G = Tiles<T>;
  constexpr int nr = G::kNr, width = G::kKeysBackward;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kRowsBackward) * nr;
  const Common& common = *column.common;
  BackwardScratch<E> s;
  s.lay_out(column.scratch, column.panels, tile.panels, common.dim, common.dim_v);
  MicroTiles micro;
  micro.cut<T>(tile.row, tile.rows);
  if (!tile.packed) pack_tile<E>(common, tile, s);
  // Micro-tiles whose every row the intervals hide: no products, P and dS are written as zeros.
  bool skip[MicroTiles::kMost] = {};
  for (int i = 0; common.intervals && i < micro.count; ++i) {
    skip[i] = true;
    for (int r = micro.tile[i].row; r < micro.tile[i].row + micro.tile[i].rows; ++r)
      skip[i] &= hides(common, tile.row[r], column.key0 / G::kKeyBlock) == Hides::kAll;
  }

  const int calls = 2 * (width / nr) * micro.count;
  const int64_t ahead_step = (tile.ahead_bytes + calls - 1) / calls;
  int64_t fetched = 0;
  const auto fetch = [&] {
    // A few lines between micro-kernels: a processor drops prefetches that find its buffers full.
    const int64_t past = smaller(fetched + ahead_step, tile.ahead_bytes);
    for (; fetched < past; fetched += 64) __builtin_prefetch(tile.ahead + fetched, 0, 2);
  };
  const auto product = [&](const E* a, const E* b, int inner, T alpha, T* c) {
    Product<E> g;
    g.a_panel = panel;
    g.k = inner;
    g.alpha = alpha;
    for (int key = 0; key < width; key += nr) {
      g.b = b + ptrdiff_t(key) * padded(inner, kStep<E>);
      for (int i = 0; i < micro.count; ++i) {
        const MicroTile& t = micro.tile[i];
        if (skip[i] || t.end(column.key0, width) <= key || t.begin<T>(column.key0, width) > key) continue;
        g.a = a + t.row * nr;
        g.c = c + key / nr * panel + t.row * nr;
        fetch();
        multiply<E>(t.rows, t.end(column.key0, width) - key, g);
      }
    }
  };
  product(s.q, s.k_transposed, common.dim, T(common.scale), s.scores);
  product(s.dout, s.v_transposed, common.dim_v, T(1), s.dp);

  with_bend<T>(common, [&](auto* bend) {
    using B = typename std::remove_pointer<decltype(bend)>::type;
    for (int i = 0; i < micro.count; ++i) {
      const MicroTile& t = micro.tile[i];
      const int begin = t.begin<T>(column.key0, width), end = t.end(column.key0, width);
      if (begin < end)
        gradient_rows<E, B>(common, s, tile.row, t.row, t.row + t.rows, column.key0, begin, padded(end, nr));
    }
  });
  add_key_gradients<E>(column, tile, s);
}

template <class E>
void column_dq(const BackwardColumn& column, const BackwardTile& tile) {
  using T = Sum<E>;
  using G = Tiles<T>;
  constexpr int nr = G::kNr, width = G::kKeysBackward;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kRowsBackward) * nr;
  const Common& common = *column.common;
  BackwardScratch<E> s;
  s.lay_out(column.scratch, column.panels, tile.panels, common.dim, common.dim_v);
  MicroTiles micro;
  micro.cut<T>(tile.row, tile.rows);
  Product<E> g;
  g.a_panel = panel;
  g.finish = tile.first ? Finish::kScale : Finish::kAdd;
  for (int c = 0; c < common.dim; c += nr) {
    for (int i = 0; i < micro.count; ++i) {
      const MicroTile& t = micro.tile[i];
      const int begin = t.begin<T>(column.key0, width);
      g.k = larger(t.end(column.key0, width) - begin, 0);
      if (g.k == 0 && !tile.first) continue;
      g.a = s.ds + begin / nr * panel + t.row * nr;
      g.b = s.k + (ptrdiff_t(c / nr) * width + begin) * nr;
      g.c = static_cast<T*>(tile.dq) + c / nr * panel + t.row * nr;
      multiply<E>(t.rows, common.dim - c, g);
    }
  }
}

template <class E>
void end_column(const BackwardColumn& column) {
  using T = Sum<E>;
  using G = Tiles<T>;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kKeysBackward) * G::kNr;
  const Common& common = *column.common;
  BackwardScratch<E> s;
  s.lay_out(column.scratch, column.panels, nullptr, common.dim, common.dim_v);
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    for (int key = 0; key < column.count; ++key) {
      const int64_t row = column.key0 + key;
      unpack_row<T, S>(static_cast<S*>(column.dk) + row * column.dk_row, s.dk + key * G::kNr, panel, common.dim,
                       T(common.scale));
      unpack_row<T, S>(static_cast<S*>(column.dv) + row * column.dv_row, s.dv + key * G::kNr, panel, common.dim_v,
                       T(1));
    }
  });
}

// delta[r] = dout[r] . out[r], [Dv] each, r < rows. One chain over Dv a row, as in the product dP = dout v^T: where a
// row sees one key, or one key dominates, out is v and dP - delta cancels exactly. Lanes are rows, as lanes are keys
// there.
template <class E>
void deltas(const Common& common, int rows, const void* const* dout, const void* const* out, double* delta) {
  using T = Sum<E>;
  constexpr int lanes = kLanes<T>, width = kWidth<E>;
  static_assert(kDeltaRows % lanes == 0);
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    for (int first = 0; first < rows; first += lanes) {
      const int present = smaller(lanes, rows - first);
      Vector<T> sum{};
      for (int c = 0; c < common.dim_v; c += width) {
        const int count = smaller(width, common.dim_v - c);
        const auto load_columns = [&](const void* const* row,
                                      Vector<T>(&columns)[lanes]) __attribute__((always_inline)) {
          if (present == lanes && count == width) {
#pragma GCC unroll 16
            for (int r = 0; r < lanes; ++r) columns[r] = load_words<E>(static_cast<const S*>(row[first + r]) + c);
          } else {
            for (int r = 0; r < lanes; ++r)
              columns[r] = load_words_part<E>(static_cast<const S*>(row[first + (r < present ? r : 0)]) + c, count);
          }
          transpose<T>(columns);
        };
        Vector<T> a[lanes], b[lanes];
        load_columns(dout, a);
        load_columns(out, b);
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) sum = multiply_add<E>(a[i], b[i], sum);  // columns past Dv are zeros
      }
      for (int r = 0; r < present; ++r) delta[first + r] = sum[r];
    }
  });
}

template <class E>
void write_dq(const Common& common, const void* accumulator, int rows, void* const* dq) {
  using T = Sum<E>;
  using G = Tiles<T>;
  with_storage<E>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    for (int r = 0; r < rows; ++r) {
      if (accumulator) {
        unpack_row<T, S>(static_cast<S*>(dq[r]), static_cast<const T*>(accumulator) + r * G::kNr,
                         ptrdiff_t(G::kRowsBackward) * G::kNr, common.dim, T(common.scale));
      } else {
        std::memset(dq[r], 0, common.dim * sizeof(S));
      }
    }
  });
}

}  // namespace triangle::cpu::TRIANGLE_ISA
