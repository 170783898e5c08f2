// startend_row_indices on the device: which blocks of keys no row of a task sees, which need no mask, and what a task
// costs. Read from tables in the workspace that launches before this one wrote (intervals_prepare.h), so both core
// types decide alike.
//
// Rows and keys count within q and k; packed, within the pack.
#pragma once
#include "tasks.h"

namespace triangle {

// Of one block of keys and one of its intervals, over the keys that exist. Intervals are [start, end) as cleaned by the
// preparation: one that hides nothing starts at kNever and ends at 0.
struct IntervalBlock {
  int32_t last_start, first_end;  // rows from last_start to first_end are hidden from every key
  int32_t first_start, last_end;  // rows before first_start and from last_end on from none
};
constexpr int32_t kNever = 1 << 30;
constexpr int32_t kIntervalBlockInts = 4;

// Columns begin .. end of a tile, outside of which no interval touches its rows; bits by interval: whether it touches
// them within, and whether a row's place matters beside the starts, beside the ends.
struct HiddenColumns {
  int32_t begin = 0, end = 0;
  uint32_t touched = 0, by_start = 0, by_end = 0;
};

class Intervals {
 public:
  __aicore__ inline Intervals() {}
  __aicore__ inline Intervals(const KeyIntervals* given, GM_ADDR workspace) : given_(given), workspace_(workspace) {}

  __aicore__ inline int32_t count() const { return given_->count(); }
  __aicore__ inline int64_t group() const { return given_->group; }
  // The row of tables of a head; without a division.
  __aicore__ inline int64_t pair(int64_t batch, int64_t head_q, int64_t head_kv) const {
    const int64_t heads = given_->heads;
    return batch * heads + (heads == 1 ? 0 : (heads == given_->heads_kv ? head_kv : head_q));
  }
  __aicore__ inline void select(int64_t pair) {
    pair_ = pair;
    blocks_ = global<int32_t>(workspace_ + given_->blocks_offset);
    first_ = pair * (given_->pitch >> kBlockShift) * count() * kIntervalBlockInts;
  }

  // Whether none of rows row .. row + rows sees any of keys key .. key + keys. Where two intervals hide them only
  // together, false.
  __aicore__ inline bool hide(int64_t row, int64_t rows, int64_t key, int64_t keys) const {
    for (int64_t block = key >> kBlockShift; block <= (key + keys - 1) >> kBlockShift; ++block) {
      bool hidden = false;
      for (int32_t n = 0; n < count() && !hidden; ++n)
        hidden = row >= value(block, n, 0) && row + rows <= value(block, n, 1);
      if (!hidden) return false;
    }
    return true;
  }
  // Whether some of these rows may not see some of these keys.
  __aicore__ inline bool touch(int64_t row, int64_t rows, int64_t key, int64_t keys) const {
    for (int64_t block = key >> kBlockShift; block <= (key + keys - 1) >> kBlockShift; ++block) {
      for (int32_t n = 0; n < count(); ++n)
        if (row + rows > value(block, n, 2) && row < value(block, n, 3)) return true;
    }
    return false;
  }

  // Which columns of a tile, and how: `width` of them from key `key` on, of which `keys` exist; a multiple of 64.
  __aicore__ inline HiddenColumns hidden_columns(int64_t row, int64_t rows, int64_t key, int64_t keys,
                                                 int32_t width) const {
    HiddenColumns hidden;
    for (int64_t block = key >> kBlockShift; block <= (key + keys - 1) >> kBlockShift; ++block) {
      if (!touch(row, rows, block << kBlockShift, 1)) continue;
      const int64_t begin = (max64((block << kBlockShift) - key, 0)) & ~int64_t{63};
      if (hidden.end == 0) hidden.begin = static_cast<int32_t>(begin);
      hidden.end = static_cast<int32_t>(min64((((block + 1) << kBlockShift) - key + 63) & ~int64_t{63}, width));
    }
    if (hidden.end == 0) return hidden;
    // Also of the blocks between, whose intervals may lie before the rows or behind them.
    for (int64_t block = (key + hidden.begin) >> kBlockShift; block <= (key + hidden.end - 1) >> kBlockShift; ++block) {
      for (int32_t n = 0; n < count(); ++n) {
        if (row + rows > value(block, n, 2) && row < value(block, n, 3)) hidden.touched |= 1u << n;
        if (value(block, n, 0) > row) hidden.by_start |= 1u << n;
        if (value(block, n, 1) < row + rows) hidden.by_end |= 1u << n;
      }
    }
    return hidden;
  }

