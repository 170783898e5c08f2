#include "isa/data_copy.h"

#include "isa/atomic.h"

namespace ascend_sim {

namespace {

void ValidateShape(Check& check, const CopyShape& s) {
  check.Range("blockCount", s.count, 1, 4095);
  check.Range("blockLen", s.len, 0, 65535);
}

uint32_t Bytes(const CopyShape& s) { return s.len * kBlockBytes; }
Dim Bursts(const CopyShape& s, uint16_t gap) { return Dim{s.count, static_cast<int64_t>(s.len + gap) * kBlockBytes}; }
uint64_t Total(const CopyShape& s) { return static_cast<uint64_t>(s.count) * Bytes(s); }

template <class Copy>
void ForEachBurst(const CopyShape& s, Copy copy) {
  for (uint32_t i = 0; i < s.count; ++i) {
    copy(static_cast<int64_t>(i) * (s.len + s.dst_gap) * kBlockBytes,
         static_cast<int64_t>(i) * (s.len + s.src_gap) * kBlockBytes);
  }
}

}  // namespace

void CopyIn::Validate(Check& check) const {
  ValidateShape(check, shape);
  check.Aligned("dst", dst, kBlockBytes, true);
}
void CopyIn::Touch(Footprint& f) const {
  f.Read("src", src, 0, Bytes(shape), Bursts(shape, shape.src_gap));
  f.Write("dst", dst, 0, Bytes(shape), Bursts(shape, shape.dst_gap));
}
void CopyIn::Execute(const Exec& exec) const {
  ForEachBurst(shape, [&](int64_t d, int64_t s) { std::memcpy(exec.At(dst, d), exec.At(src, s), Bytes(shape)); });
}
Cost CopyIn::GetCost() const {
  return Cost::Move(dst.buffer == Buffer::kUb ? Path::kGmToUb : Path::kGmToL1, Total(shape), shape.count)
      .At(src.address, Bytes(shape) + static_cast<int64_t>(shape.src_gap) * kBlockBytes);
}
ASCEND_SIM_INSTRUCTION(CopyIn)

void CopyOut::Validate(Check& check) const {
  ValidateShape(check, shape);
  check.Aligned("src", src, kBlockBytes, false);
}
void CopyOut::Touch(Footprint& f) const {
  f.Read("src", src, 0, Bytes(shape), Bursts(shape, shape.src_gap));
  f.Write("dst", dst, 0, Bytes(shape), Bursts(shape, shape.dst_gap), {}, {}, atomic != 0);
}
void CopyOut::Execute(const Exec& exec) const {
  ForEachBurst(shape, [&](int64_t d, int64_t s) {
    StoreGm(static_cast<AtomicOp>(atomic), type, exec.At(dst, d), exec.At(src, s), Bytes(shape));
  });
}
Cost CopyOut::GetCost() const {
  const Path path = src.buffer != Buffer::kUb ? Path::kL1ToGm : atomic != 0 ? Path::kUbToGmAtomic : Path::kUbToGm;
  return Cost::Move(path, Total(shape), shape.count)
      .At(dst.address, Bytes(shape) + static_cast<int64_t>(shape.dst_gap) * kBlockBytes);
}
ASCEND_SIM_INSTRUCTION(CopyOut)

void CopyLocal::Validate(Check& check) const {
  ValidateShape(check, shape);
  check.Aligned("dst", dst, kBlockBytes, true);
  check.Aligned("src", src, kBlockBytes, false);
  check.In("dst", dst, Buffer::kUb);
  check.In("src", src, Buffer::kUb);
}
void CopyLocal::Touch(Footprint& f) const {
  f.Read("src", src, 0, Bytes(shape), Bursts(shape, shape.src_gap));
  f.Write("dst", dst, 0, Bytes(shape), Bursts(shape, shape.dst_gap));
}
void CopyLocal::Execute(const Exec& exec) const {
  ForEachBurst(shape, [&](int64_t d, int64_t s) { std::memmove(exec.At(dst, d), exec.At(src, s), Bytes(shape)); });
}
Cost CopyLocal::GetCost() const {
  return Cost::Vector(VectorClass::kScalar, static_cast<uint32_t>((Total(shape) + kRepeatBytes - 1) / kRepeatBytes),
                      false, 1);
}
ASCEND_SIM_INSTRUCTION(CopyLocal)

}  // namespace ascend_sim
