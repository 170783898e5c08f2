// What the backward's cube core has on the chip, and its moves: operands from GM into L1, from there into L0, products
// in L0C, and out. Each buffer's two events are here, the order of the products is in backward_aic.h.
#pragma once
#include "backward_sections.h"
#include "cube.h"

namespace triangle {

using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

// Tile: NarrowTile or WideTile, for its kWidth, the most columns of q, k, v and dout.
template <class Tile>
struct BackwardAicBuffers {
  static constexpr uint32_t kElement = 2;                                      // bytes of fp16, bf16
  static constexpr uint32_t kWideTile = kGradBlock * Tile::kWidth * kElement;  // [128, D or Dv]
  static constexpr uint32_t kSquareTile = kGradBlock * kGradBlock * kElement;
  // L1, narrow 352 KiB, wide 480 KiB.
  static constexpr int32_t kAnchorSlots = Tile::kWidth > NarrowTile::kWidth ? 1 : 2;
  static constexpr uint32_t kAnchor = 0;  // 128 KiB: of sections being scored, K and V, or Q and dO
  static constexpr uint32_t kKeys = kAnchor + kAnchorSlots * 2 * kWideTile;  // of the section being summed, K
  static constexpr int32_t kOperandSlots = 3;
  static constexpr uint32_t kOperands =
      kKeys + kWideTile;  // each [128, 128] of P or dS, and [128, D or Dv] of an input
  static constexpr uint32_t kOperandBytes = kSquareTile + kWideTile;
  static constexpr uint32_t kL1End = kOperands + kOperandSlots * kOperandBytes;
  static_assert(kL1End <= 512 * 1024 - 256, "L1 is 512 KiB, of which mixed kernels lose 256 B");
  // L0: two buffers each of L0A and L0B; L0C one tile for a sum over blocks, four for quarters of single products: so
  // many are on their way out while the cube computes the next, and Fixpipe's latency is not waited for.
  static constexpr uint32_t kL0Tile = kSquareTile;
  static constexpr int32_t kParts = 4;
  static constexpr int32_t kPartRows = kGradBlock / kParts;
  static constexpr uint32_t kSum = 0;
  static constexpr uint32_t kSumBytes = kGradBlock * kGradBlock * 4;
  static constexpr uint32_t kPart = kSum + kSumBytes;
  static constexpr uint32_t kPartBytes = kPartRows * kGradBlock * 4;
  static_assert(2 * kL0Tile <= 64 * 1024 && kPart + kParts * kPartBytes <= 128 * 1024, "L0A, L0B 64 KiB, L0C 128 KiB");
  // L1, MTE2_MTE1 "loaded" and MTE1_MTE2 "free again".
  static constexpr int32_t kEventAnchor = 0;
  static constexpr int32_t kEventKeys = kEventAnchor + kAnchorSlots;
  static constexpr int32_t kEventOperands = kEventKeys + 1;
  static_assert(kEventOperands + kOperandSlots <= 6, "event ids 6 and 7 are CANN's own");
};

// L0C, M_FIX "computed" and FIX_M "free again": the parts 0 .. 3, and the sum.
constexpr int32_t kEventPart = 0;
constexpr int32_t kEventSum = 4;

// L0A, ZZ, of the transpose of a dense NZ tile of `rows` rows and `columns` columns: its own order of fractals, each
// transposed.
template <class T>
__aicore__ inline void load_a_transposed(const AscendC::LocalTensor<T>& l0a, const AscendC::LocalTensor<T>& l1,
                                         int32_t rows, int32_t columns) {
  AscendC::LoadData2DParams params;
  params.repeatTimes = static_cast<uint8_t>(round_up(columns, 16) / 16 * (round_up(rows, 16) / 16));
  params.srcStride = 1;
  params.ifTranspose = true;
  AscendC::LoadData(l0a, l1, params);
}

template <class T, class Tile>
class BackwardCube {
 public:
  using Buffers = BackwardAicBuffers<Tile>;
  using Local = AscendC::LocalTensor<T>;
  using Sums = AscendC::GlobalTensor<float>;

  // One of q, k, v, dout.
  struct Input {
    AscendC::GlobalTensor<T> gm;
    const Strides* strides;
    int32_t columns;
  };

  __aicore__ inline void Init() { chip_.Init(Buffers::kL1End, 0); }

