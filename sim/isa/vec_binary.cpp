#include "isa/vec_binary.h"

#include "isa/vec_banks.h"
#include "isa/vec_math.h"

namespace ascend_sim {

const char* VecBinary::name() const {
  static const char* names[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "And", "Or", "AddRelu", "SubRelu"};
  return names[static_cast<int>(op)];
}

namespace {

bool Supported(VecBinary::Op op, DType type) {
  using Op = VecBinary::Op;
  const bool real = type == DType::kF16 || type == DType::kF32;
  switch (op) {
    case Op::kAnd:
    case Op::kOr:
      return type == DType::kI16 || type == DType::kU16;
    case Op::kDiv:
      return real;
    case Op::kAddRelu:
    case Op::kSubRelu:
      return real || type == DType::kI16;
    default:
      return real || type == DType::kI16 || type == DType::kI32;
  }
}

// The calls that may accumulate over repeats into dst == src1 with a repeat stride of zero.
bool Accumulates(VecBinary::Op op, DType type) {
  using Op = VecBinary::Op;
  return op != Op::kDiv && op != Op::kAnd && op != Op::kOr && type != DType::kI16;
}

}  // namespace

void VecBinary::Validate(Check& check) const {
  if (!Supported(op, type)) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  CheckShape(check, shape, lanes);
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src0", src0, false);
  CheckOperand(check, "src1", src1, false);
  CheckOverlap(check, shape, {lanes, dst, bytes, "src0", src0, bytes});
  CheckOverlap(check, shape, {lanes, dst, bytes, "src1", src1, bytes, Accumulates(op, type)});
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
  const uint32_t bytes[3] = {sizeof(T), sizeof(T), sizeof(T)};
  ForEachRun(i.shape, kRepeatBytes / sizeof(T), walks, bytes, [&](const VecRun<3>& run) {
    MapLanes(exec.At<T>(i.dst.t, run.offset[0]), exec.At<const T>(i.src0.t, run.offset[1]),
             exec.At<const T>(i.src1.t, run.offset[2]), run.count, i.shape.saturate, f);
  });
}

template <class T>
void ApplyNumeric(const VecBinary& i, const Exec& exec) {
  using L = LaneType<T>;
  using Op = VecBinary::Op;
  switch (i.op) {
    case Op::kAdd:
      return Apply<T>(i, exec, [](L a, L b) { return WrapAdd(a, b); });
    case Op::kSub:
      return Apply<T>(i, exec, [](L a, L b) { return WrapSub(a, b); });
    case Op::kMul:
      return Apply<T>(i, exec, [](L a, L b) { return WrapMul(a, b); });
    case Op::kMax:
      return Apply<T>(i, exec, [](L a, L b) { return MaxOf(a, b); });
    case Op::kMin:
      return Apply<T>(i, exec, [](L a, L b) { return MinOf(a, b); });
    case Op::kAddRelu:
      return Apply<T>(i, exec, [](L a, L b) { return MaxOf(WrapAdd(a, b), L(0)); });
    case Op::kSubRelu:
      return Apply<T>(i, exec, [](L a, L b) { return MaxOf(WrapSub(a, b), L(0)); });
    default:
      if constexpr (std::is_integral<T>::value) {
        if (i.op == Op::kAnd) Apply<T>(i, exec, [](L a, L b) { return static_cast<L>(a & b); });
        if (i.op == Op::kOr) Apply<T>(i, exec, [](L a, L b) { return static_cast<L>(a | b); });
      } else {
        Apply<T>(i, exec, [](L a, L b) { return a / b; });
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
                          : op == Op::kMax || op == Op::kMin ? VectorClass::kMax
                                                             : VectorClass::kAdd;
  return WithBanks(Cost::Vector(cls, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter, 2), {dst, 8},
                   {{src0, 8}, {src1, 8}});
}
ASCEND_SIM_INSTRUCTION(VecBinary)

const char* VecMulAdd::name() const {
  static const char* names[] = {"FusedMulAdd", "MulAddRelu", "MulAddDst"};
  return names[static_cast<int>(op)];
}

void VecMulAdd::Validate(Check& check) const {
  const bool same = dst_type == src_type && (dst_type == DType::kF16 || dst_type == DType::kF32);
  const bool widening = op == Op::kMulAddDst && dst_type == DType::kF32 && src_type == DType::kF16;
  if (!same && !widening) {
    check.Fail(Rule::kArgument, "element types %s <- %s are not supported", DTypeName(dst_type), DTypeName(src_type));
    return;
  }
  CheckShape(check, shape, Lanes());
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src0", src0, false);
  CheckOperand(check, "src1", src1, false);
  CheckOverlap(check, shape, {Lanes(), dst, BytesOf(dst_type), "src0", src0, BytesOf(src_type)});
  CheckOverlap(check, shape, {Lanes(), dst, BytesOf(dst_type), "src1", src1, BytesOf(src_type)});
}

void VecMulAdd::Touch(Footprint& f) const {
  TouchWalk(f, false, "src0", src0, shape, BytesOf(src_type), Lanes());
  TouchWalk(f, false, "src1", src1, shape, BytesOf(src_type), Lanes());
  TouchWalk(f, false, "dst", dst, shape, BytesOf(dst_type), Lanes());
  TouchWalk(f, true, "dst", dst, shape, BytesOf(dst_type), Lanes());
}

namespace {

template <class To, class From>
void ApplyMulAdd(const VecMulAdd& i, const Exec& exec) {
  const VecWalk* const walks[3] = {&i.dst, &i.src0, &i.src1};
  const uint32_t bytes[3] = {sizeof(To), sizeof(From), sizeof(From)};
  ForEachRun(i.shape, kRepeatBytes / sizeof(To), walks, bytes, [&](const VecRun<3>& run) {
    To* d = exec.At<To>(i.dst.t, run.offset[0]);
    const From* a = exec.At<const From>(i.src0.t, run.offset[1]);
    const From* b = exec.At<const From>(i.src1.t, run.offset[2]);
    switch (i.op) {
      case VecMulAdd::Op::kFusedMulAdd:
        return UpdateLanes(d, a, b, run.count, i.shape.saturate,
                           [](float x, float y, float z) { return std::fma(x, z, y); });
      case VecMulAdd::Op::kMulAddRelu:
        return UpdateLanes(d, a, b, run.count, i.shape.saturate,
                           [](float x, float y, float z) { return MaxOf(std::fma(x, z, y), 0.0f); });
      case VecMulAdd::Op::kMulAddDst:
        return UpdateLanes(d, a, b, run.count, i.shape.saturate,
                           [](float x, float y, float z) { return std::fma(x, y, z); });
    }
  });
}

}  // namespace

void VecMulAdd::Execute(const Exec& exec) const {
  if (dst_type == DType::kF16) return ApplyMulAdd<Half, Half>(*this, exec);
  if (src_type == DType::kF16) return ApplyMulAdd<float, Half>(*this, exec);
  ApplyMulAdd<float, float>(*this, exec);
}

Cost VecMulAdd::GetCost() const {
  const uint32_t blocks = Lanes() * BytesOf(src_type) / kBlockBytes;
  return WithBanks(Cost::Vector(VectorClass::kMul, shape.Repeats(Lanes()), shape.counter, 2), {dst, 8},
                   {{src0, blocks}, {src1, blocks}});
}
ASCEND_SIM_INSTRUCTION(VecMulAdd)

}  // namespace ascend_sim
