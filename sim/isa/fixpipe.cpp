#include "isa/fixpipe.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "isa/atomic.h"

namespace ascend_sim {

const char* QuantName(Quant quant) {
  static const char* names[] = {"NoQuant",     "F322F16",      "F322BF16", "DEQF16", "VDEQF16",
                                "QF322B8_PRE", "VQF322B8_PRE", "REQ8",     "VREQ8"};
  return names[static_cast<int>(quant)];
}

namespace {

bool Allowed(DType src, DType dst, Quant quant, bool to_gm) {
  const bool byte = dst == DType::kI8 || dst == DType::kU8;
  switch (quant) {
    case Quant::kNone:
      return to_gm && src == dst && (src == DType::kF32 || src == DType::kI32);
    case Quant::kF32ToF16:
      return src == DType::kF32 && dst == DType::kF16;
    case Quant::kF32ToBf16:
      return src == DType::kF32 && dst == DType::kBf16;
    case Quant::kDeqF16:
    case Quant::kVDeqF16:
      return src == DType::kI32 && dst == DType::kF16;
    case Quant::kF32ToB8:
    case Quant::kVF32ToB8:
      return src == DType::kF32 && byte;
    case Quant::kReq8:
    case Quant::kVReq8:
      return src == DType::kI32 && byte;
  }
  return false;
}

// The 64 bits that describe a scaling.
struct Scale {
  float factor;    // the chip keeps 10 bits of mantissa
  int shift;       // int32 is shifted right by so many bits and saturated to int16; 0: not
  int offset;      // added to 8-bit results
  bool is_signed;  // 8-bit results
};

Scale Unpack(uint64_t bits) {
  const uint32_t kept = static_cast<uint32_t>(bits) & 0xffffe000u;
  Scale scale;
  std::memcpy(&scale.factor, &kept, 4);
  scale.shift = (bits >> 36 & 1) != 0 ? static_cast<int>(bits >> 32 & 15) + 1 : 0;
  scale.offset = static_cast<int>(bits >> 37 & 0x1ff);
  if (scale.offset >= 256) scale.offset -= 512;
  scale.is_signed = (bits >> 46 & 1) != 0;
  return scale;
}

float FromInt(int32_t value, const Scale& scale) {
  if (scale.shift == 0) return static_cast<float>(value);
  return static_cast<float>(std::clamp(value >> scale.shift, -32768, 32767));
}

float Scaled(float value, const Scale& scale, bool relu) { return value < 0 && relu ? 0.0f : value * scale.factor; }

uint8_t ToByte(float value, const Scale& scale) {
  const float bounded = std::isnan(value) ? 0.0f : std::clamp(value, -256.0f, 255.0f);
  const int result = static_cast<int>(std::nearbyint(bounded)) + scale.offset;
  return scale.is_signed ? static_cast<uint8_t>(static_cast<int8_t>(std::clamp(result, -128, 127)))
                         : static_cast<uint8_t>(std::clamp(result, 0, 255));
}

float Saturated(float value, float largest) { return std::isnan(value) ? 0.0f : std::clamp(value, -largest, largest); }

// `count` neighbouring columns of one row, the first of them `column`.
void Convert(const Fixpipe& f, const uint8_t* in, uint8_t* out, uint32_t count, const uint64_t* scales) {
  const float* real = reinterpret_cast<const float*>(in);
  const int32_t* integer = reinterpret_cast<const int32_t*>(in);
  uint16_t* out16 = reinterpret_cast<uint16_t*>(out);
  auto scale_of = [&](uint32_t i) { return Unpack(scales != nullptr ? scales[i] : f.scale); };
  switch (f.quant) {
    case Quant::kNone:
      std::memcpy(out, in, count * 4);
      if (!f.relu) return;
      for (uint32_t i = 0; i < count; ++i) {
        if (f.src_type == DType::kF32 ? real[i] < 0 : integer[i] < 0) std::memset(out + i * 4, 0, 4);
      }
      return;
    case Quant::kF32ToF16:
      for (uint32_t i = 0; i < count; ++i) {
        float value = f.relu && real[i] < 0 ? 0.0f : real[i];
        if (f.saturate) value = Saturated(value, 65504.0f);
        out16[i] = FloatToHalf(value);
      }
      return;
    case Quant::kF32ToBf16:
      for (uint32_t i = 0; i < count; ++i) {
        float value = f.relu && real[i] < 0 ? 0.0f : real[i];
        if (f.saturate) value = Saturated(value, Bf16ToFloat(0x7f7f));
        out16[i] = FloatToBf16(value);
      }
      return;
    case Quant::kDeqF16:
    case Quant::kVDeqF16:
      for (uint32_t i = 0; i < count; ++i) {
        const Scale scale = scale_of(i);
        const float value = Scaled(FromInt(integer[i], scale), scale, f.relu);
        out16[i] = FloatToHalf(f.saturate ? Saturated(value, 65504.0f) : value);
      }
      return;
    case Quant::kF32ToB8:
    case Quant::kVF32ToB8:
      for (uint32_t i = 0; i < count; ++i) {
        const Scale scale = scale_of(i);
        out[i] = ToByte(Scaled(real[i], scale, f.relu), scale);
      }
      return;
    case Quant::kReq8:
    case Quant::kVReq8:
      for (uint32_t i = 0; i < count; ++i) {
        const Scale scale = scale_of(i);
        out[i] = ToByte(Scaled(FromInt(integer[i], scale), scale, f.relu), scale);
      }
      return;
  }
}

}  // namespace

void Fixpipe::Validate(Check& check) const {
  check.In("src", src, Buffer::kL0C);
  check.Aligned("src", src, 64, false);
  if (!Allowed(src_type, dst_type, quant, to_gm)) {
    check.Fail(Rule::kArgument, "quantPre %s: does not take %s to %s%s", QuantName(quant), DTypeName(src_type),
               DTypeName(dst_type), to_gm ? "" : " in L1");
  }
  check.Range("nSize", n, 0, 4095);
  check.Require(unit_flag == 0 || unit_flag == 2 || unit_flag == 3, "unitFlag: expected 0, 2 or 3");
  if (Nothing() || check.failed()) return;
  if (dst_stride == 0) check.Fail(Rule::kArgument, "dstStride: must not be 0");
  if (row_major) {
    check.Require(to_gm, "L0C to L1: the destination is NZ on this chip, pass CFG_NZ");
    check.Require(!channel_split, "isChannelSplit: the destination must be NZ (CFG_NZ)");
    check.Range("mSize", m, 0, 8192);
    if (nd_num > 1) {
      check.Range("srcNdStride", src_nd_stride, 1, 512);
      check.Range("dstNdStride", dst_nd_stride, 1, 65535);
    }
    if (n % 16 != 0) {
      check.Fail(
          Rule::kPortability,
          "nSize %u is not a multiple of 16: CANN 8.1 allows it in row-major form, the 9.x documentation does not", n);
    }
  } else {
    const uint32_t multiple = channel_split ? 8 : 16;
    if (n % multiple != 0) check.Fail(Rule::kArgument, "nSize: %u is not a multiple of %u", n, multiple);
    if (channel_split) {
      check.Require(to_gm && dst_type == DType::kF32 && unit_flag == 0,
                    "isChannelSplit: only float to float into GM without unitFlag");
    }
    if (!to_gm) {
      check.In("dst", l1, Buffer::kL1);
      check.Aligned("dst", l1, kBlockBytes, true);
    } else if (gm.address % kBlockBytes != 0) {
      check.Fail(Rule::kMisalignedWrite, "dst: an NZ matrix in GM starts at a multiple of 32 B");
    }
  }
  if (IsVector(quant)) check.In("quantPre tensor", scales, Buffer::kFb);
  if (atomic != 0 && to_gm && atomic_type != dst_type) {
    check.Fail(Rule::kArgument, "the atomic mode was set for %s, the destination is %s", DTypeName(atomic_type),
               DTypeName(dst_type));
  }
}

// body(offset in L0C, offset in the destination, columns, first column, elements between rows in the destination...)
// for every column of fractals of every matrix: rows are 64 B apart in L0C and `row_step` bytes in the destination.
template <class Body>
void Fixpipe::ForEachRun(Body body) const {
  const uint32_t bytes = BytesOf(dst_type);
  const uint32_t columns = (n + 15u) / 16;
  for (uint32_t i = 0; i < Matrices(); ++i) {
    for (uint32_t j = 0; j < columns; ++j) {
      const uint32_t width = std::min(16u, n - j * 16u);
      const int64_t from = static_cast<int64_t>(i) * src_nd_stride * 1024 + static_cast<int64_t>(j) * src_stride * 64;
      if (row_major) {
        const int64_t to = (static_cast<int64_t>(i) * dst_nd_stride + j * 16) * bytes;
        body(from, to, width, j * 16, static_cast<int64_t>(dst_stride) * bytes);
      } else if (channel_split) {
        for (uint32_t half = 0; half * 8 < width; ++half) {
          body(from + half * 32, static_cast<int64_t>(2 * j + half) * dst_stride * kBlockBytes, 8u, j * 16 + half * 8,
               32);
        }
      } else if (bytes == 1 &&
                 (j % 2 == 1 || j + 1 < columns)) {  // channel merge: two columns share fractals of 16 x 32
        body(from, static_cast<int64_t>(j / 2) * dst_stride * kBlockBytes + j % 2 * 16, width, j * 16, 32);
      } else {
        const uint32_t column = bytes == 1 ? j / 2 : j;
        body(from, static_cast<int64_t>(column) * dst_stride * kBlockBytes, width, j * 16, 16 * bytes);
      }
    }
  }
}

void Fixpipe::Touch(Footprint& f) const {
  if (Nothing()) return;
  const uint32_t bytes = BytesOf(dst_type);
  const uint32_t whole = n / 16, rest = n % 16 * 4u;
  const Dim rows{m, 64}, columns{whole, static_cast<int64_t>(src_stride) * 64};
  const Dim matrices{Matrices(), static_cast<int64_t>(src_nd_stride) * 1024};
  f.Read("src", src, 0, 64, rows, columns, matrices);
  f.Read("src", src, static_cast<int64_t>(whole) * src_stride * 64, rest, rows, matrices);
  if (IsVector(quant)) f.Read("quantPre tensor", scales, 0, n * 8u);
  if (row_major) {
    f.Write("dst", gm, 0, n * bytes, Dim{m, static_cast<int64_t>(dst_stride) * bytes},
            Dim{Matrices(), static_cast<int64_t>(dst_nd_stride) * bytes}, {}, atomic != 0);
  } else {
    ForEachRun([&](int64_t, int64_t to, uint32_t width, uint32_t, int64_t row_step) {
      if (to_gm) {
        f.Write("dst", gm, to, width * bytes, Dim{m, row_step}, {}, {}, atomic != 0);
      } else {
        f.Write("dst", l1, to, width * bytes, Dim{m, row_step});
      }
    });
  }
  if (unit_flag != 0) {
    f.UnitFlag(Footprint::Unit::kConsume, unit_flag == 3, src, 0, (m + 15u) / 16 * 1024,
               Dim{(n + 15u) / 16, static_cast<int64_t>(src_stride) * 64});
  }
}

void Fixpipe::Execute(const Exec& exec) const {
  if (Nothing()) return;
  const uint32_t bytes = BytesOf(dst_type);
  const uint8_t* from_base = exec.At(src);
  uint8_t* to_base = to_gm ? exec.At(gm) : exec.At(l1);
  const uint64_t* column_scales = IsVector(quant) ? exec.At<uint64_t>(scales) : nullptr;
  ForEachRun([&](int64_t from, int64_t to, uint32_t width, uint32_t column, int64_t row_step) {
    alignas(16) uint8_t row[64];
    for (uint32_t r = 0; r < m; ++r) {
      Convert(*this, from_base + from + r * 64, row, width,
              column_scales != nullptr ? column_scales + column : nullptr);
      StoreGm(static_cast<AtomicOp>(atomic), dst_type, to_base + to + r * row_step, row, width * bytes);
    }
  });
}

Cost Fixpipe::GetCost() const {
  const Path path = !to_gm ? Path::kL0cToL1 : atomic != 0 ? Path::kL0cToGmAtomic : Path::kL0cToGm;
  const uint64_t elements = Nothing() ? 0 : static_cast<uint64_t>(Matrices()) * m * n;
  // Row-major rows go out as pieces; NZ output as columns of fractals.
  const uint32_t pieces = row_major ? Matrices() * m : (n + 15u) / 16;
  Cost cost = Cost::Move(path, elements * BytesOf(dst_type), Nothing() ? 0 : pieces);
  if (to_gm && Matrices() == 1) {
    cost.At(gm.address, row_major ? static_cast<int64_t>(dst_stride) * BytesOf(dst_type)
                                  : static_cast<int64_t>(dst_stride) * kBlockBytes);
  }
  return cost;
}
ASCEND_SIM_INSTRUCTION(Fixpipe)

}  // namespace ascend_sim
