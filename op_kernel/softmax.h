// The softmax of one chunk of keys from a fresh state: max and sum of each row, and P = exp(scale * S - max) in 16
// bits, relative to the chunk's own maximum.
#pragma once
#include "mask.h"

namespace triangle {

// One tile [rows, width] of scores in a UB slot and what belongs to it; width a multiple of 64 up to 512.
struct SoftmaxTile {
  Floats tile;
  Floats max, sum;  // of these rows
  int32_t rows = 0, width = 0;
  int32_t chunk_column = 0;  // of the tile's first column, in its chunk
  float scale = 1.0f;
  TileEdges edges;
  TileMask mask;
};

// The last two of the three levels of a tile's sums, left to the next tile's first barriers: alone they would cost two
// of their own. Every level adds 8 neighbours, so a row's sum is one fixed tree over its chunk's 512 places.
class PendingSum {
 public:
  __aicore__ inline void begin(const SoftmaxTile& t) {
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
__aicore__ inline void begin_sum(AivChip& chip, const SoftmaxTile& t) {
  const Floats parts = chip.sum_parts()[t.chunk_column / 8];
  for (int32_t column = 0; column < t.width; column += AivBuffers::kLanes) {
    AscendC::BlockReduceSum(parts[column / 8], t.tile[column], t.rows, AivBuffers::kLanes, 8, 1, t.width / 8);
  }
}

// Replaces scores by exp(scale * score - max) and writes max; completes the sums of the tile before. max(scale * s) is
// scale * max(s) bit for bit where scale > 0, so scaling shares a barrier with the maximum's second level. Scaling and
// subtracting in one FusedMulAdd would be 8% faster, but its single rounding leaves half an ulp of the maximum in the
// exponent: scores of 1e10, which fp16 inputs reach, then overflow or vanish.
__aicore__ inline void softmax_exp(AivChip& chip, const SoftmaxTile& t, PendingSum& pending) {
  const int32_t count = t.rows * t.width;
  const bool edge = t.edges.hides(t.rows), hides = edge || t.mask.given;
  const bool scale_first = !(t.scale >= kLeastScale);
  if (scale_first) {
    AscendC::Muls(t.tile, t.tile, t.scale, count);
    barrier();
  }
  if (edge) {
    hide_edges(chip, t.tile, t.edges, t.rows);
    barrier();
  }
  if (t.mask.given) {
    hide_masked(chip, t.tile, t.mask, t.rows, t.width);
    barrier();
  }

  AscendC::BlockReduceMax(chip.max_parts(), t.tile, count / AivBuffers::kLanes, AivBuffers::kLanes, 1, 1, 8);
  pending.second_level(chip);
  barrier();
  pending.third_level(chip);
  if (!scale_first) AscendC::Muls(t.tile, t.tile, t.scale, count);
  if (t.width == kChunkKeys && t.rows % 8 == 0) {
    AscendC::BlockReduceMax(chip.max_tail(), chip.max_parts(), t.rows, AivBuffers::kLanes, 1, 1, 8);
    barrier();
    AscendC::BlockReduceMax(t.max, chip.max_tail(), t.rows / 8, AivBuffers::kLanes, 1, 1, 8);
  } else {
    AscendC::WholeReduceMax(t.max, chip.max_parts(), t.width / 8, t.rows, 1, 1, t.width / 64,
                            AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    AscendC::Duplicate(chip.sum_parts(), 0.0f, t.rows * AivBuffers::kLanes);
  }
  barrier();
  if (hides) {
    AscendC::Maxs(t.max, t.max, kLeastMax, t.rows);
    barrier();
  }
  if (!scale_first) {
    AscendC::Muls(t.max, t.max, t.scale, t.rows);
    barrier();
  }
  spread_rows(chip.row_max(), t.max, t.rows);
  barrier();
  sub_rows(t.tile, chip.row_max(), t.rows, t.width);
  barrier();
  AscendC::Exp(t.tile, t.tile, count);
  barrier();
}

}  // namespace triangle
