// C = A B by the tilings that CANN's matmul tuning knows: cores over batches, rows and columns, packets in L1, tiles
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
  int32_t wide, row_major;     // C as fp32 instead of fp16; as rows instead of NZ
  int32_t a_layout, b_layout;  // 0 NZ of [rows, k] and of [k, columns]; 1 rows of these; 2 rows of their transposes
  int32_t cores_batch, cores_m, cores_n;
  int32_t base_m, base_n, base_k;
  int32_t l1a_buffers, l1a_k, l1a_m, l1a_batch;  // l1x_batch: batches in a packet, all loaded at once
  int32_t l1b_buffers, l1b_k, l1b_n, l1b_batch;
  int32_t l0a_buffers, l0b_buffers, l0c_buffers;
};

namespace {

// Where a core is: a step of k of a tile of C.
struct Step {
  int32_t batch = 0, row = 0, column = 0, k = 0;
  int64_t tile = 0;
};

// One of A [rows, k] and B [k, columns]: a packet of whole fractals in L1, tiles in L0.
template <bool kIsA>
class Operand {
 public:
  static constexpr int32_t kFlag = kIsA ? 0 : 2;

  __aicore__ inline void Init(GM_ADDR gm, int32_t layout, int32_t rows, int32_t k, int32_t first, int32_t core_rows,
                              uint32_t l1_offset) {
    layout_ = layout;
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
    whole_ = !kIsA && all * 2 <= static_cast<int64_t>(kL0Bytes) / buffers;
  }
  __aicore__ inline bool full() const { return full_; }
  __aicore__ inline int32_t packets() const { return Ceil(core_rows_, packet_rows_); }
  __aicore__ inline int32_t packet_rows() const { return packet_rows_; }
  __aicore__ inline int32_t base_rows() const { return base_rows_; }
  __aicore__ inline bool ahead() const { return buffers_ > 1; }
  __aicore__ inline uint32_t L1Bytes() const {
    return static_cast<uint32_t>(packet_k_ * packet_rows_ * 2 * batches_ * buffers_);
  }

  __aicore__ inline void Begin() {
    for (int32_t id = 0; id < buffers_; ++id) SetFlag<HardEvent::MTE1_MTE2>(kFlag + id);
    for (int32_t id = 0; id < l0_buffers_; ++id) SetFlag<HardEvent::M_MTE1>(kFlag + id);
  }
  __aicore__ inline void End() {
    if (tile_ >= 0) SetFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
    for (int32_t id = 0; id < buffers_; ++id) WaitFlag<HardEvent::MTE1_MTE2>(kFlag + id);
    for (int32_t id = 0; id < l0_buffers_; ++id) WaitFlag<HardEvent::M_MTE1>(kFlag + id);
  }

  // The packet a step needs. One without all of k serves a single tile of C.
  __aicore__ inline int64_t PacketOf(const Step& step) const {
    const int64_t panel = static_cast<int64_t>(step.batch / batches_) * packets() + Row(step) / packet_rows_;
    return full_ ? panel : step.tile * Ceil(k_, packet_k_) + step.k / packet_k_;
  }
  __aicore__ inline bool Holds(const Step& step) const { return PacketOf(step) == packet_; }
  // The step's packet is there for MTE1. Loaded now, unless Prefetch has.
  __aicore__ inline void Take(const Step& step) {
    slot_ = packet_ < 0 ? 0 : (slot_ + 1) % buffers_;
    packet_ = PacketOf(step);
    if (!fetched_) Fetch(step, slot_);
    fetched_ = false;
    WaitFlag<HardEvent::MTE2_MTE1>(kFlag + slot_);
  }
  // Everything of the packet at hand has been given to MTE1.
  __aicore__ inline void Release() { SetFlag<HardEvent::MTE1_MTE2>(kFlag + slot_); }
  __aicore__ inline void Prefetch(const Step& step) {
    Fetch(step, (slot_ + 1) % buffers_);
    fetched_ = true;
  }

