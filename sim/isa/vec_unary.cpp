#include "isa/vec_unary.h"

#include "isa/vec_banks.h"
#include "isa/vec_math.h"

namespace ascend_sim {

const char* VecUnary::name() const {
  static const char* names[] = {"Exp", "Ln", "Abs", "Relu", "Reciprocal", "Sqrt", "Rsqrt", "Not"};
  return names[static_cast<int>(op)];
}

void VecUnary::Validate(Check& check) const {
  const bool real = type == DType::kF16 || type == DType::kF32;
  const bool ok = op == Op::kNot    ? type == DType::kI16 || type == DType::kU16
                  : op == Op::kRelu ? real || type == DType::kI32
                                    : real;
  if (!ok) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  CheckShape(check, shape, lanes);
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src", src, false);
  CheckOverlap(check, shape, {lanes, dst, bytes, "src", src, bytes});
}

void VecUnary::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  TouchWalk(f, false, "src", src, shape, bytes, lanes);
  TouchWalk(f, true, "dst", dst, shape, bytes, lanes);
}

namespace {

template <class T>
void ApplyReal(const VecUnary& i, const Exec& exec) {
  switch (i.op) {
    case VecUnary::Op::kExp:
      return MapRuns<T>(i, exec, [](float x) { return std::exp(x); });
    case VecUnary::Op::kLn:
      return MapRuns<T>(i, exec, [](float x) { return std::log(x); });
    case VecUnary::Op::kAbs:
      return MapRuns<T>(i, exec, [](float x) { return std::fabs(x); });
    case VecUnary::Op::kRelu:
      return MapRuns<T>(i, exec, [](float x) { return MaxOf(x, 0.0f); });
    case VecUnary::Op::kReciprocal:
      return MapRuns<T>(i, exec, [](float x) { return 1.0f / x; });
    case VecUnary::Op::kSqrt:
      return MapRuns<T>(i, exec, [](float x) { return std::sqrt(x); });
    default:
      return MapRuns<T>(i, exec, [](float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); });
  }
}

}  // namespace

void VecUnary::Execute(const Exec& exec) const {
  if (op == Op::kNot) return MapRuns<uint16_t>(*this, exec, [](uint16_t x) { return static_cast<uint16_t>(~x); });
  if (type == DType::kI32) return MapRuns<int32_t>(*this, exec, [](int32_t x) { return MaxOf(x, 0); });
  if (type == DType::kF16) return ApplyReal<Half>(*this, exec);
  ApplyReal<float>(*this, exec);
}

Cost VecUnary::GetCost() const {
  const VectorClass cls = op == Op::kAbs || op == Op::kRelu || op == Op::kNot ? VectorClass::kScalar
                          : op == Op::kSqrt || op == Op::kRsqrt               ? VectorClass::kDiv
                                                                              : VectorClass::kHeavy;
  return WithBanks(Cost::Vector(cls, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter), {dst, 8}, {{src, 8}});
}
ASCEND_SIM_INSTRUCTION(VecUnary)

}  // namespace ascend_sim
