#include "isa/vec_binary.h"

#include <cmath>

namespace ascend_sim {

const char* VecBinary::name() const {
  static const char* names[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "And", "Or"};
  return names[static_cast<int>(op)];
}

void VecBinary::Validate(Check& check) const {
  const bool logical = op == Op::kAnd || op == Op::kOr;
  const bool numeric =
      type == DType::kF16 || type == DType::kF32 || (op != Op::kDiv && (type == DType::kI16 || type == DType::kI32));
  const bool ok = logical ? type == DType::kI16 || type == DType::kU16 : numeric;
  if (!ok) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  check.Aligned("dst", dst.t, kBlockBytes, true);
  check.Aligned("src0", src0.t, kBlockBytes, false);
  check.Aligned("src1", src1.t, kBlockBytes, false);
  check.Range("repeat", shape.repeat, 0, 255);
  check.Range("dst block stride", dst.block_stride, 1, 255);
}

void VecBinary::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  TouchWalk(f, false, "src0", src0, shape, bytes, lanes);
  TouchWalk(f, false, "src1", src1, shape, bytes, lanes);
  TouchWalk(f, true, "dst", dst, shape, bytes, lanes);
}

namespace {

template <class T, class F>
void Apply(const VecBinary& i, const Exec& exec, F f) {
  const VecWalk* const walks[3] = {&i.dst, &i.src0, &i.src1};
  T* dst = exec.At<T>(i.dst.t);
  const T* a = exec.At<T>(i.src0.t);
  const T* b = exec.At<T>(i.src1.t);
  ForEachRun(i.shape, walks, sizeof(T), [&](const int64_t* offsets, uint32_t count) {
    T* d = dst + offsets[0] / static_cast<int64_t>(sizeof(T));
    const T* x = a + offsets[1] / static_cast<int64_t>(sizeof(T));
    const T* y = b + offsets[2] / static_cast<int64_t>(sizeof(T));
    for (uint32_t k = 0; k < count; ++k) d[k] = static_cast<T>(f(x[k], y[k]));
  });
}

template <class T>
void ApplyNumeric(const VecBinary& i, const Exec& exec) {
  // Half computes in float and rounds once; integers wrap.
  using C = std::conditional_t<std::is_same<T, Half>::value, float,
                               std::conditional_t<std::is_integral<T>::value, uint32_t, T>>;
  switch (i.op) {
    case VecBinary::Op::kAdd:
      return Apply<T>(i, exec, [](T a, T b) { return C(a) + C(b); });
    case VecBinary::Op::kSub:
      return Apply<T>(i, exec, [](T a, T b) { return C(a) - C(b); });
    case VecBinary::Op::kMul:
      return Apply<T>(i, exec, [](T a, T b) { return C(a) * C(b); });
    case VecBinary::Op::kMax:
      return Apply<T>(i, exec, [](T a, T b) { return a > b ? a : b; });
    case VecBinary::Op::kMin:
      return Apply<T>(i, exec, [](T a, T b) { return a < b ? a : b; });
    case VecBinary::Op::kDiv:
      if constexpr (!std::is_integral<T>::value) {
        Apply<T>(i, exec, [](T a, T b) { return C(a) / C(b); });
      }
      return;
    default:
      if constexpr (std::is_integral<T>::value) {
        if (i.op == VecBinary::Op::kAnd) Apply<T>(i, exec, [](T a, T b) { return a & b; });
        if (i.op == VecBinary::Op::kOr) Apply<T>(i, exec, [](T a, T b) { return a | b; });
      }
  }
}

}  // namespace

void VecBinary::Execute(const Exec& exec) const {
  switch (type) {
    case DType::kF16:
      return ApplyNumeric<Half>(*this, exec);
    case DType::kF32:
      return ApplyNumeric<float>(*this, exec);
    case DType::kI16:
    case DType::kU16:
      return ApplyNumeric<int16_t>(*this, exec);
    default:
      return ApplyNumeric<int32_t>(*this, exec);
  }
}

Cost VecBinary::GetCost() const {
  const VectorClass cls = op == Op::kMul                     ? VectorClass::kMul
                          : op == Op::kDiv                   ? VectorClass::kDiv
                          : op == Op::kMax || op == Op::kMin ? VectorClass::kHeavy
                                                             : VectorClass::kAdd;
  return Cost::Vector(cls, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter, 2);
}

ASCEND_SIM_INSTRUCTION(VecBinary)

}  // namespace ascend_sim
