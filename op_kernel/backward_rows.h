// The backward's row-wise passes, on the vector cores alone. Before the main pass: the accumulators become zeros and
// each row gets its lse and delta = rowsum(dO * O) - dlse (0 where it sees nothing), side by side in the workspace (for
// fp16 also what backward_range.h needs: rowsum(dO^2), and rowsum(V^2) of each key). After it: gradients scaled,
// rounded and put where they belong.
#pragma once
#include "backward_aiv.h"
#include "backward_sinks.h"

namespace triangle {

// Where owns_columns(): the block columns that this core begins and does not own, of each the half that this vector
// core has. Either others go on with it (there is one at most), or no row sees its keys.
class SharedColumns {
 public:
  __aicore__ inline SharedColumns(const TriangleBackwardTiling& tiling, GM_ADDR workspace,
                                  const ForwardSequences& sequences, int64_t vector_core)
      : tiling_(tiling),
        workspace_(workspace),
        core_(vector_core >> 1),
        half_(static_cast<int32_t>(vector_core & 1)),
        walker_(tiling.lines[kByColumns], sequences, tiling.partitions[kByColumns].share(core_)) {}

  __aicore__ inline bool next(KeyRows* keys, bool* unseen) {
    Piece piece;
    while (walker_.next(&piece)) {
      if (!piece.opens || owns_column(tiling_, piece)) continue;
      KeyRows all;
      all.batch = piece.batch;
      all.head_kv = piece.head_kv;
      all.key = piece.row * kGradBlock;
      all.rows = static_cast<int32_t>(min64(kGradBlock, tiling_.problem.total_k - all.key));
      all.dk = column_dk(tiling_, workspace_, core_, kSharedColumn);
      all.dv = column_dv(tiling_, workspace_, core_, kSharedColumn);
      *keys = half_column(tiling_, all, half_);
      *unseen = piece.blocks.size() == 0;
      return true;
    }
    return false;
  }

 private:
  const TriangleBackwardTiling& tiling_;
  GM_ADDR workspace_;
  int64_t core_;
  int32_t half_;
  ShareWalker<ForwardSequences> walker_;
};

template <class T, class Bend>
class BackwardRows {
 public:
  __aicore__ inline BackwardRows(const TriangleBackwardTiling* tiling, const BackwardArguments& arguments,
                                 const ForwardSequences& sequences, BackwardUb* ub, int64_t vector_core)
      : tiling_(tiling), arguments_(arguments), sequences_(sequences), ub_(*ub), vector_core_(vector_core) {}

  __aicore__ inline void prepare() {
    clear();
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
    write(arguments_.dq, tiling_->dq, tiling_->dq_offset, tiling_->heads_q, p.total_q, p.d, p.scale,
          tiling_->undo_q_offset);
    if (owns_columns(*tiling_)) {
      KeyRows keys;
      bool unseen = false;
      for (SharedColumns columns(*tiling_, arguments_.workspace, sequences_, vector_core_);
           columns.next(&keys, &unseen);) {
        if (!unseen) write_keys<T>(ub_, *tiling_, arguments_, keys, &tiles_);
      }
    } else {
      write(arguments_.dk, tiling_->dk, tiling_->dk_offset, tiling_->heads_kv, p.total_k, p.d, p.scale,
            tiling_->undo_k_offset);
      write(arguments_.dv, tiling_->dv, tiling_->dv_offset, tiling_->heads_kv, p.total_k, p.dv, dv_scale<T>(), kNoUndo);
    }
    take_all();
    if constexpr (Bend::kBent) sum_sinks(ub_, *tiling_, arguments_, vector_core_);
  }

 private:
  // Row tiles of all heads, dealt out one by one to the vector cores: each takes every `step`-th, which is counted, not
  // divided, out of batch, head and tile of the head.
  class Tile {
   public:
    __aicore__ inline Tile(int64_t first, int64_t step, int64_t batches, int64_t heads, int64_t total, int64_t at_once)
        : batches_(batches), heads_(heads), total_(total), at_once_(at_once), per_head_(tiles_of(total, at_once)) {
      if (per_head_ == 0) batches_ = 0;
      step_heads_ = heads_in(step);
      step_tiles_ = step - step_heads_ * per_head_;
      head_ = heads_in(first);
      tile_ = first - head_ * per_head_;
      settle();
    }

