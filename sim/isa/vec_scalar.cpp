#include "isa/vec_scalar.h"

#include "isa/vec_banks.h"
#include "isa/vec_math.h"

namespace ascend_sim {

const char* VecScalar::name() const {
  static const char* names[] = {"Adds", "Muls", "Maxs", "Mins", "LeakyRelu", "ShiftLeft", "ShiftRight"};
  return names[static_cast<int>(op)];
}

void VecScalar::Validate(Check& check) const {
  const bool real = type == DType::kF16 || type == DType::kF32;
  const bool shift = op == Op::kShiftLeft || op == Op::kShiftRight;
  const bool integral = type == DType::kI16 || type == DType::kI32;
  const bool ok = shift                  ? integral || type == DType::kU16 || type == DType::kU32
                  : op == Op::kLeakyRelu ? real
                                         : real || integral;
  if (!ok) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  if (shift) {
    const int64_t by = bytes == 2 ? ScalarFrom<int16_t>(scalar) : ScalarFrom<int32_t>(scalar);
    check.Range("scalarValue", by, 0, 8 * bytes);
  }
  CheckShape(check, shape, lanes);
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src", src, false);
  CheckOverlap(check, shape, {lanes, dst, bytes, "src", src, bytes});
}

void VecScalar::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  TouchWalk(f, false, "src", src, shape, bytes, lanes);
  TouchWalk(f, true, "dst", dst, shape, bytes, lanes);
}

namespace {

template <class T>
void ApplyNumeric(const VecScalar& i, const Exec& exec) {
  using L = LaneType<T>;
  const L s = static_cast<L>(ScalarFrom<T>(i.scalar));
  switch (i.op) {
    case VecScalar::Op::kAdds:
      return MapRuns<T>(i, exec, [s](L a) { return WrapAdd(a, s); });
    case VecScalar::Op::kMuls:
      return MapRuns<T>(i, exec, [s](L a) { return WrapMul(a, s); });
    case VecScalar::Op::kMaxs:
      return MapRuns<T>(i, exec, [s](L a) { return MaxOf(a, s); });
    case VecScalar::Op::kMins:
      return MapRuns<T>(i, exec, [s](L a) { return MinOf(a, s); });
    default:
      if constexpr (!std::is_integral<T>::value) MapRuns<T>(i, exec, [s](L a) { return a >= 0 ? a : a * s; });
  }
}

template <class T>
void ApplyShift(const VecScalar& i, const Exec& exec) {
  const uint32_t by = static_cast<uint32_t>(ScalarFrom<T>(i.scalar));
  if (i.op == VecScalar::Op::kShiftLeft) {
    return MapRuns<T>(i, exec, [by](T a) { return static_cast<T>(static_cast<uint64_t>(a) << by); });
  }
  const int64_t round = i.round && by > 0 ? int64_t{1} << (by - 1) : 0;
  MapRuns<T>(i, exec, [by, round](T a) { return static_cast<T>((static_cast<int64_t>(a) + round) >> by); });
}

}  // namespace

void VecScalar::Execute(const Exec& exec) const {
  const bool shift = op == Op::kShiftLeft || op == Op::kShiftRight;
  switch (type) {
    case DType::kF16:
      return ApplyNumeric<Half>(*this, exec);
    case DType::kF32:
      return ApplyNumeric<float>(*this, exec);
    case DType::kI16:
      return shift ? ApplyShift<int16_t>(*this, exec) : ApplyNumeric<int16_t>(*this, exec);
    case DType::kI32:
      return shift ? ApplyShift<int32_t>(*this, exec) : ApplyNumeric<int32_t>(*this, exec);
    case DType::kU16:
      return ApplyShift<uint16_t>(*this, exec);
    default:
      return ApplyShift<uint32_t>(*this, exec);
  }
}

Cost VecScalar::GetCost() const {
  const VectorClass cls = op == Op::kMaxs || op == Op::kMins ? VectorClass::kHeavy : VectorClass::kScalar;
  return WithBanks(Cost::Vector(cls, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter), {dst, 8}, {{src, 8}});
}
ASCEND_SIM_INSTRUCTION(VecScalar)

void VecAxpy::Validate(Check& check) const {
  const bool real =
      (dst_type == DType::kF16 || dst_type == DType::kF32) && (src_type == dst_type || src_type == DType::kF16);
  if (!real) {
    check.Fail(Rule::kArgument, "element types %s <- %s are not supported", DTypeName(dst_type), DTypeName(src_type));
    return;
  }
  CheckShape(check, shape, Lanes());
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src", src, false);
  CheckOverlap(check, shape, {Lanes(), dst, BytesOf(dst_type), "src", src, BytesOf(src_type)});
}

void VecAxpy::Touch(Footprint& f) const {
  TouchWalk(f, false, "src", src, shape, BytesOf(src_type), Lanes());
  TouchWalk(f, false, "dst", dst, shape, BytesOf(dst_type), Lanes());
  TouchWalk(f, true, "dst", dst, shape, BytesOf(dst_type), Lanes());
}

namespace {
template <class To, class From>
void ApplyAxpy(const VecAxpy& i, const Exec& exec) {
  const VecWalk* const walks[2] = {&i.dst, &i.src};
  const uint32_t bytes[2] = {sizeof(To), sizeof(From)};
  const float s = static_cast<float>(ScalarFrom<From>(i.scalar));
  ForEachRun(i.shape, kRepeatBytes / sizeof(To), walks, bytes, [&](const VecRun<2>& run) {
    const From* a = exec.At<const From>(i.src.t, run.offset[1]);
    UpdateLanes(exec.At<To>(i.dst.t, run.offset[0]), a, a, run.count, i.shape.saturate,
                [s](float x, float, float z) { return std::fma(s, x, z); });
  });
}
}  // namespace

void VecAxpy::Execute(const Exec& exec) const {
  if (dst_type == DType::kF16) return ApplyAxpy<Half, Half>(*this, exec);
  if (src_type == DType::kF16) return ApplyAxpy<float, Half>(*this, exec);
  ApplyAxpy<float, float>(*this, exec);
}

Cost VecAxpy::GetCost() const {
  return WithBanks(Cost::Vector(VectorClass::kMul, shape.Repeats(Lanes()), shape.counter, 2), {dst, 8},
                   {{src, Lanes() * BytesOf(src_type) / kBlockBytes}});
}
ASCEND_SIM_INSTRUCTION(VecAxpy)

}  // namespace ascend_sim