  // The tile [rows, k] of the packet at hand in L0; fresh() says whether MTE1 has to load it.
  __aicore__ inline LocalTensor<half> Load(const Step& step, int32_t rows, int32_t k) {
    const int64_t number = static_cast<int64_t>(Row(step) / base_rows_) * Ceil(k_, base_k_) + step.k / base_k_;
    const int64_t tile = whole_ ? step.batch : (static_cast<int64_t>(step.batch) << 40) + number;
    fresh_ = false;
    if (tile != tile_) {
      if (tile_ >= 0) SetFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
      l0_slot_ = tile_ < 0 ? 0 : (l0_slot_ + 1) % l0_buffers_;
      tile_ = tile;
      loaded_ = 0;
      WaitFlag<HardEvent::M_MTE1>(kFlag + l0_slot_);
    }
    const uint32_t stride = static_cast<uint32_t>(base_rows_ * base_k_);
    const uint32_t offset = static_cast<uint32_t>(l0_slot_) * (kL0Bytes / static_cast<uint32_t>(l0_buffers_)) +
                            (whole_ ? static_cast<uint32_t>(number) * stride * 2 : 0);
    LocalTensor<half> to(kIsA ? TPosition::A2 : TPosition::B2, offset, stride);
    if (number < loaded_ || (!whole_ && loaded_ != 0)) return to;
    loaded_ = whole_ ? number + 1 : 1;
    fresh_ = true;
    const int32_t held_rows = Least(packet_rows_, core_rows_ - Row(step) / packet_rows_ * packet_rows_);
    const int32_t held_k = Least(packet_k_, k_ - step.k / packet_k_ * packet_k_);
    const int32_t at_row = Row(step) % packet_rows_, at_k = step.k % packet_k_;
    const LocalTensor<half> from =
        Packet(slot_)[static_cast<uint32_t>(step.batch % batches_ * packet_k_ * packet_rows_)];
    if (kIsA && !ColumnsOutside()) {
      LoadData3DParamsV2<half> params;
      params.l1H = 1;
      params.l1W = static_cast<uint16_t>(held_rows);
      params.channelSize = static_cast<uint16_t>(held_k);
      params.kExtension = static_cast<uint16_t>(k);
      params.mExtension = static_cast<uint16_t>(rows);
      params.kStartPt = static_cast<uint16_t>(at_k);
      params.mStartPt = static_cast<uint16_t>(at_row);
      LoadData(to, from, params);
    } else if (kIsA) {  // fractals of [rows, k], each turned
      const int32_t all = held_k / kFractal, across = k / kFractal;
      for (int32_t i = 0; i < rows / kFractal; ++i) {
        LoadData(to[static_cast<uint32_t>(i * across * kFractal * kFractal)],
                 from[static_cast<uint32_t>(((at_row / kFractal + i) * all + at_k / kFractal) * kFractal * kFractal)],
                 LoadData2DParams(0, static_cast<uint8_t>(across), 1, 0, 0, true, 0));
      }
    } else if (!ColumnsOutside()) {  // fractals of [k, columns] as they should be
      const int32_t all = held_rows / kFractal, across = rows / kFractal;
      for (int32_t i = 0; i < k / kFractal; ++i) {
        LoadData(to[static_cast<uint32_t>(i * across * kFractal * kFractal)],
                 from[static_cast<uint32_t>(((at_k / kFractal + i) * all + at_row / kFractal) * kFractal * kFractal)],
                 LoadData2DParams(0, static_cast<uint8_t>(across), 1, 0, 0, false, 0));
      }
    } else {
      // Fractals of [k, columns] turned to [columns, k]: in as many instructions as the shorter side has.
      const int32_t down = k / kFractal, across = rows / kFractal, all = held_k / kFractal;
      for (int32_t i = 0; i < Least(down, across); ++i) {
        const bool by_k = down < across;
        const int32_t source =
            by_k ? at_row / kFractal * all + at_k / kFractal + i : (at_row / kFractal + i) * all + at_k / kFractal;
        LoadData(to[static_cast<uint32_t>((by_k ? i * across : i) * kFractal * kFractal)],
                 from[static_cast<uint32_t>(source * kFractal * kFractal)],
                 LoadData2DParams(0, static_cast<uint8_t>(by_k ? across : down), static_cast<uint16_t>(by_k ? all : 1),
                                  0, static_cast<uint16_t>(by_k ? 0 : across - 1), true, 0));
      }
    }
    return to;
  }
  __aicore__ inline bool fresh() const { return fresh_; }

