#include "isa/vec_compare.h"

#include "core/core.h"
#include "core/device.h"
#include "isa/vec_fill.h"
#include "isa/vec_math.h"

namespace ascend_sim {

namespace {

constexpr uint32_t kSelectScratch = 184 * 1024;  // the last 8 KB of UB belong to Select

template <class T>
bool Holds(Comparison mode, T a, T b) {
  switch (mode) {
    case Comparison::kLt:
      return a < b;
    case Comparison::kGt:
      return a > b;
    case Comparison::kEq:
      return a == b;
    case Comparison::kLe:
      return a <= b;
    case Comparison::kGe:
      return a >= b;
    default:
      return a != b;
  }
}

uint32_t LanesOf(DType type) { return kRepeatBytes / BytesOf(type); }

}  // namespace

VecShape VecCompare::Walked() const {
  if (form == Form::kToRegister) return shape;
  return count_form ? CountShape(count) : NormShape(LanesOf(type), repeat);
}

void VecCompare::Validate(Check& check) const {
  const bool real = type == DType::kF16 || type == DType::kF32;
  if (!real && type != DType::kI32) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  if (type == DType::kI32 && (mode != Comparison::kEq || form == Form::kToRegister)) {
    check.Fail(Rule::kArgument, "int32_t compares for CMPMODE::EQ only");
  }
  if (count_form && count % LanesOf(type) != 0) {
    check.Fail(Rule::kArgument, "count: %u elements of %s are not a multiple of 256 B, the tail would not be compared",
               count, DTypeName(type));
  }
  CheckShape(check, Walked(), LanesOf(type));
  CheckOperand(check, "src0", src0, false);
  if (form != Form::kScalar) CheckOperand(check, "src1", src1, false);
  if (form == Form::kToRegister) return;
  check.In("dst", dst, Buffer::kUb);
  check.Aligned("dst", dst, kBlockBytes, true);
}

void VecCompare::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = LanesOf(type);
  const VecShape walked = Walked();
  TouchWalk(f, false, "src0", src0, walked, bytes, lanes);
  if (form != Form::kScalar) TouchWalk(f, false, "src1", src1, walked, bytes, lanes);
  if (form != Form::kToRegister) f.Write("dst", dst, 0, walked.Repeats(lanes) * lanes / 8);
}

namespace {

template <class T, class L>
void CompareLanes(const VecCompare& i, const VecShape& shape, const Exec& exec) {
  constexpr uint32_t lanes = kRepeatBytes / sizeof(T);
  const bool scalar = i.form == VecCompare::Form::kScalar;
  const L s = static_cast<L>(ScalarFrom<T>(i.scalar));
  const VecWalk* const walks[2] = {&i.src0, scalar ? &i.src0 : &i.src1};
  const uint32_t bytes[2] = {sizeof(T), sizeof(T)};
  uint64_t* reg = exec.core().registers.compare_mask;
  uint8_t* out = i.form == VecCompare::Form::kToRegister ? nullptr : exec.At(i.dst);
  ForEachRun(shape, lanes, walks, bytes, [&](const VecRun<2>& run) {
    const T* a = exec.At<const T>(i.src0.t, run.offset[0]);
    const T* b = scalar ? a : exec.At<const T>(i.src1.t, run.offset[1]);
    for (uint32_t k = 0; k < run.count; ++k) {
      const bool holds = Holds<L>(i.mode, static_cast<L>(a[k]), scalar ? s : static_cast<L>(b[k]));
      const uint32_t lane = run.repeat * lanes + run.lane + k;
      if (out == nullptr) {
        reg[lane >> 6] = (reg[lane >> 6] & ~(1ull << (lane & 63))) | static_cast<uint64_t>(holds) << (lane & 63);
      } else {
        out[lane >> 3] = static_cast<uint8_t>((out[lane >> 3] & ~(1u << (lane & 7))) | holds << (lane & 7));
      }
    }
  });
}

}  // namespace

void VecCompare::Execute(const Exec& exec) const {
  if (type == DType::kF16) return CompareLanes<Half, float>(*this, Walked(), exec);
  if (type == DType::kF32) return CompareLanes<float, float>(*this, Walked(), exec);
  CompareLanes<int32_t, int32_t>(*this, Walked(), exec);
}

Cost VecCompare::GetCost() const {
  return Cost::Vector(VectorClass::kHeavy, Walked().Repeats(LanesOf(type)), false, form == Form::kScalar ? 1 : 2);
}
ASCEND_SIM_INSTRUCTION(VecCompare)

