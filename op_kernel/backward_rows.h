// The backward's row-wise passes, on the vector cores alone. Before the main pass: the accumulators become zeros and
// each row gets its lse and delta = rowsum(dO * O) - dlse, side by side in the workspace (for fp16 also what
// backward_range.h needs: rowsum(dO^2), and rowsum(V^2) of each key). After it: gradients scaled, rounded and put where
// they belong.
#pragma once
#include "backward_aiv.h"

namespace triangle {

template <class T>
class BackwardRows {
 public:
  __aicore__ inline BackwardRows(const TriangleBackwardTiling* tiling, const BackwardArguments& arguments,
                                 BackwardUb* ub, int64_t vector_core)
      : tiling_(tiling), arguments_(arguments), ub_(*ub), vector_core_(vector_core) {}

  __aicore__ inline void prepare() {
    clear(global<float>(arguments_.workspace + tiling_->undo_q_offset),
          (tiling_->end_offset - tiling_->undo_q_offset) / 4);
    free_all();
    const int32_t at_once = rows_at_once(dv16());
    for (Tile tile = first_tile(tiling_->heads_q, tiling_->problem.total_q, at_once); tile.exists(); tile.advance())
      row_values(tile);
    if constexpr (kNarrowRange<T>) {
      for (Tile tile = first_tile(tiling_->heads_kv, tiling_->problem.total_k, at_once); tile.exists(); tile.advance())
        key_norms(tile);
    }
    take_all();
  }

  __aicore__ inline void finish() {
    free_all();
    const TriangleForwardTiling& p = tiling_->problem;
    const float dv_scale = kNarrowRange<T> ? 1.0f / kProbFactor : 1.0f;
    write(arguments_.dq, tiling_->dq, tiling_->dq_offset, tiling_->heads_q, p.total_q, p.d, p.scale,
          tiling_->undo_q_offset);
    write(arguments_.dk, tiling_->dk, tiling_->dk_offset, tiling_->heads_kv, p.total_k, p.d, p.scale,
          tiling_->undo_k_offset);
    write(arguments_.dv, tiling_->dv, tiling_->dv_offset, tiling_->heads_kv, p.total_k, p.dv, dv_scale, kNoUndo);
    take_all();
  }

 private:
  // Row tiles of all heads, dealt out one by one to the vector cores.
  struct Tile {
    int64_t index, step, heads, total, at_once;
    int64_t all;

    __aicore__ inline bool exists() const { return index < all; }
    __aicore__ inline void advance() { index += step; }
    __aicore__ inline int64_t per_head() const { return (total + at_once - 1) / at_once; }
    __aicore__ inline int64_t batch() const { return index / per_head() / heads; }
    __aicore__ inline int64_t head() const { return index / per_head() % heads; }
    __aicore__ inline int64_t row() const { return index % per_head() * at_once; }
    __aicore__ inline int32_t rows() const { return static_cast<int32_t>(min64(at_once, total - row())); }
    // Among the rows of all heads.
    __aicore__ inline int64_t flat_row() const { return index / per_head() * total + row(); }
  };
  __aicore__ inline Tile first_tile(int64_t heads, int64_t total, int64_t at_once) const {
    Tile tile;
    tile.index = vector_core_;
    tile.step = 2 * tiling_->problem.cores;
    tile.heads = heads;
    tile.total = total;
    tile.at_once = at_once;
    tile.all = tiling_->batch * heads * tile.per_head();
    return tile;
  }
  __aicore__ static inline int32_t rows_at_once(int32_t width) {
    return smaller(BackwardAivBuffers::kRows, BackwardAivBuffers::kTileFloats / width);
  }
  __aicore__ inline int32_t dv16() const { return round_up(tiling_->problem.dv, 16); }

  // ---- before the main pass ----

