// Duplicate (a scalar to every lane), Brcb (8 elements a repeat, each filling a block) and Copy (UB to UB under a
// mask).
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecDuplicate {
  static constexpr const char* kName = "Duplicate";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  uint64_t scalar;
  VecShape shape;
  VecWalk dst;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecDuplicate& instruction, Site site);

// Reads 8 contiguous elements a repeat; knows no mask.
struct VecBrcb {
  static constexpr const char* kName = "Brcb";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  uint8_t repeat;
  VecWalk dst;
  Local src;
  uint32_t padding = 0;  // last elements of src whose blocks nobody reads

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecBrcb& instruction, Site site);

// In counter mode the mask counts the elements of each repeat, whole blocks of them, and repeats still apply.
struct VecCopy {
  static constexpr const char* kName = "Copy";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  VecShape shape;
  int32_t repeat;
  VecWalk dst, src;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Lanes() const { return kRepeatBytes / BytesOf(type); }
  uint32_t CounterBlocks() const {
    return static_cast<uint32_t>((shape.mask[0] * BytesOf(type) + kBlockBytes - 1) / kBlockBytes);
  }
};
void Issue(const VecCopy& instruction, Site site);

}  // namespace ascend_sim
