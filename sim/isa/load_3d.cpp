#include "isa/load_3d.h"

#include <algorithm>

#include "core/shadow.h"
#include "isa/load_data.h"

namespace ascend_sim {

namespace {
constexpr int64_t kPadding = INT64_MIN;
uint32_t Up(uint32_t value, uint32_t to) { return (value + to - 1) / to * to; }
}  // namespace

void Load3d::Validate(Check& check) const {
  if (dst.buffer != Buffer::kL0A && dst.buffer != Buffer::kL0B) {
    check.Fail(Rule::kArgument, "dst: expected a tensor in L0A or L0B, got one in %s", BufferName(dst.buffer));
  }
  check.Aligned("dst", dst, kFractalBytes, true);
  check.In("src", src, Buffer::kL1);
  check.Aligned("src", src, kBlockBytes, false);
  if (Nothing() || check.failed()) return;
  check.Require(bytes != 1 || !Transposes(), "8-bit elements: only L1 to L0A without enTranspose exists on this chip");
  check.Range("l1H", h, 1, 32767);
  check.Range("l1W", w, 1, 32767);
  check.Range("mStartPt", m_start, 0, 32767);
  check.Range("strideW", stride_w, 1, 63);
  check.Range("strideH", stride_h, 1, 63);
  check.Range("dilationFilterW", dilation_w, 1, 255);
  check.Range("dilationFilterH", dilation_h, 1, 255);
  if (k_start % C0() != 0) check.Fail(Rule::kArgument, "kStartPt: %u is not a multiple of %u", k_start, C0());
  if (channels % C0() != 0) {
    check.Fail(Rule::kNotImplemented,
               "channelSize %u: channel counts that do not fill blocks of %u are not implemented", channels, C0());
  }
  if (repeat > 1) check.Fail(Rule::kNotImplemented, "SetLoadDataRepeat with repeatTime %u is not implemented", repeat);
  if (check.failed()) return;
  check.Require(OutW() >= 1 && OutH() >= 1, "the kernel is larger than the padded feature map");
  if (boundary != 0) check.Range("SetLoadDataBoundary", boundary, 1024, 524288);
  const uint32_t k_total = channels / C0() * filter_h * filter_w * C0();
  if (k_start + Up(k_extent, C0()) > k_total) {
    check.Fail(Rule::kArgument, "kStartPt %u + kExtension %u: the matrix has %u columns", k_start, k_extent, k_total);
  }
}

int64_t Load3d::Source(uint32_t m, uint32_t block) const {
  const int32_t out_w = OutW();
  const uint32_t pixel = m_start + m, column = k_start / C0() + block;
  const int32_t kw = static_cast<int32_t>(column % filter_w), kh = static_cast<int32_t>(column / filter_w % filter_h);
  const uint32_t c1 = column / filter_w / filter_h;
  const int32_t row = static_cast<int32_t>(pixel) / out_w * stride_h + kh * dilation_h - pad_top;
  const int32_t col = static_cast<int32_t>(pixel) % out_w * stride_w + kw * dilation_w - pad_left;
  if (row < 0 || row >= h || col < 0 || col >= w) return kPadding;
  int64_t at = ((static_cast<int64_t>(c1) * h + row) * w + col) * kBlockBytes;
  if (boundary != 0 && src.offset + at >= boundary) at = (src.offset + at) % boundary - src.offset;
  return at;
}

uint32_t Load3d::Target(uint32_t m, uint32_t k) const {
  const uint32_t c0 = C0();
  if (!Transposes()) {  // ZZ of X
    return (m / 16 * KBlocks() + k / c0) * kFractalBytes + (m % 16 * c0 + k % c0) * bytes;
  }
  if (dst.buffer == Buffer::kL0A) {  // ZZ of the transpose: rows are k, columns are m
    const uint32_t columns = Up(m_extent, 16) / c0;
    return (k / 16 * columns + m / c0) * kFractalBytes + (k % 16 * c0 + m % c0) * bytes;
  }
  // ZN with rows m and columns k
  const uint32_t columns = Up(k_extent, 16) / 16;
  return (m / c0 * columns + k / 16) * kFractalBytes + (k % 16 * c0 + m % c0) * bytes;
}

uint32_t Load3d::DstBytes() const {
  return Transposes() ? Up(m_extent, 16) * Up(k_extent, 16) * bytes : Up(m_extent, 16) * KBlocks() * kBlockBytes;
}

void Load3d::Touch(Footprint& f) const {
  if (Nothing()) return;
  const uint32_t pixels = static_cast<uint32_t>(OutW() * OutH());
  const uint32_t rows = pixels > m_start ? std::min<uint32_t>(m_extent, pixels - m_start) : 0;
  const bool plain = filter_w == 1 && filter_h == 1 && stride_w == 1 && stride_h == 1 && boundary == 0 &&
                     pad_left + pad_right + pad_top + pad_bottom == 0;
  if (plain) {
    f.ReadCarried("src", src, Source(0, 0), kBlockBytes, Dim{rows, kBlockBytes},
                  Dim{KBlocks(), static_cast<int64_t>(h) * w * kBlockBytes});
  } else {
    for (uint32_t b = 0; b < KBlocks(); ++b) {
      for (uint32_t m = 0; m < rows; ++m) {
        const int64_t at = Source(m, b);
        if (at != kPadding) f.ReadCarried("src", src, at, kBlockBytes);
      }
    }
  }
  f.Write("dst", dst, 0, DstBytes());
}

void Load3d::Execute(const Exec& exec) const {
  if (Nothing()) return;
  const uint32_t pixels = static_cast<uint32_t>(OutW() * OutH());
  const uint32_t rows = pixels > m_start ? std::min<uint32_t>(m_extent, pixels - m_start) : 0;
  uint8_t* to = exec.At(dst);
  uint8_t padding[kBlockBytes];
  for (uint32_t at = 0; at < kBlockBytes; at += bytes) std::memcpy(padding + at, &pad_value, bytes);
  if (rows % 16 != 0 || rows < m_extent || Transposes()) std::memset(to, 0xff, DstBytes());
  for (uint32_t b = 0; b < KBlocks(); ++b) {
    for (uint32_t m = 0; m < rows; ++m) {
      const int64_t at = Source(m, b);
      const uint8_t* from = at == kPadding ? padding : exec.At(src, at);
      uint8_t* first = to + Target(m, b * C0());
      if (!Transposes()) {
        std::memcpy(first, from, kBlockBytes);
      } else {
        for (uint32_t c = 0; c < C0(); ++c) std::memcpy(to + Target(m, b * C0() + c), from + c * bytes, bytes);
      }
    }
  }
}

// Rows past the matrix and columns that only fill up a fractal are undefined, as is what was undefined in L1.
void Load3d::Carry(Shadow* shadows) const {
  if (Nothing()) return;
  const Shadow& l1 = shadows[static_cast<int>(Buffer::kL1)];
  Shadow& l0 = shadows[static_cast<int>(dst.buffer)];
  const uint32_t pixels = static_cast<uint32_t>(OutW() * OutH());
  const uint32_t rows = pixels > m_start ? std::min<uint32_t>(m_extent, pixels - m_start) : 0;
  l0.Undefine(dst.offset, DstBytes());
  for (uint32_t b = 0; b < KBlocks(); ++b) {
    for (uint32_t m = 0; m < rows; ++m) {
      const int64_t at = Source(m, b);
      const uint64_t from = static_cast<uint64_t>(src.offset + at);
      const bool padding = at == kPadding;
      const uint64_t hole = padding ? ~0ull : l1.FirstUndefined(from, kBlockBytes);
      if (!Transposes() && (padding || hole == from + kBlockBytes)) {
        l0.Define(dst.offset + Target(m, b * C0()), kBlockBytes);
        continue;
      }
      for (uint32_t c = 0; c < C0(); ++c) {
        const uint64_t element = from + c * bytes;
        if (padding || hole == from + kBlockBytes || l1.FirstUndefined(element, bytes) == element + bytes) {
          l0.Define(dst.offset + Target(m, b * C0() + c), bytes);
        }
      }
    }
  }
}

Cost Load3d::GetCost() const {
  const uint32_t bytes_moved = Nothing() ? 0 : DstBytes();
  return Cost::Move(PathInto(dst.buffer, false), bytes_moved, bytes_moved / kFractalBytes);
}
ASCEND_SIM_INSTRUCTION(Load3d)

}  // namespace ascend_sim
