// What a vector core has in UB during the backward, its events, and the range of fp16.
#pragma once
#include <type_traits>

#include "backward_sections.h"
#include "bend.h"

namespace triangle {

// MTE2_V "loaded" and V_MTE2 "free again": the tile slots, and a slot about to be loaded in part, filled first.
constexpr int32_t kEventTile = 0;  // and 1
constexpr int32_t kEventTileFill = 2;
// V_MTE3 "computed" and MTE3_V "free again": P and dS, or before and after the main pass the two result slots.
constexpr int32_t kEventWeightP = 0;
constexpr int32_t kEventWeightDs = 1;
constexpr int32_t kEventResult = 0;  // and 1

// fp16 has few exponents: P is stored times kProbFactor, and dS times that and its head's factor (backward_range.h).
template <class T>
constexpr bool kNarrowRange = std::is_same<T, half>::value;
constexpr int32_t kProbExponent = 15;
constexpr float kProbFactor = 32768.0f;

// Where everything is in UB: bytes, of one vector core.
struct BackwardAivBuffers {
  static constexpr int32_t kRows = 64;        // of a tile
  static constexpr int32_t kMaskedRows = 32;  // of a tile with a bool mask, which takes half of its slot
  static constexpr int32_t kTileFloats = kRows * kGradBlock;
  static constexpr int32_t kLanes = 64;  // floats of a repeat

  static constexpr uint32_t kS = 0;  // 2 x 32 KiB fp32
  static constexpr uint32_t kTileBytes = kTileFloats * 4;
  static constexpr uint32_t kMaskBytes = kTileBytes / 2;  // of a slot of S: the mask's bytes [32, 128]
  static constexpr uint32_t kMaskHalves = kMaskBytes + kMaskedRows * kGradBlock;  // the same as fp16
  static_assert(kMaskHalves + 2 * kMaskedRows * kGradBlock <= kTileBytes, "half a slot and its mask fit the slot");
  static constexpr uint32_t kDp = kS + 2 * kTileBytes;        // 2 x 32 KiB fp32
  static constexpr uint32_t kResults = kDp + 2 * kTileBytes;  // 2 x 16 KiB, 16-bit: P and dS
  static constexpr uint32_t kSpread = kResults + kTileBytes;  // 2 x (lse, delta and factor [64, 8])
  static constexpr uint32_t kSpreadBytes = kRows * 32;
  static constexpr uint32_t kValues = kSpread + 6 * kSpreadBytes;  // a value a row [64], 10 of them
  static constexpr uint32_t kValuesBytes = kRows * 4;
  static constexpr int32_t kValuesCount = 10;
  static constexpr uint32_t kBits = kValues + kValuesCount * kValuesBytes;  // of a comparison, rows as in mask.h
  static constexpr uint32_t kBitsBytes = kRows * kChunkKeys / 8;
  static constexpr uint32_t kColumns = kBits + kBitsBytes;           // of kernels that bend scores (bend.h): 0 .. 127
  static constexpr uint32_t kDistances = kColumns + kGradBlock * 4;  // [128]
  static constexpr uint32_t kBendFactor = kDistances + kGradBlock * 4;  // [8]
  static constexpr uint32_t kSinkParts = kBendFactor + 32;              // 2 x [1]
  static constexpr uint32_t kBounds = kSinkParts + 2 * 32;              // 2 x [4, 128]: of kernels with intervals
  static constexpr uint32_t kBoundsBytes = 4 * kGradBlock * 4;
  static constexpr uint32_t kEnd = kBounds + 2 * kBoundsBytes;
  static_assert(kEnd <= 188160, "UB is 192 KiB, of which 183.75 KiB are a kernel's own");
  static_assert(kSpread % 32 == 0 && kBits % 32 == 0 && kColumns % 32 == 0, "UB tensors are 32 B aligned");
};

// UB of the vector cores, by name.
class BackwardUb {
 public:
  using Buffers = BackwardAivBuffers;

