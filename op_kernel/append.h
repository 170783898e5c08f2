// New keys and values into their places in a cache: a kernel of the vector cores, before the one that reads them.
#pragma once
#include "cache.h"

namespace triangle {

struct AppendArguments {
  GM_ADDR new_k;
  GM_ADDR new_v;
  GM_ADDR k;
  GM_ADDR v;
};

// Rows of all sequences are dealt out to the vector cores one by one.
template <class T>
class CacheAppend {
 public:
  __aicore__ inline CacheAppend(const TriangleCacheTiling* tiling, const CacheSequences& sequences,
                                const AppendArguments& arguments)
      : tiling_(tiling),
        sequences_(sequences),
        new_k_(global<T>(arguments.new_k)),
        new_v_(global<T>(arguments.new_v)),
        k_(global<T>(arguments.k)),
        v_(global<T>(arguments.v)) {
    chip_.Init(0, kSlots * kSlotBytes);
  }

  // Rows past what a sequence has room for are left out.
  __aicore__ inline void run(uint32_t core, uint32_t cores) {
    free_all();
    uint32_t turn = 0;  // of the core that has the sequence's first row
    for (int64_t sequence = 0; sequence < sequences_.count(); ++sequence) {
      const int64_t before = sequences_.before(sequence), added = sequences_.added(sequence);
      const int64_t fitting = min64(added, tiling_->room - before);
      for (int64_t row = core >= turn ? core - turn : core + cores - turn; row < fitting; row += cores)
        append(sequence, row, before + row);
      turn = (turn + static_cast<uint32_t>(added)) % cores;
    }
    take_all();
  }

 private:
  static constexpr int32_t kSlots = 4, kSlotBytes = 40 * 1024;

  __aicore__ inline void free_all() {
    for (int32_t slot = 0; slot < kSlots; ++slot) AscendC::SetFlag<AscendC::HardEvent::MTE3_MTE2>(slot);
  }
  __aicore__ inline void take_all() {
    for (int32_t slot = 0; slot < kSlots; ++slot) AscendC::WaitFlag<AscendC::HardEvent::MTE3_MTE2>(slot);
  }

  __aicore__ inline void append(int64_t sequence, int64_t row, int64_t key) {
    const uint32_t page_size = static_cast<uint32_t>(tiling_->page_size);
    const uint32_t index = static_cast<uint32_t>(key) / page_size;
    const int64_t page = sequences_.page(sequence, index), offset = key - int64_t{index} * page_size;
    const int64_t batch = sequences_.batch(sequence),
                  from = sequences_.rows_q(sequence).begin * tiling_->packed_q + row;
    const TriangleForwardTiling& forward = tiling_->forward;
    copy(k_[row_offset(forward.k, page, 0, offset)], forward.k.head, new_k_[row_offset(tiling_->new_k, batch, 0, from)],
         tiling_->new_k.head, forward.d);
    copy(v_[row_offset(forward.v, page, 0, offset)], forward.v.head, new_v_[row_offset(tiling_->new_v, batch, 0, from)],
         tiling_->new_v.head, forward.dv);
  }

  // One row of all key/value heads.
  __aicore__ inline void copy(const AscendC::GlobalTensor<T>& dst, int64_t dst_head,
                              const AscendC::GlobalTensor<T>& src, int64_t src_head, int32_t columns) {
    const int32_t bytes = columns * static_cast<int32_t>(sizeof(T));
    const int32_t heads = tiling_->heads_kv, at_once = kSlotBytes / round_up(bytes, 32);
    for (int32_t head = 0; head < heads; head += at_once) {
      const int32_t now = smaller(at_once, heads - head);
      const int32_t slot = used_++ % kSlots;
      const AscendC::LocalTensor<T> tile = chip_.template UB<T>(slot * kSlotBytes, kSlotBytes / sizeof(T));
      AscendC::WaitFlag<AscendC::HardEvent::MTE3_MTE2>(slot);
      load(tile, src[head * src_head], src_head, now, columns);
      AscendC::SetFlag<AscendC::HardEvent::MTE2_MTE3>(slot);
      AscendC::WaitFlag<AscendC::HardEvent::MTE2_MTE3>(slot);
      store_rows(dst[head * dst_head], tile, now, columns, round_up(columns, 16), dst_head);
      AscendC::SetFlag<AscendC::HardEvent::MTE3_MTE2>(slot);
    }
  }
  __aicore__ inline void load(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& src, int64_t pitch,
                              int32_t rows, int32_t columns) const {
    const AscendC::DataCopyPadExtParams<T> no_padding(false, 0, 0, static_cast<T>(0));
    const int64_t gap = (pitch - columns) * static_cast<int64_t>(sizeof(T));
    const uint32_t bytes = static_cast<uint32_t>(columns * sizeof(T));
    const bool at_once = gap >= 0 && gap <= int64_t{0xffffffff};
    const AscendC::DataCopyExtParams params(to16(at_once ? rows : 1), bytes, at_once ? static_cast<uint32_t>(gap) : 0,
                                            0, 0);
    for (int32_t row = 0; row < (at_once ? 1 : rows); ++row)
      AscendC::DataCopyPad(dst[row * round_up(columns, 16)], src[row * pitch], params, no_padding);
  }

  const TriangleCacheTiling* tiling_;
  CacheSequences sequences_;
  AscendC::GlobalTensor<T> new_k_, new_v_, k_, v_;
  OnChip chip_;
  int32_t used_ = 0;
};

}  // namespace triangle
