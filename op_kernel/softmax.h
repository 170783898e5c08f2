// The softmax of one chunk of keys from a fresh state: max and sum of each row, and P = exp(scale * S - max) in 16
// bits, relative to the chunk's own maximum.
#pragma once
#include "bend.h"

namespace triangle {

// One tile [rows, width] of scores in a UB slot and what belongs to it; width a multiple of 64 up to 512.
template <class Edges, class Mask>  // TileEdges, or one whose rows move otherwise; TileMask or NoTileMask
struct SoftmaxTile {
  static constexpr bool kMasked = Mask::kEver;
  Floats tile;
  Floats max, sum;            // of these rows
  Floats largest, minus_max;  // of them too: the maximum before scaling, and -max
  int32_t rows = 0, width = 0;
  int32_t chunk_column = 0;  // of the tile's first column, in its chunk
  float scale = 1.0f;
  bool scale_first = false;  // before the maximum is taken
  uint32_t large = 0;        // bit i: row i is scaled first, by itself
  Edges edges;
  Mask mask;
};

// The last two of the three levels of a tile's sums, left to the next tile's barriers: alone they would cost two of
// their own. Every level adds 8 neighbours, so a row's sum is one fixed tree over its chunk's 512 places.
class PendingSum {
 public:
  template <class Tile>
  __aicore__ inline void begin(const Tile& t) {
    sum_ = t.sum;
    rows_ = t.rows;
  }
  // [rows, 64] -> [rows, 8]
  __aicore__ inline void second_level(AivChip& chip) const {
    if (rows_ > 0) AscendC::BlockReduceSum(chip.sum_tail(), chip.sum_parts(), rows_, AivBuffers::kLanes, 1, 1, 8);
  }
  // [rows, 8] -> [rows]
  __aicore__ inline void third_level(AivChip& chip) {
    const int32_t whole = rows_ / 8, rest = rows_ % 8;
    if (whole > 0) AscendC::BlockReduceSum(sum_, chip.sum_tail(), whole, AivBuffers::kLanes, 1, 1, 8);
    if (rest > 0) AscendC::BlockReduceSum(sum_[whole * 8], chip.sum_tail()[whole * 64], 1, rest * 8, 1, 1, 8);
    rows_ = 0;
  }
  __aicore__ inline void finish(AivChip& chip) {
    if (rows_ == 0) return;
    barrier();
    second_level(chip);
    barrier();
    third_level(chip);
  }

 private:
  Floats sum_;
  int32_t rows_ = 0;  // 0: nothing pending
};

// The first level: 64 partial sums a row at [rows, 64], each of the 8 keys that have its place in the chunk. The places
// that the tile does not have were zeroed before.
template <class Tile>
__aicore__ inline void begin_sum(AivChip& chip, const Tile& t) {
  const Floats parts = chip.sum_parts()[t.chunk_column / 8];
  for (int32_t column = 0; column < t.width; column += AivBuffers::kLanes) {
    AscendC::BlockReduceSum(parts[column / 8], t.tile[column], t.rows, AivBuffers::kLanes, 8, 1, t.width / 8);
  }
}

// Scores ready for their maximum, and its first level. Shares its barriers with the end of the tile before.
template <class Tile, class Bend>  // Bend: NoBend or TileBend
__aicore__ inline void begin_tile(AivChip& chip, const Tile& t, const Bend& bend) {
  const int32_t count = t.rows * t.width;
  if (bend.bends()) {
    bend.apply(t.tile, t.rows, t.width);
  } else if (t.scale_first) {
    AscendC::Muls(t.tile, t.tile, t.scale, count);
    barrier();
  }
  if (t.edges.hides(t.rows)) {
    hide_edges(t.tile, t.edges, t.rows, bend.hidden());
    barrier();
  }
  if constexpr (Tile::kMasked) {
    if (t.mask.given) {
      hide_masked(chip, t.tile, t.mask, t.rows, t.width, bend.hidden());
      barrier();
    }
  }
  if constexpr (Bend::kIntervals) {
    if (bend.hides_rows()) bend.hide(chip, t.tile, t.rows, t.width);
  }
  AscendC::BlockReduceMax(chip.max_parts(), t.tile, count / AivBuffers::kLanes, AivBuffers::kLanes, 1, 1, 8);
}

// tile = scale * tile - max, in one instruction: its only rounding is that of the difference. What `max` was rounded by
// stays in the exponents of the whole row; P and its sum are relative to `max` all the same, so nothing is lost, as
// long as it is small: of rows in `large` it is not, and their products are rounded as the maximum's was.
template <class Tile>
__aicore__ inline void subtract_max(AivChip& chip, const Tile& t) {
  if (t.large == 0) {
    scale_add_rows(t.tile, chip.factors(), chip.row_max(), t.rows, t.width);
    return;
  }
  for (int32_t row = 0; row < t.rows; ++row) {
    if ((t.large >> row & 1) != 0) AscendC::Muls(t.tile[row * t.width], t.tile[row * t.width], t.scale, t.width);
  }
  barrier();
  for (int32_t row = 0; row < t.rows; ++row) {
    scale_add_row(t.tile[row * t.width], (t.large >> row & 1) != 0 ? chip.one() : chip.factors(),
                  chip.row_max()[row * 8], t.width);
  }
}

// Replaces scores by exp(scale * score - max) and writes max and, before scaling, largest; completes the sums of the
// tile before. max(scale * s) is scale * max(s) bit for bit where scale > 0.
template <class Tile, class Bend>
__aicore__ inline void softmax_exp(AivChip& chip, const Tile& t, PendingSum& pending, const Bend& bend) {
  barrier();
  pending.second_level(chip);
  if (t.width == kChunkKeys && t.rows % 8 == 0) {
    AscendC::BlockReduceMax(chip.max_tail(), chip.max_parts(), t.rows, AivBuffers::kLanes, 1, 1, 8);
    barrier();
    pending.third_level(chip);
    AscendC::BlockReduceMax(t.largest, chip.max_tail(), t.rows / 8, AivBuffers::kLanes, 1, 1, 8);
    barrier();
  } else {
    AscendC::WholeReduceMax(t.largest, chip.max_parts(), t.width / 8, t.rows, 1, 1, t.width / 64,
                            AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    barrier();
    pending.third_level(chip);
    AscendC::Duplicate(chip.sum_parts(), 0.0f, t.rows * AivBuffers::kLanes);
  }
  if (t.mask.given || bend.masks() || t.edges.hides(t.rows)) {
    AscendC::Maxs(t.largest, t.largest, bend.least_max(), t.rows);
    barrier();
  }
  const float factor = t.scale_first ? 1.0f : t.scale;
  AscendC::Muls(t.max, t.largest, factor, t.rows);
  AscendC::Muls(t.minus_max, t.largest, -factor, t.rows);
  barrier();
  spread_rows(chip.row_max(), t.minus_max, t.rows);
  barrier();
  subtract_max(chip, t);
  bend.finish_max(t.max, t.rows);
  barrier();
  AscendC::Exp(t.tile, t.tile, t.rows * t.width);
  barrier();
}

}  // namespace triangle