  __aicore__ inline void Init() {
    chip_.Init(0, Buffers::kEnd);
    // Brcb reads values in groups of 8 rows, past the last row that exists.
    AscendC::Duplicate(chip_.UB<float>(Buffers::kValues, Buffers::kValuesCount * Buffers::kRows), 0.0f,
                       Buffers::kValuesCount * Buffers::kRows);
  }
  __aicore__ inline Floats s(int32_t slot) { return tile(Buffers::kS, slot); }
  __aicore__ inline Floats dp(int32_t slot) { return tile(Buffers::kDp, slot); }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> result(int32_t slot) {  // 0: P, 1: dS
    return chip_.UB<T>(Buffers::kResults + slot * Buffers::kTileBytes / 2, Buffers::kTileFloats);
  }
  __aicore__ inline Floats lse(int32_t slot) { return value(slot); }
  __aicore__ inline Floats delta(int32_t slot) { return value(2 + slot); }
  __aicore__ inline Floats lse_spread(int32_t slot) { return spread(slot); }
  __aicore__ inline Floats delta_spread(int32_t slot) { return spread(2 + slot); }
  __aicore__ inline Floats factor(int32_t slot) { return value(4 + slot); }
  __aicore__ inline Floats factor_spread(int32_t slot) { return spread(4 + slot); }
  // Before the main pass: lse and dlse as they come, one value in 8 where rows are apart, and what is stored.
  __aicore__ inline Floats given_lse(int32_t slot) { return value(slot); }
  __aicore__ inline Floats given_dlse(int32_t slot) { return value(2 + slot); }
  __aicore__ inline Floats stored_lse(int32_t slot) { return value(4 + slot); }
  __aicore__ inline Floats stored_delta(int32_t slot) { return value(6 + slot); }
  __aicore__ inline Floats stored_norm(int32_t slot) { return value(8 + slot); }
  __aicore__ inline Floats lse_blocks(int32_t slot) { return spread(slot); }
  __aicore__ inline Floats dlse_blocks(int32_t slot) { return spread(2 + slot); }
  // After it: what undoes a row's factor.
  __aicore__ inline Floats undo(int32_t slot) { return value(slot); }
  __aicore__ inline Floats undo_spread(int32_t slot) { return spread(slot); }
  // And [rows, dv] of out and dout in 16 bits, in the place of dP.
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> input(int32_t i) {
    return chip_.UB<T>(Buffers::kDp + i * Buffers::kTileBytes / 2, Buffers::kTileFloats);
  }

  // Of kernels that bend scores: the upper halves of slots of at most kMaskedRows rows.
  __aicore__ inline Floats upper_s(int32_t slot) { return tile(Buffers::kS, slot)[Buffers::kTileFloats / 2]; }
  __aicore__ inline Floats upper_dp(int32_t slot) { return tile(Buffers::kDp, slot)[Buffers::kTileFloats / 2]; }
  __aicore__ inline Floats distances() { return chip_.UB<float>(Buffers::kDistances, kGradBlock); }
  __aicore__ inline Floats sink_part(int32_t slot) { return chip_.UB<float>(Buffers::kSinkParts + slot * 32, 8); }
  __aicore__ inline Floats bounds(int32_t slot) {
    return chip_.UB<float>(Buffers::kBounds + slot * Buffers::kBoundsBytes, Buffers::kBoundsBytes / 4);
  }
  __aicore__ inline Floats bend_factor() { return chip_.UB<float>(Buffers::kBendFactor, 8); }

  __aicore__ inline Floats columns() { return chip_.UB<float>(Buffers::kColumns, kGradBlock); }
  __aicore__ inline AscendC::LocalTensor<uint8_t> bits() {
    return chip_.UB<uint8_t>(Buffers::kBits, Buffers::kBitsBytes);
  }
  __aicore__ inline AscendC::LocalTensor<uint8_t> mask_bytes(int32_t slot) {
    return chip_.UB<uint8_t>(Buffers::kS + slot * Buffers::kTileBytes + Buffers::kMaskBytes,
                             Buffers::kMaskedRows * kGradBlock);
  }
  __aicore__ inline AscendC::LocalTensor<half> mask_halves(int32_t slot) {
    return chip_.UB<half>(Buffers::kS + slot * Buffers::kTileBytes + Buffers::kMaskHalves,
                          Buffers::kMaskedRows * kGradBlock);
  }

 private:
  __aicore__ inline Floats tile(uint32_t base, int32_t slot) {
    return chip_.UB<float>(base + slot * Buffers::kTileBytes, Buffers::kTileFloats);
  }
  __aicore__ inline Floats value(int32_t i) {
    return chip_.UB<float>(Buffers::kValues + i * Buffers::kValuesBytes, Buffers::kRows);
  }
  __aicore__ inline Floats spread(int32_t i) {
    return chip_.UB<float>(Buffers::kSpread + i * Buffers::kSpreadBytes, Buffers::kRows * 8);
  }
  OnChip chip_;
};

}  // namespace triangle