 private:
  // In L1: [rows / 16][k][16] instead of [k / 16][rows][16].
  __aicore__ inline bool ColumnsOutside() const { return kIsA == (layout_ == 2); }
  __aicore__ inline int32_t Row(const Step& step) const { return kIsA ? step.row : step.column; }
  __aicore__ inline LocalTensor<half> Packet(int32_t slot) const {
    const uint32_t elements = static_cast<uint32_t>(packet_k_ * packet_rows_ * batches_);
    return LocalTensor<half>(kIsA ? TPosition::A1 : TPosition::B1,
                             l1_offset_ + static_cast<uint32_t>(slot) * elements * 2, elements);
  }
  __aicore__ inline void Fetch(const Step& step, int32_t slot) {
    const int32_t row = Row(step) / packet_rows_ * packet_rows_, at_k = step.k / packet_k_ * packet_k_;
    const int32_t rows = Least(packet_rows_, core_rows_ - row), k = Least(packet_k_, k_ - at_k);
    // NZ: columns of 16 numbers; of A they run over its rows, of B over k.
    const int32_t whole = kIsA ? rows_ : k_, piece = kIsA ? rows : k, pieces = (kIsA ? k : rows) / kFractal;
    const uint64_t first = kIsA ? static_cast<uint64_t>(at_k) * rows_ + static_cast<uint64_t>(first_ + row) * kFractal
                                : static_cast<uint64_t>(first_ + row) * k_ + static_cast<uint64_t>(at_k) * kFractal;
    WaitFlag<HardEvent::MTE1_MTE2>(kFlag + slot);
    for (int32_t i = 0; i < batches_ && layout_ != 0; ++i) {
      // Rows of GM: `lines` of them, `length` numbers of each, `pitch` apart.
      const bool of_k = kIsA == (layout_ == 1);  // a row of GM runs along k
      const int32_t lines = of_k ? rows : k, length = of_k ? k : rows, pitch = of_k ? k_ : rows_;
      const uint64_t at = static_cast<uint64_t>(of_k ? first_ + row : at_k) * pitch + (of_k ? at_k : first_ + row);
      const uint64_t from = (static_cast<uint64_t>(step.batch / batches_) * batches_ + i) * k_ * rows_ + at;
      const LocalTensor<half> to = Packet(slot)[static_cast<uint32_t>(i * packet_k_ * packet_rows_)];
      const int32_t once = pitch <= 65535 && lines <= 16384 ? lines : 1;  // what the instruction's fields hold
      for (int32_t line = 0; line < lines; line += once) {
        DataCopy(to[static_cast<uint32_t>(line * kFractal)], gm_[from + static_cast<uint64_t>(line) * pitch],
                 Nd2NzParams(1, static_cast<uint16_t>(once), static_cast<uint16_t>(length), 0,
                             static_cast<uint16_t>(once == 1 ? length : pitch), static_cast<uint16_t>(lines), 1, 0));
      }
    }
    for (int32_t i = 0; i < batches_ && layout_ == 0; ++i) {
      const uint64_t from = (static_cast<uint64_t>(step.batch / batches_) * batches_ + i) * k_ * rows_ + first;
      const LocalTensor<half> to = Packet(slot)[static_cast<uint32_t>(i * packet_k_ * packet_rows_)];
      if (whole - piece <= 65535) {
        DataCopy(to, gm_[from],
                 DataCopyParams(static_cast<uint16_t>(pieces), static_cast<uint16_t>(piece),
                                static_cast<uint16_t>(whole - piece), 0));
        continue;
      }
      for (int32_t c = 0; c < pieces; ++c) {  // a gap beyond 16 bits
        DataCopy(to[static_cast<uint32_t>(c * piece * kFractal)],
                 gm_[from + static_cast<uint64_t>(c) * whole * kFractal],
                 DataCopyParams(1, static_cast<uint16_t>(piece), 0, 0));
      }
    }
    SetFlag<HardEvent::MTE2_MTE1>(kFlag + slot);
  }

