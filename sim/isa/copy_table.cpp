#include "isa/copy_table.h"

#include "core/shadow.h"

namespace ascend_sim {

void CopyBias::Validate(Check& check) const {
  check.In("dst", dst, Buffer::kBt);
  check.In("src", src, Buffer::kL1);
  check.Aligned("dst", dst, 64, true);
  check.Aligned("src", src, kBlockBytes, false);
  check.Range("blockCount", count, 1, 4095);
}
void CopyBias::Touch(Footprint& f) const {
  f.Read("src", src, 0, SrcBytes(), Dim{count, SrcStep()});
  f.Write("dst", dst, 0, len * 64u, Dim{count, DstStep()});
}
void CopyBias::Execute(const Exec& exec) const {
  for (uint32_t i = 0; i < count; ++i) {
    const uint8_t* from = exec.At(src, i * SrcStep());
    uint8_t* to = exec.At(dst, i * DstStep());
    if (!widen) {
      std::memcpy(to, from, SrcBytes());
      continue;
    }
    for (uint32_t e = 0; e < SrcBytes() / 2; ++e) {
      reinterpret_cast<float*>(to)[e] = HalfToFloat(reinterpret_cast<const uint16_t*>(from)[e]);
    }
  }
}
Cost CopyBias::GetCost() const { return Cost::Move(Path::kL1ToBt, static_cast<uint64_t>(count) * len * 64, count); }
ASCEND_SIM_INSTRUCTION(CopyBias)

void CopyFixpipeTable::Validate(Check& check) const {
  check.In("dst", dst, Buffer::kFb);
  check.In("src", src, Buffer::kL1);
  check.Aligned("dst", dst, 128, true);
  check.Aligned("src", src, kBlockBytes, false);
  check.Range("blockCount", count, 1, 4095);
}
void CopyFixpipeTable::Touch(Footprint& f) const {
  f.ReadCarried("src", src, 0, len * 128u, Dim{count, static_cast<int64_t>(src_stride) * kBlockBytes});
  f.Write("dst", dst, 0, len * 128u, Dim{count, static_cast<int64_t>(dst_stride) * 128});
}
void CopyFixpipeTable::Execute(const Exec& exec) const {
  for (uint32_t i = 0; i < count; ++i) {
    std::memcpy(exec.At(dst, static_cast<int64_t>(i) * dst_stride * 128),
                exec.At(src, static_cast<int64_t>(i) * src_stride * kBlockBytes), len * 128u);
  }
}
// Lengths are rounded up to 128 B, so the end of the source may never have been written.
void CopyFixpipeTable::Carry(Shadow* shadows) const {
  const Shadow& l1 = shadows[static_cast<int>(Buffer::kL1)];
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t from = src.offset + static_cast<uint64_t>(i) * src_stride * kBlockBytes;
    const uint64_t to = dst.offset + static_cast<uint64_t>(i) * dst_stride * 128;
    for (uint64_t at = 0; at < len * 128u; at += 8) {
      if (l1.FirstUndefined(from + at, 8) < from + at + 8) shadows[static_cast<int>(Buffer::kFb)].Undefine(to + at, 8);
    }
  }
}
Cost CopyFixpipeTable::GetCost() const {
  return Cost::Move(Path::kL1ToFb, static_cast<uint64_t>(count) * len * 128, count);
}
ASCEND_SIM_INSTRUCTION(CopyFixpipeTable)

}  // namespace ascend_sim
