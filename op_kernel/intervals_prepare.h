// What comes before a kernel with startend_row_indices, in launches of its own on the vector cores: bounds by key,
// cleaned and apart from one another, the minima and maxima of each block of keys, and what each row of tasks costs.
#pragma once
#include "intervals.h"
#include "vector.h"

namespace triangle {

class PrepareIntervals {
 public:
  __aicore__ inline PrepareIntervals(const TriangleForwardTiling* tiling, const IntervalSequences& sequences,
                                     GM_ADDR startend, GM_ADDR workspace)
      : tiling_(tiling),
        sequences_(sequences),
        startend_(global<int32_t>(startend)),
        workspace_(workspace),
        intervals_(&tiling->intervals, workspace),
        worker_(AscendC::GetBlockIdx()),
        workers_(int64_t{2} * tiling->cores) {
    chip_.Init(0, kEnd);
  }

  // Blocks of keys in turns.
  __aicore__ inline void read() {
    const KeyIntervals& given = tiling_->intervals;
    const int64_t blocks = given.pitch >> kBlockShift;
    int64_t turn = 0;
    for (int64_t pair = 0; pair < given.batch * given.heads; ++pair) {
      for (int64_t block = 0; block < blocks; ++block) {
        if (turn == worker_) read_block(pair, block, blocks);
        turn = turn + 1 == workers_ ? 0 : turn + 1;
      }
    }
  }

  // Rows of tasks in turns, of one line.
  __aicore__ inline void count() {
    const KeyIntervals& given = tiling_->intervals;
    int64_t turn = 0;
    for (int64_t pair = 0; pair < given.batch * given.heads; ++pair) {
      intervals_.select(pair);
      int64_t first_row = 0;
      for (int64_t sequence = 0; sequence < sequences_.count(); ++sequence) {
        const SequenceTasks tasks = sequence_tasks(tiling_->line, sequences_, sequence, kMain);
        const Band band = sequences_.band(sequence);
        const int64_t first_q = tiling_->packed ? sequences_.rows_q(sequence).begin : 0;
        const int64_t first_k = tiling_->packed ? sequences_.rows_k(sequence).begin : 0;
        for (int64_t row = 0; row < tasks.rows.end; ++row) {
          if (turn == worker_) {
            const SeenBlocks seen(intervals_, band, first_q, first_k, row, tiling_->line.block.q,
                                  tiling_->line.backward);
            store_cost(intervals_.cost(given.counted, pair, first_row + row), cost_of(seen, tasks.span(row)));
          }
          turn = turn + 1 == workers_ ? 0 : turn + 1;
        }
        first_row += tasks.rows.end;
      }
    }
  }

 private:
  static constexpr uint32_t kGivenBytes = kBlockKeys * 4 * 4, kBoundBytes = kBlockKeys * 4;
  static constexpr uint32_t kCleaned = kGivenBytes, kTable = kCleaned + 4 * kBoundBytes, kEnd = kTable + 64;
  static constexpr int32_t kEventBounds = 0;

