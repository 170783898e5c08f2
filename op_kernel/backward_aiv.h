// A vector core's part of the main pass: P = exp(scale * S - lse) and dS = P * (dP - delta) of its half of each block's
// rows.
#pragma once
#include "backward_aic.h"
#include "backward_write.h"

namespace triangle {

// tile [rows, width] -= a value a row, given as [rows, 8]
__aicore__ inline void subtract_rows(const Floats& tile, const Floats& by, int32_t rows, int32_t width) {
  for (int32_t column = 0; column < width; column += BackwardAivBuffers::kLanes) {
    AscendC::Sub(tile[column], tile[column], by, static_cast<uint64_t>(BackwardAivBuffers::kLanes),
                 static_cast<uint8_t>(rows), by_row(width));
  }
}

// Bend: NoBend, or TileBend in the kernels that bend scores. Sequences: IntervalSequences, if Bend has intervals.
template <class T, class Bend, class Sequences>
class BackwardAiv {
 public:
  __aicore__ inline BackwardAiv(const TriangleBackwardTiling* tiling, const BackwardArguments& arguments,
                                const Sequences& sequences, BackwardUb* ub, int64_t core, int32_t half)
      : tiling_(tiling),
        sequences_(sequences),
        arguments_(arguments),
        workspace_(tiling, arguments.workspace, core),
        ub_(*ub),
        slopes_(global<float>(arguments.slopes)),
        core_(core),
        half_(half) {
    if constexpr (Bend::kBent) {
      AscendC::CreateVecIndex(ub_.columns(), 0.0f, static_cast<uint32_t>(kGradBlock));
    }
  }

  __aicore__ inline void run() {
    free_all();
    run_pass(kByColumns);
    if (tiling_->deterministic) run_pass(kByRows);
    AscendC::CrossCoreWaitFlag(kGradsSummed);
    for (Section& section : summed_) write_if_done(&section);
    take_all();
  }

 private:
  __aicore__ inline void run_pass(BackwardPass pass) {
    SectionCursor<Sequences> cursor = sections_of(tiling_, sequences_, pass, core_);
    Section section;
    const int32_t at_once =
        tiling_->problem.has_mask || halves_slots() ? BackwardAivBuffers::kMaskedRows : BackwardAivBuffers::kRows;
    while (cursor.next(&section)) {
      AscendC::CrossCoreWaitFlag(kSectionScored);
      for (int32_t block = 0; block < section.blocks(); ++block) {
        if (Sequences::kIntervals && (section.unseen >> block & 1) != 0) continue;
        const int32_t all = section.rows(block), split = first_half_rows(all);
        const int32_t end = half_ == 0 ? split : all;
        for (int32_t row = half_ == 0 ? 0 : split; row < end; row += at_once)
          weigh(section, block, row, smaller(at_once, end - row));
      }
      // A core without rows takes part too: the flag counts when both have set it.
      AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(kSectionWeighted);
      if (!section.by_columns) continue;
      // The cube set kSectionScored of this section after it had summed the section kSectionSlots before.
      Section& summed = summed_[section.slot];
      write_if_done(&summed);
      summed = section;
    }
  }

  // This vector core's half of an owned column.
  __aicore__ inline void write_if_done(Section* section) {
    if (!section->completes) return;
    section->completes = false;
    KeyRows keys;
    keys.batch = section->batch;
    keys.head_kv = section->head_kv;
    keys.key = section->first_k + section->key0(0);
    keys.rows = section->keys(0);
    keys.dk = workspace_.dk(*section, section->key0(0));
    keys.dv = workspace_.dv(*section, section->key0(0));
    write_keys<T>(ub_, *tiling_, arguments_, half_column(*tiling_, keys, half_), &tiles_);
  }

