// Row-wise vector operations on row-major fp32 tiles in UB. Names say shapes: a tile is [rows, width], per-row values
// are broadcast from [rows, 8] (Brcb). Callers put the barriers.
#pragma once
#include "buffers_aiv.h"

namespace triangle {

using Floats = AscendC::LocalTensor<float>;
using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

__aicore__ inline void barrier(TRIANGLE_CALLER) { AscendC::PipeBarrier<PIPE_V>(TRIANGLE_CALLED_FROM); }

__aicore__ inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

// The strides of tile op= per-row value: a column of 64 floats for all rows in one instruction.
__aicore__ inline AscendC::BinaryRepeatParams by_row(int32_t width) {
  const uint8_t pitch = static_cast<uint8_t>(width / 8);
  return AscendC::BinaryRepeatParams(1, 1, 0, pitch, pitch, 1);
}

// [rows] values, each copied to 8 neighbours: [rows, 8]. Reads and writes up to the next multiple of 8 rows.
__aicore__ inline void spread_rows(const Floats& dst, const Floats& src, int32_t rows) {
  AscendC::Brcb(dst, src, static_cast<uint8_t>((rows + 7) / 8), AscendC::BrcbRepeatParams(1, 8));
}

// Long rows one after the other: what a repeat writes then lies in other banks of UB than what the next one reads. In a
// column of rows that are a multiple of 512 B apart it never does.
constexpr int32_t kLongRow = 4 * AivBuffers::kLanes;

// One row [width] = row * factor + by; both are blocks of 8 equal values; width a multiple of 64.
__aicore__ inline void scale_add_row(const Floats& row, const Floats& factor, const Floats& by, int32_t width) {
  AscendC::FusedMulAdd(row, factor, by, static_cast<uint64_t>(AivBuffers::kLanes),
                       static_cast<uint8_t>(width / AivBuffers::kLanes), AscendC::BinaryRepeatParams(1, 0, 0, 8, 0, 0));
}
// tile = tile * factor + by, of [rows, 8]; factors: [16, 8] of equal values, in both halves of the bank groups. A row
// takes the one next to its own block of `by`: then a repeat waits for a bank where it meets the half that both are in,
// every other time, and not twice.
__aicore__ inline void scale_add_rows(const Floats& tile, const Floats& factors, const Floats& by, int32_t rows,
                                      int32_t width) {
  if (width >= kLongRow) {
    for (int32_t row = 0; row < rows; ++row)
      scale_add_row(tile[row * width], factors[((row ^ 1) & 15) * 8], by[row * 8], width);
    return;
  }
  const uint8_t pitch = static_cast<uint8_t>(width / 8);
  for (int32_t column = 0; column < width; column += AivBuffers::kLanes) {
    AscendC::FusedMulAdd(tile[column], factors, by, static_cast<uint64_t>(AivBuffers::kLanes),
                         static_cast<uint8_t>(rows), AscendC::BinaryRepeatParams(1, 0, 0, pitch, 0, 1));
  }
}
__aicore__ inline void mul_rows(const Floats& tile, const Floats& by, int32_t rows, int32_t width) {
  for (int32_t column = 0; column < width; column += AivBuffers::kLanes) {
    AscendC::Mul(tile[column], tile[column], by, static_cast<uint64_t>(smaller(AivBuffers::kLanes, width - column)),
                 static_cast<uint8_t>(rows), by_row(width));
  }
}
// sum += tile * by
__aicore__ inline void mul_add_rows(const Floats& sum, const Floats& tile, const Floats& by, int32_t rows,
                                    int32_t width) {
  for (int32_t column = 0; column < width; column += AivBuffers::kLanes) {
    AscendC::MulAddDst(sum[column], tile[column], by,
                       static_cast<uint64_t>(smaller(AivBuffers::kLanes, width - column)), static_cast<uint8_t>(rows),
                       by_row(width));
  }
}

// UB of the vector cores, by name.
class AivChip {
 public:
  // factor: of the scores.
  __aicore__ inline void Init(float factor) {
    chip_.Init(0, AivBuffers::kEnd);
    AscendC::Duplicate(factors(), factor, 128);
    AscendC::Duplicate(one(), 1.0f, 64);
    AscendC::Duplicate(minus_factor(), -factor, 64);
    // Brcb reads statistics in groups of 8 rows, past the last row that exists.
    AscendC::Duplicate(chip_.UB<float>(AivBuffers::kStats, AivBuffers::kStatsBytes / 4), 0.0f,
                       static_cast<int32_t>(AivBuffers::kStatsBytes / 4));
  }
  __aicore__ inline Floats scores(int32_t slot) {
    return chip_.UB<float>(AivBuffers::kScores + slot * AivBuffers::kScoresBytes, AivBuffers::kSlotFloats);
  }
  // With a bool mask a scores slot holds half as many scores, and in its upper half the mask's bytes and then, for the
  // comparison that vectors of bytes do not have, the same as fp16.
  __aicore__ inline AscendC::LocalTensor<uint8_t> mask_bytes(int32_t slot) {
    return chip_.UB<uint8_t>(AivBuffers::kScores + slot * AivBuffers::kScoresBytes + AivBuffers::kMaskBytes,
                             AivBuffers::kSlotFloats / 2);
  }
  __aicore__ inline AscendC::LocalTensor<half> mask_halves(int32_t slot) {
    return chip_.UB<half>(AivBuffers::kScores + slot * AivBuffers::kScoresBytes + AivBuffers::kMaskHalves,
                          AivBuffers::kSlotFloats / 2);
  }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> probs(int32_t slot) {
    return chip_.UB<T>(AivBuffers::kProbs + slot * AivBuffers::kProbsBytes, AivBuffers::kSlotFloats);
  }
  __aicore__ inline Floats accumulator() { return chip_.UB<float>(AivBuffers::kAcc, AivBuffers::kAccBytes / 4); }
  __aicore__ inline AscendC::LocalTensor<half> unused() {
    return chip_.UB<half>(AivBuffers::kUnused, AivBuffers::kUnusedBytes / 2);
  }
  __aicore__ inline Floats max_parts() { return chip_.UB<float>(AivBuffers::kScratch, AivBuffers::kMaxPartsBytes / 4); }
  __aicore__ inline Floats sum_parts() {
    return chip_.UB<float>(AivBuffers::kSumParts, AivBuffers::kSumPartsBytes / 4);
  }
  __aicore__ inline Floats max_tail() { return chip_.UB<float>(AivBuffers::kBits, AivBuffers::kBitsBytes / 4); }
  __aicore__ inline Floats sum_tail() { return chip_.UB<float>(AivBuffers::kSumTail, AivBuffers::kSumTailBytes / 4); }
  // The factors [rows, 8] of a merge.
  __aicore__ inline Floats own_factor() { return chip_.UB<float>(AivBuffers::kScratch, AivBuffers::kRows * 8); }
  __aicore__ inline Floats chunk_factor() {
    return chip_.UB<float>(AivBuffers::kScratch + AivBuffers::kRows * 32, AivBuffers::kRows * 8);
  }
  // In the place of the partial maxima, which are done with: what a row's scores are reduced by, negative, [rows, 8].
  __aicore__ inline Floats row_max() { return chip_.UB<float>(AivBuffers::kScratch, AivBuffers::kChunkRows * 8); }
  __aicore__ inline Floats factors() { return chip_.UB<float>(AivBuffers::kFactors, 128); }
  __aicore__ inline Floats one() { return chip_.UB<float>(AivBuffers::kFactors + 512, 64); }
  __aicore__ inline Floats minus_factor() { return chip_.UB<float>(AivBuffers::kFactors + 768, 64); }
  __aicore__ inline AscendC::LocalTensor<uint8_t> bits() {
    return chip_.UB<uint8_t>(AivBuffers::kBits, AivBuffers::kBitsBytes);
  }
  // Of kernels that bend scores: bend.h.
  __aicore__ inline Floats columns() { return chip_.UB<float>(AivBuffers::kColumns, kChunkKeys); }
  __aicore__ inline Floats distances() { return chip_.UB<float>(AivBuffers::kDistances, kChunkKeys); }
  __aicore__ inline Floats bend_factor() { return chip_.UB<float>(AivBuffers::kBendFactor, 8); }
  __aicore__ inline Floats bend_rows() { return chip_.UB<float>(AivBuffers::kBendRows, AivBuffers::kBentRows); }
  // The upper half of a scores slot.
  __aicore__ inline Floats upper_half(int32_t slot) {
    return chip_.UB<float>(AivBuffers::kScores + slot * AivBuffers::kScoresBytes + AivBuffers::kScoresBytes / 2,
                           AivBuffers::kSlotFloats / 2);
  }
  // Max and sum of each row of the chunk in a ring slot.
  __aicore__ inline Floats chunk_max(int32_t slot) { return stat(2 * slot); }
  __aicore__ inline Floats chunk_sum(int32_t slot) { return stat(2 * slot + 1); }
  // Of the task so far.
  __aicore__ inline Floats run_max() { return stat(2 * kRingSlots); }
  __aicore__ inline Floats run_sum() { return stat(2 * kRingSlots + 1); }
  __aicore__ inline Floats temporary(int32_t i) { return stat(2 * kRingSlots + 2 + i); }  // i < 2
  __aicore__ inline Floats lse() { return stat(2 * kRingSlots + 4); }

 private:
  __aicore__ inline Floats stat(int32_t i) {
    return chip_.UB<float>(AivBuffers::kStats + i * AivBuffers::kStatBytes, AivBuffers::kRows);
  }
  OnChip chip_;
};

}  // namespace triangle
