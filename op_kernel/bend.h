// What bends a score between the product and its mask, in this order, all in fp32:
//
//   s = scale * q k^T
//   s = softcap * tanh(s / softcap)
//   s = s - slope * (p - key)         alibi; p is the row's position: a visible key is never right of it
//   s = s + mask                      a float mask; -inf hides a pair
//
// Kernels of their own have it (forward_bent.cpp, backward_bent.cpp), with branches a tile; in the others NoBend leaves
// nothing behind.
#pragma once
#include "float_mask.h"
#include "mask.h"

namespace triangle {

struct NoBend {
  static constexpr bool kBent = false, kFloatMasks = false, kIntervals = false;
  __aicore__ static inline constexpr bool bends() { return false; }
  __aicore__ static inline constexpr bool masks() { return false; }
  __aicore__ static inline constexpr float hidden() { return kHidden; }
  __aicore__ static inline constexpr float least_max() { return kLeastMax; }
  __aicore__ inline void apply(const Floats&, int32_t, int32_t) const {}
  __aicore__ inline void finish_max(const Floats&, int32_t) const {}
};

// A bent score may be any finite number, finfo.min of a mask among them: -inf hides it, and the least maximum is the
// least finite number, so that (-inf) - (-inf) does not occur. Scores are scaled before anything else, so neither is
// ever multiplied.
constexpr float kLeastFinite = -3.4028234663852886e38f;
__aicore__ inline float least_max_score(const ScoreBend& bend) {
  return bend.bends_scores() ? kLeastFinite : kLeastMax;
}

// A tile's bend; T: q's dtype. The slope's product is taken with distances from one reference position for all rows of
// the tile, so that it costs one operation an element; the rest, slope * (row - reference), is one number a row, which
// goes into the row's maximum, or lse. The reference is among the rows, so both terms are small where alibi leaves
// weight.
template <class T, class Mask = LoadedMask<T>>  // or NoFloatMask
struct TileBend {
  static constexpr bool kBent = true, kFloatMasks = Mask::kEver, kIntervals = false;
  static constexpr int32_t kScratchFloats = 4096;

  bool bends_scores = false, alibi = false, keeps_derivative = false;
  float scale = 1.0f, softcap = 0.0f, slope = 0.0f;
  Floats factor;     // [8]: what scores are multiplied by beside the distances
  Floats distances;  // [width]: slope * (key - reference)
  Floats rows;       // [16]: row - reference, of a tile of the forward
  int32_t scratch_floats = kScratchFloats;
  Floats scratch;  // [scratch_floats]; afterwards the derivative of the softcap, if kept
  Mask mask;

  __aicore__ inline bool bends() const { return bends_scores; }
  __aicore__ inline bool masks() const { return mask.given(); }
  __aicore__ inline float hidden() const { return bends_scores ? -__builtin_inff() : kHidden; }
  __aicore__ inline float least_max() const { return bends_scores ? kLeastFinite : kLeastMax; }

  // For tiles whose reference position is `reference`, from the key of column 0 on. Written before the next barrier.
  __aicore__ inline void begin(const Floats& columns, int64_t key0, int64_t reference, int32_t width) const {
    if (!alibi) return;
    AscendC::Duplicate(factor, softcap > 0 ? softcap : scale, 8);
    AscendC::Adds(distances, columns, static_cast<float>(key0 - reference), width);
    barrier();
    AscendC::Muls(distances, distances, slope, width);
  }

  // tile [rows, width]; ends with a barrier.
  __aicore__ inline void apply(const Floats& tile, int32_t tile_rows, int32_t width) const {
    const int32_t count = tile_rows * width;
    if (softcap > 0) cap(tile, count);
    if (alibi) {
      const AscendC::BinaryRepeatParams in_row(1, 0, 1, 8, 0, 8);
      for (int32_t row = 0; row < tile_rows; ++row) {
        AscendC::FusedMulAdd(tile[row * width], factor, distances, static_cast<uint64_t>(AivBuffers::kLanes),
                             static_cast<uint8_t>(width / AivBuffers::kLanes), in_row);
      }
    } else {
      AscendC::Muls(tile, tile, softcap > 0 ? softcap : scale, count);
    }
    barrier();
    mask.add(tile, tile_rows, width);
  }

  // max [rows] of the forward becomes that of the scores.
  __aicore__ inline void finish_max(const Floats& max, int32_t tile_rows) const {
    if (alibi) AscendC::Axpy(max, rows, -slope, tile_rows);
  }

 private:
  // tile = tanh(scale * tile / softcap) as (e - 1) / (e + 1), e = exp of twice that: within 2^-23 of tanh, beside the
  // rounding of its argument (tests/test_sim_bend.py), which is 1.2e-7 softcap of a score. Past 20 it is 1 in fp32, and
  // e would pass fp32's range.
  __aicore__ inline void cap(const Floats& tile, int32_t count) const {
    AscendC::Muls(tile, tile, 2.0f * scale / softcap, count);
    barrier();
    AscendC::Mins(tile, tile, 40.0f, count);
    barrier();
    AscendC::Exp(tile, tile, count);
    barrier();
    for (int32_t at = 0; at < count; at += scratch_floats) {
      const int32_t now = smaller(scratch_floats, count - at);
      AscendC::Adds(scratch, tile[at], 1.0f, now);
      barrier();
      AscendC::Adds(tile[at], tile[at], -1.0f, now);
      barrier();
      AscendC::Div(tile[at], tile[at], scratch, now);
      barrier();
    }
    if (!keeps_derivative) return;  // 1 - tanh^2
    AscendC::Mul(scratch, tile, tile, count);
    barrier();
    AscendC::Muls(scratch, scratch, -1.0f, count);
    barrier();
    AscendC::Adds(scratch, scratch, 1.0f, count);
  }
};

}  // namespace triangle
