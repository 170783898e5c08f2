#include "isa/load_data.h"

#include "core/shadow.h"

namespace ascend_sim {

namespace {

void ValidateDestination(Check& check, const Local& dst, bool allow_l1) {
  if (dst.buffer == Buffer::kL0A || dst.buffer == Buffer::kL0B) {
    check.Aligned("dst", dst, kFractalBytes, true);
  } else if (allow_l1 && dst.buffer == Buffer::kL1) {
    check.Aligned("dst", dst, kBlockBytes, true);
  } else {
    check.Fail(Rule::kArgument, "dst: expected a tensor in L0A or L0B%s, got one in %s", allow_l1 ? " or L1" : "",
               BufferName(dst.buffer));
  }
}

template <class T>
void TransposeSquare16(T* to, const T* from) {
  for (int r = 0; r < 16; ++r) {
    for (int c = 0; c < 16; ++c) to[r * 16 + c] = from[c * 16 + r];
  }
}

// Bytes of element (row, column) of a square block kept as fractals of 32 B rows.
uint32_t SquareOffset(uint32_t bytes, uint32_t row, uint32_t column) {
  if (bytes == 4) return column / 8 * kFractalBytes + row * kBlockBytes + column % 8 * 4;
  return row * kBlockBytes + column * bytes;  // 8 bits: the second fractal continues the rows of the first
}

}  // namespace

Path PathInto(Buffer dst, bool from_gm) {
  if (from_gm) return Path::kGmToL1;  // GM -> L0A and L0B share the port of GM -> L1
  return dst == Buffer::kL0A ? Path::kL1ToL0a : Path::kL1ToL0b;
}

// ---- LoadData 2D --------------------------------------------------------------------------------------------------

void LoadFractals::Validate(Check& check) const {
  ValidateDestination(check, dst, from_gm);
  if (!from_gm) {
    check.In("src", src, Buffer::kL1);
    check.Aligned("src", src, kBlockBytes, false);
  }
  check.Require(!transpose || (bytes == 2 && !from_gm),
                "ifTranspose: only 16-bit elements on their way from L1 to L0A or L0B can be transposed");
  check.Require(!decrease || dst.buffer == Buffer::kL1, "addrMode: 1 is allowed from GM to L1 only");
}

void LoadFractals::Touch(Footprint& f) const {
  const int64_t step = (decrease ? -1 : 1) * static_cast<int64_t>(stride) * kFractalBytes;
  const int64_t first = static_cast<int64_t>(start) * kFractalBytes;
  if (from_gm) {
    f.Read("src", gm, first, kFractalBytes, Dim{repeat, step});
  } else {
    f.ReadCarried("src", src, first, kFractalBytes, Dim{repeat, step});
  }
  f.Write("dst", dst, 0, kFractalBytes, Dim{repeat, (static_cast<int64_t>(gap) + 1) * kFractalBytes});
}

void LoadFractals::Execute(const Exec& exec) const {
  for (uint32_t i = 0; i < repeat; ++i) {
    const int64_t step = (decrease ? -1 : 1) * static_cast<int64_t>(stride) * i;
    const int64_t from_offset = (start + step) * kFractalBytes;
    const uint8_t* from = from_gm ? exec.At(gm, from_offset) : exec.At(src, from_offset);
    uint8_t* to = exec.At(dst, static_cast<int64_t>(i) * (gap + 1) * kFractalBytes);
    if (transpose) {
      TransposeSquare16(reinterpret_cast<uint16_t*>(to), reinterpret_cast<const uint16_t*>(from));
    } else {
      std::memcpy(to, from, kFractalBytes);
    }
  }
}

void LoadFractals::Carry(Shadow* shadows) const {
  if (from_gm) return;
  const Shadow& l1 = shadows[static_cast<int>(Buffer::kL1)];
  Shadow& l0 = shadows[static_cast<int>(dst.buffer)];
  for (uint32_t i = 0; i < repeat; ++i) {
    const uint64_t from = src.offset + (start + static_cast<uint64_t>(stride) * i) * kFractalBytes;
    const uint64_t to = dst.offset + static_cast<uint64_t>(i) * (gap + 1u) * kFractalBytes;
    uint64_t at = l1.FirstUndefined(from, kFractalBytes);
    while (at < from + kFractalBytes) {
      const uint32_t element = static_cast<uint32_t>(at - from) / bytes;
      const uint32_t moved = transpose ? element % 16 * 16 + element / 16 : element;
      l0.Undefine(to + static_cast<uint64_t>(moved) * bytes, bytes);
      const uint64_t next = from + (element + 1ull) * bytes;
      if (next >= from + kFractalBytes) break;
      at = l1.FirstUndefined(next, from + kFractalBytes - next);
    }
  }
}

Cost LoadFractals::GetCost() const {
  Cost cost = Cost::Move(PathInto(dst.buffer, from_gm), static_cast<uint64_t>(repeat) * kFractalBytes, repeat);
  if (from_gm) {
    cost.At(gm.address + static_cast<uint64_t>(start) * kFractalBytes, static_cast<int64_t>(stride) * kFractalBytes);
  }
  return cost;
}
ASCEND_SIM_INSTRUCTION(LoadFractals)

// ---- LoadDataWithTranspose ----------------------------------------------------------------------------------------

void LoadTransposed::Validate(Check& check) const {
  ValidateDestination(check, dst, false);
  check.In("src", src, Buffer::kL1);
  check.Aligned("src", src, kBlockBytes, false);
  check.Require(bytes == 1 || bytes == 2 || bytes == 4, "element type: expected 8, 16 or 32 bits");
}

void LoadTransposed::Touch(Footprint& f) const {
  const uint32_t square = Fractals() * kFractalBytes;
  const int64_t step = (decrease ? -1 : 1) * static_cast<int64_t>(stride) * square;
  f.ReadCarried("src", src, static_cast<int64_t>(start) * square, square, Dim{repeat, step});
  f.Write("dst", dst, 0, kFractalBytes, Dim{Fractals(), (static_cast<int64_t>(fractal_gap) + 1) * kFractalBytes},
          Dim{repeat, (static_cast<int64_t>(gap) + 1) * kFractalBytes});
}

// body(source byte offset, destination byte offset) for every element of repeat r.
template <class Body>
void LoadTransposed::ForEachElement(uint32_t r, Body body) const {
  const uint32_t square = Fractals() * kFractalBytes, side = bytes == 1 ? 32 : 16;
  const int64_t from = (start + (decrease ? -1 : 1) * static_cast<int64_t>(stride) * r) * square;
  const int64_t to = static_cast<int64_t>(r) * (gap + 1) * kFractalBytes;
  for (uint32_t row = 0; row < side; ++row) {
    for (uint32_t column = 0; column < side; ++column) {
      const uint32_t packed = SquareOffset(bytes, row, column);
      body(from + SquareOffset(bytes, column, row),
           to + packed / kFractalBytes * (fractal_gap + 1) * static_cast<int64_t>(kFractalBytes) +
               packed % kFractalBytes);
    }
  }
}

void LoadTransposed::Execute(const Exec& exec) const {
  for (uint32_t r = 0; r < repeat; ++r) {
    if (bytes == 2) {
      const int64_t from = (start + (decrease ? -1 : 1) * static_cast<int64_t>(stride) * r) * kFractalBytes;
      TransposeSquare16(exec.At<uint16_t>(dst, static_cast<int64_t>(r) * (gap + 1) * kFractalBytes),
                        exec.At<uint16_t>(src, from));
      continue;
    }
    const uint8_t* from = exec.At(src);
    uint8_t* to = exec.At(dst);
    if (bytes == 4) {
      ForEachElement(r, [&](int64_t s, int64_t d) { std::memcpy(to + d, from + s, 4); });
    } else {
      ForEachElement(r, [&](int64_t s, int64_t d) { to[d] = from[s]; });
    }
  }
}

void LoadTransposed::Carry(Shadow* shadows) const {
  const Shadow& l1 = shadows[static_cast<int>(Buffer::kL1)];
  Shadow& l0 = shadows[static_cast<int>(dst.buffer)];
  const uint32_t square = Fractals() * kFractalBytes;
  for (uint32_t r = 0; r < repeat; ++r) {
    const uint64_t from =
        static_cast<uint64_t>(src.offset + (start + (decrease ? -1 : 1) * static_cast<int64_t>(stride) * r) * square);
    if (l1.FirstUndefined(from, square) == from + square) continue;
    ForEachElement(r, [&](int64_t s, int64_t d) {
      const uint64_t at = static_cast<uint64_t>(src.offset + s);
      if (l1.FirstUndefined(at, bytes) < at + bytes) l0.Undefine(static_cast<uint64_t>(dst.offset + d), bytes);
    });
  }
}

Cost LoadTransposed::GetCost() const {
  return Cost::Move(PathInto(dst.buffer, false), static_cast<uint64_t>(repeat) * Fractals() * kFractalBytes, repeat);
}
ASCEND_SIM_INSTRUCTION(LoadTransposed)

// ---- InitConstValue -----------------------------------------------------------------------------------------------

void FillConstant::Validate(Check& check) const {
  ValidateDestination(check, dst, true);
  check.Range("repeatTimes", repeat, 0, 32767);
  check.Range("blockNum", blocks, 0, 32767);
  check.Range("dstGap", gap, 0, 32767);
}

void FillConstant::Touch(Footprint& f) const {
  f.Write("dst", dst, 0, blocks * Block(), Dim{repeat, (static_cast<int64_t>(blocks) + gap) * Block()});
}

void FillConstant::Execute(const Exec& exec) const {
  for (uint32_t r = 0; r < repeat; ++r) {
    uint8_t* to = exec.At(dst, static_cast<int64_t>(r) * (blocks + gap) * Block());
    for (uint32_t at = 0; at < blocks * Block(); at += bytes) std::memcpy(to + at, &value, bytes);
  }
}

Cost FillConstant::GetCost() const {
  return Cost::Move(Path::kFill, static_cast<uint64_t>(repeat) * blocks * Block(), repeat);
}
ASCEND_SIM_INSTRUCTION(FillConstant)

}  // namespace ascend_sim
