// A core's share of the work as a sequence of stages, each one chunk of keys of one task; both core types walk it.
#pragma once
#include "compat.h"

namespace triangle {

// The sequences of a launch: one band for all of a dense batch, or documents by cumulative lengths in GM.
class ForwardSequences {
 public:
  static constexpr bool kIntervals = false;
  __aicore__ inline ForwardSequences() {}
  __aicore__ inline ForwardSequences(const TriangleForwardTiling* tiling, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k)
      : tiling_(tiling), cu_seq_q_(global<int32_t>(cu_seq_q)), cu_seq_k_(global<int32_t>(cu_seq_k)) {}

  __aicore__ inline int64_t count() const { return tiling_->packed ? tiling_->documents : 1; }
  __aicore__ inline Band band(int64_t sequence) const {
    if (!tiling_->packed) return tiling_->band;
    const Range q = rows_q(sequence), k = rows_k(sequence);
    const int64_t diagonal = tiling_->bottom_right ? bottom_right_diagonal(q.size(), k.size()) : tiling_->diagonal;
    return make_band(q.size(), k.size(), diagonal, tiling_->window_left);
  }
  // A document's rows of q and of k; clamped, so that bad lengths give wrong results but no access outside.
  __aicore__ inline Range rows_q(int64_t document) const { return rows(cu_seq_q_, document, tiling_->total_q); }
  __aicore__ inline Range rows_k(int64_t document) const { return rows(cu_seq_k_, document, tiling_->total_k); }
  // The entry of q, k and v that a sequence lies in, whether it is one of a dense batch or a document.
  __aicore__ inline int64_t batch(int64_t sequence) const { return tiling_->packed ? 0 : sequence; }
  __aicore__ inline const TaskLine& line() const { return tiling_->line; }
  // Rows of a task for each row of its sequence.
  __aicore__ static inline constexpr int32_t heads_of_task() { return 1; }

 private:
  __aicore__ inline Range rows(const AscendC::GlobalTensor<int32_t>& cu_seq, int64_t document, int64_t total) const {
    Range range;
    range.begin = clamp64(cu_seq.GetValue(document), 0, total);
    range.end = clamp64(cu_seq.GetValue(document + 1), range.begin, total);
    return range;
  }

  const TriangleForwardTiling* tiling_ = nullptr;
  AscendC::GlobalTensor<int32_t> cu_seq_q_, cu_seq_k_;
};

// The diagonal of a sequence: the position of its row 0.
__aicore__ inline int64_t diagonal_of(const TriangleForwardTiling& tiling, const Band& band) {
  return tiling.packed && tiling.bottom_right ? bottom_right_diagonal(band.sq, band.sk) : tiling.diagonal;
}

// One chunk of keys of one task.
struct Stage {
  Band band;
  int64_t batch = 0, head_q = 0, head_kv = 0;
  int64_t sequence = 0;              // batch entry or document
  int64_t first_q = 0, first_k = 0;  // packed: the document's first row in q and in k
  int64_t row0 = 0;                  // the task's first row in its sequence
  int64_t begin_block = 0, end_block = 0;
  int32_t slot = 0;                    // of the ring: stages with keys take its slots in turns
  int32_t rows = 0;                    // of the task
  int32_t heads = 1;                   // of queries, whose rows take turns in the task
  int32_t keys = 0;                    // of the stage; 0: the task sees no key at all, and this is its only stage
  int32_t chunk_column = 0;            // of its first key, in its chunk of kChunkKeys
  bool opens = false, closes = false;  // first, last stage of the task on this core
  bool cut = false;                    // other cores have stages of this task
  int32_t cut_slot = 0;                // then: which chunk partial of this core it writes

  __aicore__ inline int64_t key0() const { return begin_block * kBlockKeys; }
  // Of a row of the task, counted in keys; the band's right end may lie nearer than the diagonal.
  __aicore__ inline int64_t position(const TriangleForwardTiling& tiling, int32_t row) const {
    return row0 + row + diagonal_of(tiling, band);
  }
};

// The columns of a stage that some rows of its task see, in whole blocks (the last may be ragged); none: cols == 0.
struct Columns {
  int32_t col0 = 0;
  int32_t cols = 0;
};

// first, last: rows of the sequence, counted from the task's first.
TRIANGLE_SHARED_FN Columns visible_columns_between(const Stage& stage, int64_t first_row, int64_t last_row) {
  Columns result;
  const int64_t first = stage.row0 + first_row, last = stage.row0 + last_row;
  const int64_t begin = max64(first + stage.band.left, 0);
  const int64_t end = min64(last + stage.band.right + 1, stage.band.sk);
  if (last_row < first_row || end <= begin) return result;
  const int64_t begin_block = max64(begin >> kBlockShift, stage.begin_block);
  const int64_t end_block = min64(((end - 1) >> kBlockShift) + 1, stage.end_block);
  if (end_block <= begin_block) return result;
  result.col0 = static_cast<int32_t>((begin_block - stage.begin_block) * kBlockKeys);
  result.cols = static_cast<int32_t>(min64(end_block * kBlockKeys, stage.band.sk) - begin_block * kBlockKeys);
  return result;
}

__aicore__ inline Columns visible_columns(const Stage& stage, int32_t row, int32_t rows) {
  return visible_columns_between(stage, row, row + rows - 1);
}

// Walks a core's stages. Cube and vector cores each keep several of these at different distances. With intervals
// (intervals.h) blocks that no row of the task sees are left out: whole chunks, and those at either end of a chunk.
template <class Sequences>
class StageCursor {
 public:
  TRIANGLE_SHARED_FN StageCursor(const TriangleForwardTiling* tiling, const Sequences& sequences, const Share& share)
      : tiling_(tiling), sequences_(sequences), walker_(sequences.line(), sequences, share) {}