void VecCompareMask::Validate(Check& check) const {
  check.In("tensor", t, Buffer::kUb);
  check.Aligned("tensor", t, 16, !load);
}
void VecCompareMask::Touch(Footprint& f) const {
  if (load) {
    f.Read("src", t, 0, 16);
  } else {
    f.Write("dst", t, 0, 16);
  }
}
void VecCompareMask::Execute(const Exec& exec) const {
  uint64_t* reg = exec.core().registers.compare_mask;
  if (load) {
    std::memcpy(reg, exec.At(t), 16);
  } else {
    std::memcpy(exec.At(t), reg, 16);
  }
}
Cost VecCompareMask::GetCost() const { return Cost::Vector(VectorClass::kScalar, 1, false); }
ASCEND_SIM_INSTRUCTION(VecCompareMask)

void VecSelect::Validate(Check& check) const {
  if (type != DType::kF16 && type != DType::kF32) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
    return;
  }
  const uint32_t bytes = BytesOf(type), lanes = LanesOf(type);
  CheckShape(check, shape, lanes);
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src0", src0, false);
  CheckOverlap(check, shape, {lanes, dst, bytes, "src0", src0, bytes});
  if (mode != Mode::kScalar) {
    CheckOperand(check, "src1", src1, false);
    CheckOverlap(check, shape, {lanes, dst, bytes, "src1", src1, bytes});
  }
  if (mode != Mode::kRegister) {
    check.In("selMask", mask, Buffer::kUb);
    check.Aligned("selMask", mask, kBlockBytes, false);
  }
}

void VecSelect::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = LanesOf(type);
  TouchWalk(f, false, "src0", src0, shape, bytes, lanes);
  if (mode != Mode::kScalar) TouchWalk(f, false, "src1", src1, shape, bytes, lanes);
  if (mode != Mode::kRegister) {
    const uint64_t bits = shape.counter ? shape.mask[0] : static_cast<uint64_t>(shape.repeat) * lanes;
    f.Read("selMask", mask, 0, static_cast<uint32_t>((bits + 7) / 8));
  }
  TouchWalk(f, true, "dst", dst, shape, bytes, lanes);
}

namespace {

template <class T>
void SelectLanes(const VecSelect& i, const Exec& exec) {
  constexpr uint32_t lanes = kRepeatBytes / sizeof(T);
  const bool tensors = i.mode != VecSelect::Mode::kScalar, reg = i.mode == VecSelect::Mode::kRegister;
  const VecWalk* const walks[3] = {&i.dst, &i.src0, tensors ? &i.src1 : &i.src0};
  const uint32_t bytes[3] = {sizeof(T), sizeof(T), sizeof(T)};
  const uint8_t* bits = reg ? reinterpret_cast<const uint8_t*>(exec.core().registers.compare_mask) : exec.At(i.mask);
  const T scalar = static_cast<T>(i.from_register ? exec.core().registers.compare_mask[0] : i.scalar);
  ForEachRun(i.shape, lanes, walks, bytes, [&](const VecRun<3>& run) {
    T* d = exec.At<T>(i.dst.t, run.offset[0]);
    const T* a = exec.At<const T>(i.src0.t, run.offset[1]);
    const T* b = exec.At<const T>((tensors ? i.src1 : i.src0).t, run.offset[2]);
    for (uint32_t k = 0; k < run.count; ++k) {
      const uint32_t lane = run.repeat * lanes + run.lane + k, bit = reg ? lane % lanes : lane;
      d[k] = (bits[bit >> 3] >> (bit & 7)) & 1 ? a[k] : tensors ? b[k] : scalar;
    }
  });
}

}  // namespace

void VecSelect::Execute(const Exec& exec) const {
  type == DType::kF16 ? SelectLanes<uint16_t>(*this, exec) : SelectLanes<uint32_t>(*this, exec);
}

Cost VecSelect::GetCost() const {
  return Cost::Vector(VectorClass::kHeavy, shape.Repeats(LanesOf(type)), shape.counter, mode == Mode::kScalar ? 1 : 2);
}
ASCEND_SIM_INSTRUCTION(VecSelect)

void IssueSelect(const VecSelect& select, Site site) {
  if (select.mode == VecSelect::Mode::kRegister) {
    Issue(VecCompareMask{true, select.mask}, site);
  } else {
    // The scalar, or the mask's address, through the reserved end of UB.
    const bool scalar = select.mode == VecSelect::Mode::kScalar;
    const Local scratch{Buffer::kUb, kSelectScratch, 0, 0};
    Issue(VecDuplicate{scalar ? select.type : DType::kU32, scalar ? select.scalar : select.mask.offset,
                       NormShape(32, 1), VecWalk{scratch, 1, 8}},
          site);
    device::Barrier(Pipe::kV, site);
    Issue(VecCompareMask{true, scratch}, site);
  }
  device::Barrier(Pipe::kV, site);
  Issue(select, site);
}

}  // namespace ascend_sim