  // Every buffer begins free; at the end each "free again" is taken back, so that no flag is left to the next kernel.
  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < kL1Events; ++i) SetFlag<HardEvent::MTE1_MTE2>(i);
    for (int32_t i = 0; i < 2; ++i) SetFlag<HardEvent::M_MTE1>(i);
    for (int32_t i = 0; i <= Buffers::kParts; ++i) SetFlag<HardEvent::FIX_M>(i);
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < kL1Events; ++i) WaitFlag<HardEvent::MTE1_MTE2>(i);
    for (int32_t i = 0; i < 2; ++i) WaitFlag<HardEvent::M_MTE1>(i);
    for (int32_t i = 0; i <= Buffers::kParts; ++i) WaitFlag<HardEvent::FIX_M>(i);
  }

  // ---- GM -> L1 ----

  __aicore__ inline void begin_load(int32_t event) { WaitFlag<HardEvent::MTE1_MTE2>(event); }
  __aicore__ inline void end_load(int32_t event) { SetFlag<HardEvent::MTE2_MTE1>(event); }
  __aicore__ inline void begin_use(int32_t event) { WaitFlag<HardEvent::MTE2_MTE1>(event); }
  __aicore__ inline void end_use(int32_t event) { SetFlag<HardEvent::MTE1_MTE2>(event); }

  __aicore__ static inline int32_t anchor_slot(const Section& section) {
    return section.anchors % Buffers::kAnchorSlots;
  }
  __aicore__ inline Local anchor(const Section& section, int32_t part) {
    return chip_.template L1<T>(Buffers::kAnchor + (2 * anchor_slot(section) + part) * Buffers::kWideTile,
                                Buffers::kWideTile / Buffers::kElement);
  }
  __aicore__ inline Local keys() {
    return chip_.template L1<T>(Buffers::kKeys, Buffers::kWideTile / Buffers::kElement);
  }
  __aicore__ inline int32_t next_operands() { return operands_used_++ % Buffers::kOperandSlots; }
  __aicore__ inline Local weights(int32_t slot) {
    return chip_.template L1<T>(Buffers::kOperands + slot * Buffers::kOperandBytes,
                                Buffers::kSquareTile / Buffers::kElement);
  }
  __aicore__ inline Local input(int32_t slot) {
    return chip_.template L1<T>(Buffers::kOperands + slot * Buffers::kOperandBytes + Buffers::kSquareTile,
                                Buffers::kWideTile / Buffers::kElement);
  }
  // Columns n0 .. n0 + n of `rows` rows.
  __aicore__ inline void load_input(const Local& dst, const Input& x, int64_t batch, int64_t head, int64_t row,
                                    int32_t rows, int32_t n0, int32_t n) {
    load_rows(dst, x.gm[row_offset(*x.strides, batch, head, row) + n0], x.strides->row, rows,
              smaller(n, x.columns - n0));
  }

  // ---- L1 -> L0, products ----

  __aicore__ static inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

  // L0A and L0B go together: MTE1_M "loaded", M_MTE1 "free again", ids 0 and 1.
  __aicore__ inline int32_t begin_ab() {
    const int32_t ab = ab_used_++ & 1;
    WaitFlag<HardEvent::M_MTE1>(ab);
    return ab;
  }
  __aicore__ inline void loaded_ab(int32_t ab) {
    SetFlag<HardEvent::MTE1_M>(ab);
    WaitFlag<HardEvent::MTE1_M>(ab);
  }
  __aicore__ inline void end_ab(int32_t ab) { SetFlag<HardEvent::M_MTE1>(ab); }
  __aicore__ inline Local l0a(int32_t ab) {
    return chip_.template L0A<T>(ab * Buffers::kL0Tile, Buffers::kL0Tile / Buffers::kElement);
  }
  __aicore__ inline Local l0b(int32_t ab) {
    return chip_.template L0B<T>(ab * Buffers::kL0Tile, Buffers::kL0Tile / Buffers::kElement);
  }

  // The sum over a section's blocks.
  __aicore__ inline void begin_sum() { WaitFlag<HardEvent::FIX_M>(kEventSum); }
  __aicore__ inline void add_to_sum(int32_t ab, int32_t rows, int32_t n, int32_t k, bool first) {
    mmad(sum(), l0a(ab), l0b(ab), rows, n, k, first);
  }
  __aicore__ inline void end_sum(const Sums& dst, int32_t rows, int32_t n, int32_t pitch, bool adds) {
    SetFlag<HardEvent::M_FIX>(kEventSum);
    WaitFlag<HardEvent::M_FIX>(kEventSum);
    if (adds) AscendC::SetAtomicAdd<float>();
    store_tile(dst, sum(), rows, n, pitch);
    if (adds) AscendC::SetAtomicNone();
    SetFlag<HardEvent::FIX_M>(kEventSum);
  }

  // dst [rows, n] = A B of the loaded operands; `first` and `last` where A B is a sum over several of them. In parts of
  // the rows, so that Fixpipe stores some while the cube computes the next.
  __aicore__ inline void multiply(int32_t ab, const Sums& dst, int32_t rows, int32_t n, int32_t k, int32_t pitch,
                                  bool first, bool last) {
    const int32_t parts = (rows + Buffers::kPartRows - 1) / Buffers::kPartRows;
    for (int32_t i = 0; i < parts; ++i) {
      const int32_t row = i * Buffers::kPartRows, c = (parts_used_ + i) & (Buffers::kParts - 1);
      const int32_t now = smaller(Buffers::kPartRows, rows - row);
      if (first) WaitFlag<HardEvent::FIX_M>(kEventPart + c);
      mmad(part_tile(c), l0a(ab)[row * round_up(k, 16)], l0b(ab), now, n, k, first);
      if (!last) continue;
      SetFlag<HardEvent::M_FIX>(kEventPart + c);
      WaitFlag<HardEvent::M_FIX>(kEventPart + c);
      store_tile(dst[static_cast<int64_t>(row) * pitch], part_tile(c), now, n, pitch);
      SetFlag<HardEvent::FIX_M>(kEventPart + c);
    }
    if (last) parts_used_ += parts;
  }

 private:
  static constexpr int32_t kL1Events = Buffers::kEventOperands + Buffers::kOperandSlots;

  __aicore__ inline AscendC::LocalTensor<float> sum() {
    return chip_.template L0C<float>(Buffers::kSum, Buffers::kSumBytes / 4);
  }
  __aicore__ inline AscendC::LocalTensor<float> part_tile(int32_t c) {
    return chip_.template L0C<float>(Buffers::kPart + c * Buffers::kPartBytes, Buffers::kPartBytes / 4);
  }

  OnChip chip_;
  int32_t operands_used_ = 0, ab_used_ = 0, parts_used_ = 0;
};

}  // namespace triangle