  GlobalTensor<half> gm_;
  int32_t layout_ = 0, rows_ = 0, k_ = 0, first_ = 0, core_rows_ = 0, buffers_ = 1, packet_k_ = 1, packet_rows_ = 1,
          batches_ = 1;
  int32_t base_rows_ = 1, base_k_ = 1, l0_buffers_ = 1, slot_ = 0, l0_slot_ = 0;
  uint32_t l1_offset_ = 0;
  int64_t packet_ = -1, tile_ = -1, loaded_ = 0;
  bool full_ = false, whole_ = false, fresh_ = false, fetched_ = false;
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
    a_op_.Init(a, t.a_layout, t.m, t.k, m0_, m_, 0);
    a_op_.Packets(t.l1a_buffers, t.l1a_k, t.l1a_m, t.l1a_batch);
    a_op_.Tiles(t.base_m, t.base_k, t.l0a_buffers);
    b_op_.Init(b, t.b_layout, t.n, t.k, n0_, n_, a_op_.L1Bytes());
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
    by_rows_ = a_op_.full() && (!b_op_.full() || rows_outside <= columns_outside);
    Step step;
    step.batch = b0_;
    Step next_a = step, next_b = step;
    bool more_a = true, more_b = true;
    for (bool more = true; more;) {
      const bool new_a = !a_op_.Holds(step), new_b = !b_op_.Holds(step);
      if (new_a) a_op_.Take(step);
      if (new_b) b_op_.Take(step);
      if (b_op_.L1Bytes() <= a_op_.L1Bytes()) {  // the smaller packet is wanted first
        if (new_b) Ahead(b_op_, &next_b, &more_b);
        if (new_a) Ahead(a_op_, &next_a, &more_a);
      } else {
        if (new_a) Ahead(a_op_, &next_a, &more_a);
        if (new_b) Ahead(b_op_, &next_b, &more_b);
      }
      Step after = step;
      more = Advance(&after);
      Multiply(step, !more || !a_op_.Holds(after), !more || !b_op_.Holds(after));
      step = after;
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

  // Where there are two buffers, the packet after the one at hand is on its way.
  template <class Op>
  __aicore__ inline void Ahead(Op& op, Step* next, bool* more) {
    if (!op.ahead()) return;
    while (*more && op.Holds(*next)) *more = Advance(next);
    if (*more) op.Prefetch(*next);
  }

  // To the next step: k, tiles of the inner packet, of the outer one, inner packets, outer packets, batches.
  __aicore__ inline bool Advance(Step* step) const {
    step->k += t_.base_k;
    if (step->k < t_.k) return true;
    step->k = 0;
    ++step->tile;
    const int32_t outer_packet = by_rows_ ? a_op_.packet_rows() : b_op_.packet_rows();
    const int32_t inner_packet = by_rows_ ? b_op_.packet_rows() : a_op_.packet_rows();
    const int32_t outer_base = by_rows_ ? a_op_.base_rows() : b_op_.base_rows();
    const int32_t inner_base = by_rows_ ? b_op_.base_rows() : a_op_.base_rows();
    const int32_t outer_end = by_rows_ ? m_ : n_, inner_end = by_rows_ ? n_ : m_;
    int32_t& outer = by_rows_ ? step->row : step->column;
    int32_t& inner = by_rows_ ? step->column : step->row;
    const int32_t inner_first = inner / inner_packet * inner_packet, outer_first = outer / outer_packet * outer_packet;
    inner += inner_base;
    if (inner < Least(inner_first + inner_packet, inner_end)) return true;
    outer += outer_base;
    if (outer < Least(outer_first + outer_packet, outer_end)) {
      inner = inner_first;
      return true;
    }
    inner = inner_first + inner_packet;
    if (inner < inner_end) {
      outer = outer_first;
      return true;
    }
    inner = 0;
    outer = outer_first + outer_packet;
    if (outer < outer_end) return true;
    outer = 0;
    return ++step->batch < b0_ + b_;
  }

  // last_a, last_b: the packet is not needed again.
  __aicore__ inline void Multiply(const Step& step, bool last_a, bool last_b) {
    const int32_t m = Least(a_op_.base_rows(), m_ - step.row), n = Least(b_op_.base_rows(), n_ - step.column);
    const int32_t k = Least(t_.base_k, t_.k - step.k);
    const bool first = step.k == 0, last = step.k + t_.base_k >= t_.k;
    const uint32_t half_c = 65536;
    const bool two = t_.l0c_buffers > 1 && static_cast<uint32_t>(m * n * 4) <= half_c;
    const LocalTensor<float> c(TPosition::CO1, two && (step.tile & 1) != 0 ? half_c : 0, static_cast<uint32_t>(m * n));
    const LocalTensor<half> a0 = a_op_.Load(step, m, k);
    if (last_a) a_op_.Release();
    const LocalTensor<half> b0 = b_op_.Load(step, n, k);
    if (last_b) b_op_.Release();
    if (a_op_.fresh() || b_op_.fresh()) Hand<HardEvent::MTE1_M>(EVENT_ID0);
    // CANN's rule for a barrier between Mmads of one result.
    if (!first && m / kFractal * (n / kFractal) < 10) PipeBarrier<PIPE_M>();
    Mmad(c, a0, b0, MmadParams(m, n, k, last ? 3 : 2, false, first));
    if (!last) return;
    if (t_.wide != 0) {
      Out<float>(c, step.batch, step.row, step.column, m, n);
    } else {
      Out<half>(c, step.batch, step.row, step.column, m, n);
    }
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
  Operand<true> a_op_;
  Operand<false> b_op_;
  int32_t m0_ = 0, m_ = 0, n0_ = 0, n_ = 0, b0_ = 0, b_ = 0;
  bool by_rows_ = false;
};

}  // namespace

// A [batch, k / 16, m, 16] and B [batch, n / 16, k, 16] fp16, or as rows (a_layout, b_layout), C [batch, n / 16, m, 16]
// or [batch, m, n] fp16 or fp32.
extern "C" __global__ __aicore__ void matmul_tiled(GM_ADDR a, GM_ADDR b, GM_ADDR c, Tiled tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    TiledMatmul(a, b, c, tiling).Run();
    PipeBarrier<PIPE_ALL>();
  }
}
