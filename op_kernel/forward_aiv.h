// A vector core's part of the forward: for each stage the softmax of its rows, and two stages later the merge of P V
// into the accumulator; at a task's end out and lse.
#pragma once
#include "forward_aic.h"
#include "merge.h"

namespace triangle {

// Bend: NoBend, or TileBend in the kernels that bend scores. Operands: TensorOperands, or another of its kind.
template <class T, class Tile, class Bend, class Operands>
class ForwardAiv {
 public:
  __aicore__ inline ForwardAiv(const TriangleForwardTiling* tiling, const ForwardArguments& arguments,
                               const Operands& operands, const Share& share, int64_t core, int32_t half)
      : tiling_(tiling),
        operands_(operands),
        out_(global<T>(arguments.out)),
        lse_(global<float>(arguments.lse)),
        mask_(arguments.mask),
        workspace_(tiling, arguments.workspace, core),
        soft_(tiling, operands.sequences(), share),
        merge_(tiling, operands.sequences(), share),
        ahead_(operands.read_ahead(arguments, share, half)),
        slopes_(global<float>(arguments.slopes)),
        sinks_(global<float>(arguments.sinks)),
        half_(half),
        dv16_(round_up(tiling->dv, 16)) {
    chip_.Init(scale_first() ? 1.0f : tiling->scale);
    if constexpr (Bend::kBent) {
      AscendC::CreateVecIndex(chip_.columns(), 0.0f, static_cast<uint32_t>(kChunkKeys));
    }
    if constexpr (Bend::kIntervals) bend_.tables = operands.sequences().intervals();
  }

  __aicore__ inline void run() {
    free_all();
    int64_t made = 0, used = 0;
    Stage stage;
    bool more = soft_.next_with_keys(&stage);
    ahead_.next(operands_.sequences(), chip_);
    while (more || used < made) {
      if (more) {
        ahead_.next(operands_.sequences(), chip_);
        softmax(stage);
        ++made;
        more = soft_.next_with_keys(&stage);
      }
      if (made - used == kRingSlots || !more) {
        merge_next();
        ++used;
      }
    }
    while (merge_.next(&stage)) finish_empty(stage);
    if constexpr (kCutsTasks) {
      if (tiling_->phases == kAllPhases && tiling_->cut_slots > 0) {
        AscendC::SyncAll<true>();
        merge_cut_task();
      }
    }
    take_all();
  }

  // After all cores' run(), in a launch of its own.
  __aicore__ inline void merge_cut_tasks() {
    free_all();
    if constexpr (kCutsTasks) merge_cut_task();
    take_all();
  }

 private:
  using Softmax = SoftmaxTile<typename Operands::Edges, typename Operands::Mask>;
  using Cursor = StageCursor<typename Operands::Sequences>;
  static constexpr bool kCutsTasks = !Bend::kIntervals;  // then cores have whole tasks

  // ---- softmax ----

  // The upper half of a task sees fewer keys at the diagonal: the two vector cores take turns at it.
  __aicore__ inline bool upper(const Stage& stage) const {
    return ((half_ + tiling_->line.block.q.floor(stage.row0)) & 1) == 0;
  }
  __aicore__ inline int32_t own_row(const Stage& stage) const { return upper(stage) ? 0 : first_half_rows(stage.rows); }
  __aicore__ inline int32_t own_rows(const Stage& stage) const {
    const int32_t first = first_half_rows(stage.rows);
    return upper(stage) ? first : stage.rows - first;
  }
  // The columns the cube computed for these rows: those of their row tile.
  __aicore__ inline Columns own_columns(const Stage& stage) const {
    if (Tile::kRowTiles == 1) return Operands::columns(stage, 0, stage.rows);
    return Operands::columns(stage, own_row(stage), own_rows(stage));
  }

