// Where a core's ring slots and chunk partials are in the workspace.
#pragma once
#include "tasks.h"

namespace triangle {

class Workspace {
 public:
  __aicore__ inline Workspace(const TriangleForwardTiling* tiling, GM_ADDR base, int64_t core)
      : tiling_(tiling), base_(base), core_(core) {}

  __aicore__ inline int64_t core() const { return core_; }

  // [kRows, kChunkKeys] fp32
  __aicore__ inline AscendC::GlobalTensor<float> scores(const Stage& stage) const {
    return global<float>(ring() + stage.slot * tiling_->slot_scores_bytes);
  }
  // P, 16-bit: beside the scores, which a vector core may read again (forward_aiv.h)
  static constexpr int32_t kProbsPitch = kChunkKeys;
  template <class T>
  __aicore__ inline AscendC::GlobalTensor<T> probs(const Stage& stage) const {
    return global<T>(ring() + kRingSlots * (tiling_->slot_scores_bytes + tiling_->slot_out_bytes) +
                     stage.slot * (tiling_->slot_scores_bytes >> 1));
  }
  // P V, [rows, dv16] fp32: in the ring, or for a cut task among the chunk partials
  __aicore__ inline AscendC::GlobalTensor<float> out(const Stage& stage) const {
    if (stage.cut) return cut_out(core_, stage.cut_slot);
    return global<float>(ring() + kRingSlots * tiling_->slot_scores_bytes + stage.slot * tiling_->slot_out_bytes);
  }
  __aicore__ inline AscendC::GlobalTensor<float> cut_out(int64_t core, int32_t slot) const {
    return global<float>(cut(core, slot));
  }
  // max [cut_rows], then sum [cut_rows]
  __aicore__ inline AscendC::GlobalTensor<float> cut_stats(int64_t core, int32_t slot) const {
    return global<float>(cut(core, slot) + int64_t{4} * tiling_->cut_rows * round_up(tiling_->dv, 16));
  }

 private:
  __aicore__ inline GM_ADDR ring() const { return base_ + core_ * tiling_->ring_bytes; }
  __aicore__ inline GM_ADDR cut(int64_t core, int32_t slot) const {
    return base_ + tiling_->cut_offset + (core * tiling_->cut_slots + slot) * tiling_->cut_slot_bytes;
  }

  const TriangleForwardTiling* tiling_;
  GM_ADDR base_;
  int64_t core_;
};

}  // namespace triangle
