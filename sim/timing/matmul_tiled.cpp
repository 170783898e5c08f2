// C = A B^T by the tilings that CANN's matmul tuning knows: cores over batches, rows and columns, packets in L1, tiles
// in L0. Measured times of thousands of such tilings are public, so this kernel says where the timing model is wrong.
#include "common.h"

namespace {

constexpr int32_t kFractal = 16;
constexpr uint32_t kL0Bytes = 65536;

__aicore__ inline int32_t Ceil(int32_t a, int32_t b) { return (a + b - 1) / b; }
__aicore__ inline int32_t Least(int32_t a, int32_t b) { return a < b ? a : b; }

}  // namespace

// Sizes in elements. Of l1a_k and l1b_k 0: the core's whole operand is loaded once for each batch.
struct Tiled {
  int32_t batch, m, n, k;
  int32_t wide, row_major;  // C as fp32 instead of fp16; as rows instead of NZ
  int32_t cores_batch, cores_m, cores_n;
  int32_t base_m, base_n, base_k;
  int32_t l1a_buffers, l1a_k, l1a_m, l1a_batch;  // l1x_batch: batches in a packet, all loaded at once
  int32_t l1b_buffers, l1b_k, l1b_n, l1b_batch;
  int32_t l0a_buffers, l0b_buffers, l0c_buffers;
};

namespace {

// One of A and B: [batch, k / 16, rows, 16] in GM, the same of a packet in L1, tiles in L0.
template <TPosition kL1, TPosition kL0, int32_t kFlag>
class Operand {
 public:
  __aicore__ inline void Init(GM_ADDR gm, int32_t rows, int32_t k, int32_t first, int32_t core_rows,
                              uint32_t l1_offset) {
    gm_ = Gm<half>(gm);
    rows_ = rows;
    k_ = k;
    first_ = first;
    core_rows_ = core_rows;
    l1_offset_ = l1_offset;
  }
  __aicore__ inline void Packets(int32_t buffers, int32_t packet_k, int32_t packet_rows, int32_t batches) {
    buffers_ = buffers;
    full_ = packet_k == 0 || packet_k >= k_;
    packet_k_ = full_ ? k_ : packet_k;
    packet_rows_ = packet_k == 0 ? core_rows_ : Least(packet_rows, core_rows_);
    batches_ = full_ && packet_rows_ >= core_rows_ ? batches : 1;
  }
  __aicore__ inline void Tiles(int32_t base_rows, int32_t base_k, int32_t buffers) {
    base_rows_ = Least(base_rows, core_rows_);
    base_k_ = Least(base_k, k_);
    l0_buffers_ = buffers;
    const int64_t all = static_cast<int64_t>(Ceil(core_rows_, base_rows_) * base_rows_) * (Ceil(k_, base_k_) * base_k_);
    whole_ = kL0 == TPosition::B2 && all * 2 <= static_cast<int64_t>(kL0Bytes) / buffers;
  }
  __aicore__ inline bool full() const { return full_; }
  __aicore__ inline int32_t packets() const { return Ceil(core_rows_, packet_rows_); }
  __aicore__ inline int32_t packet_rows() const { return packet_rows_; }
  __aicore__ inline int32_t base_rows() const { return base_rows_; }
  __aicore__ inline uint32_t L1Bytes() const {
    return static_cast<uint32_t>(packet_k_ * packet_rows_ * 2 * batches_ * buffers_);
  }

  __aicore__ inline void Begin() {
    for (int32_t id = 0; id < buffers_; ++id) SetFlag<HardEvent::MTE1_MTE2>(kFlag + id);
    for (int32_t id = 0; id < l0_buffers_; ++id) SetFlag<HardEvent::M_MTE1>(kFlag + id);
  }
  __aicore__ inline void End() {
    if (packet_ >= 0) SetFlag<HardEvent::MTE1_MTE2>(kFlag + slot_);
    if (tile_ >= 0) SetFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
    for (int32_t id = 0; id < buffers_; ++id) WaitFlag<HardEvent::MTE1_MTE2>(kFlag + id);
    for (int32_t id = 0; id < l0_buffers_; ++id) WaitFlag<HardEvent::M_MTE1>(kFlag + id);
  }