    __aicore__ inline bool exists() const { return batch_ < batches_; }
    __aicore__ inline void advance() {
      head_ += step_heads_;
      tile_ += step_tiles_;
      if (tile_ >= per_head_) {
        tile_ -= per_head_;
        ++head_;
      }
      settle();
    }
    __aicore__ inline int64_t batch() const { return batch_; }
    __aicore__ inline int64_t head() const { return head_; }
    __aicore__ inline int64_t row() const { return tile_ * at_once_; }
    __aicore__ inline int32_t rows() const { return static_cast<int32_t>(min64(at_once_, total_ - row())); }
    // Among the tiles of all heads, and among the rows.
    __aicore__ inline int64_t index() const { return (batch_ * heads_ + head_) * per_head_ + tile_; }
    __aicore__ inline int64_t flat_row() const { return (batch_ * heads_ + head_) * total_ + row(); }

   private:
    // Lengths are at most kMaxLength, and vector cores few: divisions of 32 bits, which are no long routine, do.
    __aicore__ static inline int64_t tiles_of(int64_t total, int64_t at_once) {
      return (static_cast<uint32_t>(total) + static_cast<uint32_t>(at_once) - 1) / static_cast<uint32_t>(at_once);
    }
    __aicore__ inline int64_t heads_in(int64_t tiles) const {
      return tiles < per_head_ || per_head_ == 0 ? 0 : static_cast<uint32_t>(tiles) / static_cast<uint32_t>(per_head_);
    }
    __aicore__ inline void settle() {
      for (; batch_ < batches_ && head_ >= heads_; ++batch_) head_ -= heads_;
    }

    int64_t batches_, heads_, total_, at_once_, per_head_;
    int64_t step_heads_ = 0, step_tiles_ = 0;
    int64_t batch_ = 0, head_ = 0, tile_ = 0;
  };
  __aicore__ inline Tile first_tile(int64_t heads, int64_t total, int64_t at_once) const {
    return Tile(vector_core_, 2 * tiling_->problem.cores, tiling_->batch, heads, total, at_once);
  }
  __aicore__ static inline int32_t rows_at_once(int32_t width) { return row_tile(width); }
  __aicore__ inline int32_t dv16() const { return round_up(tiling_->problem.dv, 16); }

  // ---- before the main pass ----

