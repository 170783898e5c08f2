#include "csrc/cpu/intervals.h"

#include <algorithm>
#include <limits>

namespace triangle::cpu {

Intervals::Intervals(const Problem& p, const std::vector<Sequence>& sequences, const Kernels& kernels) {
  if (p.startend == nullptr) return;
  constexpr int32_t last = std::numeric_limits<int32_t>::max();
  const bool packed = p.cu_seq_q != nullptr;
  const int64_t rows = (packed ? 1 : p.batch) * p.startend_heads * p.seq_k;
  count_ = interval_count(p);
  heads_ = p.startend_heads;
  keys_ = p.seq_k;
  key_block_ = kernels.key_block;
  stride_ = interval_stride(p, kernels);
  bounds_.assign(2 * count_ * stride_, 0);
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t* key = p.startend + i * p.startend_bounds;
    for (int n = 0; n < count_; ++n) {
      int32_t start = key[2 * n], end = p.startend_bounds == 1 ? last : key[2 * n + 1];
      if (start >= end) start = last, end = 0;  // hides nothing, and says so in minima and maxima too
      bounds_[2 * n * stride_ + i] = start;
      bounds_[(2 * n + 1) * stride_ + i] = end;
    }
  }
  for (const Sequence& s : sequences) {
    first_block_.push_back(static_cast<int64_t>(blocks_.size()));
    for (int64_t head = 0; head < heads_; ++head) {
      const int64_t first = ((packed ? 0 : s.index) * heads_ + head) * keys_ + s.k_row;
      for (int64_t key0 = 0; key0 < s.band.sk; key0 += key_block_) {
        const int64_t past = std::min<int64_t>(key0 + key_block_, s.band.sk);
        for (int n = 0; n < count_; ++n) {
          const int32_t* start = bounds_.data() + 2 * n * stride_ + first;
          const int32_t* end = start + stride_;
          blocks_.push_back({*std::min_element(start + key0, start + past),
                             *std::max_element(start + key0, start + past), *std::min_element(end + key0, end + past),
                             *std::max_element(end + key0, end + past)});
        }
      }
    }
  }
}

HiddenRows Intervals::of(const Problem& p, const Sequence& s, int64_t head, int64_t row) const {
  const int64_t mask_head = head / (p.heads_q / heads_);
  const int64_t entry = p.cu_seq_q != nullptr ? 0 : s.index;
  HiddenRows hidden;
  hidden.bounds = bounds_.data() + (entry * heads_ + mask_head) * keys_ + s.k_row;
  hidden.blocks = blocks_.data() + first_block_[s.index] + mask_head * ceil_div(s.band.sk, key_block_) * count_;
  hidden.row = static_cast<int32_t>(s.q_row + row);
  return hidden;
}

bool Intervals::hide(const Problem& p, const Sequence& s, int64_t head, int64_t row, int64_t rows,
                     int64_t block) const {
  if (count_ == 0) return false;
  const HiddenRows first = of(p, s, head, row);
  for (int n = 0; n < count_; ++n) {
    const IntervalBlock& b = first.blocks[block * count_ + n];
    if (first.row >= b.last_start && first.row + rows <= b.first_end) return true;
  }
  return false;
}

}  // namespace triangle::cpu
