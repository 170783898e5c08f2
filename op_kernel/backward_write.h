// From fp32 sums in the workspace to a gradient's rows: scaled, rounded, and put where its strides say.
#pragma once
#include "backward_ub.h"
#include "cube.h"

namespace triangle {

template <class T>
struct GradientTile {
  AscendC::GlobalTensor<T> dst;  // [rows, columns], rows `pitch` elements apart
  int64_t pitch = 0;
  AscendC::GlobalTensor<float> sums;  // [rows, columns rounded up to 16]
  AscendC::GlobalTensor<float> undo;  // [rows], if `undoes`: what each row is multiplied by besides `scale`
  bool undoes = false;
  int32_t rows = 0, columns = 0;
  float scale = 1.0f;
};

// dV has no factor but that of P.
template <class T>
__aicore__ inline float dv_scale() {
  return kNarrowRange<T> ? 1.0f / kProbFactor : 1.0f;
}

template <class T>
__aicore__ inline void store_gradient(const GradientTile<T>& tile, const AscendC::LocalTensor<T>& src, int32_t width) {
  const int64_t gap = (tile.pitch - tile.columns) * static_cast<int64_t>(sizeof(T));
  const uint32_t bytes = static_cast<uint32_t>(tile.columns * sizeof(T));
  if (gap >= 0 && gap <= int64_t{0xffffffff}) {
    AscendC::DataCopyPad(tile.dst, src,
                         AscendC::DataCopyExtParams(to16(tile.rows), bytes, 0, static_cast<uint32_t>(gap), 0));
    return;
  }
  for (int32_t row = 0; row < tile.rows; ++row)
    AscendC::DataCopyPad(tile.dst[row * tile.pitch], src[row * width], AscendC::DataCopyExtParams(1, bytes, 0, 0, 0));
}

// Of at most kTileFloats sums, with `undoes` at most kRows rows; through tile slot and result slot `slot`.
template <class T>
__aicore__ inline void write_gradient(BackwardUb& ub, int32_t slot, const GradientTile<T>& tile) {
  const int32_t width = round_up(tile.columns, 16), count = tile.rows * width;
  const Floats sums = ub.s(slot);
  const AscendC::LocalTensor<T> result = ub.template result<T>(slot);
  WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
  AscendC::DataCopy(sums, tile.sums, static_cast<uint32_t>(count));
  if (tile.undoes)
    AscendC::DataCopyPad(ub.undo(slot), tile.undo,
                         AscendC::DataCopyExtParams(1, static_cast<uint32_t>(tile.rows * 4), 0, 0, 0),
                         AscendC::DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
  SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
  WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);
  if (tile.undoes) {
    spread_rows(ub.undo_spread(slot), ub.undo(slot), tile.rows);
    barrier();
    mul_rows(sums, ub.undo_spread(slot), tile.rows, width);
    barrier();
  }
  AscendC::Muls(sums, sums, tile.scale, count);
  barrier();
  WaitFlag<HardEvent::MTE3_V>(kEventResult + slot);
  AscendC::Cast(result, sums, AscendC::RoundMode::CAST_RINT, static_cast<uint32_t>(count));
  SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
  SetFlag<HardEvent::V_MTE3>(kEventResult + slot);
  WaitFlag<HardEvent::V_MTE3>(kEventResult + slot);
  store_gradient(tile, result, width);
  SetFlag<HardEvent::MTE3_V>(kEventResult + slot);
}

// Keys of one head, and where their dK and dV were summed: [rows, d16] and [rows, dv16].
struct KeyRows {
  int64_t batch = 0, head_kv = 0, key = 0;
  int32_t rows = 0;
  AscendC::GlobalTensor<float> dk, dv;
};

// The half of a block column that a vector core has; keys.dk and dv are of all of it.
__aicore__ inline KeyRows half_column(const TriangleBackwardTiling& tiling, KeyRows keys, int32_t half) {
  const int32_t split = first_half_rows(keys.rows);
  if (half == 0) {
    keys.rows = split;
  } else {
    keys.key += split;
    keys.rows -= split;
    keys.dk = keys.dk[static_cast<uint64_t>(split) * round_up(tiling.problem.d, 16)];
    keys.dv = keys.dv[static_cast<uint64_t>(split) * round_up(tiling.problem.dv, 16)];
  }
  return keys;
}

// dK and dV of some keys; `tiles` counts the slots used.
template <class T>
__aicore__ inline void write_keys(BackwardUb& ub, const TriangleBackwardTiling& tiling,
                                  const BackwardArguments& arguments, const KeyRows& keys, int32_t* tiles) {
  const TriangleForwardTiling& p = tiling.problem;
  for (int32_t i = 0; i < 2; ++i) {
    const bool is_dk = i == 0;
    const Strides& strides = is_dk ? tiling.dk : tiling.dv;
    GradientTile<T> tile;
    tile.pitch = strides.row;
    tile.undoes = kNarrowRange<T> && is_dk;
    tile.columns = is_dk ? p.d : p.dv;
    tile.scale = is_dk ? p.scale : dv_scale<T>();
    const int32_t width = round_up(tile.columns, 16);
    const int32_t at_once = smaller(BackwardAivBuffers::kRows, BackwardAivBuffers::kTileFloats / width);
    for (int32_t row = 0; row < keys.rows; row += at_once) {
      const int64_t key = keys.key + row;
      tile.rows = smaller(at_once, keys.rows - row);
      tile.dst = global<T>(is_dk ? arguments.dk : arguments.dv)[row_offset(strides, keys.batch, keys.head_kv, key)];
      tile.sums = (is_dk ? keys.dk : keys.dv)[static_cast<uint64_t>(row) * width];
      if (tile.undoes) {
        tile.undo =
            global<float>(arguments.workspace +
                          tiling.undo_k_offset)[(keys.batch * tiling.heads_kv + keys.head_kv) * p.total_k + key];
      }
      write_gradient(ub, (*tiles)++ & 1, tile);
    }
  }
}

}  // namespace triangle
