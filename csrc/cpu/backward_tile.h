// Backward of one block of rows against one column of keys, P recomputed from lse (Dao, "FlashAttention-2",
// 2023, 2.3.2):
//   P = exp(scale q k^T + mask - lse),  dP = dout v^T,  dS = P (dP - delta),
//   dv += P^T dout,  dk += scale dS^T q,  dq += scale dS k;  with dropout, P and dP are masked and scaled as in the
//   forward.
// Each product of a block is summed by itself and then added: the order is fixed by the tile sizes alone.
#pragma once
#include "csrc/cpu/forward_tile.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class T>
struct BackwardScratch {
  // Of the column, kept from begin_column to end_column.
  T* k_transposed = nullptr;  // [keys / nr][D][nr]
  T* v_transposed = nullptr;  // [keys / nr][Dv][nr]
  T* k = nullptr;             // [D / nr][keys][nr]
  T* dk = nullptr;            // [D / nr][keys][nr]
  T* dv = nullptr;            // [Dv / nr][keys][nr]
  // Of the row block.
  T* q = nullptr;     // [D / nr][rows][nr]
  T* dout = nullptr;  // [Dv / nr][rows][nr]
  T* p = nullptr;     // [keys / nr][rows][nr]
  T* ds = nullptr;    // [keys / nr][rows][nr]
  T* dropout = nullptr;

  size_t lay_out(void* base, int dim, int dim_v) {
    using G = Tiles<T>;
    Arena<T> arena{static_cast<T*>(base)};
    const size_t rows = G::kRowsBackward, keys = G::kKeysBackward;
    const size_t d = padded(dim, G::kNr), dv_wide = padded(dim_v, G::kNr);
    k_transposed = arena.take(keys * dim);
    v_transposed = arena.take(keys * dim_v);
    k = arena.take(keys * d);
    dk = arena.take(keys * d);
    dv = arena.take(keys * dv_wide);
    q = arena.take(rows * d);
    dout = arena.take(rows * dv_wide);
    p = arena.take(rows * keys);
    ds = arena.take(rows * keys);
    dropout = arena.take(keys);
    return arena.used * sizeof(T);
  }
};

template <class T>
void begin_column(const BackwardColumn& column) {
  using G = Tiles<T>;
  const Common& common = *column.common;
  const Keys& keys = column.keys;
  BackwardScratch<T> s;
  s.lay_out(column.scratch, common.dim, common.dim_v);
  with_storage<T>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    const S* k = static_cast<const S*>(keys.k) + column.key0 * keys.k_row;
    const S* v = static_cast<const S*>(keys.v) + column.key0 * keys.v_row;
    pack_transposed<T, S>(k, keys.k_row, column.count, common.dim, s.k_transposed);
    pack_transposed<T, S>(v, keys.v_row, column.count, common.dim_v, s.v_transposed);
    pack_rows<T, S>([&](int r) { return k + r * keys.k_row; }, column.count, common.dim, s.k,
                    ptrdiff_t(G::kKeysBackward) * G::kNr);
  });
  for (int c = 0; c < common.dim; c += G::kNr)
    std::memset(s.dk + ptrdiff_t(c) * G::kKeysBackward, 0, sizeof(T) * column.count * G::kNr);
  for (int c = 0; c < common.dim_v; c += G::kNr)
    std::memset(s.dv + ptrdiff_t(c) * G::kKeysBackward, 0, sizeof(T) * column.count * G::kNr);
}

