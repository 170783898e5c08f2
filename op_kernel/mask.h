// Hidden scores: which columns of a tile each row sees, and the value that hides the others. Tiles whose every row sees
// every column never come here.
#pragma once
#include "tasks.h"
#include "vector.h"

namespace triangle {

// What a hidden score becomes, and the least maximum a row's scores can have, both before scaling. Both finite:
// (-inf) - (-inf) is NaN. Scaled by anything in [kLeastScale, 1e8], exp(kHidden - kLeastMax) is 0, so a row that sees
// nothing gets P = 0, and so is exp(kLeastMax - any real maximum), so it loses against every chunk that it sees.
constexpr float kHidden = -1.0e36f;
constexpr float kLeastMax = -1.2676506e30f;  // -2^100: a power of two, whose product with the scale is exact
constexpr float kLeastScale = 1.0e-20f;      // smaller and negative scales multiply the scores first

// Rows row .. row + rows of the task against columns col0 .. col0 + cols of the stage.
struct TileEdges {
  int64_t first = 0;     // last visible column of the first row, relative to col0; one more for each row
  int64_t window = 0;    // first visible column of the first row, likewise
  int64_t last_key = 0;  // last existing column
  int32_t width = 0;

  __aicore__ inline bool hides(int32_t rows) const {
    return min64(first, last_key) < width - 1 || window + rows - 1 > 0;
  }
  __aicore__ inline int64_t end(int32_t row) const { return min64(first + row, last_key); }
  __aicore__ inline int64_t begin(int32_t row) const { return window + row; }
  __aicore__ inline int32_t columns() const { return width; }
};

__aicore__ inline TileEdges tile_edges(const Stage& stage, int32_t row, int32_t col0, int32_t width) {
  const int64_t key = stage.key0() + col0, first_row = stage.row0 + row;
  TileEdges edges;
  edges.first = first_row + stage.band.right - key;
  edges.window = first_row + stage.band.left - key;
  edges.last_key = stage.band.sk - 1 - key;
  edges.width = width;
  return edges;
}

// Columns begin .. end of a row become kHidden: `end` a multiple of 64 or `begin` one.
__aicore__ inline void hide_columns(const Floats& row, int32_t begin, int32_t end, float hidden) {
  constexpr int32_t kLanes = AivBuffers::kLanes;
  const int32_t lane = begin % kLanes;
  if (lane > 0) {
    uint64_t lanes[2] = {~uint64_t{0} << lane, 0};
    AscendC::Duplicate(row[begin - lane], hidden, lanes, 1, 1, 8);
    begin += kLanes - lane;
  }
  if (end - begin >= kLanes) {
    AscendC::Duplicate(row[begin], hidden, static_cast<uint64_t>(kLanes), static_cast<uint8_t>((end - begin) / kLanes),
                       1, 8);
    begin += (end - begin) / kLanes * kLanes;
  }
  if (end > begin) AscendC::Duplicate(row[begin], hidden, static_cast<uint64_t>(end - begin), 1, 1, 8);
}

// tile [rows, width]: what the diagonal, the window or the end of the keys hides becomes kHidden. Written over, not
// added to: columns past the last key may hold anything. Instructions of several rows need no barrier, which Select
// has within.
template <class Edges>  // TileEdges, or one whose rows move otherwise
__aicore__ inline void hide_edges(const Floats& tile, const Edges& edges, int32_t rows, float hidden = kHidden) {
  const int32_t width = edges.columns();
  for (int32_t row = 0; row < rows; ++row) {
    const int32_t begin = static_cast<int32_t>(clamp64(edges.begin(row), 0, width));
    const int32_t end = static_cast<int32_t>(clamp64(edges.end(row) + 1, begin, width));
    if (begin >= end) {
      hide_columns(tile[row * width], 0, width, hidden);
      continue;
    }
    hide_columns(tile[row * width], 0, begin, hidden);
    hide_columns(tile[row * width], end, width, hidden);
  }
}

// Rows of `bytes` in GM, `pitch` bytes apart, into rows of UB that are `width` bytes apart, a multiple of 32.
TRIANGLE_SHARED_FN void load_mask_rows(const AscendC::LocalTensor<uint8_t>& dst, GM_ADDR address, int32_t rows,
                                       int32_t bytes, int64_t pitch, int32_t width) {
  const AscendC::GlobalTensor<uint8_t> src = global<uint8_t>(address);
  const AscendC::DataCopyPadExtParams<uint8_t> no_padding(false, 0, 0, 0);
  const int64_t gap = pitch - bytes;
  const bool at_once = gap >= 0 && gap <= int64_t{0xffffffff};
  AscendC::DataCopyExtParams params(1, static_cast<uint32_t>(bytes), 0, 0, 0);
  if (at_once) {
    params.blockCount = static_cast<uint16_t>(rows);
    params.srcStride = static_cast<uint32_t>(gap);
    params.dstStride = static_cast<uint32_t>((width - round_up(bytes, 32)) / 32);
  }
  // One by one: a row for all queries, or rows very far apart.
  for (int32_t row = 0; row < (at_once ? 1 : rows); ++row)
    AscendC::DataCopyPad(dst[row * width], src[row * pitch], params, no_padding);
}

// Of kernels that have no masks, whose branches leave nothing behind.
struct NoTileMask {
  static constexpr bool kEver = false, given = false;
};

// A bool mask's bytes for a tile [rows, width]: in UB rows of `mask_pitch` bytes, a multiple of 128.
struct TileMask {
  static constexpr bool kEver = true;
  bool given = false;
  AscendC::LocalTensor<uint8_t> bytes;
  AscendC::LocalTensor<half> halves;
  int32_t pitch = 0;
};

// tile [rows, width]: kHidden where the mask's byte is 0.
template <class Chip>  // AivChip or BackwardUb
__aicore__ inline void hide_masked(Chip& chip, const Floats& tile, const TileMask& mask, int32_t rows, int32_t width,
                                   float hidden = kHidden) {
  const AscendC::LocalTensor<uint8_t> bits = chip.bits();
  constexpr int32_t kBitsPitch = kChunkKeys / 8;
  AscendC::Cast(mask.halves, mask.bytes, AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(rows * mask.pitch));
  barrier();
  for (int32_t row = 0; row < rows; ++row) {
    AscendC::CompareScalar(bits[row * kBitsPitch], mask.halves[row * mask.pitch], half(0.0f), AscendC::CMPMODE::GT,
                           static_cast<uint32_t>(mask.pitch));
  }
  barrier();
  for (int32_t row = 0; row < rows; ++row) {
    AscendC::Select(tile[row * width], bits[row * kBitsPitch], tile[row * width], hidden,
                    AscendC::SELMODE::VSEL_TENSOR_SCALAR_MODE, static_cast<uint32_t>(width));
  }
}

}  // namespace triangle
