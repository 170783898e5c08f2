// Where everything is in L1, L0A, L0B and L0C.
#pragma once
#include "flags.h"

namespace triangle {

template <class Tile>
struct AicBuffers {
  static constexpr uint32_t kElement = 2;  // bytes of fp16, bf16
  // L1, NZ throughout. A slot of K, V or P holds dense tiles of 128 keys one after another.
  static constexpr uint32_t kVColumns = kCubeTile;  // V streams by column tiles
  static constexpr uint32_t kQBytes = Tile::kRows * Tile::kWidth * kElement;
  static constexpr uint32_t kKBytes = Tile::kKSlotKeys * Tile::kWidth * kElement;
  static constexpr uint32_t kVBytes = Tile::kVSlotKeys * kVColumns * kElement;
  static constexpr uint32_t kPBytes = Tile::kPSlotKeys * kCubeTile * kElement;
  static constexpr uint32_t kQ = 0;                             //  64 KiB
  static constexpr uint32_t kK = kQ + kQBytes;                  // 2 x 64 KiB
  static constexpr uint32_t kV = kK + Tile::kKSlots * kKBytes;  // narrow 128 KiB, wide 2 x 64 KiB
  static constexpr uint32_t kP = kV + Tile::kVSlots * kVBytes;  // narrow 2 x 64 KiB, wide 128 KiB
  static constexpr uint32_t kL1End = kP + Tile::kPSlots * kPBytes;
  static_assert(kL1End <= 512 * 1024 - 256, "L1 is 512 KiB, of which mixed kernels lose 256 B");
  static_assert(kK % 32 == 0 && kV % 32 == 0 && kP % 32 == 0, "L1 tensors are 32 B aligned");

  // L0: two buffers each.
  static constexpr uint32_t kL0Tile = kCubeTile * kCubeTile * kElement;
  static constexpr uint32_t kL0cTile = kCubeTile * kCubeTile * 4;
  static_assert(2 * kL0Tile <= 64 * 1024 && kL0Tile % 512 == 0, "L0A and L0B are 64 KiB");
  static_assert(2 * kL0cTile <= 128 * 1024 && kL0cTile % 1024 == 0, "L0C is 128 KiB");

  static_assert(kEventP<Tile> + Tile::kPSlots <= 6, "event ids 6 and 7 are CANN's own");
};

}  // namespace triangle