// Row r: s in p and dP in ds become P (with dropout applied) and dS over the panels [begin, end); unseen pairs become
// 0.
template <class T>
TRIANGLE_INLINE void gradient_row(const Common& common, const BackwardScratch<T>& s, const BackwardRow& row, int r,
                                  int64_t key0, int begin, int end) {
  using V = Vector<T>;
  constexpr int lanes = kLanes<T>;
  constexpr int nr = Tiles<T>::kNr;
  constexpr ptrdiff_t panel = ptrdiff_t(Tiles<T>::kRowsBackward) * nr;
  const int64_t from = row.lo - key0, to = row.hi - key0;
  const int first = from < begin ? begin : from > end ? end : int(from);
  const int past = to < first ? first : to > end ? end : int(to);
  // A row hidden altogether has lse = -inf, and every score is -inf: +inf in its place gives exp(-inf) = 0.
  const V lse = splat(row.lse == -kInfinity<double> ? kInfinity<T> : T(row.lse));
  const V delta = splat(T(row.delta));
  if (common.dropout && first < past)
    dropout_factors<T>(common, row.philox_row, row.philox_head, key0, past, s.dropout);
  for (int c = begin; c < end; c += lanes) {
    const ptrdiff_t at = c / nr * panel + r * nr + c % nr;
    if (c + lanes <= first || c >= past) {
      store(s.p + at, V{});
      store(s.ds + at, V{});
      continue;
    }
    V score = load(s.p + at);
    V dp = load(s.ds + at);
    if (row.mask)
      score = apply_mask<T>(score, common, row.mask, key0 + c, larger(first - c, 0), smaller(past - c, lanes));
    if (c < first || c + lanes > past) score = hide_outside<T>(score, c, first, past);
    const V p = exp(score - lse);
    V kept = p;
    if (common.dropout) {
      const V factor = load(s.dropout + c);
      kept = p * factor;
      dp = dp * factor;
    }
    store(s.p + at, kept);
    store(s.ds + at, p * (dp - delta));
  }
}

// gradient [columns / nr][keys][nr] += weights^T rows, weights [keys / nr][rows][nr] (P or dS), rows [columns /
// nr][rows][nr].
template <class T>
void add_key_gradient(const BackwardColumn& column, const BackwardTile& tile, const T* weights, const T* rows,
                      int columns, T* gradient) {
  using G = Tiles<T>;
  constexpr int nr = G::kNr;
  Product<T> g;
  g.finish = Finish::kAdd;
  for (int c = 0; c < columns; c += nr) {
    for (int key = 0; key < column.count;) {
      const int keys = micro_rows<T>(smaller(column.count, key / nr * nr + nr) - key);
      // Rows that see one of these keys; both ends of what a row sees never decrease from row to row.
      const int64_t key0 = column.key0 + key;
      int begin = 0, end = tile.rows;
      while (begin < end && tile.row[begin].hi <= key0) ++begin;
      while (begin < end && tile.row[end - 1].lo >= key0 + keys) --end;
      if (begin < end) {
        g.a = weights + ptrdiff_t(key / nr) * G::kRowsBackward * nr + begin * nr + key % nr;
        g.b = rows + (ptrdiff_t(c / nr) * G::kRowsBackward + begin) * nr;
        g.k = end - begin;
        g.c = gradient + (ptrdiff_t(c / nr) * G::kKeysBackward + key) * nr;
        multiply_transposed<T>(keys, columns - c, g);
      }
      key += keys;
    }
  }
}

