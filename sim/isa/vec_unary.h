// One source, element by element: Exp, Ln, Abs, Relu, Reciprocal, Sqrt, Rsqrt, Not.
// Exp, Ln, Reciprocal, Sqrt and Rsqrt give the C library's float result (for half: rounded once more). The chips
// approximate them; their bits are not published, so compare with a tolerance.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecUnary {
  enum class Op : uint8_t { kExp, kLn, kAbs, kRelu, kReciprocal, kSqrt, kRsqrt, kNot };
  Op op;
  DType type;
  VecShape shape;
  VecWalk dst, src;

  static constexpr Pipe kPipe = Pipe::kV;
  const char* name() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecUnary& instruction, Site site);

}  // namespace ascend_sim
