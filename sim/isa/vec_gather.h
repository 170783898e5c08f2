// Gather (an element per byte offset), Gatherb (a block per byte offset) and GatherMask (the elements a bit pattern
// picks, packed). What they read or write depends on data: earlier vector work of the core runs before they are issued.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecGather {
  static constexpr const char* kName = "Gather";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  uint32_t base;  // bytes into src
  VecShape shape;
  VecWalk dst;
  Local src, offsets;
  const uint32_t* host_offsets;  // the bytes of `offsets`, known when issued

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecGather& instruction, Site site);

struct VecGatherBlocks {
  static constexpr const char* kName = "Gatherb";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  uint8_t repeat;
  VecWalk dst;
  Local src, offsets;
  const uint32_t* host_offsets;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecGatherBlocks& instruction, Site site);

// Norm mode takes 256 B of src a repeat, counter mode `count` elements a repeat.
struct VecGatherMask {
  static constexpr const char* kName = "GatherMask";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  uint8_t pattern;  // 1..7 built in, 0: bits in `bits`
  bool counter;
  uint32_t count;
  uint16_t repeat;
  uint8_t bits_repeat_stride;  // in 32 B
  Local dst, bits;
  VecWalk src;
  const uint8_t* host_bits;

  bool Picks(uint32_t r, uint64_t element) const;
  uint64_t PerRepeat() const { return counter ? count : kRepeatBytes / BytesOf(type); }
  uint64_t Remaining() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
// Returns how many elements were picked: the call waits for it.
uint64_t IssueGatherMask(const VecGatherMask& instruction, Site site);

}  // namespace ascend_sim