  // Rows row .. row + rows of a block.
  __aicore__ inline void weigh(const Section& section, int32_t block, int32_t row, int32_t rows) {
    const int32_t slot = tiles_++ & 1;
    const int32_t keys = section.keys(block), keys16 = round_up(keys, 16);
    const int32_t width = round_up(keys, BackwardAivBuffers::kLanes), count = rows * width;
    const Floats s = ub_.s(slot), dp = ub_.dp(slot);
    TileMask mask;
    if (tiling_->problem.has_mask) {
      mask.given = true;
      mask.bytes = ub_.mask_bytes(slot);
      mask.halves = ub_.mask_halves(slot);
      mask.pitch = kGradBlock;
    }

    WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
    // columns that nobody computed or loads
    if (keys16 < width || (mask.given && round_up(keys, 32) < mask.pitch) ||
        (has_float_mask() && round_up(keys, 8) < width)) {
      AscendC::Duplicate(s, 0.0f, count);
      AscendC::Duplicate(dp, 0.0f, count);
      if (mask.given)
        AscendC::Duplicate(mask.bytes.template ReinterpretCast<half>(), half(0.0f), rows * mask.pitch / 2);
      if (has_float_mask()) AscendC::Duplicate(ub_.upper_s(slot), 0.0f, LoadedMask<T>::kFloats);
      SetFlag<HardEvent::V_MTE2>(kEventTileFill);
      WaitFlag<HardEvent::V_MTE2>(kEventTileFill);
    }
    load_tile(s, workspace_.template scores<float>(section, block), row, rows, keys16, width);
    load_tile(dp, workspace_.template dprobs<float>(section, block), row, rows, keys16, width);
    const int64_t query = section.row0(block) + row;
    const AscendC::DataCopyExtParams row_values(1, static_cast<uint32_t>(rows * 4), 0, 0, 0);
    const AscendC::DataCopyPadExtParams<float> no_padding(false, 0, 0, 0.0f);
    AscendC::DataCopyPad(ub_.lse(slot), workspace_.lse(section, query), row_values, no_padding);
    AscendC::DataCopyPad(ub_.delta(slot), workspace_.delta(section, query), row_values, no_padding);
    if constexpr (kNarrowRange<T>)
      AscendC::DataCopyPad(ub_.factor(slot), workspace_.factor(section, query), row_values, no_padding);
    if (mask.given) load_mask(section, mask, query, rows, section.key0(block), keys);
    Bend bend;
    if constexpr (Bend::kBent) {
      bend = bend_of(section, slot);
      bend.mask = load_float_mask<T>(tiling_->problem, arguments_.mask, ub_.upper_s(slot), section.batch,
                                     section.head_q, query, section.key0(block), rows, keys, width);
    }
    if constexpr (Bend::kIntervals) load_bounds(section, block, slot, query, rows, &bend);
    SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
    WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);

