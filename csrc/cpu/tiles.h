// Tile sizes, one table per instruction set and accumulator type. A micro-tile is kMr rows by kNr = 2 vectors of
// columns. key_block and chunk fix the order in which a row is summed; the others do not change forward bits.
#pragma once
#include "csrc/cpu/simd.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class T>
struct Tiles {
  static constexpr int kVectors = 2;
  static constexpr int kNr = kVectors * kLanes<T>;
#if defined(__AVX512F__) || defined(__ARM_NEON)
  static constexpr int kMr = 12;  // 32 registers: 24 accumulators, 2 columns, 1 broadcast
#elif defined(__AVX2__)
  static constexpr int kMr = 6;  // 16 registers: 12 accumulators, 2 columns, 1 broadcast
#else
  static constexpr int kMr = 4;  // 16 registers, and a multiply-add needs one for its product
#endif
  // Measured on Zen 4, D = 64 and 128, S = 1024 and 2048: 48, 96 and 192 rows and 64, 128 and 256 keys are within 4% of
  // each other, the noise of the measurement. 96 by 128 keeps the backward's working set at D = 128 (0.6 MiB) in a 1
  // MiB cache.
  static constexpr int kKeyBlock = 128;
  static constexpr int kChunk = 512;
  static constexpr int kRowsForward = 96;
  static constexpr int kRowsBackward = 96;
  static constexpr int kKeysBackward = 128;
  static constexpr int kMaxMicroTiles = kRowsForward / kMr + 8;
};

// Rows of the micro-tile that starts where `left` rows are left: the table of compiled heights.
template <class T>
constexpr int micro_rows(int left) {
  constexpr int mr = Tiles<T>::kMr;
  return left >= mr ? mr : (mr > 8 && left >= 8) ? 8 : (mr > 4 && left >= 4) ? 4 : left >= 2 ? 2 : 1;
}

constexpr int padded(int n, int to) { return (n + to - 1) / to * to; }

}  // namespace triangle::cpu::TRIANGLE_ISA
