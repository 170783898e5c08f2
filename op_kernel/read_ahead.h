// Keys and values into L2 ahead of the cube, by the vector cores, whose loads have little else to do where tasks have
// few rows. The cube's own loads change the layout on their way, from HBM at two thirds of the rate, and of keys that
// are 256 B they take half a line; what waits in L2 comes to it more than twice as fast.
#pragma once
#include "operands.h"

namespace triangle {

// Of one vector core: the first of a pair reads its tasks' keys, the second the values, into a place of UB where nobody
// looks. Neither results nor flags depend on it.
template <class Sequences>
class ReadAhead {
 public:
  __aicore__ inline ReadAhead(const TriangleCacheTiling* tiling, const Sequences& sequences, const Share& share,
                              GM_ADDR k, GM_ADDR v, int32_t half)
      : tiling_(tiling),
        cursor_(&tiling->forward, sequences, share),
        strides_(half == 0 ? tiling->forward.k : tiling->forward.v),
        tensor_(global<::half>(half == 0 ? k : v)),
        bytes_(2 * (half == 0 ? tiling->forward.d : tiling->forward.dv)) {}

  // Before each stage and once more at first: up to two stages, until it is kStages ahead.
  __aicore__ inline void next(const Sequences& sequences, AivChip& chip) {
    if (tiling_->reads_ahead == 0) return;
    Stage stage;
    for (int32_t i = 0; i < 2 && ahead_ < kStages && cursor_.next_with_keys(&stage); ++i, ++ahead_)
      read(sequences, chip, stage);
    --ahead_;
  }

 private:
  // The cube's loads run up to kRingSlots + 1 stages ahead of the softmax.
  static constexpr int32_t kStages = 2 * kRingSlots + 2;

  __aicore__ inline void read(const Sequences& sequences, AivChip& chip, const Stage& stage) {
    const AscendC::LocalTensor<::half> place = chip.unused();
    const AscendC::DataCopyPadExtParams<::half> no_padding(false, 0, 0, static_cast<::half>(0.0f));
    const int32_t at_once = AivBuffers::kUnusedBytes / round_up(bytes_, 32);
    const int32_t first_seen = static_cast<int32_t>(max64(stage.row0 + stage.band.left - stage.key0(), 0));
    const uint32_t page_size = static_cast<uint32_t>(tiling_->page_size);
    for (int32_t at = 0; at < stage.keys;) {
      const uint32_t key = static_cast<uint32_t>(stage.key0() + at);
      const uint32_t index = key / page_size, offset = key - index * page_size;
      const int32_t run = smaller(smaller(at_once, stage.keys - at), static_cast<int32_t>(page_size - offset));
      if (at + run > first_seen) {  // as the cube, which does not read pages left of the window
        const int32_t size = run * round_up(bytes_, 32);
        if (used_ + size > AivBuffers::kUnusedBytes) {
          AscendC::PipeBarrier<PIPE_MTE2>();
          used_ = 0;
        }
        const int64_t from = row_offset(strides_, sequences.page(stage.sequence, index), stage.head_kv, offset);
        AscendC::DataCopyPad(place[used_ / 2], tensor_[from],
                             AscendC::DataCopyExtParams(to16(run), static_cast<uint32_t>(bytes_),
                                                        static_cast<uint32_t>(strides_.row * 2 - bytes_), 0, 0),
                             no_padding);
        used_ += size;
      }
      at += run;
    }
  }

  const TriangleCacheTiling* tiling_;
  StageCursor<Sequences> cursor_;
  Strides strides_;
  AscendC::GlobalTensor<::half> tensor_;
  int32_t bytes_;
  int32_t ahead_ = 0;
  int32_t used_ = 0;  // bytes of the place
};

}  // namespace triangle