  __aicore__ inline void clear(const AscendC::GlobalTensor<float>& dst, int64_t count) {
    const Floats zeros = ub_.s(0);
    AscendC::Duplicate(zeros, 0.0f, BackwardAivBuffers::kTileFloats);
    SetFlag<HardEvent::V_MTE3>(kEventResult);
    WaitFlag<HardEvent::V_MTE3>(kEventResult);
    const int64_t step = int64_t{2} * tiling_->problem.cores * BackwardAivBuffers::kTileFloats;
    for (int64_t at = vector_core_ * BackwardAivBuffers::kTileFloats; at < count; at += step) {
      AscendC::DataCopy(dst[at], zeros, static_cast<uint32_t>(min64(BackwardAivBuffers::kTileFloats, count - at)));
    }
    SetFlag<HardEvent::MTE3_V>(kEventResult);
    WaitFlag<HardEvent::MTE3_V>(kEventResult);
  }

  // lse and delta of a tile's rows.
  __aicore__ inline void row_values(const Tile& tile) {
    const int32_t slot = tiles_++ & 1, rows = tile.rows(), width = dv16(), count = rows * width;
    const AscendC::LocalTensor<T> out16 = ub_.template input<T>(2 * slot), dout16 = ub_.template input<T>(2 * slot + 1);
    const Floats out = ub_.s(0), dout = ub_.s(1);
    const Floats lse = ub_.given_lse(slot), dlse = ub_.given_dlse(slot);
    const Floats lse_result = ub_.stored_lse(slot), delta = ub_.stored_delta(slot);
    const Floats lse_blocks = ub_.lse_blocks(slot), dlse_blocks = ub_.dlse_blocks(slot);
    const TriangleForwardTiling& p = tiling_->problem;
    const bool strided = p.lse.row != 1;

    WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
    load_inputs(out16, arguments_.out, p.out, tile);
    load_inputs(dout16, arguments_.dout, tiling_->dout, tile);
    load_values(strided ? lse_blocks : lse, arguments_.lse, tile);
    if (tiling_->has_dlse) load_values(strided ? dlse_blocks : dlse, arguments_.dlse, tile);
    SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
    WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);

    barrier();
    AscendC::Cast(out, out16, AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(count));
    AscendC::Cast(dout, dout16, AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(count));
    if (strided) {
      pack(lse, lse_blocks, rows);
      if (tiling_->has_dlse) pack(dlse, dlse_blocks, rows);
    }
    barrier();
    AscendC::Mul(out, out, dout, count);
    WaitFlag<HardEvent::MTE3_V>(kEventResult + slot);
    // -inf is the lse of a row that sees nothing; exp(hidden - least max) is 0, but exp(hidden + inf) is not.
    AscendC::Maxs(lse_result, lse, kLeastMax, rows);
    barrier();
    if constexpr (kNarrowRange<T>) {
      AscendC::Mul(dout, dout, dout, count);
      barrier();
      sum_rows(ub_.stored_norm(slot), dout, rows, width);
    }
    sum_rows(delta, out, rows, width);
    if (tiling_->has_dlse) {
      barrier();
      AscendC::Sub(delta, delta, dlse, rows);
    }
    SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
    SetFlag<HardEvent::V_MTE3>(kEventResult + slot);
    WaitFlag<HardEvent::V_MTE3>(kEventResult + slot);
    const AscendC::DataCopyExtParams values(1, static_cast<uint32_t>(rows * 4), 0, 0, 0);
    GM_ADDR base = arguments_.workspace + 4 * tile.flat_row();
    AscendC::DataCopyPad(global<float>(base + tiling_->lse_offset), lse_result, values);
    AscendC::DataCopyPad(global<float>(base + tiling_->delta_offset), delta, values);
    if constexpr (kNarrowRange<T>)
      AscendC::DataCopyPad(global<float>(base + tiling_->factor_offset), ub_.stored_norm(slot), values);
    SetFlag<HardEvent::MTE3_V>(kEventResult + slot);
  }

