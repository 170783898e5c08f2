#include "isa/vec_fill.h"

namespace ascend_sim {

namespace {
bool Is16Or32(DType type) { return BytesOf(type) == 2 || BytesOf(type) == 4; }
void CheckType(Check& check, DType type) {
  if (!Is16Or32(type)) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
}
}  // namespace

void VecDuplicate::Validate(Check& check) const {
  CheckType(check, type);
  CheckShape(check, shape, kRepeatBytes / BytesOf(type));
  CheckOperand(check, "dst", dst, true);
}
void VecDuplicate::Touch(Footprint& f) const {
  TouchWalk(f, true, "dst", dst, shape, BytesOf(type), kRepeatBytes / BytesOf(type));
}
namespace {
template <class T>
void Fill(const VecDuplicate& i, const Exec& exec) {
  const VecWalk* const walks[1] = {&i.dst};
  const uint32_t bytes[1] = {sizeof(T)};
  const T value = static_cast<T>(i.scalar);
  ForEachRun(i.shape, kRepeatBytes / sizeof(T), walks, bytes,
             [&](const VecRun<1>& run) { std::fill_n(exec.At<T>(i.dst.t, run.offset[0]), run.count, value); });
}
}  // namespace
void VecDuplicate::Execute(const Exec& exec) const {
  BytesOf(type) == 2 ? Fill<uint16_t>(*this, exec) : Fill<uint32_t>(*this, exec);
}
Cost VecDuplicate::GetCost() const {
  return Cost::Vector(VectorClass::kScalar, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter);
}
ASCEND_SIM_INSTRUCTION(VecDuplicate)

void VecBrcb::Validate(Check& check) const {
  CheckType(check, type);
  CheckOperand(check, "dst", dst, true);
  check.In("src", src, Buffer::kUb);
  check.Aligned("src", src, kBlockBytes, false);
  if (repeat == 0 || check.failed()) return;
  const int64_t dst_end = dst.t.offset + (static_cast<int64_t>(repeat - 1) * dst.repeat_stride +
                                          static_cast<int64_t>(7) * dst.block_stride + 1) *
                                             kBlockBytes;
  if (src.offset < dst_end && dst.t.offset < src.offset + (repeat * 8 - padding) * BytesOf(type)) {
    check.Fail(Rule::kArgument, "dst and src overlap: Brcb does not work in place");
  }
}
void VecBrcb::Touch(Footprint& f) const {
  f.Read("src", src, 0, (repeat * 8 - padding) * BytesOf(type));
  f.Write("dst", dst.t, 0, kBlockBytes, Dim{8, static_cast<int64_t>(dst.block_stride) * kBlockBytes},
          Dim{repeat, static_cast<int64_t>(dst.repeat_stride) * kBlockBytes});
}
namespace {
template <class T>
void Broadcast(const VecBrcb& i, const Exec& exec) {
  const T* src = exec.At<const T>(i.src);
  for (uint32_t r = 0; r < i.repeat; ++r) {
    for (uint32_t b = 0; b < 8; ++b) {
      const int64_t block =
          static_cast<int64_t>(r) * i.dst.repeat_stride + static_cast<int64_t>(b) * i.dst.block_stride;
      std::fill_n(exec.At<T>(i.dst.t, block * kBlockBytes), kBlockBytes / sizeof(T), src[r * 8 + b]);
    }
  }
}
}  // namespace
void VecBrcb::Execute(const Exec& exec) const {
  BytesOf(type) == 2 ? Broadcast<uint16_t>(*this, exec) : Broadcast<uint32_t>(*this, exec);
}
Cost VecBrcb::GetCost() const { return Cost::Vector(VectorClass::kScalar, repeat, false); }
ASCEND_SIM_INSTRUCTION(VecBrcb)

void VecCopy::Validate(Check& check) const {
  CheckType(check, type);
  check.Range("repeat", repeat, 0, 255);
  check.Range("dstRepeatSize", dst.repeat_stride, 0, 4095);
  check.Range("srcRepeatSize", src.repeat_stride, 0, 4095);
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src", src, false);
  if (shape.counter) {
    check.Range("mask", static_cast<int64_t>(shape.mask[0]), 0, 192 * 1024);
  } else {
    CheckShape(check, shape, Lanes());
    CheckOverlap(check, shape, {Lanes(), dst, BytesOf(type), "src", src, BytesOf(type)});
  }
}
void VecCopy::Touch(Footprint& f) const {
  if (!shape.counter) {
    TouchWalk(f, false, "src", src, shape, BytesOf(type), Lanes());
    TouchWalk(f, true, "dst", dst, shape, BytesOf(type), Lanes());
    return;
  }
  const auto dims = [&](const VecWalk& walk, Dim* blocks, Dim* repeats) {
    *blocks = Dim{CounterBlocks(), static_cast<int64_t>(walk.block_stride) * kBlockBytes};
    *repeats = Dim{static_cast<uint32_t>(repeat), static_cast<int64_t>(walk.repeat_stride) * kBlockBytes};
  };
  Dim blocks, repeats;
  dims(src, &blocks, &repeats);
  f.Read("src", src.t, 0, kBlockBytes, blocks, repeats);
  dims(dst, &blocks, &repeats);
  f.Write("dst", dst.t, 0, kBlockBytes, blocks, repeats);
}
void VecCopy::Execute(const Exec& exec) const {
  if (!shape.counter) {
    const VecWalk* const walks[2] = {&dst, &src};
    const uint32_t bytes[2] = {BytesOf(type), BytesOf(type)};
    ForEachRun(shape, Lanes(), walks, bytes, [&](const VecRun<2>& run) {
      std::memmove(exec.At(dst.t, run.offset[0]), exec.At(src.t, run.offset[1]), run.count * BytesOf(type));
    });
    return;
  }
  for (int64_t r = 0; r < repeat; ++r) {
    for (int64_t b = 0; b < CounterBlocks(); ++b) {
      std::memmove(exec.At(dst.t, (r * dst.repeat_stride + b * dst.block_stride) * kBlockBytes),
                   exec.At(src.t, (r * src.repeat_stride + b * src.block_stride) * kBlockBytes), kBlockBytes);
    }
  }
}
Cost VecCopy::GetCost() const {
  const uint32_t per_repeat = shape.counter ? (CounterBlocks() + 7) / 8 : 1;
  return Cost::Vector(VectorClass::kScalar, static_cast<uint32_t>(repeat) * per_repeat, shape.counter);
}
ASCEND_SIM_INSTRUCTION(VecCopy)

}  // namespace ascend_sim