  __aicore__ inline void softmax(const Stage& stage) {
    AscendC::CrossCoreWaitFlag(kScoresReady);
    const Columns columns = own_columns(stage);
    const int32_t first = own_row(stage), rows = own_rows(stage);
    const bool any = rows > 0 && columns.cols > 0;
    if (any) {
      const int32_t width = round_up(columns.cols, AivBuffers::kLanes);
      // As many rows as a slot holds; half of it is the mask's where there is one.
      int32_t at_once = width > kChunkKeys / 2 ? AivBuffers::kChunkRows / 2 : AivBuffers::kChunkRows;
      if (Bend::kBent) at_once = AivBuffers::kBentRows;
      if (has_bool_mask() || has_float_mask()) at_once /= 2;
      if constexpr (Bend::kBent) begin_bend(stage, columns, first, rows, width);
      if constexpr (Bend::kIntervals) {
        if (begin_intervals(stage, columns, first, rows) && !bounds_apart()) at_once = Bend::kRowsAtOnce;
      }
      const Part part = {&stage, columns, first, rows, width, at_once};
      softmax_rows(part);
      if (!scale_first() && finish_and_find_large(stage, rows)) {
        // Their P is made again; the stores of the first one must not come after those of the second.
        AscendC::PipeBarrier<PIPE_MTE3>();
        softmax_rows(part);
        large_[0] = large_[1] = 0;
      }
    }
    pending_.finish(chip_);
    // A core without rows takes part too: the flag counts when both have set it. Its stores do not wait for the loads
    // of P V of earlier stages, which the cube overwrites from here on.
    if (any) {
      AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(kProbsReady);
    } else {
      AscendC::CrossCoreSetFlag<2, PIPE_MTE2>(kProbsReady);
    }
  }

  // Smaller and negative scales multiply the scores before their maximum is taken, and all where scores are bent.
  __aicore__ inline bool scale_first() const {
    return (Bend::kBent && tiling_->bend.bends_scores()) || !(tiling_->scale >= kLeastScale);
  }

  // A vector core's part of a stage: rows first .. first + rows of the task, and at_once rows a tile.
  struct Part {
    const Stage* stage;
    Columns columns;
    int32_t first, rows, width, at_once;
  };

  // Tile by tile; the next one's maximum begins while this one's P is rounded.
  __aicore__ inline void softmax_rows(const Part& part) {
    Softmax t = load_tile(part, 0);
    WaitFlag<HardEvent::MTE2_V>(kEventScores + ((slots_used_ - 1) & 1));
    begin_bent_tile(part, 0);
    if constexpr (Bend::kIntervals) load_bounds(part);
    begin_tile(chip_, t, bend_);
    for (int32_t row = 0; row < part.rows; row += part.at_once) {
      const int32_t slot = (slots_used_ - 1) & 1;
      softmax_exp(chip_, t, pending_, bend_);
      take_accumulator();
      const bool more = row + part.at_once < part.rows;
      Softmax next;
      if (more) next = load_tile(part, row + part.at_once);
      store_probs(part, t, row, slot);
      if (more) {
        WaitFlag<HardEvent::MTE2_V>(kEventScores + ((slots_used_ - 1) & 1));
        begin_bent_tile(part, row + part.at_once);
        begin_tile(chip_, next, bend_);
        t = next;
      }
    }
  }

