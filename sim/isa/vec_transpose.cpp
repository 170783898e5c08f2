#include "isa/vec_transpose.h"

namespace ascend_sim {

namespace {
Local Ub(uint32_t offset) { return Local{Buffer::kUb, offset, 0, 0}; }
}  // namespace

void VecTranspose::Validate(Check& check) const {
  if (type != DType::kI16 && type != DType::kU16 && type != DType::kF16) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  }
  check.In("dst", dst, Buffer::kUb);
  check.In("src", src, Buffer::kUb);
  check.Aligned("dst", dst, kBlockBytes, true);
  check.Aligned("src", src, kBlockBytes, false);
}
void VecTranspose::Touch(Footprint& f) const {
  f.Read("src", src, 0, 512);
  f.Write("dst", dst, 0, 512);
}
void VecTranspose::Execute(const Exec& exec) const {
  uint16_t from[16][16];  // dst may be src
  std::memcpy(from, exec.At(src), sizeof from);
  uint16_t* to = exec.At<uint16_t>(dst);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) to[j * 16 + i] = from[i][j];
  }
}
Cost VecTranspose::GetCost() const { return Cost::Vector(VectorClass::kGather, 2, false); }
ASCEND_SIM_INSTRUCTION(VecTranspose)

void VecTransData5Hd::Validate(Check& check) const {
  const uint32_t bytes = BytesOf(type);
  if (bytes != 1 && bytes != 2 && bytes != 4) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  }
  if (bytes != 1 && (dst_high || src_high)) {
    check.Fail(Rule::kArgument, "dstHighHalf and srcHighHalf are for 8-bit elements, not %s", DTypeName(type));
  }
  for (int i = 0; i < 16; ++i) {
    check.Aligned("dstList", Ub(dst[i]), kBlockBytes, true);
    check.Aligned("srcList", Ub(src[i]), kBlockBytes, false);
  }
}
void VecTransData5Hd::Touch(Footprint& f) const {
  const bool narrow = BytesOf(type) == 1;
  const uint32_t bytes = narrow ? 16 : 32;
  for (int i = 0; i < 16; ++i) {
    f.Read("srcList", Ub(src[i]), First(src_repeat_stride) + (src_high ? 16 : 0), bytes,
           Dim{repeat, static_cast<int64_t>(src_repeat_stride) * kBlockBytes});
  }
  for (int i = 0; i < 16; ++i) {
    f.Write("dstList", Ub(dst[i]), First(dst_repeat_stride) + (dst_high ? 16 : 0), bytes,
            Dim{repeat, static_cast<int64_t>(dst_repeat_stride) * kBlockBytes});
  }
}
void VecTransData5Hd::Execute(const Exec& exec) const {
  const uint32_t bytes = BytesOf(type);
  uint8_t from[16][32];
  for (int64_t r = 0; r < repeat; ++r) {
    const int64_t s = First(src_repeat_stride) + r * src_repeat_stride * kBlockBytes;
    const int64_t d = First(dst_repeat_stride) + r * dst_repeat_stride * kBlockBytes;
    for (int i = 0; i < 16; ++i)
      std::memcpy(from[i], exec.At(Ub(src[i]), s + (src_high ? 16 : 0)), bytes == 1 ? 16 : 32);
    const uint32_t columns = bytes == 1 ? 16 : 32 / bytes;
    for (uint32_t j = 0; j < columns; ++j) {
      for (uint32_t i = 0; i < 16; ++i) {
        const uint32_t row = bytes == 4 ? 2 * j + i / 8 : j, at = (bytes == 4 ? i % 8 : i) * bytes;
        std::memcpy(exec.At(Ub(dst[row]), d + (dst_high ? 16 : 0) + at), from[i] + j * bytes, bytes);
      }
    }
  }
}
Cost VecTransData5Hd::GetCost() const { return Cost::Vector(VectorClass::kGather, repeat * 2u, false); }
ASCEND_SIM_INSTRUCTION(VecTransData5Hd)

}  // namespace ascend_sim
