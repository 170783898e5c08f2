// Two sources, one destination, element by element: Add, Sub, Mul, Div, Max, Min, And, Or, AddRelu, SubRelu; and those
// that read the destination too: FusedMulAdd, MulAddRelu, MulAddDst.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecBinary {
  enum class Op : uint8_t { kAdd, kSub, kMul, kDiv, kMax, kMin, kAnd, kOr, kAddRelu, kSubRelu };
  Op op;
  DType type;
  VecShape shape;
  VecWalk dst, src0, src1;

  static constexpr Pipe kPipe = Pipe::kV;
  const char* name() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecBinary& instruction, Site site);

// The product is not rounded before the sum (one rounding in all); the chips' own bits are not published.
struct VecMulAdd {
  enum class Op : uint8_t {
    kFusedMulAdd,  // dst = src0 * dst + src1
    kMulAddRelu,   // dst = max(src0 * dst + src1, 0)
    kMulAddDst,    // dst = src0 * src1 + dst; half sources may go to float
  };
  Op op;
  DType dst_type, src_type;
  VecShape shape;
  VecWalk dst, src0, src1;

  static constexpr Pipe kPipe = Pipe::kV;
  const char* name() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Lanes() const { return kRepeatBytes / BytesOf(dst_type); }
};
void Issue(const VecMulAdd& instruction, Site site);

}  // namespace ascend_sim