  // The packet of L1 with rows from `row` on (of the core's) and k from `at_k` on is there for MTE1. `tile`: number of
  // the tile of C, which a packet without all of k serves alone.
  __aicore__ inline void Fetch(int32_t batch, int32_t row, int32_t at_k, int64_t tile) {
    const int32_t group = batch / batches_;
    const int64_t part = full_ ? 0 : tile * Ceil(k_, packet_k_) + at_k / packet_k_;
    const int64_t packet = (static_cast<int64_t>(group) * packets() + row / packet_rows_) * (int64_t{1} << 32) + part;
    in_packet_k_ = at_k % packet_k_;
    in_packet_row_ = row % packet_rows_;
    in_packet_batch_ = batch % batches_;
    if (packet == packet_) return;
    if (packet_ >= 0) SetFlag<HardEvent::MTE1_MTE2>(kFlag + slot_);
    slot_ = packet_ < 0 ? 0 : (slot_ + 1) % buffers_;
    packet_ = packet;
    WaitFlag<HardEvent::MTE1_MTE2>(kFlag + slot_);
    held_rows_ = Least(packet_rows_, core_rows_ - row / packet_rows_ * packet_rows_);
    held_k_ = Least(packet_k_, k_ - at_k / packet_k_ * packet_k_);
    for (int32_t i = 0; i < batches_; ++i) {
      const uint64_t from =
          ((static_cast<uint64_t>(group) * batches_ + i) * k_ + at_k / packet_k_ * packet_k_) * rows_ +
          static_cast<uint64_t>(first_ + row / packet_rows_ * packet_rows_) * kFractal;
      const LocalTensor<half> to = Packet()[static_cast<uint32_t>(i * packet_k_ * packet_rows_)];
      if (rows_ - held_rows_ <= 65535) {
        DataCopy(to, gm_[from],
                 DataCopyParams(static_cast<uint16_t>(held_k_ / kFractal), static_cast<uint16_t>(held_rows_),
                                static_cast<uint16_t>(rows_ - held_rows_), 0));
        continue;
      }
      for (int32_t c = 0; c < held_k_ / kFractal; ++c) {  // a gap beyond 16 bits
        DataCopy(to[static_cast<uint32_t>(c * held_rows_ * kFractal)],
                 gm_[from + static_cast<uint64_t>(c) * rows_ * kFractal],
                 DataCopyParams(1, static_cast<uint16_t>(held_rows_), 0, 0));
      }
    }
    Hand<HardEvent::MTE2_MTE1>(kFlag + slot_);
  }

  // The tile [rows, k] of the packet at hand in L0, once MTE1_M is waited for. Held tiles are not loaded again.
  __aicore__ inline LocalTensor<half> Load(int32_t batch, int32_t row, int32_t rows, int32_t at_k, int32_t k) {
    const int64_t all_k = Ceil(k_, base_k_), number = row / base_rows_ * all_k + at_k / base_k_;
    const int64_t tile = whole_ ? batch : (static_cast<int64_t>(batch) << 40) + number;
    fresh_ = false;
    if (tile != tile_) {
      if (tile_ >= 0) SetFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
      l0_slot_ = tile_ < 0 ? 0 : (l0_slot_ + 1) % l0_buffers_;
      tile_ = tile;
      loaded_ = 0;
      WaitFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
    }
    const uint32_t stride = static_cast<uint32_t>(base_rows_ * base_k_);
    const uint32_t offset = whole_ ? static_cast<uint32_t>(number) * stride : 0;
    LocalTensor<half> to(
        kL0, static_cast<uint32_t>(l0_slot_) * (kL0Bytes / static_cast<uint32_t>(l0_buffers_)) + offset * 2, stride);
    if (whole_ && number < loaded_) return to;
    if (!whole_ && loaded_ != 0) return to;
    loaded_ = whole_ ? number + 1 : 1;
    fresh_ = true;
    const LocalTensor<half> from = Packet()[static_cast<uint32_t>(in_packet_batch_ * packet_k_ * packet_rows_)];
    if constexpr (kL0 == TPosition::A2) {
      LoadData3DParamsV2<half> params;
      params.l1H = 1;
      params.l1W = static_cast<uint16_t>(held_rows_);
      params.channelSize = static_cast<uint16_t>(held_k_);
      params.kExtension = static_cast<uint16_t>(k);
      params.mExtension = static_cast<uint16_t>(rows);
      params.kStartPt = static_cast<uint16_t>(in_packet_k_);
      params.mStartPt = static_cast<uint16_t>(in_packet_row_);
      LoadData(to, from, params);
    } else if (rows == held_rows_) {
      LoadData(to, from[static_cast<uint32_t>(in_packet_k_ * held_rows_)],
               LoadData2DParams(0, static_cast<uint8_t>(rows / kFractal * (k / kFractal)), 1, 0, 0, false, 0));
    } else {
      for (int32_t c = 0; c < k / kFractal; ++c) {
        LoadData(to[static_cast<uint32_t>(c * rows * kFractal)],
                 from[static_cast<uint32_t>((in_packet_k_ + c * kFractal) * held_rows_ + in_packet_row_ * kFractal)],
                 LoadData2DParams(0, static_cast<uint8_t>(rows / kFractal), 1, 0, 0, false, 0));
      }
    }
    return to;
  }
  __aicore__ inline bool fresh() const { return fresh_; }

