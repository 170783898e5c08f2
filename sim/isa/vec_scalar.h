// One source and a scalar: Adds, Muls, Maxs, Mins, LeakyRelu, ShiftLeft, ShiftRight; and Axpy, which adds to dst.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecScalar {
  enum class Op : uint8_t { kAdds, kMuls, kMaxs, kMins, kLeakyRelu, kShiftLeft, kShiftRight };
  Op op;
  DType type;
  bool round;       // ShiftRight: add the last bit shifted out
  uint64_t scalar;  // bytes of a value of `type`
  VecShape shape;
  VecWalk dst, src;

  static constexpr Pipe kPipe = Pipe::kV;
  const char* name() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecScalar& instruction, Site site);

struct VecAxpy {  // dst = scalar * src + dst; a half source may go to float. One rounding, as VecMulAdd.
  static constexpr const char* kName = "Axpy";
  static constexpr Pipe kPipe = Pipe::kV;
  DType dst_type, src_type;
  uint64_t scalar;  // bytes of a value of src_type
  VecShape shape;
  VecWalk dst, src;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Lanes() const { return kRepeatBytes / BytesOf(dst_type); }
};
void Issue(const VecAxpy& instruction, Site site);

}  // namespace ascend_sim
