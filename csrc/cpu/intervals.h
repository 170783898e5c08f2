// What startend_row_indices hides: for each key one or two intervals of rows (Wang et al., "FlashMask", 2024,
// arXiv 2410.01359), and for each block of keys the minima and maxima that say which rows it hides altogether and which
// it leaves alone. Built once a call, in memory linear in the keys.
#pragma once
#include <cstdint>
#include <vector>

#include "csrc/cpu/kernels.h"
#include "csrc/cpu/tasks.h"

namespace triangle::cpu {

class Intervals {
 public:
  Intervals(const Problem& problem, const std::vector<Sequence>& sequences, const Kernels& kernels);

  HiddenRows of(const Problem& problem, const Sequence& sequence, int64_t head, int64_t row) const;

  // Whether no row of [row, row + rows) sees any key of a block. Where two intervals hide it only together, false.
  bool hide(const Problem& problem, const Sequence& sequence, int64_t head, int64_t row, int64_t rows,
            int64_t block) const;

 private:
  int count_ = 0;  // intervals a key; 0: none
  int64_t heads_ = 1, stride_ = 0, keys_ = 0, key_block_ = 1;
  std::vector<int32_t> bounds_;        // [2 count][batch][Hm][Sk], and as many keys more as a vector may read
  std::vector<IntervalBlock> blocks_;  // [sequence][Hm][block][count]
  std::vector<int64_t> first_block_;   // [sequence]
};

}  // namespace triangle::cpu