  // Every stage, tasks that see no key included.
  TRIANGLE_SHARED_FN bool next(Stage* stage) {
    if (at_block_ >= piece_.blocks.end && !next_piece()) return false;
    stage->band = band_;
    stage->batch = sequences_.batch(piece_.batch);
    stage->sequence = piece_.batch;
    stage->head_q = piece_.head_q;
    stage->head_kv = piece_.head_kv;
    stage->first_q = first_q_;
    stage->first_k = first_k_;
    stage->row0 = piece_.row * tiling_->line.block.q;
    stage->heads = sequences_.heads_of_task();
    stage->rows = static_cast<int32_t>(min64(tiling_->line.block.q, band_.sq - stage->row0)) * stage->heads;
    stage->opens = at_block_ == piece_.blocks.begin;
    stage->begin_block = at_block_;
    stage->end_block = min64(((at_block_ >> kChunkShift) + 1) << kChunkShift, piece_.blocks.end);
    if constexpr (Sequences::kIntervals) {
      if (piece_.blocks.size() > 0) stage->end_block = seen().past_last(stage->end_block);
    }
    stage->keys = static_cast<int32_t>(min64(stage->end_block * kBlockKeys, band_.sk) - stage->key0());
    stage->chunk_column = static_cast<int32_t>(at_block_ & (kChunkBlocks - 1)) * kBlockKeys;
    if (piece_.blocks.size() == 0) {
      stage->end_block = stage->begin_block;
      stage->keys = 0;
    }
    stage->cut = !(piece_.opens && piece_.closes);
    stage->cut_slot = cut_slot_;
    ++cut_slot_;
    stage->slot = slot_;
    if (stage->keys > 0) slot_ = next_slot(slot_, kRingSlots);
    at_block_ = stage->end_block;
    if constexpr (Sequences::kIntervals) at_block_ = seen().next(at_block_, piece_.blocks.end);
    stage->closes = at_block_ >= piece_.blocks.end;
    return true;
  }

  __aicore__ inline bool next_with_keys(Stage* stage) {
    while (next(stage)) {
      if (stage->keys > 0) return true;
    }
    return false;
  }

 private:
  __aicore__ inline bool next_piece() {
    if (!walker_.next(&piece_)) return false;
    const int64_t sequence = tiling_->packed ? piece_.batch : 0;
    if (sequence != sequence_) {
      sequence_ = sequence;
      band_ = sequences_.band(sequence);
      first_q_ = tiling_->packed ? sequences_.rows_q(sequence).begin : 0;
      first_k_ = tiling_->packed ? sequences_.rows_k(sequence).begin : 0;
    }
    if constexpr (Sequences::kIntervals) {
      sequences_.select(piece_.batch, piece_.head_q, piece_.head_kv);
      piece_.blocks.begin = seen().next(piece_.blocks.begin, piece_.blocks.end);
    }
    at_block_ = piece_.blocks.begin;
    // A piece that does not open its task is the core's first and uses the first slots.
    cut_slot_ = piece_.opens ? tiling_->cut_first_slots : 0;
    return true;
  }

  // Of the task.
  __aicore__ inline auto seen() const {
    return sequences_.seen(band_, first_q_, first_k_, piece_.row, tiling_->line.block.q);
  }

  const TriangleForwardTiling* tiling_;
  Sequences sequences_;
  ShareWalker<Sequences> walker_;
  Piece piece_;
  Band band_;
  int64_t sequence_ = -1, first_q_ = 0, first_k_ = 0, at_block_ = 0;
  int32_t slot_ = 0, cut_slot_ = 0;
};

// This core's share. Packed: found here, and without fillers.
__aicore__ inline Share share_of(const TriangleForwardTiling& tiling, const TaskLine& tiling_line,
                                 const Partition& partition, const ForwardSequences& sequences, int64_t core) {
  if (!tiling.packed) return partition.share(core);
  TaskLine line = tiling_line;
  count_tasks_if_all_empty(sequences, &line);
  Share share;
  core_share(line, sequences, smallest_limit(line, sequences, tiling.cores), core, &share.begin.part[kMain],
             &share.end.part[kMain]);
  return share;
}

// The offset of element (row, 0) of a head in q, k, v, out, lse.
__aicore__ inline int64_t row_offset(const Strides& strides, int64_t batch, int64_t head, int64_t row) {
  return batch * strides.batch + head * strides.head + row * strides.row;
}

}  // namespace triangle