 private:
  __aicore__ inline LocalTensor<half> Packet() const {
    const uint32_t elements = static_cast<uint32_t>(packet_k_ * packet_rows_ * batches_);
    return LocalTensor<half>(kL1, l1_offset_ + static_cast<uint32_t>(slot_) * elements * 2, elements);
  }

  GlobalTensor<half> gm_;
  int32_t rows_ = 0, k_ = 0, first_ = 0, core_rows_ = 0, buffers_ = 1, packet_k_ = 0, packet_rows_ = 0, batches_ = 1;
  int32_t base_rows_ = 0, base_k_ = 0, l0_buffers_ = 1, slot_ = 0, l0_slot_ = 0, held_rows_ = 0, held_k_ = 0;
  int32_t in_packet_k_ = 0, in_packet_row_ = 0, in_packet_batch_ = 0;
  uint32_t l1_offset_ = 0;
  int64_t packet_ = -1, tile_ = -1, loaded_ = 0;
  bool full_ = false, whole_ = false, fresh_ = false;
};

class TiledMatmul {
 public:
  __aicore__ inline TiledMatmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, const Tiled& t) : c_(c), t_(t) {
    const int32_t core = static_cast<int32_t>(GetBlockIdx());
    const int32_t at_n = core % t.cores_n, at_m = core / t.cores_n % t.cores_m, at_b = core / t.cores_n / t.cores_m;
    Share(t.m / kFractal, t.cores_m, at_m, kFractal, &m0_, &m_);
    Share(t.n / kFractal, t.cores_n, at_n, kFractal, &n0_, &n_);
    Share(t.batch, t.cores_batch, at_b, 1, &b0_, &b_);
    if (Empty()) return;
    a_op_.Init(a, t.m, t.k, m0_, m_, 0);
    a_op_.Packets(t.l1a_buffers, t.l1a_k, t.l1a_m, t.l1a_batch);
    a_op_.Tiles(t.base_m, t.base_k, t.l0a_buffers);
    b_op_.Init(b, t.n, t.k, n0_, n_, a_op_.L1Bytes());
    b_op_.Packets(t.l1b_buffers, t.l1b_k, t.l1b_n, t.l1b_batch);
    b_op_.Tiles(t.base_n, t.base_k, t.l0b_buffers);
  }

  __aicore__ inline void Run() {
    if (Empty()) return;
    a_op_.Begin();
    b_op_.Begin();
    // The operand whose packets hold all of k stays while the other passes; of two, what loads less.
    const int64_t rows_outside = m_ + static_cast<int64_t>(n_) * a_op_.packets();
    const int64_t columns_outside = n_ + static_cast<int64_t>(m_) * b_op_.packets();
    const bool by_rows = a_op_.full() && (!b_op_.full() || rows_outside <= columns_outside);
    const int32_t outer = by_rows ? m_ : n_, inner = by_rows ? n_ : m_;
    const int32_t outer_packet = by_rows ? a_op_.packet_rows() : b_op_.packet_rows();
    const int32_t inner_packet = by_rows ? b_op_.packet_rows() : a_op_.packet_rows();
    const int32_t outer_base = by_rows ? a_op_.base_rows() : b_op_.base_rows();
    const int32_t inner_base = by_rows ? b_op_.base_rows() : a_op_.base_rows();
    for (int32_t batch = b0_; batch < b0_ + b_; ++batch) {
      for (int32_t o = 0; o < outer; o += outer_packet) {
        for (int32_t i = 0; i < inner; i += inner_packet) {
          for (int32_t oo = o; oo < Least(o + outer_packet, outer); oo += outer_base) {
            for (int32_t ii = i; ii < Least(i + inner_packet, inner); ii += inner_base) {
              Tile(batch, by_rows ? oo : ii, by_rows ? ii : oo);
            }
          }
        }
      }
    }
    a_op_.End();
    b_op_.End();
  }

