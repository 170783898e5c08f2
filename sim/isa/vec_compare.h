// Compare (tensor or scalar, into bits), Select by bits, and the 128-bit compare mask register between them.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

enum class Comparison : uint8_t { kLt, kGt, kEq, kLe, kGe, kNe };  // order of CANN's CMPMODE

// Bit i of dst is the comparison of element i; the bits of all repeats are contiguous. Knows no mask: every lane of
// `repeat` repeats is compared.
struct VecCompare {
  enum class Form : uint8_t { kTensors, kScalar, kToRegister };
  static constexpr Pipe kPipe = Pipe::kV;
  Form form;
  Comparison mode;
  DType type;
  bool count_form;
  uint64_t scalar;
  uint32_t count;  // count form: elements, a multiple of 256 B
  int32_t repeat;
  VecShape shape;  // kToRegister: one repeat under the mask
  Local dst;
  VecWalk src0, src1;

  const char* name() const { return form == Form::kScalar ? "CompareScalar" : "Compare"; }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  VecShape Walked() const;
};
void Issue(const VecCompare& instruction, Site site);

// The compare mask register from UB (16 B), or to UB.
struct VecCompareMask {
  static constexpr Pipe kPipe = Pipe::kV;
  bool load;
  Local t;
  const char* name() const { return load ? "SetCmpMask" : "GetCmpMask"; }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecCompareMask& instruction, Site site);

// dst = bit ? src0 : src1. kRegister uses the compare mask register again in every repeat; the other two walk on
// through `mask`, and kScalar takes src1 from `scalar`, or with from_register from the compare mask register.
struct VecSelect {
  enum class Mode : uint8_t { kRegister, kScalar, kTensors };  // order of CANN's SELMODE
  static constexpr const char* kName = "Select";
  static constexpr Pipe kPipe = Pipe::kV;
  Mode mode;
  DType type;
  bool from_register;
  uint64_t scalar;
  VecShape shape;
  VecWalk dst, src0, src1;
  Local mask;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecSelect& instruction, Site site);

// Select with the steps CANN takes before it: the mask, or what stands for it in the last 8 KB of UB, into the compare
// mask register, with barriers.
void IssueSelect(const VecSelect& select, Site site);

}  // namespace ascend_sim
