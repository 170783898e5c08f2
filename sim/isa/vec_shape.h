// How a vector instruction walks its operands: mask, repeats and strides, in norm and in counter mode.
// Shared by all element-wise vector instructions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/footprint.h"
#include "core/types.h"

namespace ascend_sim {

// One operand's walk: blocks of 32 B inside a repeat block_stride apart, repeats repeat_stride apart (both in 32 B).
struct VecWalk {
  Local t;
  uint16_t block_stride = 1;
  uint16_t repeat_stride = 8;
};

struct VecShape {
  uint64_t mask[2] = {~0ull, ~0ull};  // counter mode: mask[0] is the element count
  bool counter = false;
  uint16_t repeat = 1;  // norm mode

  // lanes: elements of a repeat (256 B over the widest element of the instruction).
  uint32_t Repeats(uint32_t lanes) const {
    return counter ? static_cast<uint32_t>((mask[0] + lanes - 1) / lanes) : repeat;
  }
  bool Active(uint32_t lanes, uint32_t r, uint32_t lane) const {
    if (counter) return static_cast<uint64_t>(r) * lanes + lane < mask[0];
    return (mask[lane >> 6] >> (lane & 63)) & 1;
  }
  // Active lanes [0, count) of repeat r when they are a prefix, else -1.
  int Prefix(uint32_t lanes, uint32_t r) const {
    if (counter) return static_cast<int>(std::min<uint64_t>(lanes, mask[0] - static_cast<uint64_t>(r) * lanes));
    const uint64_t low = lanes >= 64 ? mask[0] : mask[0] & ((1ull << lanes) - 1);
    const uint64_t high = lanes > 64 ? mask[1] : 0;
    if (high == 0) return (low & (low + 1)) == 0 ? __builtin_popcountll(low) : -1;
    return low == ~0ull && (high & (high + 1)) == 0 ? 64 + __builtin_popcountll(high) : -1;
  }
};

// Adds what the walk touches: `bytes` per element, `lanes` elements a repeat.
void TouchWalk(Footprint& f, bool write, const char* name, const VecWalk& walk, const VecShape& shape, uint32_t bytes,
               uint32_t lanes);

// Calls body(element offset of each operand..., count) for every run of active lanes inside one block. kOperands
// walks of element sizes all equal to `bytes`.
template <int kOperands, class Body>
void ForEachRun(const VecShape& shape, const VecWalk* const (&walks)[kOperands], uint32_t bytes, Body body) {
  const uint32_t lanes = kRepeatBytes / bytes, per_block = kBlockBytes / bytes;
  const uint32_t repeats = shape.Repeats(lanes);
  bool dense = true;
  for (const VecWalk* w : walks) dense &= w->block_stride == 1;
  int64_t offsets[kOperands];
  for (uint32_t r = 0; r < repeats; ++r) {
    const int prefix = shape.Prefix(lanes, r);
    if (dense && prefix >= 0) {
      if (prefix == 0) continue;
      for (int o = 0; o < kOperands; ++o) offsets[o] = static_cast<int64_t>(r) * walks[o]->repeat_stride * kBlockBytes;
      body(offsets, static_cast<uint32_t>(prefix));
      continue;
    }
    for (uint32_t lane = 0; lane < lanes;) {
      if (!shape.Active(lanes, r, lane)) {
        ++lane;
        continue;
      }
      const uint32_t block = lane / per_block, block_end = (block + 1) * per_block;
      uint32_t end = lane + 1;
      while (end < block_end && shape.Active(lanes, r, end)) ++end;
      for (int o = 0; o < kOperands; ++o) {
        offsets[o] =
            (static_cast<int64_t>(r) * walks[o]->repeat_stride + static_cast<int64_t>(block) * walks[o]->block_stride) *
                kBlockBytes +
            static_cast<int64_t>(lane % per_block) * bytes;
      }
      body(offsets, end - lane);
      lane = end;
    }
  }
}

}  // namespace ascend_sim