  // Whether rows of the stage have so large a maximum that its rounding, which their exponents hold, matters: from
  // about 2^24 on; which ones is then in large_. A row's own scores decide, so that its bits depend on no other row.
  __aicore__ inline bool finish_and_find_large(const Stage& stage, int32_t rows) {
    constexpr float kMost = 1.0f;
    const Floats slip = chip_.temporary(0), most = chip_.temporary(1);
    barrier();
    pending_.second_level(chip_);
    AscendC::FusedMulAdd(slip, chip_.minus_factor(), chip_.chunk_max(stage.slot),
                         static_cast<uint64_t>(AivBuffers::kLanes), uint8_t{AivBuffers::kRows / AivBuffers::kLanes},
                         AscendC::BinaryRepeatParams(1, 0, 1, 8, 0, 8));
    barrier();
    pending_.third_level(chip_);
    AscendC::Abs(slip, slip, rows);
    barrier();
    for (int32_t row = 0; row < rows; row += AivBuffers::kLanes) {
      AscendC::WholeReduceMax(most[row], slip[row], smaller(AivBuffers::kLanes, rows - row), 1, 1, 1, 8,
                              AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    }
    SetFlag<HardEvent::V_S>(kEventLarge);
    WaitFlag<HardEvent::V_S>(kEventLarge);
    bool any = most.GetValue(0) > kMost;
    if (rows > AivBuffers::kLanes) any = any || most.GetValue(AivBuffers::kLanes) > kMost;
    for (int32_t row = 0; any && row < rows; ++row) {
      if (slip.GetValue(row) > kMost) large_[row >> 6] |= uint64_t{1} << (row & 63);
    }
    SetFlag<HardEvent::S_V>(kEventLarge);
    WaitFlag<HardEvent::S_V>(kEventLarge);
    return any;
  }

  // The tile that begins at `row` of the part, on its way into the next slot; V waits for it.
  __aicore__ inline Softmax load_tile(const Part& part, int32_t row) {
    const Stage& stage = *part.stage;
    const Columns& columns = part.columns;
    const int32_t first = part.first, width = part.width, rows = smaller(part.at_once, part.rows - row);
    const int32_t slot = slots_used_++ & 1;
    const int32_t cols16 = round_up(columns.cols, 16);
    Softmax t;
    t.tile = chip_.scores(slot);
    t.max = chip_.chunk_max(stage.slot)[row];
    t.sum = chip_.chunk_sum(stage.slot)[row];
    t.largest = chip_.temporary(0)[row];
    t.minus_max = chip_.temporary(1)[row];
    t.rows = rows;
    t.width = width;
    t.chunk_column = stage.chunk_column + columns.col0;
    t.scale = tiling_->scale;
    t.scale_first = scale_first();
    t.large = static_cast<uint32_t>(large_[row >> 6] >> (row & 63) & ((uint64_t{1} << rows) - 1));
    t.edges = Operands::edges(stage, first + row, columns.col0, width);

    bool fill = cols16 < width;  // columns that nobody computed or loads
    if constexpr (Softmax::kMasked) {
      if (has_bool_mask()) {
        t.mask.given = true;
        t.mask.bytes = chip_.mask_bytes(slot);
        t.mask.halves = chip_.mask_halves(slot);
        t.mask.pitch = round_up(width, 128);
        fill = fill || round_up(columns.cols, 32) < t.mask.pitch;
      }
    }
    if (has_float_mask()) fill = fill || round_up(columns.cols, 8) < width;

    WaitFlag<HardEvent::V_MTE2>(kEventScores + slot);
    if (fill) {
      SetFlag<HardEvent::MTE2_V>(kEventFill);
      WaitFlag<HardEvent::MTE2_V>(kEventFill);
      AscendC::Duplicate(t.tile, kHidden, rows * width);
      if constexpr (Softmax::kMasked) {
        if (has_bool_mask())
          AscendC::Duplicate(t.mask.bytes.template ReinterpretCast<half>(), half(0.0f), rows * t.mask.pitch / 2);
      }
      if (has_float_mask()) AscendC::Duplicate(chip_.upper_half(slot), 0.0f, AivBuffers::kSlotFloats / 2);
      SetFlag<HardEvent::V_MTE2>(kEventFill);
      WaitFlag<HardEvent::V_MTE2>(kEventFill);
    }
    AscendC::DataCopy(t.tile, workspace_.scores(stage)[static_cast<uint64_t>(first + row) * kChunkKeys + columns.col0],
                      AscendC::DataCopyParams(to16(rows), to16(cols16 / 8), to16((kChunkKeys - cols16) / 8),
                                              to16((width - cols16) / 8)));
    if constexpr (Softmax::kMasked) {
      if (has_bool_mask()) load_mask(stage, t.mask, first + row, rows, columns);
    }
    if constexpr (Bend::kFloatMasks) {
      bend_.mask = load_float_mask<T>(*tiling_, mask_, chip_.upper_half(slot), stage.batch, stage.head_q,
                                      stage.row0 + first + row, stage.key0() + columns.col0, rows, columns.cols, width);
    }
    SetFlag<HardEvent::MTE2_V>(kEventScores + slot);
    return t;
  }

  // P of a tile in `slot` of the scores, in 16 bits.
  __aicore__ inline void store_probs(const Part& part, const Softmax& t, int32_t row, int32_t slot) {
    const Stage& stage = *part.stage;
    const Columns& columns = part.columns;
    const int32_t rows = t.rows, width = t.width, cols16 = round_up(columns.cols, 16), first = part.first;
    const int32_t p = probs_used_++ & 1;
    const AscendC::LocalTensor<T> probs = chip_.template probs<T>(p);
    if (!Bend::kBent) WaitFlag<HardEvent::MTE3_V>(kEventProbs + p);
    AscendC::Cast(probs, t.tile, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(rows * width));
    begin_sum(chip_, t);
    pending_.begin(t);
    SetFlag<HardEvent::V_MTE2>(kEventScores + slot);
    SetFlag<HardEvent::V_MTE3>(kEventProbs + p);
    WaitFlag<HardEvent::V_MTE3>(kEventProbs + p);
    AscendC::DataCopy(
        workspace_.template probs<T>(stage)[static_cast<uint64_t>(first + row) * Workspace::kProbsPitch + columns.col0],
        probs,
        AscendC::DataCopyParams(to16(rows), to16(cols16 / 16), to16((width - cols16) / 16),
                                to16((Workspace::kProbsPitch - cols16) / 16)));
    SetFlag<HardEvent::MTE3_V>(kEventProbs + p);
  }

  // What the tiles of a stage have in common. Distances count from the middle of the core's rows.
  __aicore__ inline void begin_bend(const Stage& stage, const Columns& columns, int32_t first, int32_t rows,
                                    int32_t width) {
    const ScoreBend& bend = tiling_->bend;
    bend_.bends_scores = bend.bends_scores();
    bend_.scale = tiling_->scale;
    bend_.softcap = bend.softcap;
    bend_.alibi = bend.alibi != 0;
    if (!bend_.alibi) return;
    bend_.slope = slopes_.GetValue(static_cast<uint64_t>(stage.sequence * bend.slope_batch + stage.head_q));
    bend_.factor = chip_.bend_factor();
    bend_.distances = chip_.distances();
    bend_.rows = chip_.bend_rows();
    reference_ = first + rows / 2;
    bend_.begin(chip_.columns(), stage.key0() + columns.col0, stage.position(*tiling_, reference_), width);
  }
  // Before the tile from `row` of the part on: its distances from the reference, and a place for the softcap, which is
  // that of its P.
  __aicore__ inline void begin_bent_tile(const Part& part, int32_t row) {
    if constexpr (Bend::kBent) {
      const int32_t p = probs_used_ & 1;
      WaitFlag<HardEvent::MTE3_V>(kEventProbs + p);
      bend_.scratch = chip_.template probs<T>(p).template ReinterpretCast<float>();
      if (bend_.alibi) {
        const float from = static_cast<float>(part.first + row - reference_);
        AscendC::Adds(bend_.rows, chip_.columns(), from, AivBuffers::kBentRows);
        barrier();
      }
    }
    if constexpr (Bend::kIntervals) {
      const Stage& stage = *part.stage;
      bend_.row = part.first + row;
      bend_.find_hidden(stage.first_q + stage.row0 + bend_.row, smaller(part.at_once, part.rows - row),
                        stage.first_k + stage.key0() + part.columns.col0, part.columns.cols, part.width);
    }
  }
  // Whether intervals touch these rows of a stage.
  __aicore__ inline bool begin_intervals(const Stage& stage, const Columns& columns, int32_t first, int32_t rows) {
    bend_.tables.select(bend_.tables.pair(stage.batch, stage.head_q, stage.head_kv));
    bend_.touched = bend_.tables.touch(stage.first_q + stage.row0 + first, rows,
                                       stage.first_k + stage.key0() + columns.col0, columns.cols);
    bend_.scratch_floats = bend_.touched && !bounds_apart() ? Bend::kScratchFloats / 2 : Bend::kScratchFloats;
    return bend_.touched;
  }
  // One interval's bounds take the place of what only slopes need; else they have half of the slot of the first tile's
  // P, and the tiles fewer rows.
  __aicore__ inline bool bounds_apart() const { return bend_.tables.count() == 1 && tiling_->bend.alibi == 0; }
  // The bounds of a stage's keys; beside the P of its first tile, of whose slot the stores are done.
  __aicore__ inline void load_bounds(const Part& part) {
    if (!bend_.touched) return;
    const Stage& stage = *part.stage;
    if (bounds_apart()) {
      bend_.starts = chip_.columns();
      bend_.ends = chip_.distances();
    } else {
      bend_.starts = chip_.template probs<T>(probs_used_ & 1).template ReinterpretCast<float>()[Bend::kFloats];
      bend_.ends = bend_.starts[kChunkKeys];
    }
    SetFlag<HardEvent::V_MTE2>(kEventBounds);
    WaitFlag<HardEvent::V_MTE2>(kEventBounds);
    bend_.load(stage.first_k + stage.key0() + part.columns.col0);
    SetFlag<HardEvent::MTE2_V>(kEventBounds);
    WaitFlag<HardEvent::MTE2_V>(kEventBounds);
    bend_.convert(stage.first_q + stage.row0);
  }
  __aicore__ inline bool has_bool_mask() const { return Softmax::kMasked && tiling_->has_mask; }
  __aicore__ inline bool has_float_mask() const { return Bend::kFloatMasks && loads_float_mask(*tiling_); }

  // The mask's bytes for rows of the task and columns of the stage.
  __aicore__ inline void load_mask(const Stage& stage, const TileMask& mask, int32_t row, int32_t rows,
                                   const Columns& columns) {
    const Strides& strides = tiling_->mask;
    load_mask_rows(
        mask.bytes,
        mask_ + row_offset(strides, stage.batch, stage.head_q, stage.row0 + row) + stage.key0() + columns.col0, rows,
        columns.cols, strides.row, mask.pitch);
  }

  // ---- merge ----

  __aicore__ inline void merge_next() {
    Stage stage;
    while (merge_.next(&stage) && stage.keys == 0) finish_empty(stage);
    AscendC::CrossCoreWaitFlag(kOutReady);
    if (stage.opens) state_.fresh = true;
    const int32_t rows = own_rows(stage);
    const bool seen = rows > 0 && own_columns(stage).cols > 0;
    if (kCutsTasks && stage.cut) {
      if (seen) store_cut_stats(stage);
      return;
    }
    if (seen) {
      merge(workspace_.out(stage)[static_cast<uint64_t>(own_row(stage)) * dv16_], chip_.chunk_max(stage.slot),
            chip_.chunk_sum(stage.slot), rows);
    }
    if (stage.closes && rows > 0) finish(stage);
  }

  // One chunk's P V [rows, dv16] and statistics into the state.
  __aicore__ inline void merge(const AscendC::GlobalTensor<float>& chunk, const Floats& max, const Floats& sum,
                               int32_t rows) {
    const Floats accumulator = chip_.accumulator();
    if (state_.fresh) {
      state_.fresh = false;
      WaitFlag<HardEvent::V_MTE2>(kEventAcc);
      AscendC::DataCopy(accumulator, chunk, static_cast<uint32_t>(rows * dv16_));
      SetFlag<HardEvent::MTE2_V>(kEventAcc);
      loading_ = true;
      first_stats(chip_, max, sum, rows);
      return;
    }
    take_accumulator();
    merge_stats(chip_, max, sum, rows);
    mul_rows(accumulator, chip_.own_factor(), rows, dv16_);
    barrier();
    const int32_t at_once = smaller(AivBuffers::kRows, AivBuffers::kSlotFloats / dv16_);
    for (int32_t row = 0; row < rows; row += at_once) {
      const int32_t count = smaller(at_once, rows - row);
      const int32_t slot = slots_used_++ & 1;
      const Floats tile = chip_.scores(slot);
      WaitFlag<HardEvent::V_MTE2>(kEventScores + slot);
      AscendC::DataCopy(tile, chunk[static_cast<uint64_t>(row) * dv16_], static_cast<uint32_t>(count * dv16_));
      SetFlag<HardEvent::MTE2_V>(kEventScores + slot);
      WaitFlag<HardEvent::MTE2_V>(kEventScores + slot);
      mul_add_rows(accumulator[row * dv16_], tile, chip_.chunk_factor()[row * 8], count, dv16_);
      SetFlag<HardEvent::V_MTE2>(kEventScores + slot);
    }
  }

  // V waits for the first chunk's P V, which the next stage's softmax need not: but its P tells the cube that P V was
  // loaded.
  __aicore__ inline void take_accumulator() {
    if (!loading_) return;
    loading_ = false;
    WaitFlag<HardEvent::MTE2_V>(kEventAcc);
  }

  // ---- results ----

  // A task none of whose rows sees a key.
  __aicore__ inline void finish_empty(const Stage& stage) {
    state_.fresh = true;
    if (own_rows(stage) > 0) finish(stage);
  }

  __aicore__ inline void finish(const Stage& stage) {
    const int32_t first = own_row(stage), rows = own_rows(stage);
    take_accumulator();
    if (state_.fresh) {  // no chunk had a key for these rows
      WaitFlag<HardEvent::V_MTE2>(kEventAcc);
      barrier();
      AscendC::Duplicate(chip_.accumulator(), 0.0f, rows * dv16_);
      AscendC::Duplicate(chip_.run_max(), bend_.least_max(), rows);
      AscendC::Duplicate(chip_.run_sum(), 0.0f, rows);
    }
    WaitFlag<HardEvent::MTE3_V>(kEventLse);
    bool sinks = false;
    if constexpr (Bend::kBent) {
      sinks = tiling_->bend.sinks != 0;
      if (sinks) operands_.join_sinks(chip_, sinks_, stage, first, rows);
    }
    normalise(chip_, rows, dv16_, sinks);
    store_lse(stage, first, rows);
    store_out(stage, first, rows);
    SetFlag<HardEvent::V_MTE2>(kEventAcc);
    state_.fresh = true;
  }

  __aicore__ inline void store_lse(const Stage& stage, int32_t first, int32_t rows) {
    if (Operands::adjoins(tiling_->lse, stage)) {
      SetFlag<HardEvent::V_MTE3>(kEventLse);
      WaitFlag<HardEvent::V_MTE3>(kEventLse);
      const int64_t row = stage.first_q + stage.row0 + first;
      AscendC::DataCopyPad(lse_[row_offset(tiling_->lse, stage.batch, stage.head_q, row)], chip_.lse(),
                           AscendC::DataCopyExtParams(1, static_cast<uint32_t>(rows * 4), 0, 0, 0));
    } else {  // each row's value at the head of a block of 32 B, from where a copy of 4 B takes it
      const int32_t p = probs_used_++ & 1;
      const Floats values = chip_.template probs<T>(p).template ReinterpretCast<float>();
      WaitFlag<HardEvent::MTE3_V>(kEventProbs + p);
      spread_rows(values, chip_.lse(), rows);
      SetFlag<HardEvent::V_MTE3>(kEventProbs + p);
      WaitFlag<HardEvent::V_MTE3>(kEventProbs + p);
      operands_.store(lse_, tiling_->lse, stage, first, values, rows, 1, 8);
      SetFlag<HardEvent::MTE3_V>(kEventProbs + p);
    }
    SetFlag<HardEvent::MTE3_V>(kEventLse);
  }

  __aicore__ inline void store_out(const Stage& stage, int32_t first, int32_t rows) {
    const int32_t at_once = smaller(AivBuffers::kRows, AivBuffers::kSlotFloats / dv16_);
    for (int32_t row = 0; row < rows; row += at_once) {
      const int32_t count = smaller(at_once, rows - row);
      const int32_t p = probs_used_++ & 1;
      const AscendC::LocalTensor<T> tile = chip_.template probs<T>(p);
      WaitFlag<HardEvent::MTE3_V>(kEventProbs + p);
      AscendC::Cast(tile, chip_.accumulator()[row * dv16_], AscendC::RoundMode::CAST_RINT,
                    static_cast<uint32_t>(count * dv16_));
      SetFlag<HardEvent::V_MTE3>(kEventProbs + p);
      WaitFlag<HardEvent::V_MTE3>(kEventProbs + p);
      operands_.store(out_, tiling_->out, stage, first + row, tile, count, tiling_->dv, dv16_);
      SetFlag<HardEvent::MTE3_V>(kEventProbs + p);
    }
  }

  // ---- tasks that several cores share ----

  // Max and sum of a chunk, to be merged with the chunk's P V after all cores are done.
  __aicore__ inline void store_cut_stats(const Stage& stage) {
    const int32_t first = own_row(stage);
    const AscendC::GlobalTensor<float> dst = workspace_.cut_stats(core(), stage.cut_slot);
    SetFlag<HardEvent::V_MTE3>(kEventCutStats);
    WaitFlag<HardEvent::V_MTE3>(kEventCutStats);
    const AscendC::DataCopyExtParams params(1, static_cast<uint32_t>(own_rows(stage) * 4), 0, 0, 0);
    AscendC::DataCopyPad(dst[first], chip_.chunk_max(stage.slot), params);
    AscendC::DataCopyPad(dst[tiling_->cut_rows + first], chip_.chunk_sum(stage.slot), params);
    SetFlag<HardEvent::MTE3_V>(kEventCutStats);
    WaitFlag<HardEvent::MTE3_V>(kEventCutStats);
  }

  // The task that this core found begun, if it is the first that did: its chunks from all cores' partials, in order,
  // as one core alone would have merged them.
  __aicore__ inline void merge_cut_task() {
    const auto& partition = operands_.places();
    const Start own = partition.start(core());
    if (own.unit == 0 || partition.is_inside(core() - 1, own)) return;
    Share task;
    task.begin.part[kMain] = task.end.part[kMain] = own;
    task.begin.part[kMain].unit = task.end.part[kMain].unit = 0;
    ++task.end.part[kMain].task;
    Cursor cursor(tiling_, operands_.sequences(), task);
    Stage stage;
    int64_t owner = core() - 1;
    for (int32_t chunk = 0; cursor.next(&stage); ++chunk) {
      if (own_rows(stage) == 0) return;
      while (owner + 1 < tiling_->cores && partition.is_inside(owner + 1, own) &&
             partition.start(owner + 1).unit <= chunk)
        ++owner;
      const int32_t slot =
          partition.is_inside(owner, own) ? chunk - partition.start(owner).unit : tiling_->cut_first_slots + chunk;
      if (stage.opens) state_.fresh = true;
      if (own_columns(stage).cols > 0) {
        load_cut_stats(workspace_.cut_stats(owner, slot)[own_row(stage)], own_rows(stage));
        merge(workspace_.cut_out(owner, slot)[static_cast<uint64_t>(own_row(stage)) * dv16_], chip_.chunk_max(0),
              chip_.chunk_sum(0), own_rows(stage));
      }
      if (stage.closes) finish(stage);
    }
  }
  __aicore__ inline void load_cut_stats(const AscendC::GlobalTensor<float>& src, int32_t rows) {
    const AscendC::DataCopyExtParams params(1, static_cast<uint32_t>(rows * 4), 0, 0, 0);
    const AscendC::DataCopyPadExtParams<float> no_padding(false, 0, 0, 0.0f);
    SetFlag<HardEvent::V_MTE2>(kEventStats);
    WaitFlag<HardEvent::V_MTE2>(kEventStats);
    AscendC::DataCopyPad(chip_.chunk_max(0), src, params, no_padding);
    AscendC::DataCopyPad(chip_.chunk_sum(0), src[tiling_->cut_rows], params, no_padding);
    SetFlag<HardEvent::MTE2_V>(kEventStats);
    WaitFlag<HardEvent::MTE2_V>(kEventStats);
  }

  // ---- events ----

  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < 2; ++i) {
      SetFlag<HardEvent::V_MTE2>(kEventScores + i);
      SetFlag<HardEvent::MTE3_V>(kEventProbs + i);
    }
    SetFlag<HardEvent::V_MTE2>(kEventAcc);
    SetFlag<HardEvent::MTE3_V>(kEventLse);
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::V_MTE2>(kEventScores + i);
      WaitFlag<HardEvent::MTE3_V>(kEventProbs + i);
    }
    WaitFlag<HardEvent::V_MTE2>(kEventAcc);
    WaitFlag<HardEvent::MTE3_V>(kEventLse);
  }
  __aicore__ inline int64_t core() const { return workspace_.core(); }

  const TriangleForwardTiling* tiling_;
  Operands operands_;
  AscendC::GlobalTensor<T> out_;
  AscendC::GlobalTensor<float> lse_;
  GM_ADDR mask_;
  Workspace workspace_;
  Cursor soft_, merge_;
  typename Operands::Ahead ahead_;
  AscendC::GlobalTensor<float> slopes_, sinks_;
  int32_t half_, dv16_;
  AivChip chip_;
  RowState state_;
  PendingSum pending_;
  uint64_t large_[2] = {0, 0};  // rows of the part whose softmax is being made again: bit `row`
  bool loading_ = false;        // the accumulator is on its way
  int32_t slots_used_ = 0, probs_used_ = 0;
  Bend bend_;
  int32_t reference_ = 0;
};

}  // namespace triangle