 private:
  __aicore__ inline bool Empty() const { return m_ <= 0 || n_ <= 0 || b_ <= 0; }
  __aicore__ static inline void Share(int32_t units, int32_t cores, int32_t core, int32_t unit, int32_t* first,
                                      int32_t* count) {
    const int32_t each = Ceil(units, cores);
    *first = each * core * unit;
    *count = (Least(each * (core + 1), units) - each * core) * unit;
  }

  // C[row.., column..] of the core's share.
  __aicore__ inline void Tile(int32_t batch, int32_t row, int32_t column) {
    const int32_t m = Least(a_op_.base_rows(), m_ - row), n = Least(b_op_.base_rows(), n_ - column);
    const int32_t steps = Ceil(t_.k, t_.base_k);
    const bool small = m / kFractal * (n / kFractal) < 10;  // CANN's rule for a barrier between Mmads of one result
    const uint32_t half_c = 65536;
    const uint32_t offset = t_.l0c_buffers > 1 && static_cast<uint32_t>(m * n * 4) <= half_c
                                ? static_cast<uint32_t>(tiles_ & 1) * half_c
                                : 0;
    LocalTensor<float> c(TPosition::CO1, offset, static_cast<uint32_t>(m * n));
    for (int32_t step = 0; step < steps; ++step) {
      const int32_t at_k = step * t_.base_k, k = Least(t_.base_k, t_.k - at_k);
      a_op_.Fetch(batch, row, at_k, tiles_);
      b_op_.Fetch(batch, column, at_k, tiles_);
      const LocalTensor<half> a0 = a_op_.Load(batch, row, m, at_k, k);
      const LocalTensor<half> b0 = b_op_.Load(batch, column, n, at_k, k);
      if (a_op_.fresh() || b_op_.fresh()) Hand<HardEvent::MTE1_M>(EVENT_ID0);
      if (small && step != 0) PipeBarrier<PIPE_M>();
      Mmad(c, a0, b0, MmadParams(m, n, k, step + 1 == steps ? 3 : 2, false, step == 0));
    }
    if (t_.wide != 0) {
      Out<float>(c, batch, row, column, m, n);
    } else {
      Out<half>(c, batch, row, column, m, n);
    }
    ++tiles_;
  }

  // Without CANN's barrier before a Fixpipe, as its own matmul writes.
  template <typename T>
  __aicore__ inline void Out(const LocalTensor<float>& c, int32_t batch, int32_t row, int32_t column, int32_t m,
                             int32_t n) {
    const bool rows = t_.row_major != 0;
    const GlobalTensor<T> gc = Gm<T>(c_);
    const uint64_t at_row = static_cast<uint64_t>(m0_ + row), at_column = static_cast<uint64_t>(n0_ + column);
    const uint64_t at = static_cast<uint64_t>(batch) * t_.m * t_.n +
                        (rows ? at_row * t_.n + at_column : at_column * t_.m + at_row * kFractal);
    DataCopyCO12DstParams params;
    params.nSize = static_cast<uint16_t>(n);
    params.mSize = static_cast<uint16_t>(m);
    params.srcStride = static_cast<uint16_t>(m);
    params.dstStride = static_cast<uint32_t>(rows ? t_.n : t_.m * static_cast<int32_t>(sizeof(T)) / 2);
    params.unitFlag = 3;
    if (sizeof(T) == 2) params.quantPre = QuantMode_t::F322F16;
    params.nz2ndEn = rows;
    if (rows) SetFixpipeNz2ndFlag(1, 0, 0);
    DataCopy(gc[at], c, params);
  }

  GM_ADDR c_;
  const Tiled& t_;
  Operand<TPosition::A1, TPosition::A2, 0> a_op_;
  Operand<TPosition::B1, TPosition::B2, 2> b_op_;
  int32_t m0_ = 0, m_ = 0, n0_ = 0, n_ = 0, b0_ = 0, b_ = 0;
  int64_t tiles_ = 0;
};

}  // namespace

// A [batch, k / 16, m, 16] and B [batch, k / 16, n, 16] fp16, C [batch, n / 16, m, 16] or [batch, m, n] fp16 or fp32.
extern "C" __global__ __aicore__ void matmul_tiled(GM_ADDR a, GM_ADDR b, GM_ADDR c, Tiled tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    TiledMatmul(a, b, c, tiling).Run();
    PipeBarrier<PIPE_ALL>();
  }
}