  // The accumulators, and what undoes factors, become zeros, and the gradients of keys that no row sees. Owned columns
  // do not need it.
  __aicore__ inline void clear() {
    const Floats zeros = ub_.s(0);
    AscendC::Duplicate(zeros, 0.0f, BackwardAivBuffers::kTileFloats);
    SetFlag<HardEvent::V_MTE3>(kEventResult);
    WaitFlag<HardEvent::V_MTE3>(kEventResult);
    const bool owns = owns_columns(*tiling_);
    const int64_t count = ((owns ? tiling_->dk_offset : tiling_->end_offset) - tiling_->undo_q_offset) >> 2;  // floats
    const int64_t step = int64_t{2} * tiling_->problem.cores * BackwardAivBuffers::kTileFloats;
    for (int64_t at = vector_core_ * BackwardAivBuffers::kTileFloats; at < count; at += step)
      clear_some(global<float>(arguments_.workspace + tiling_->undo_q_offset)[at],
                 min64(BackwardAivBuffers::kTileFloats, count - at));
    if (owns) {
      KeyRows keys;
      bool unseen = false;
      for (SharedColumns columns(*tiling_, arguments_.workspace, sequences_, vector_core_);
           columns.next(&keys, &unseen);) {
        if (unseen) {
          write_zeros(keys);
        } else {
          clear_rows(keys.dk, keys.rows, round_up(tiling_->problem.d, 16));
          clear_rows(keys.dv, keys.rows, dv16());
        }
      }
    }
    SetFlag<HardEvent::MTE3_V>(kEventResult);
    WaitFlag<HardEvent::MTE3_V>(kEventResult);
  }
  __aicore__ inline void write_zeros(const KeyRows& keys) {
    for (int32_t i = 0; i < 2; ++i) {
      const bool is_dk = i == 0;
      const Strides& strides = is_dk ? tiling_->dk : tiling_->dv;
      GradientTile<T> tile;
      tile.columns = is_dk ? tiling_->problem.d : tiling_->problem.dv;
      tile.pitch = strides.row;
      const int32_t width = round_up(tile.columns, 16), at_once = rows_at_once(width);
      for (int32_t row = 0; row < keys.rows; row += at_once) {
        tile.rows = smaller(at_once, keys.rows - row);
        tile.dst = global<T>(is_dk ? arguments_.dk
                                   : arguments_.dv)[row_offset(strides, keys.batch, keys.head_kv, keys.key + row)];
        store_gradient(tile, ub_.s(0).template ReinterpretCast<T>(), width);
      }
    }
  }
  __aicore__ inline void clear_rows(const AscendC::GlobalTensor<float>& dst, int32_t rows, int32_t width) {
    const int32_t at_once = BackwardAivBuffers::kTileFloats / width;
    for (int32_t row = 0; row < rows; row += at_once)
      clear_some(dst[static_cast<uint64_t>(row) * width], int64_t{smaller(at_once, rows - row)} * width);
  }
  __aicore__ inline void clear_some(const AscendC::GlobalTensor<float>& dst, int64_t count) {
    AscendC::DataCopy(dst, ub_.s(0), static_cast<uint32_t>(count));
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
    const float least = Bend::kBent ? least_max_score(p.bend) : kLeastMax;
    AscendC::Maxs(lse_result, lse, least, rows);
    barrier();
    if constexpr (kNarrowRange<T>) {
      AscendC::Mul(dout, dout, dout, count);
      barrier();
      sum_rows(ub_.stored_norm(slot), dout, rows, width);
    }
    sum_rows(delta, out, rows, width);
    const bool sinks = Bend::kBent && p.bend.sinks != 0;
    if (tiling_->has_dlse || sinks) {
      // A row that sees nothing has P = 0, but autograd may hand it NaN: that of logaddexp(-inf, -inf), or a dO of rows
      // of no document, which the gradient of the sinks would add.
      // Of bent scores lse may be as small as the least number, but not -inf.
      if (Bend::kBent) {
        // pack() makes kLeastFinite of -inf; packed, no score is that small.
        AscendC::CompareScalar(ub_.bits(), lse, kLeastFinite, strided ? AscendC::CMPMODE::GT : AscendC::CMPMODE::GE,
                               BackwardAivBuffers::kLanes);
      } else {
        AscendC::CompareScalar(ub_.bits(), lse_result, kLeastMax, AscendC::CMPMODE::NE, BackwardAivBuffers::kLanes);
      }
      barrier();
      if (tiling_->has_dlse) {
        AscendC::Sub(delta, delta, dlse, rows);
        barrier();
      }
      AscendC::Select(delta, ub_.bits(), delta, 0.0f, AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE,
                      static_cast<uint32_t>(rows));
    }
    if (sinks) {
      const float sink = global<float>(arguments_.sinks).GetValue(static_cast<uint64_t>(tile.head()));
      sink_gradient(ub_.sink_part(slot), lse, lse_result, delta, sink, rows);
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
    if (sinks)
      AscendC::DataCopyPad(global<float>(arguments_.workspace + tiling_->sink_offset + 4 * tile.index()),
                           ub_.sink_part(slot), AscendC::DataCopyExtParams(1, 4, 0, 0, 0));
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

  // dst = scale * sums for all rows; `undo`: where their values are, or kNoUndo.
  static constexpr int64_t kNoUndo = -1;
  __aicore__ inline void write(GM_ADDR dst, const Strides& strides, int64_t from, int64_t heads, int64_t total,
                               int32_t columns, float scale, int64_t undo) {
    const int32_t width = round_up(columns, 16);
    GradientTile<T> gradient;
    gradient.undoes = kNarrowRange<T> && undo != kNoUndo;
    gradient.columns = columns;
    gradient.scale = scale;
    const int32_t at_once = gradient.undoes ? rows_at_once(width) : BackwardAivBuffers::kTileFloats / width;
    for (Tile tile = first_tile(heads, total, at_once); tile.exists(); tile.advance()) {
      gradient.dst = global<T>(dst)[row_offset(strides, tile.batch(), tile.head(), tile.row())];
      gradient.pitch = strides.row;
      gradient.sums = global<float>(arguments_.workspace + from)[tile.flat_row() * width];
      if (gradient.undoes) gradient.undo = global<float>(arguments_.workspace + undo)[tile.flat_row()];
      gradient.rows = tile.rows();
      write_gradient(ub_, tiles_++ & 1, gradient);
    }
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
  ForwardSequences sequences_;
  BackwardUb& ub_;
  int64_t vector_core_;
  int32_t tiles_ = 0;
};

}  // namespace triangle