    if (bend.bends()) {
      if constexpr (Bend::kBent) {
        bend.begin(ub_.columns(), section.key0(block), query + diagonal_of(tiling_->problem, section.band), width);
        // The row's part of the slope's product, which the bent scores lack.
        if (bend.alibi) AscendC::Axpy(ub_.lse(slot), ub_.columns(), bend.slope, rows);
        barrier();
        bend.apply(s, rows, width);
      }
    } else {
      AscendC::Muls(s, s, tiling_->problem.scale, count);
    }
    spread_rows(ub_.lse_spread(slot), ub_.lse(slot), rows);
    spread_rows(ub_.delta_spread(slot), ub_.delta(slot), rows);
    if constexpr (kNarrowRange<T>) spread_rows(ub_.factor_spread(slot), ub_.factor(slot), rows);
    barrier();
    hide(section, block, row, rows, width, s, mask, bend.hidden());
    if constexpr (Bend::kIntervals) {
      if (bend.hides_rows()) {
        bend.convert(section.first_q + query);
        bend.hide_by_parts(ub_, s, rows, width, BackwardAivBuffers::kMaskedRows);
      }
    }
    subtract_rows(s, ub_.lse_spread(slot), rows, width);
    subtract_rows(dp, ub_.delta_spread(slot), rows, width);
    barrier();
    AscendC::Exp(s, s, count);
    if constexpr (kNarrowRange<T>) {
      mul_rows(dp, ub_.factor_spread(slot), rows, width);
      barrier();
      AscendC::Muls(s, s, kProbFactor, count);
    }
    barrier();
    // dP - delta is 0 where a row has one key, but two orders of summation give it only nearly.
    if (section.single_key() && !tiling_->has_dlse && !(Bend::kBent && tiling_->problem.bend.sinks != 0)) {
      AscendC::Duplicate(dp, 0.0f, count);
    } else {
      AscendC::Mul(dp, dp, s, count);
    }
    if (section.by_columns) {
      WaitFlag<HardEvent::MTE3_V>(kEventWeightP);
      AscendC::Cast(ub_.template result<T>(0), s, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
      SetFlag<HardEvent::V_MTE3>(kEventWeightP);
      WaitFlag<HardEvent::V_MTE3>(kEventWeightP);
      store_tile16(workspace_.template scores<T>(section, block), ub_.template result<T>(0), row, rows, keys16, width);
      SetFlag<HardEvent::MTE3_V>(kEventWeightP);
    }
    barrier();
    if constexpr (Bend::kBent) {
      if (bend.keeps_derivative) {
        AscendC::Mul(dp, dp, bend.scratch, count);
        barrier();
      }
    }
    WaitFlag<HardEvent::MTE3_V>(kEventWeightDs);
    AscendC::Cast(ub_.template result<T>(1), dp, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
    SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
    SetFlag<HardEvent::V_MTE3>(kEventWeightDs);
    WaitFlag<HardEvent::V_MTE3>(kEventWeightDs);
    store_tile16(workspace_.template dprobs<T>(section, block), ub_.template result<T>(1), row, rows, keys16, width);
    SetFlag<HardEvent::MTE3_V>(kEventWeightDs);
  }

  // What the diagonal, the window, the end of the keys or the mask hides becomes kHidden.
  __aicore__ inline void hide(const Section& section, int32_t block, int32_t row, int32_t rows, int32_t width,
                              const Floats& s, const TileMask& mask, float hidden) {
    const int64_t key0 = section.key0(block), query = section.row0(block) + row;
    TileEdges edges;
    edges.first = query + section.band.right - key0;
    edges.window = query + section.band.left - key0;
    edges.last_key = section.band.sk - 1 - key0;
    edges.width = width;
    if (edges.hides(rows)) {
      hide_edges(s, edges, rows, hidden);
      barrier();
    }
    if (mask.given) {
      hide_masked(ub_, s, mask, rows, width, hidden);
      barrier();
    }
  }

  // The bounds of a block's keys, if intervals touch the tile.
  __aicore__ inline void load_bounds(const Section& section, int32_t block, int32_t slot, int64_t query, int32_t rows,
                                     Bend* bend) {
    const int64_t key = section.first_k + section.key0(block);
    bend->tables = sequences_.intervals();
    bend->tables.select(bend->tables.pair(section.batch, section.head_q, section.head_kv));
    const int32_t keys = section.keys(block);
    bend->hidden_columns = bend->tables.hidden_columns(section.first_q + query, rows, key, keys,
                                                       round_up(keys, BackwardAivBuffers::kLanes));
    bend->keys = kGradBlock;
    bend->starts = ub_.bounds(slot);
    bend->ends = bend->starts[kGradBlock];
    if (bend->hides_rows()) bend->load(key);
  }

  // Distances count from the tile's first row.
  __aicore__ inline Bend bend_of(const Section& section, int32_t slot) {
    const ScoreBend& given = tiling_->problem.bend;
    Bend bend;
    bend.bends_scores = given.bends_scores();
    bend.scale = tiling_->problem.scale;
    bend.softcap = given.softcap;
    bend.keeps_derivative = given.softcap > 0;
    bend.alibi = given.alibi != 0;
    if (bend.alibi)
      bend.slope = slopes_.GetValue(static_cast<uint64_t>(section.sequence * given.slope_batch + section.head_q));
    bend.factor = ub_.bend_factor();
    bend.distances = ub_.distances();
    bend.scratch = ub_.upper_dp(slot);
    return bend;
  }
  __aicore__ inline bool has_float_mask() const { return Bend::kBent && loads_float_mask(tiling_->problem); }
  // Tiles of kMaskedRows rows, which leave half of their slots to a mask or to the softcap's derivative.
  __aicore__ inline bool halves_slots() const {
    return Bend::kBent && (has_float_mask() || tiling_->problem.bend.softcap > 0);
  }

  __aicore__ inline void load_tile(const Floats& dst, const AscendC::GlobalTensor<float>& src, int32_t row,
                                   int32_t rows, int32_t columns, int32_t width) {
    AscendC::DataCopy(dst, src[row * kGradBlock],
                      AscendC::DataCopyParams(to16(rows), to16(columns / 8), to16((kGradBlock - columns) / 8),
                                              to16((width - columns) / 8)));
  }
  __aicore__ inline void store_tile16(const AscendC::GlobalTensor<T>& dst, const AscendC::LocalTensor<T>& src,
                                      int32_t row, int32_t rows, int32_t columns, int32_t width) {
    constexpr int32_t kPitch = BackwardWorkspace::kPitch16;
    AscendC::DataCopy(dst[row * kPitch], src,
                      AscendC::DataCopyParams(to16(rows), to16(columns / 16), to16((width - columns) / 16),
                                              to16((kPitch - columns) / 16)));
  }

  // The mask's bytes of a tile.
  __aicore__ inline void load_mask(const Section& section, const TileMask& mask, int64_t query, int32_t rows,
                                   int64_t key, int32_t keys) {
    const Strides& strides = tiling_->problem.mask;
    load_mask_rows(mask.bytes, arguments_.mask + row_offset(strides, section.batch, section.head_q, query) + key, rows,
                   keys, strides.row, mask.pitch);
  }

  // ---- events ----

  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < 2; ++i) SetFlag<HardEvent::V_MTE2>(kEventTile + i);
    SetFlag<HardEvent::MTE3_V>(kEventWeightP);
    SetFlag<HardEvent::MTE3_V>(kEventWeightDs);
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < 2; ++i) WaitFlag<HardEvent::V_MTE2>(kEventTile + i);
    WaitFlag<HardEvent::MTE3_V>(kEventWeightP);
    WaitFlag<HardEvent::MTE3_V>(kEventWeightDs);
  }

  const TriangleBackwardTiling* tiling_;
  Sequences sequences_;
  BackwardArguments arguments_;
  BackwardWorkspace workspace_;
  BackwardUb& ub_;
  AscendC::GlobalTensor<float> slopes_;
  int64_t core_;
  int32_t half_;
  int32_t tiles_ = 0;
  Section summed_[kSectionSlots];  // the last ones weighed by columns: about to be summed
};

}  // namespace triangle
