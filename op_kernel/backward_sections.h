// A core's share of the backward as a sequence of sections, each some blocks of one block column or of one block row;
// both core types walk it. Also where things are in the workspace.
#pragma once
#include "tasks.h"

namespace triangle {

struct BackwardArguments {
  GM_ADDR dout;
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR out;
  GM_ADDR lse;
  GM_ADDR dlse;
  GM_ADDR mask;
  GM_ADDR cu_seq_q;
  GM_ADDR cu_seq_k;
  GM_ADDR dq;
  GM_ADDR dk;
  GM_ADDR dv;
  GM_ADDR workspace;
  GM_ADDR slopes = nullptr;  // fp32, of the kernels that bend scores, as sinks and dsinks
  GM_ADDR sinks = nullptr;
  GM_ADDR dsinks = nullptr;
};

__aicore__ inline bool owns_column(const TriangleBackwardTiling& tiling, const Piece& piece) {
  return owns_columns(tiling) && piece.opens && piece.closes && piece.blocks.size() > 0;
}

// Blocks begin .. end of one column (by columns: block rows) or one row (by rows: block columns). With intervals
// (intervals.h) those at either end hold a visible pair, those between may not.
struct Section {
  Band band;
  int64_t batch = 0, head_q = 0, head_kv = 0;
  int64_t sequence = 0;              // batch entry or document
  int64_t first_q = 0, first_k = 0;  // packed: the document's first row in q and in k
  int64_t anchor = 0;                // the column, or the row, that the blocks share
  int64_t begin = 0, end = 0;
  uint32_t unseen = 0;  // bit i: block i is left out
  int32_t slot = 0;     // of the ring: a core's sections take its slots in turns
  int32_t anchors = 0;  // how often the anchor has changed on this core
  bool by_columns = true;
  bool opens = false, closes = false;  // first, last section with this anchor
  // Of an owned column (owns_column()): its first, last section. dK and dV are stored, not added; are done.
  bool stores = false, completes = false;
  // Where cores own columns: whose place, and which, has the column's dK and dV.
  int64_t column_core = 0;
  int32_t column_slot = 0;

  __aicore__ inline int32_t blocks() const { return static_cast<int32_t>(end - begin); }
  __aicore__ inline int64_t row0(int32_t block) const { return (by_columns ? begin + block : anchor) * kGradBlock; }
  __aicore__ inline int64_t key0(int32_t block) const { return (by_columns ? anchor : begin + block) * kGradBlock; }
  __aicore__ inline int32_t rows(int32_t block) const {
    return static_cast<int32_t>(min64(kGradBlock, band.sq - row0(block)));
  }
  __aicore__ inline int32_t keys(int32_t block) const {
    return static_cast<int32_t>(min64(kGradBlock, band.sk - key0(block)));
  }
  // Every row sees at most one key: P does not depend on the scores.
  __aicore__ inline bool single_key() const { return band.left == band.right || band.sk == 1; }
};

template <class Sequences>
class SectionCursor {
 public:
  __aicore__ inline SectionCursor(const TriangleBackwardTiling* tiling, const Sequences& sequences, BackwardPass pass,
                                  int64_t core, const Share& share)
      : tiling_(tiling),
        core_(core),
        sequences_(sequences),
        walker_(tiling->lines[pass], sequences, share),
        by_columns_(pass == kByColumns),
        repeats_(by_columns_ && tiling->deterministic ? tiling->group : 1) {
    query_ = repeats_;
  }