  // Starts (bound 0) or ends (1) of interval n, by key; 512 of them may be read from any key on.
  __aicore__ inline AscendC::GlobalTensor<int32_t> bounds(int32_t n, int32_t bound, int64_t key) const {
    return global<int32_t>(
        workspace_ +
        given_->bounds_offset)[static_cast<uint64_t>((pair_ * 2 * count() + 2 * n + bound) * given_->pitch + key)];
  }
  // Where the cost of a row of tasks is.
  __aicore__ inline AscendC::GlobalTensor<int32_t> cost(int32_t line, int64_t pair, int64_t row) const {
    return global<int32_t>(workspace_ +
                           given_->costs_offset[line])[static_cast<uint64_t>(pair * given_->rows[line] + row)];
  }
  // What a task costs: the backward's by columns have the query heads of a group.
  __aicore__ inline int64_t cost_of(int32_t line, int64_t batch, int64_t head_q, int64_t head_kv, bool whole_group,
                                    int64_t row) const {
    const int64_t heads = whole_group && given_->heads != 1 && given_->heads != given_->heads_kv ? given_->group : 1;
    int64_t sum = 0;
    for (int64_t i = 0; i < heads; ++i) sum += cost(line, pair(batch, head_q + i, head_kv), row).GetValue(0);
    return sum;
  }

 private:
  __aicore__ inline int32_t value(int64_t block, int32_t n, int32_t which) const {
    return blocks_.GetValue(static_cast<uint64_t>(first_ + (block * count() + n) * kIntervalBlockInts + which));
  }

  const KeyIntervals* given_ = nullptr;
  GM_ADDR workspace_ = nullptr;
  AscendC::GlobalTensor<int32_t> blocks_;
  int64_t pair_ = 0, first_ = 0;
};

// One task's blocks that hold a visible pair, as far as minima and maxima say, of those that the band leaves.
class SeenBlocks {
 public:
  // anchor: the task's block row of `side` rows, or its block column.
  __aicore__ inline SeenBlocks(const Intervals& intervals, const Band& band, int64_t first_q, int64_t first_k,
                               int64_t anchor, int64_t side, bool by_columns)
      : intervals_(intervals),
        band_(band),
        first_q_(first_q),
        first_k_(first_k),
        anchor_(anchor),
        side_(side),
        by_columns_(by_columns) {}

  // block: a column; by columns: a row.
  __aicore__ inline bool sees(int64_t block) const {
    const int64_t row0 = (by_columns_ ? block : anchor_) * side_, key = (by_columns_ ? anchor_ : block) * kBlockKeys;
    const int64_t keys = min64(kBlockKeys, band_.sk - key);
    const int64_t begin = max64(row0, key - band_.right);
    const int64_t end = min64(min64(row0 + side_, band_.sq), key + keys - band_.left);
    return begin < end && !intervals_.hide(first_q_ + begin, end - begin, first_k_ + key, keys);
  }
  // The first from `block` on, or `end`.
  __aicore__ inline int64_t next(int64_t block, int64_t end) const {
    while (block < end && !sees(block)) ++block;
    return block;
  }
  // Past the last one before `end`, of a range whose first is one.
  __aicore__ inline int64_t past_last(int64_t end) const {
    while (!sees(end - 1)) --end;
    return end;
  }

