// How a vector instruction walks its operands: mask, repeats and strides, in norm and in counter mode.
// Shared by all element-wise vector instructions.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/footprint.h"
#include "core/instruction.h"
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
  int32_t repeat = 1;                 // norm mode
  uint32_t contiguous = 0;            // the lane count a contiguous mask asked for, to be checked; 0: mask bits
  bool counter = false;
  bool saturate = false;  // control bit 48: inf becomes +-max and NaN 0 in half results

  // lanes: elements of a repeat (256 B over the widest element of the instruction).
  uint32_t Repeats(uint32_t lanes) const {
    return counter ? static_cast<uint32_t>((mask[0] + lanes - 1) / lanes) : static_cast<uint32_t>(repeat);
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

// The walk of `count` elements in one go, as the count forms of the API use it.
inline VecShape CountShape(uint64_t count) {
  VecShape shape;
  shape.mask[0] = count;
  shape.mask[1] = 0;
  shape.counter = true;
  return shape;
}
// `lanes` leading lanes of `repeats` repeats.
inline VecShape NormShape(uint32_t lanes, int32_t repeats) {
  VecShape shape;
  shape.mask[0] = lanes >= 64 ? ~0ull : (1ull << lanes) - 1;
  shape.mask[1] = lanes <= 64 ? 0 : lanes >= 128 ? ~0ull : (1ull << (lanes - 64)) - 1;
  shape.repeat = repeats;
  return shape;
}

// Adds what the walk touches: `bytes` per element, `lanes` elements a repeat.
void TouchWalk(Footprint& f, bool write, const char* name, const VecWalk& walk, const VecShape& shape, uint32_t bytes,
               uint32_t lanes);

// Limits every vector instruction has: repeats, lanes a contiguous mask may ask for, 32 B alignment of operands in UB.
void CheckShape(Check& check, const VecShape& shape, uint32_t lanes);
void CheckOperand(Check& check, const char* name, const VecWalk& walk, bool write);

// Source and destination overlap entirely or not at all, and no repeat reads what an earlier one wrote.
struct VecOverlap {
  uint32_t lanes;
  const VecWalk& dst;
  uint32_t dst_bytes;
  const char* name;
  const VecWalk& src;
  uint32_t src_bytes;
  bool accumulates = false;  // a source equal to dst with a repeat stride of zero is the running result
};
void CheckOverlap(Check& check, const VecShape& shape, const VecOverlap& overlap);

// `count` active elements, neighbours in every operand: offset in bytes, first lane and repeat they belong to.
template <int kOperands>
struct VecRun {
  int64_t offset[kOperands];
  uint32_t repeat, lane, count;
};

// Calls body(run) for runs of active lanes that stay inside one block of every operand, or where everything is
// contiguous for longer ones. bytes: element size of each operand.
template <int kOperands, class Body>
void ForEachRun(const VecShape& shape, uint32_t lanes, const VecWalk* const (&walks)[kOperands],
                const uint32_t (&bytes)[kOperands], Body body) {
  const uint32_t repeats = shape.Repeats(lanes);
  if (repeats == 0) return;
  bool dense = true, contiguous = true;
  uint32_t widest = 1;
  for (int o = 0; o < kOperands; ++o) {
    dense &= walks[o]->block_stride == 1;
    contiguous &= walks[o]->repeat_stride == lanes * bytes[o] / kBlockBytes;
    widest = std::max(widest, bytes[o]);
  }
  VecRun<kOperands> run;
  if (dense && contiguous && (shape.counter || shape.Prefix(lanes, 0) == static_cast<int>(lanes))) {
    for (int o = 0; o < kOperands; ++o) run.offset[o] = 0;
    run.repeat = run.lane = 0;
    run.count = shape.counter ? static_cast<uint32_t>(shape.mask[0]) : repeats * lanes;
    body(run);
    return;
  }
  const uint32_t per_block = kBlockBytes / widest;
  for (uint32_t r = 0; r < repeats; ++r) {
    run.repeat = r;
    const int prefix = shape.Prefix(lanes, r);
    if (dense && prefix >= 0) {
      if (prefix == 0) continue;
      for (int o = 0; o < kOperands; ++o) {
        run.offset[o] = static_cast<int64_t>(r) * walks[o]->repeat_stride * kBlockBytes;
      }
      run.lane = 0;
      run.count = static_cast<uint32_t>(prefix);
      body(run);
      continue;
    }
    for (uint32_t lane = 0; lane < lanes;) {
      if (!shape.Active(lanes, r, lane)) {
        ++lane;
        continue;
      }
      const uint32_t block_end = (lane / per_block + 1) * per_block;
      uint32_t end = lane + 1;
      while (end < block_end && shape.Active(lanes, r, end)) ++end;
      for (int o = 0; o < kOperands; ++o) {
        const uint32_t operand_block = kBlockBytes / bytes[o];
        run.offset[o] = (static_cast<int64_t>(r) * walks[o]->repeat_stride +
                         static_cast<int64_t>(lane / operand_block) * walks[o]->block_stride) *
                            kBlockBytes +
                        static_cast<int64_t>(lane % operand_block) * bytes[o];
      }
      run.lane = lane;
      run.count = end - lane;
      body(run);
      lane = end;
    }
  }
}

}  // namespace ascend_sim
