#include "isa/data_copy_pad.h"

#include "core/shadow.h"
#include "isa/atomic.h"

namespace ascend_sim {

namespace {

void ValidateShape(Check& check, const PadShape& s, uint8_t bytes) {
  check.Range("blockCount", s.count, 0, 4095);
  check.Range("blockLen", s.len, 0, 2097151);
  if (s.len % bytes != 0) {
    check.Fail(Rule::kArgument, "blockLen: %u bytes are not a multiple of the element's %u", s.len, bytes);
  }
}

}  // namespace

void CopyPadIn::Validate(Check& check) const {
  ValidateShape(check, shape, bytes);
  check.In("dst", dst, Buffer::kUb);
  check.Aligned("dst", dst, kBlockBytes, true);
  check.Range("leftPadding in bytes", Left(), 0, kBlockBytes);
  check.Range("rightPadding in bytes", static_cast<int64_t>(right) * bytes, 0, kBlockBytes);
  if (bytes == 8 && is_pad && value != 0) {
    check.Fail(Rule::kArgument, "paddingValue: must be 0 for 64-bit elements");
  }
}

void CopyPadIn::Touch(Footprint& f) const {
  if (shape.len == 0) return;
  f.Read("src", src, 0, shape.len, Dim{shape.count, static_cast<int64_t>(shape.len) + shape.src_gap});
  f.Write("dst", dst, 0, Padded(), Dim{shape.count, DstStep()});
}

void CopyPadIn::Execute(const Exec& exec) const {
  if (shape.len == 0) return;
  const uint32_t unit = bytes < 4 ? bytes : 4;  // the hardware pads 64-bit elements as pairs of 32 bits
  const bool padded = left != 0 || right != 0;
  for (uint32_t i = 0; i < shape.count; ++i) {
    const uint8_t* from = exec.At(src, static_cast<int64_t>(i) * (static_cast<int64_t>(shape.len) + shape.src_gap));
    uint8_t* to = exec.At(dst, static_cast<int64_t>(i) * DstStep());
    // Without padding the rest of the last 32 B repeats the burst's first element.
    uint8_t filler[4];
    if (!padded) {
      std::memcpy(filler, from, unit);
    } else if (value_known) {
      std::memcpy(filler, &value, unit);
    } else {
      std::memset(filler, 0xff, sizeof filler);
    }
    const uint32_t end = Padded();
    for (uint32_t at = 0; at < Left(); at += unit) std::memcpy(to + at, filler, unit);
    std::memcpy(to + Left(), from, shape.len);
    for (uint32_t at = Left() + shape.len; at < end; at += unit) std::memcpy(to + at, filler, unit);
  }
}

// Padding nobody gave a value is undefined.
void CopyPadIn::Carry(Shadow* shadows) const {
  if (shape.len == 0 || value_known || (left == 0 && right == 0)) return;
  Shadow& ub = shadows[static_cast<int>(Buffer::kUb)];
  for (uint32_t i = 0; i < shape.count; ++i) {
    const uint64_t at = static_cast<uint64_t>(dst.offset + static_cast<int64_t>(i) * DstStep());
    const uint32_t end = Left() + shape.len;
    if (left != 0) ub.Undefine(at, Left());
    if (end < Padded()) ub.Undefine(at + end, Padded() - end);
  }
}

Cost CopyPadIn::GetCost() const {
  return Cost::Move(Path::kGmToUb, static_cast<uint64_t>(shape.count) * shape.len, shape.count)
      .At(src.address, static_cast<int64_t>(shape.len) + shape.src_gap);
}
ASCEND_SIM_INSTRUCTION(CopyPadIn)

void CopyPadOut::Validate(Check& check) const {
  ValidateShape(check, shape, bytes);
  check.In("src", src, Buffer::kUb);
  check.Aligned("src", src, kBlockBytes, false);
}

void CopyPadOut::Touch(Footprint& f) const {
  f.Read("src", src, 0, shape.len, Dim{shape.count, SrcStep()});
  f.Write("dst", dst, 0, shape.len, Dim{shape.count, DstStep()}, {}, {}, atomic != 0);
}

void CopyPadOut::Execute(const Exec& exec) const {
  for (uint32_t i = 0; i < shape.count; ++i) {
    StoreGm(static_cast<AtomicOp>(atomic), type, exec.At(dst, static_cast<int64_t>(i) * DstStep()),
            exec.At(src, static_cast<int64_t>(i) * SrcStep()), shape.len);
  }
}

Cost CopyPadOut::GetCost() const {
  return Cost::Move(atomic != 0 ? Path::kUbToGmAtomic : Path::kUbToGm, static_cast<uint64_t>(shape.count) * shape.len,
                    shape.count)
      .At(dst.address, DstStep());
}
ASCEND_SIM_INSTRUCTION(CopyPadOut)

}  // namespace ascend_sim