  __aicore__ inline void read_block(int64_t pair, int64_t block, int64_t blocks) {
    const KeyIntervals& given = tiling_->intervals;
    const int32_t count = given.count(), bounds = given.bounds;
    const int64_t key = block * kBlockKeys;
    const int32_t keys = static_cast<int32_t>(clamp64(tiling_->total_k - key, 0, kBlockKeys));
    const AscendC::LocalTensor<int32_t> in = chip_.UB<int32_t>(0, kBlockKeys * 4);
    const AscendC::LocalTensor<int32_t> table = chip_.UB<int32_t>(kTable, 16);
    if (keys > 0) {
      AscendC::DataCopyPad(in, startend_[static_cast<uint64_t>((pair * tiling_->total_k + key) * bounds)],
                           AscendC::DataCopyExtParams(1, static_cast<uint32_t>(keys * bounds * 4), 0, 0, 0),
                           AscendC::DataCopyPadExtParams<int32_t>(false, 0, 0, 0));
    }
    SetFlag<HardEvent::MTE2_S>(kEventBounds);
    WaitFlag<HardEvent::MTE2_S>(kEventBounds);
    for (int32_t n = 0; n < count; ++n) {
      const AscendC::LocalTensor<int32_t> starts = chip_.UB<int32_t>(kCleaned + 2 * n * kBoundBytes, kBlockKeys);
      const AscendC::LocalTensor<int32_t> ends = chip_.UB<int32_t>(kCleaned + (2 * n + 1) * kBoundBytes, kBlockKeys);
      IntervalBlock of = {0, kNever, kNever, 0};
      for (int32_t i = 0; i < kBlockKeys; ++i) {
        int32_t start = kNever, end = 0;
        if (i < keys) {
          start = clean(in.GetValue(static_cast<uint32_t>(i * bounds + 2 * n)));
          end = bounds == 1 ? kNever : clean(in.GetValue(static_cast<uint32_t>(i * bounds + 2 * n + 1)));
          if (start >= end) start = kNever, end = 0;
          of.last_start = start > of.last_start ? start : of.last_start;
          of.first_end = end < of.first_end ? end : of.first_end;
          of.first_start = start < of.first_start ? start : of.first_start;
          of.last_end = end > of.last_end ? end : of.last_end;
        }
        starts.SetValue(static_cast<uint32_t>(i), start);
        ends.SetValue(static_cast<uint32_t>(i), end);
      }
      const int32_t values[kIntervalBlockInts] = {of.last_start, of.first_end, of.first_start, of.last_end};
      for (int32_t i = 0; i < kIntervalBlockInts; ++i)
        table.SetValue(static_cast<uint32_t>(n * kIntervalBlockInts + i), values[i]);
    }
    SetFlag<HardEvent::S_MTE3>(kEventBounds);
    WaitFlag<HardEvent::S_MTE3>(kEventBounds);
    intervals_.select(pair);
    for (int32_t b = 0; b < 2 * count; ++b) {
      AscendC::DataCopy(intervals_.bounds(b >> 1, b & 1, key),
                        chip_.UB<int32_t>(kCleaned + static_cast<uint32_t>(b) * kBoundBytes, kBlockKeys), kBlockKeys);
    }
    const int64_t at = (pair * blocks + block) * count * kIntervalBlockInts;
    AscendC::DataCopyPad(global<int32_t>(workspace_ + given.blocks_offset)[static_cast<uint64_t>(at)], table,
                         AscendC::DataCopyExtParams(1, static_cast<uint32_t>(count * kIntervalBlockInts * 4), 0, 0, 0));
    SetFlag<HardEvent::MTE3_S>(kEventBounds);
    WaitFlag<HardEvent::MTE3_S>(kEventBounds);
  }

  // Nothing before the first row and behind the last.
  __aicore__ inline int32_t clean(int32_t row) const { return static_cast<int32_t>(clamp64(row, 0, tiling_->total_q)); }

  // Blocks that a task computes, and one for what every task costs. The forward's computes of each chunk those from the
  // first to the last that a row sees.
  __aicore__ inline int64_t cost_of(const SeenBlocks& seen, const BlockSpan& span) const {
    int64_t cost = 1;
    for (int64_t block = seen.next(span.begin, span.end); block < span.end;) {
      int64_t past = block + 1;
      if (tiling_->intervals.fills_chunks)
        past = seen.past_last(min64(((block >> kChunkShift) + 1) << kChunkShift, span.end));
      cost += past - block;
      block = seen.next(past, span.end);
    }
    return cost;
  }
  __aicore__ inline void store_cost(const AscendC::GlobalTensor<int32_t>& dst, int64_t cost) {
    const AscendC::LocalTensor<int32_t> value = chip_.UB<int32_t>(kTable, 16);
    value.SetValue(0, static_cast<int32_t>(cost));
    SetFlag<HardEvent::S_MTE3>(kEventBounds);
    WaitFlag<HardEvent::S_MTE3>(kEventBounds);
    AscendC::DataCopyPad(dst, value, AscendC::DataCopyExtParams(1, 4, 0, 0, 0));
    SetFlag<HardEvent::MTE3_S>(kEventBounds);
    WaitFlag<HardEvent::MTE3_S>(kEventBounds);
  }

  const TriangleForwardTiling* tiling_;
  const IntervalSequences& sequences_;
  AscendC::GlobalTensor<int32_t> startend_;
  GM_ADDR workspace_;
  Intervals intervals_;
  int64_t worker_, workers_;
  OnChip chip_;
};

}  // namespace triangle
