// What startend_row_indices hides in a tile of scores. Only stages that an interval touches load their keys' bounds,
// and only tiles that one touches are masked.
#pragma once
#include "bend.h"
#include "intervals.h"

namespace triangle {

// A tile's bend with intervals.
template <class T>
struct TileIntervals : TileBend<T> {
  static constexpr bool kIntervals = true;
  // Of a touched stage of the forward where the bounds have no place of their own: half a slot of P, whose other half
  // they have then.
  static constexpr int32_t kRowsAtOnce = 8;
  static constexpr int32_t kFloats = AivBuffers::kProbsBytes / 2 / 4;

  Intervals tables;
  bool touched = false;          // the rows of the stage
  HiddenColumns hidden_columns;  // of the tile
  int32_t row = 0;               // the tile's first, relative to that of the bounds
  int32_t keys = kChunkKeys;
  Floats starts, ends;  // [keys] of the first interval; of the second 2 * keys further on

  __aicore__ inline bool masks() const { return this->mask.given() || hides_rows(); }

  __aicore__ inline bool hides_rows() const { return hidden_columns.end > 0; }

  // Of a tile of a touched stage: as Intervals::hidden_columns().
  __aicore__ inline void find_hidden(int64_t first_row, int64_t rows, int64_t key, int64_t columns, int32_t width) {
    hidden_columns = touched ? tables.hidden_columns(first_row, rows, key, columns, width) : HiddenColumns();
  }

  // The bounds from `key` on.
  __aicore__ inline void load(int64_t key) const {
    for (int32_t b = 0; b < 2 * tables.count(); ++b) {
      AscendC::DataCopyPad(bound(b).template ReinterpretCast<int32_t>(), tables.bounds(b >> 1, b & 1, key),
                           AscendC::DataCopyExtParams(1, static_cast<uint32_t>(keys * 4), 0, 0, 0),
                           AscendC::DataCopyPadExtParams<int32_t>(false, 0, 0, 0));
    }
  }
  // They become relative to `first_row`, in fp32, which has these numbers: only those within a task's rows matter, so
  // the others are cut off. Ends with a barrier.
  __aicore__ inline void convert(int64_t first_row) const {
    const int32_t last = 2 * tables.count();
    for (int32_t b = 0; b < last; ++b) {
      const AscendC::LocalTensor<int32_t> loaded = bound(b).template ReinterpretCast<int32_t>();
      AscendC::Adds(loaded, loaded, static_cast<int32_t>(-first_row), keys);
    }
    barrier();
    for (int32_t b = 0; b < last; ++b) {
      const AscendC::LocalTensor<int32_t> loaded = bound(b).template ReinterpretCast<int32_t>();
      AscendC::Maxs(loaded, loaded, int32_t{-1}, keys);
    }
    barrier();
    for (int32_t b = 0; b < last; ++b) {
      const AscendC::LocalTensor<int32_t> loaded = bound(b).template ReinterpretCast<int32_t>();
      AscendC::Mins(loaded, loaded, int32_t{NarrowTile::kRows}, keys);
    }
    barrier();
    for (int32_t b = 0; b < last; ++b) {
      AscendC::Cast(bound(b), bound(b).template ReinterpretCast<int32_t>(), AscendC::RoundMode::CAST_RINT,
                    static_cast<uint32_t>(keys));
    }
    barrier();
  }

  // As hide() below, a few rows at once: their bits have little room.
  template <class Chip>
  __aicore__ inline void hide_by_parts(Chip& chip, const Floats& tile, int32_t rows, int32_t width, int32_t at_once) {
    for (row = 0; row < rows; row += at_once) hide(chip, tile[row * width], smaller(at_once, rows - row), width);
  }

  // tile [rows, width] becomes `hidden` where start <= row < end; ends with a barrier.
  template <class Chip>
  __aicore__ inline void hide(Chip& chip, const Floats& tile, int32_t rows, int32_t width) const {
    constexpr int32_t kBitsPitch = kChunkKeys / 8;
    const AscendC::LocalTensor<uint8_t> bits = chip.bits(), more = bits[rows * kBitsPitch];
    const HiddenColumns& at = hidden_columns;
    const uint32_t columns = static_cast<uint32_t>(at.end - at.begin);
    for (int32_t n = 0; n < tables.count(); ++n) {
      if ((at.touched >> n & 1) == 0) continue;
      const bool by_end = (at.by_end >> n & 1) != 0, by_start = !by_end || (at.by_start >> n & 1) != 0;
      const Floats first = bound(2 * n)[at.begin], past = bound(2 * n + 1)[at.begin];
      for (int32_t i = 0; i < rows; ++i) {
        const float place = static_cast<float>(row + i);
        if (by_start) AscendC::CompareScalar(bits[i * kBitsPitch], first, place, AscendC::CMPMODE::GT, columns);
        if (by_end)
          AscendC::CompareScalar((by_start ? more : bits)[i * kBitsPitch], past, place, AscendC::CMPMODE::LE, columns);
      }
      barrier();
      if (by_start && by_end) {
        for (int32_t i = 0; i < rows; ++i) {
          const AscendC::LocalTensor<uint16_t> before = bits[i * kBitsPitch].template ReinterpretCast<uint16_t>();
          const AscendC::LocalTensor<uint16_t> after = more[i * kBitsPitch].template ReinterpretCast<uint16_t>();
          AscendC::Or(before, before, after, static_cast<int32_t>(columns / 16));
        }
        barrier();
      }
      for (int32_t i = 0; i < rows; ++i) {
        const Floats part = tile[i * width + at.begin];
        AscendC::Select(part, bits[i * kBitsPitch], part, this->hidden(), AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE,
                        columns);
      }
      barrier();
    }
  }

 private:
  // Start (even) or end (odd) of an interval.
  __aicore__ inline Floats bound(int32_t b) const { return ((b & 1) == 0 ? starts : ends)[(b >> 1) * 2 * keys]; }
};

}  // namespace triangle
