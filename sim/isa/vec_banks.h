// Where the accesses of a vector instruction meet in UB. A block of 32 B lies in bank group (address / 32) % 16 and
// there in bank address / 64 KiB. A repeat's reads of one group follow each other; a repeat's results are written while
// the next one reads, and wait where both meet in a bank.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "core/cost.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

// An operand: its walk and the 32 B blocks of a repeat.
struct BankWalk {
  const VecWalk& walk;
  uint32_t blocks;

  uint32_t First(uint32_t repeat) const { return walk.t.offset / kBlockBytes + repeat * walk.repeat_stride; }
};

// Of one repeat: blocks in each bank group, four bits a group, and the banks met.
struct BankUse {
  uint64_t groups = 0;  // how many different blocks, at most 15
  uint64_t banks = 0;   // bit bank * 16 + group
  void Add(const BankWalk& operand, uint32_t repeat) {
    const uint32_t first = operand.First(repeat), step = operand.walk.block_stride;
    const uint32_t different = step == 0 ? 1 : operand.blocks;
    for (uint32_t b = 0; b < different; ++b) {
      const uint32_t block = first + b * step, group = block % 16;
      if ((groups >> (4 * group) & 15) != 15) groups += 1ull << (4 * group);
      banks |= 1ull << (block / 2048 % 4 * 16 + group);
    }
  }
  uint32_t Deepest() const {
    uint32_t deepest = 0;
    for (int group = 0; group < 16; ++group) {
      deepest = std::max(deepest, static_cast<uint32_t>(groups >> (4 * group) & 15));
    }
    return deepest;
  }
};

// Adds the waits of `repeats` repeats to `cost`. The pattern of groups comes back after 16 repeats.
inline Cost WithBanks(Cost cost, const BankWalk& dst, std::initializer_list<BankWalk> sources) {
  const uint32_t repeats = std::min(cost.repeats, 16u);
  if (repeats == 0) return cost;
  uint32_t reads = 0, writes = 0;
  uint64_t written = 0;
  for (uint32_t r = 0; r < repeats; ++r) {
    BankUse read, write;
    const BankWalk* earlier = nullptr;
    for (const BankWalk& source : sources) {
      const bool same = earlier != nullptr && earlier->First(r) == source.First(r) &&
                        earlier->walk.block_stride == source.walk.block_stride;
      if (!same) read.Add(source, r);
      earlier = &source;
    }
    write.Add(dst, r);
    const uint32_t read_waits = std::max(read.Deepest(), 1u) - 1;
    const uint32_t write_waits = std::max(write.Deepest(), 1u) - 1 + ((written & read.banks) != 0 ? 1 : 0);
    reads += read_waits;
    writes += write_waits - std::min(write_waits, read_waits);  // reads that wait leave their banks to the writes
    written = write.banks;
  }
  const float scale = static_cast<float>(cost.repeats) / static_cast<float>(repeats);
  cost.bank_reads = scale * static_cast<float>(reads);
  cost.bank_writes = scale * static_cast<float>(writes);
  return cost;
}

}  // namespace ascend_sim