  // rowsum(V^2) of a tile's keys.
  __aicore__ inline void key_norms(const Tile& tile) {
    const int32_t slot = tiles_++ & 1, rows = tile.rows(), width = dv16(), count = rows * width;
    const AscendC::LocalTensor<T> v16 = ub_.template input<T>(2 * slot);
    const Floats v = ub_.s(0), norm = ub_.stored_norm(slot);
    WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
    load_inputs(v16, arguments_.v, tiling_->problem.v, tile);
    SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
    WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);
    barrier();
    AscendC::Cast(v, v16, AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(count));
    SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
    barrier();
    AscendC::Mul(v, v, v, count);
    WaitFlag<HardEvent::MTE3_V>(kEventResult + slot);
    barrier();
    sum_rows(norm, v, rows, width);
    SetFlag<HardEvent::V_MTE3>(kEventResult + slot);
    WaitFlag<HardEvent::V_MTE3>(kEventResult + slot);
    AscendC::DataCopyPad(global<float>(arguments_.workspace + tiling_->key_norm_offset + 4 * tile.flat_row()), norm,
                         AscendC::DataCopyExtParams(1, static_cast<uint32_t>(rows * 4), 0, 0, 0));
    SetFlag<HardEvent::MTE3_V>(kEventResult + slot);
  }

  // [rows, dv] of out, dout or v, padded with zeros to dv16 columns.
  __aicore__ inline void load_inputs(const AscendC::LocalTensor<T>& dst, GM_ADDR address, const Strides& strides,
                                     const Tile& tile) {
    const int32_t columns = tiling_->problem.dv;
    const AscendC::GlobalTensor<T> src = global<T>(address)[row_offset(strides, tile.batch(), tile.head(), tile.row())];
    const uint32_t bytes = static_cast<uint32_t>(columns * sizeof(T));
    const AscendC::DataCopyPadExtParams<T> zeros(true, 0, static_cast<uint8_t>(dv16() - columns), T(0.0f));
    const int64_t gap = (strides.row - columns) * static_cast<int64_t>(sizeof(T));
    if (gap >= 0 && gap <= int64_t{0xffffffff}) {
      AscendC::DataCopyPad(
          dst, src, AscendC::DataCopyExtParams(to16(tile.rows()), bytes, static_cast<uint32_t>(gap), 0, 0), zeros);
      return;
    }
    for (int32_t row = 0; row < tile.rows(); ++row) {
      AscendC::DataCopyPad(dst[row * dv16()], src[row * strides.row], AscendC::DataCopyExtParams(1, bytes, 0, 0, 0),
                           zeros);
    }
  }

  // One value a row of lse or dlse: side by side, or where rows are apart each at the head of a block of 32 B.
  __aicore__ inline void load_values(const Floats& dst, GM_ADDR address, const Tile& tile) {
    const Strides& strides = tiling_->problem.lse;
    const AscendC::GlobalTensor<float> src =
        global<float>(address)[row_offset(strides, tile.batch(), tile.head(), tile.row())];
    if (strides.row == 1) {
      AscendC::DataCopyPad(dst, src, AscendC::DataCopyExtParams(1, static_cast<uint32_t>(tile.rows() * 4), 0, 0, 0),
                           AscendC::DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
      return;
    }
    const AscendC::DataCopyPadExtParams<float> least(true, 0, 7, kLeastFloat);
    const int64_t gap = (strides.row - 1) * 4;
    if (gap >= 0 && gap <= int64_t{0xffffffff}) {
      AscendC::DataCopyPad(dst, src, AscendC::DataCopyExtParams(to16(tile.rows()), 4, static_cast<uint32_t>(gap), 0, 0),
                           least);
      return;
    }
    for (int32_t row = 0; row < tile.rows(); ++row)
      AscendC::DataCopyPad(dst[row * 8], src[row * strides.row], AscendC::DataCopyExtParams(1, 4, 0, 0, 0), least);
  }
  static constexpr float kLeastFloat = -3.4028234e38f;

  // [rows, 8] with each row's value before seven of the least float: [rows].
  __aicore__ inline void pack(const Floats& dst, const Floats& blocks, int32_t rows) {
    if (rows >= 8) AscendC::BlockReduceMax(dst, blocks, rows / 8, BackwardAivBuffers::kLanes, 1, 1, 8);
    if (rows % 8 != 0) AscendC::BlockReduceMax(dst[rows / 8 * 8], blocks[rows / 8 * 64], 1, rows % 8 * 8, 1, 1, 8);
  }

  // tile [rows, width] is lost: columns are folded into the first 64.
  __aicore__ inline void sum_rows(const Floats& sum, const Floats& tile, int32_t rows, int32_t width) {
    const uint8_t pitch = static_cast<uint8_t>(width / 8);
    const AscendC::BinaryRepeatParams in_rows(1, 1, 1, pitch, pitch, pitch);
    for (int32_t column = BackwardAivBuffers::kLanes; column < width; column += BackwardAivBuffers::kLanes) {
      AscendC::Add(tile, tile, tile[column], static_cast<uint64_t>(smaller(BackwardAivBuffers::kLanes, width - column)),
                   static_cast<uint8_t>(rows), in_rows);
      barrier();
    }
    AscendC::WholeReduceSum(sum, tile, smaller(BackwardAivBuffers::kLanes, width), rows, 1, 1, pitch);
  }

  // ---- after the main pass ----

  static constexpr int64_t kNoUndo = -1;

  // dst = scale * sums, for fp16 also times the rows' values at `undo`, unless it is kNoUndo.
  __aicore__ inline void write(GM_ADDR dst, const Strides& strides, int64_t from, int64_t heads, int64_t total,
                               int32_t columns, float scale, int64_t undo) {
    const int32_t width = round_up(columns, 16);
    const bool undoes = kNarrowRange<T> && undo != kNoUndo;
    const int32_t at_once = undoes ? rows_at_once(width) : BackwardAivBuffers::kTileFloats / width;
    for (Tile tile = first_tile(heads, total, at_once); tile.exists(); tile.advance()) {
      const int32_t slot = tiles_++ & 1, rows = tile.rows(), count = rows * width;
      const Floats sums = ub_.s(slot);
      const AscendC::LocalTensor<T> result = ub_.template result<T>(slot);
      WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
      AscendC::DataCopy(sums, global<float>(arguments_.workspace + from)[tile.flat_row() * width],
                        static_cast<uint32_t>(count));
      if (undoes)
        AscendC::DataCopyPad(ub_.undo(slot), global<float>(arguments_.workspace + undo)[tile.flat_row()],
                             AscendC::DataCopyExtParams(1, static_cast<uint32_t>(rows * 4), 0, 0, 0),
                             AscendC::DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
      SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
      WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);
      barrier();
      if (undoes) {
        spread_rows(ub_.undo_spread(slot), ub_.undo(slot), rows);
        barrier();
        mul_rows(sums, ub_.undo_spread(slot), rows, width);
        barrier();
      }
      AscendC::Muls(sums, sums, scale, count);
      barrier();
      WaitFlag<HardEvent::MTE3_V>(kEventResult + slot);
      AscendC::Cast(result, sums, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
      SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
      SetFlag<HardEvent::V_MTE3>(kEventResult + slot);
      WaitFlag<HardEvent::V_MTE3>(kEventResult + slot);
      store(global<T>(dst)[row_offset(strides, tile.batch(), tile.head(), tile.row())], result, rows, columns, width,
            strides.row);
      SetFlag<HardEvent::MTE3_V>(kEventResult + slot);
    }
  }

  __aicore__ inline void store(const AscendC::GlobalTensor<T>& dst, const AscendC::LocalTensor<T>& src, int32_t rows,
                               int32_t columns, int32_t width, int64_t pitch) {
    const int64_t gap = (pitch - columns) * static_cast<int64_t>(sizeof(T));
    const uint32_t bytes = static_cast<uint32_t>(columns * sizeof(T));
    if (gap >= 0 && gap <= int64_t{0xffffffff}) {
      AscendC::DataCopyPad(dst, src, AscendC::DataCopyExtParams(to16(rows), bytes, 0, static_cast<uint32_t>(gap), 0));
      return;
    }
    for (int32_t row = 0; row < rows; ++row)
      AscendC::DataCopyPad(dst[row * pitch], src[row * width], AscendC::DataCopyExtParams(1, bytes, 0, 0, 0));
  }

  // ---- events ----

  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < 2; ++i) {
      SetFlag<HardEvent::V_MTE2>(kEventTile + i);
      SetFlag<HardEvent::MTE3_V>(kEventResult + i);
    }
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::V_MTE2>(kEventTile + i);
      WaitFlag<HardEvent::MTE3_V>(kEventResult + i);
    }
  }

  const TriangleBackwardTiling* tiling_;
  BackwardArguments arguments_;
  BackwardUb& ub_;
  int64_t vector_core_;
  int32_t tiles_ = 0;
};

}  // namespace triangle