 private:
  const Intervals& intervals_;
  const Band& band_;
  int64_t first_q_, first_k_, anchor_, side_;
  bool by_columns_;
};

// One core's share by what the tasks cost: whole tasks, each of the core in whose stretch of the line its middle lies.
// The busiest core has at most one task more than the mean.
template <class Sequences>
class CostShare {
 public:
  __aicore__ inline CostShare(const TaskLine& line, int32_t number, const Sequences& sequences, int64_t cores)
      : line_(line), number_(number), sequences_(sequences), cores_(cores) {}

  __aicore__ inline Share of(int64_t core) {
    walk(core, 2);
    total_ = before_;
    found_[0] = found_[1] = end_;
    walk(core, 0);
    Share share;
    share.begin.part[kMain] = found_[0];
    share.end.part[kMain] = found_[1];
    return share;
  }

 private:
  // Adds the costs up; from `sought` on, finds where the core begins (0) and where it ends (1).
  __aicore__ inline void walk(int64_t core, int32_t sought) {
    before_ = 0;
    end_ = Start();
    int64_t first_row = 0;
    for (int64_t sequence = 0; sequence < sequences_.count(); ++sequence) {
      const int64_t rows = sequence_tasks(line_, sequences_, sequence, kMain).tasks_per_head();
      int64_t task = 0;
      for (int64_t batch = 0; batch < line_.batch; ++batch) {
        int64_t head_kv = 0, in_group = 0;
        const int64_t heads = line_.backward ? line_.heads_kv : line_.heads_q;
        for (int64_t head = 0; head < heads; ++head) {
          for (int64_t row = 0; row < rows; ++row) {
            const int64_t cost = cost_of(batch, head, head_kv, first_row + row);
            while (sought < 2 && (2 * before_ + cost) * cores_ >= 2 * (core + sought) * total_) {
              found_[sought].sequence = static_cast<int32_t>(sequence);
              found_[sought].task = task + row;
              ++sought;
            }
            before_ += cost;
          }
          task += rows;
          if (++in_group == line_.group) {
            in_group = 0;
            ++head_kv;
          }
        }
      }
      first_row += rows;
      end_.sequence = static_cast<int32_t>(sequence + 1);
    }
  }
  __aicore__ inline int64_t cost_of(int64_t batch, int64_t head, int64_t head_kv, int64_t row) const {
    const Intervals& intervals = sequences_.intervals();
    if (!line_.backward) return intervals.cost_of(number_, batch, head, head_kv, false, row);
    return intervals.cost_of(number_, batch, head * intervals.group(), head, true, row);
  }

  const TaskLine& line_;
  int32_t number_;
  const Sequences& sequences_;
  int64_t cores_, total_ = 0, before_ = 0;
  Start found_[2], end_;
};

// The sequences of a launch, with intervals. A cursor's copy has one head of them selected.
class IntervalSequences : public ForwardSequences {
 public:
  static constexpr bool kIntervals = true;
  __aicore__ inline IntervalSequences(const TriangleForwardTiling* tiling, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k,
                                      GM_ADDR workspace)
      : ForwardSequences(tiling, cu_seq_q, cu_seq_k), intervals_(&tiling->intervals, workspace) {}

  __aicore__ inline const Intervals& intervals() const { return intervals_; }
  // A core's, of line `number`.
  __aicore__ inline Share share(const TaskLine& line, int32_t number, int64_t cores, int64_t core) const {
    return CostShare<IntervalSequences>(line, number, *this, cores).of(core);
  }
  __aicore__ inline void select(int64_t sequence, int64_t head_q, int64_t head_kv) {
    intervals_.select(intervals_.pair(batch(sequence), head_q, head_kv));
  }
  __aicore__ inline SeenBlocks seen(const Band& band, int64_t first_q, int64_t first_k, int64_t anchor, int64_t side,
                                    bool by_columns = false) const {
    return SeenBlocks(intervals_, band, first_q, first_k, anchor, side, by_columns);
  }

 private:
  Intervals intervals_;
};

}  // namespace triangle