  __aicore__ inline bool next(Section* section) {
    while (at_ >= piece_.blocks.end) {
      if (!next_piece()) return false;
    }
    section->band = band_;
    section->batch = tiling_->problem.packed ? 0 : piece_.batch;
    section->sequence = piece_.batch;
    section->head_kv = piece_.head_kv;
    section->head_q = repeats_ > 1 ? piece_.head_kv * repeats_ + query_ : piece_.head_q;
    section->first_q = first_q_;
    section->first_k = first_k_;
    section->anchor = piece_.row;
    section->begin = at_;
    section->end = min64(((at_ >> kSectionShift) + 1) << kSectionShift, piece_.blocks.end);
    if constexpr (Sequences::kIntervals) section->unseen = leave_out(section->begin, &section->end);
    section->slot = slot_;
    slot_ = next_slot(slot_, kSectionSlots);
    section->anchors = anchors_;
    section->by_columns = by_columns_;
    section->opens = at_ == first_;
    at_ = section->end;
    if constexpr (Sequences::kIntervals) at_ = seen().next(at_, piece_.blocks.end);
    section->closes = at_ == piece_.blocks.end;
    if (section->closes) ++anchors_;
    section->column_core = owned_ || piece_.opens ? core_ : opening_core();
    section->column_slot = owned_ ? column_ : kSharedColumn;
    section->stores = owned_ && section->opens && query_ == 0;
    section->completes = owned_ && section->closes && query_ == repeats_ - 1;
    return true;
  }

 private:
  // The same blocks for the next query head, or the next piece. Pieces without blocks are stepped over: the gradients
  // begin as zeros.
  __aicore__ inline bool next_piece() {
    if (++query_ >= repeats_) {
      if (!walker_.next(&piece_)) return false;
      query_ = 0;
      if (piece_.blocks.size() > 0) column_ = next_slot(column_, kColumnSlots);
      owned_ = by_columns_ && owns_column(*tiling_, piece_);
      const int64_t sequence = tiling_->problem.packed ? piece_.batch : 0;
      if (sequence != sequence_) {
        sequence_ = sequence;
        band_ = sequences_.band(sequence);
        first_q_ = tiling_->problem.packed ? sequences_.rows_q(sequence).begin : 0;
        first_k_ = tiling_->problem.packed ? sequences_.rows_k(sequence).begin : 0;
      }
    }
    at_ = piece_.blocks.begin;
    if constexpr (Sequences::kIntervals) {
      sequences_.select(piece_.batch, repeats_ > 1 ? piece_.head_kv * repeats_ + query_ : piece_.head_q,
                        piece_.head_kv);
      at_ = seen().next(at_, piece_.blocks.end);
    }
    first_ = at_;
    return true;
  }

  // Of the column, or the row.
  __aicore__ inline auto seen() const {
    return sequences_.seen(band_, first_q_, first_k_, piece_.row, kGradBlock, by_columns_);
  }
  // Ends a section behind its last block with a visible pair; a bit for each before it that has none.
  __aicore__ inline uint32_t leave_out(int64_t begin, int64_t* end) const {
    *end = seen().past_last(*end);
    uint32_t unseen = 0;
    for (int64_t block = begin + 1; block < *end; ++block) unseen |= (seen().sees(block) ? 0u : 1u) << (block - begin);
    return unseen;
  }

  // Of the column that this core finds begun.
  __aicore__ inline int64_t opening_core() const {
    const Partition& partition = tiling_->partitions[kByColumns];
    const Start own = partition.start(core_);
    int64_t core = core_ - 1;
    while (core > 0 && partition.is_inside(core, own)) --core;
    return core;
  }

  const TriangleBackwardTiling* tiling_;
  int64_t core_;
  Sequences sequences_;
  ShareWalker<Sequences> walker_;
  bool by_columns_, owned_ = false;
  int64_t repeats_, query_;
  Piece piece_;
  Band band_;
  int64_t sequence_ = -1, first_q_ = 0, first_k_ = 0, at_ = 0, first_ = 0;
  int32_t slot_ = 0, anchors_ = 0, column_ = 0;
};

// The sections of one pass that this core has.
template <class Sequences>
__aicore__ inline SectionCursor<Sequences> sections_of(const TriangleBackwardTiling* tiling, const Sequences& sequences,
                                                       BackwardPass pass, int64_t core) {
  Share share;
  if constexpr (Sequences::kIntervals) {
    share = sequences.share(tiling->lines[pass], pass, tiling->problem.cores, core);
  } else {
    share = share_of(tiling->problem, tiling->lines[pass], tiling->partitions[pass], sequences, core);
  }
  return SectionCursor<Sequences>(tiling, sequences, pass, core, share);
}

// The places of block columns: dK [128, d16], then dV [128, dv16].
__aicore__ inline AscendC::GlobalTensor<float> column_dk(const TriangleBackwardTiling& tiling, GM_ADDR workspace,
                                                         int64_t core, int32_t slot) {
  const int64_t columns = round_up(tiling.problem.d, 16) + round_up(tiling.problem.dv, 16);
  return global<float>(workspace + tiling.column_offset +
                       (core * (kColumnSlots + 1) + slot) * kGradBlock * columns * 4);
}
__aicore__ inline AscendC::GlobalTensor<float> column_dv(const TriangleBackwardTiling& tiling, GM_ADDR workspace,
                                                         int64_t core, int32_t slot) {
  return column_dk(tiling, workspace, core, slot)[uint64_t{kGradBlock} * round_up(tiling.problem.d, 16)];
}

class BackwardWorkspace {
 public:
  static constexpr int32_t kPitch16 = 2 * kGradBlock;  // of P and dS, which overwrite S and dP row by row

