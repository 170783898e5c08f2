// The softmax of one chunk of keys from a fresh state: max and sum of each row, and P = exp(scale * S - max) in 16
// bits, relative to the chunk's own maximum.
#pragma once
#include "mask.h"

namespace triangle {

// The first level of the sum: 64 partial sums a row at [rows, 64], each of the 8 keys that have its place in the chunk.
// Anchoring them there makes the tree of a row's sum independent of which columns its tile has.
__aicore__ inline void begin_sum(AivChip& chip, const Floats& tile, int32_t rows, int32_t width, int32_t chunk_column) {
  const Floats parts = chip.scratch()[chunk_column / 8];
  for (int32_t column = 0; column < width; column += AivBuffers::kLanes) {
    AscendC::BlockReduceSum(parts[column / 8], tile[column], rows, AivBuffers::kLanes, 8, 1, width / 8);
  }
}
__aicore__ inline void end_sum(AivChip& chip, const Floats& sum, int32_t rows, int32_t width, int32_t chunk_column) {
  const int32_t lanes = width / 8;
  uint64_t mask[2] = {(lanes == 64 ? ~uint64_t{0} : (uint64_t{1} << lanes) - 1) << (chunk_column / 8), 0};
  AscendC::WholeReduceSum(sum, chip.scratch(), mask, rows, 1, 1, 8);
}

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

// Replaces scores by exp(scale * score - max) and writes max.
__aicore__ inline void softmax_exp(AivChip& chip, const SoftmaxTile& t) {
  const int32_t count = t.rows * t.width;
  const bool edge = t.edges.hides(t.rows), hides = edge || t.mask.given;
  // max(scale * s) = scale * max(s) bit for bit when scale > 0; then scaling overlaps with the reduction.
  const bool scale_first = hides || !(t.scale > 0.0f);
  if (scale_first) {
    AscendC::Muls(t.tile, t.tile, t.scale, count);
    barrier();
    if (edge) {
      hide_edges(chip, t.tile, t.edges, t.rows);
      barrier();
    }
    if (t.mask.given) {
      hide_masked(chip, t.tile, t.mask, t.rows, t.width);
      barrier();
    }
  }
  const Floats parts = chip.scratch();
  AscendC::BlockReduceMax(parts, t.tile, count / AivBuffers::kLanes, AivBuffers::kLanes, 1, 1, 8);
  barrier();
  AscendC::WholeReduceMax(t.max, parts, t.width / 8, t.rows, 1, 1, t.width / 64,
                          AscendC::ReduceOrder::ORDER_ONLY_VALUE);
  if (!scale_first) AscendC::Muls(t.tile, t.tile, t.scale, count);
  barrier();
  if (scale_first) {
    AscendC::Maxs(t.max, t.max, kLeastMax, t.rows);
  } else {
    AscendC::Muls(t.max, t.max, t.scale, t.rows);
  }
  barrier();
  spread_rows(chip.row_max(), t.max, t.rows);
  barrier();
  sub_rows(t.tile, chip.row_max(), t.rows, t.width);
  barrier();
  AscendC::Exp(t.tile, t.tile, count);
  barrier();
}

}  // namespace triangle
