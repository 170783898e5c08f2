// Where everything is in UB: bytes, of one vector core.
#pragma once
#include "flags.h"

namespace triangle {

struct AivBuffers {
  static constexpr int32_t kRows = 128;         // rows of a task that one vector core has, at most
  static constexpr int32_t kChunkRows = 32;     // rows processed at once, at most
  static constexpr int32_t kSlotFloats = 8192;  // 16 x 512 scores, or 64 x 128 of P V
  static constexpr int32_t kLanes = 64;         // floats of a repeat

  static constexpr uint32_t kScores = 0;  // 2 x 32 KiB fp32
  static constexpr uint32_t kScoresBytes = kSlotFloats * 4;
  static constexpr uint32_t kMaskBytes = kScoresBytes / 2;               // of a slot, with a bool mask: [rows, 512]
  static constexpr uint32_t kMaskHalves = kMaskBytes + kSlotFloats / 2;  // the same as fp16
  static_assert(kMaskHalves + kSlotFloats <= kScoresBytes, "half a slot of scores and its mask fit the slot");
  static constexpr uint32_t kProbs = kScores + 2 * kScoresBytes;  // 2 x 16 KiB, 16-bit
  static constexpr uint32_t kProbsBytes = kSlotFloats * 2;
  // 64 KiB: [128, 128] or [64, 256]; 256 B off the scores' slots, so that a tile of P V that is added to it meets it in
  // no bank group of UB.
  static constexpr uint32_t kAcc = kProbs + 2 * kProbsBytes + 256;
  static constexpr uint32_t kAccBytes = 16384 * 4;
  // Where tasks have at most 64 rows, half of it is unused.
  static constexpr uint32_t kUnused = kAcc + kAccBytes / 2;
  static constexpr int32_t kUnusedBytes = kAccBytes / 2;
  // Scratch: partial maxima of a tile [rows, width / 8], later what its scores are reduced by [rows, 8]; partial sums
  // [32, 64], which outlive their tile by two barriers. In a merge instead the factors of the accumulator and of P V,
  // each [128, 8].
  static constexpr uint32_t kScratch = kAcc + kAccBytes;
  static constexpr uint32_t kMaxPartsBytes = kSlotFloats / 8 * 4;   // 4 KiB
  static constexpr uint32_t kSumParts = kScratch + kMaxPartsBytes;  // 8 KiB
  static constexpr uint32_t kSumPartsBytes = kChunkRows * kLanes * 4;
  static constexpr uint32_t kSumTail = kSumParts + kSumPartsBytes;  // [32, 8]: the sums' next level
  static constexpr uint32_t kSumTailBytes = kChunkRows * 32;
  // What scores are multiplied by, in the 16 bank groups: [16, 8]; 1, [8, 8]; the first once more, negative, [8, 8].
  static constexpr uint32_t kFactors = kSumTail + kSumTailBytes;
  static constexpr uint32_t kFactorsBytes = 1024;
  static_assert(kFactors % 512 == kScratch % 512, "row i's block and factor i ^ 1 lie in the same half of UB's banks");
  // [32, 512] bits of a mask; then, of a full tile, the maxima's next level [16, 8].
  static constexpr uint32_t kBits = kFactors + kFactorsBytes;
  static constexpr uint32_t kBitsBytes = kChunkRows * 64;
  // Per row: max and sum of the chunks in flight, then the running ones, two of the merge, and lse.
  static constexpr uint32_t kStats = kBits + kBitsBytes;
  static constexpr uint32_t kStatBytes = kRows * 4;
  static constexpr uint32_t kStatsBytes = (2 * kRingSlots + 5) * kStatBytes;
  static constexpr uint32_t kColumns = kStats + kStatsBytes;  // of kernels that bend scores: 0 .. 511
  static constexpr uint32_t kEnd = kColumns + kChunkKeys * 4;
  // Kernels that bend scores take at most kBentRows rows at once; so half of the partial sums is theirs, until a merge.
  static constexpr int32_t kBentRows = 16;
  static constexpr uint32_t kDistances = kSumParts + kBentRows * kLanes * 4;  // [512]
  static constexpr uint32_t kBendFactor = kDistances + kChunkKeys * 4;        // [8]
  static constexpr uint32_t kBendRows = kBendFactor + 32;                     // [16]
  static_assert(kBendRows + kBentRows * 4 <= kSumTail, "what bends scores fits beside 16 rows of partial sums");
  static_assert(2 * kRows * 32 <= kMaxPartsBytes + kBentRows * kLanes * 4, "and a merge leaves it alone");
  static_assert(kEnd <= 188160, "UB is 192 KiB, of which 183.75 KiB are a kernel's own");
  static_assert(2 * kRows * 32 <= kMaxPartsBytes + kSumPartsBytes, "the factors of a merge fit the scratch");
  static_assert(kProbsBytes >= kRows * 32, "a slot of P holds lse as [128, 8]");
  static_assert(kProbs % 32 == 0 && kAcc % 32 == 0 && kStats % 32 == 0, "UB tensors are 32 B aligned");
};

}  // namespace triangle