  __aicore__ inline BackwardWorkspace(const TriangleBackwardTiling* tiling, GM_ADDR base, int64_t core)
      : tiling_(tiling), base_(base), core_(core) {}

  // [128, 128] of a block: S and dP in fp32; P and dS in 16 bits, rows kPitch16 apart.
  template <class U>
  __aicore__ inline AscendC::GlobalTensor<U> scores(const Section& section, int32_t block) const {
    return tile<U>(section, 2 * block);
  }
  template <class U>
  __aicore__ inline AscendC::GlobalTensor<U> dprobs(const Section& section, int32_t block) const {
    return tile<U>(section, 2 * block + 1);
  }
  // Of the section's query head, from row `row` of its sequence.
  __aicore__ inline AscendC::GlobalTensor<float> lse(const Section& section, int64_t row) const {
    return global<float>(base_ + tiling_->lse_offset + 4 * query_row(section, row));
  }
  __aicore__ inline AscendC::GlobalTensor<float> delta(const Section& section, int64_t row) const {
    return global<float>(base_ + tiling_->delta_offset + 4 * query_row(section, row));
  }
  __aicore__ inline AscendC::GlobalTensor<float> factor(const Section& section, int64_t row) const {
    return global<float>(base_ + tiling_->factor_offset + 4 * query_row(section, row));
  }
  // The accumulators, from a row of a sequence: rows d16 or dv16 floats apart.
  __aicore__ inline AscendC::GlobalTensor<float> dq(const Section& section, int64_t row) const {
    return global<float>(base_ + tiling_->dq_offset + 4 * query_row(section, row) * round_up(tiling_->problem.d, 16));
  }
  __aicore__ inline AscendC::GlobalTensor<float> dk(const Section& section, int64_t row) const {
    if (owns_columns(*tiling_)) return column_dk(*tiling_, base_, section.column_core, section.column_slot);
    return global<float>(base_ + tiling_->dk_offset + 4 * key_row(section, row) * round_up(tiling_->problem.d, 16));
  }
  __aicore__ inline AscendC::GlobalTensor<float> dv(const Section& section, int64_t row) const {
    if (owns_columns(*tiling_)) return column_dv(*tiling_, base_, section.column_core, section.column_slot);
    return global<float>(base_ + tiling_->dv_offset + 4 * key_row(section, row) * round_up(tiling_->problem.dv, 16));
  }

 private:
  template <class U>
  __aicore__ inline AscendC::GlobalTensor<U> tile(const Section& section, int32_t i) const {
    constexpr int64_t kTileBytes = kGradBlock * kGradBlock * 4;
    return global<U>(base_ + core_ * tiling_->ring_bytes +
                     (int64_t{section.slot} * kSectionBlocks * 2 + i) * kTileBytes);
  }
  __aicore__ inline int64_t query_row(const Section& section, int64_t row) const {
    return (section.batch * tiling_->heads_q + section.head_q) * tiling_->problem.total_q + section.first_q + row;
  }
  __aicore__ inline int64_t key_row(const Section& section, int64_t row) const {
    return (section.batch * tiling_->heads_kv + section.head_kv) * tiling_->problem.total_k + section.first_k + row;
  }

  const TriangleBackwardTiling* tiling_;
  GM_ADDR base_;
  int64_t core_;
};

}  // namespace triangle
