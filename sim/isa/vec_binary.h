// Two sources, one destination, element by element: Add, Sub, Mul, Div, Max, Min, And, Or.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

struct VecBinary {
  enum class Op : uint8_t { kAdd, kSub, kMul, kDiv, kMax, kMin, kAnd, kOr };
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

}  // namespace ascend_sim