template <class T>
void column_rows(const BackwardColumn& column, const BackwardTile& tile) {
  using G = Tiles<T>;
  constexpr int nr = G::kNr, width = G::kKeysBackward;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kRowsBackward) * nr;
  const Common& common = *column.common;
  BackwardScratch<T> s;
  s.lay_out(column.scratch, common.dim, common.dim_v);
  MicroTiles micro;
  micro.cut<T>(tile.row, tile.rows);
  with_storage<T>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    pack_rows<T, S>([&](int r) { return static_cast<const S*>(tile.row[r].q); }, tile.rows, common.dim, s.q, panel);
    pack_rows<T, S>([&](int r) { return static_cast<const S*>(tile.row[r].dout); }, tile.rows, common.dim_v, s.dout,
                    panel);
  });

  const auto product = [&](const T* a, const T* b, int inner, T alpha, T* c) {
    Product<T> g;
    g.a_panel = panel;
    g.k = inner;
    g.alpha = alpha;
    for (int key = 0; key < width; key += nr) {
      g.b = b + ptrdiff_t(key) * inner;
      for (int i = 0; i < micro.count; ++i) {
        const MicroTile& t = micro.tile[i];
        if (t.end(column.key0, width) <= key || t.begin<T>(column.key0, width) > key) continue;
        g.a = a + t.row * nr;
        g.c = c + key / nr * panel + t.row * nr;
        multiply<T>(t.rows, t.end(column.key0, width) - key, g);
      }
    }
  };
  product(s.q, s.k_transposed, common.dim, T(common.scale), s.p);
  product(s.dout, s.v_transposed, common.dim_v, T(1), s.ds);

  for (int i = 0; i < micro.count; ++i) {
    const MicroTile& t = micro.tile[i];
    const int begin = t.begin<T>(column.key0, width), end = t.end(column.key0, width);
    if (begin >= end) continue;
    for (int r = t.row; r < t.row + t.rows; ++r)
      gradient_row<T>(common, s, tile.row[r], r, column.key0, begin, padded(end, nr));
  }
  add_key_gradient<T>(column, tile, s.p, s.dout, common.dim_v, s.dv);
  add_key_gradient<T>(column, tile, s.ds, s.q, common.dim, s.dk);
}

template <class T>
void column_dq(const BackwardColumn& column, const BackwardTile& tile) {
  using G = Tiles<T>;
  constexpr int nr = G::kNr, width = G::kKeysBackward;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kRowsBackward) * nr;
  const Common& common = *column.common;
  BackwardScratch<T> s;
  s.lay_out(column.scratch, common.dim, common.dim_v);
  MicroTiles micro;
  micro.cut<T>(tile.row, tile.rows);
  Product<T> g;
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
      multiply<T>(t.rows, common.dim - c, g);
    }
  }
}

template <class T>
void end_column(const BackwardColumn& column) {
  using G = Tiles<T>;
  constexpr ptrdiff_t panel = ptrdiff_t(G::kKeysBackward) * G::kNr;
  const Common& common = *column.common;
  BackwardScratch<T> s;
  s.lay_out(column.scratch, common.dim, common.dim_v);
  with_storage<T>(common.dtype, [&](auto* storage) {
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
template <class T>
void deltas(const Common& common, int rows, const void* const* dout, const void* const* out, double* delta) {
  constexpr int lanes = kLanes<T>;
  static_assert(kDeltaRows % lanes == 0);
  with_storage<T>(common.dtype, [&](auto* storage) {
    using S = typename std::remove_const<typename std::remove_pointer<decltype(storage)>::type>::type;
    for (int first = 0; first < rows; first += lanes) {
      const int present = smaller(lanes, rows - first);
      Vector<T> sum{};
      for (int c = 0; c < common.dim_v; c += lanes) {
        const int count = smaller(lanes, common.dim_v - c);
        const auto load_columns = [&](const void* const* row,
                                      Vector<T>(&columns)[lanes]) __attribute__((always_inline)) {
          if (present == lanes && count == lanes) {
#pragma GCC unroll 16
            for (int r = 0; r < lanes; ++r) columns[r] = load_as(static_cast<const S*>(row[first + r]) + c);
          } else {
            for (int r = 0; r < lanes; ++r)
              columns[r] = load_part<T>(static_cast<const S*>(row[first + (r < present ? r : 0)]) + c, count);
          }
          transpose<T>(columns);
        };
        Vector<T> a[lanes], b[lanes];
        load_columns(dout, a);
        load_columns(out, b);
#pragma GCC unroll 16
        for (int i = 0; i < lanes; ++i) sum = fma(a[i], b[i], sum);  // columns past Dv are zeros
      }
      for (int r = 0; r < present; ++r) delta[first + r] = sum[r];
    }
  });
}

template <class T>
void write_dq(const Common& common, const void* accumulator, int rows, void* const* dq) {
  using G = Tiles<T>;
  with_storage<T>(common.dtype, [&](auto* storage) {
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
