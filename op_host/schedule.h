// The block schedule on the host: from a problem's shape to which core does which blocks.
//
// make_plan() cuts the line of tasks (task_line.h) into one contiguous share per core so that the busiest core has the
// least possible. A plan for a kernel is O(cores): TaskLine and one CorePlace per core and one more; Walker (walker.h)
// enumerates a share from two neighbouring places. LargestFirst is the other strategy, for tasks claimed at run time.
//
// How even it is. Let T be the counted cost, N the cores, m = T / N the mean, u the cost of the largest unit (at most
// `chunk` blocks). Cutting gives max <= ceil((T + (N - 1) (u - 1)) / N) < m + u, hence
//
//     at most 3% above the mean whenever m >= u / 0.03, that is 134 blocks per core for chunk = 4,
//
// whatever the tasks are. Below that, units can be too coarse. Let g be the greatest common divisor of the units'
// costs, and p_j what the j + 1 smallest of the j N + 1 largest units cost: some core has j + 1 of these. So no
// schedule at all has max < lower_bound = max(g * ceil(T / (g N)), p_0 = u, p_1, ...). With 8 tasks or more per core
// this may still exceed 1.03 m, for instance
//
//     193 tasks of one block on 24 cores: m = 8.04, lower_bound = 9, 11.9% above the mean;
//     [B 3, H 12, S 512] in blocks of 256 x 128 on 8 cores: units of 2 and 4 blocks, m = 27, lower_bound = 28, 3.7%.
//
// Everywhere else max <= lower_bound + u - 1, and where contiguous cuts alone would break 3%, fillers (task_line.h) are
// tried (allow_fillers; not for packed sequences on the device, whose cores cut for themselves: there 3% is often
// broken). What then remains above 3% while lower_bound would allow it: with chunk = 4, 2 to 3 in 1000 random problems
// of 8 tasks or more per core, with whole tasks 3 to 5, of few blocks a core or nearly uniform units (of some of these
// lower_bound is too optimistic). tests/cpp/test_tiling.cpp counts them for the kernels' schedules.
#pragma once
#include <cstdint>
#include <vector>

#include "walker.h"

namespace triangle {

struct SequenceLengths {
  int64_t q = 0;
  int64_t k = 0;
};

struct ScheduleProblem {
  bool backward = false;
  int64_t batch = 1;  // dense only
  int64_t heads_q = 1;
  int64_t heads_kv = 1;
  bool packed = false;
  std::vector<SequenceLengths> sequences;  // dense: one entry; packed: one per document
  bool bottom_right = true;
  int64_t diagonal = 0;  // when not bottom_right
  int64_t window_left = kNoWindow;
  BlockShape block;
  int64_t chunk = 4;
  CostModel cost;
  int64_t cores = 1;
  bool allow_fillers = true;  // false: what a kernel computes for itself from cu_seqlens
  bool cut_fillers = true;    // false: fillers are whole tasks (not for backward groups of query heads)
};

// Bands by index, for the templates of task_line.h.
struct BandList {
  const Band* bands;
  int64_t size;

  int64_t count() const { return size; }
  Band band(int64_t sequence) const { return bands[sequence]; }
};

struct Plan {
  TaskLine line;
  std::vector<Band> bands;
  std::vector<CorePlace> places;  // [cores + 1]
  std::vector<int64_t> loads;     // [cores], counted cost
  int64_t total = 0;              // their sum
  int64_t max_load = 0;

  BandList sequences() const { return {bands.data(), static_cast<int64_t>(bands.size())}; }
  int64_t cores() const { return static_cast<int64_t>(loads.size()); }
  Walker<BandList> walker(int64_t core, LinePart part) const {
    return {line, sequences(), part, places[core].part[part], places[core + 1].part[part]};
  }
};

// Figures about a problem, independent of how it is cut. Blocks are counted once per query head.
struct ScheduleFigures {
  int64_t tasks = 0;          // with blocks
  int64_t empty_tasks = 0;    // without: only zeros to write
  int64_t blocks = 0;         // that hold a visible pair: computed
  int64_t edge_blocks = 0;    // of these, masked
  int64_t square_blocks = 0;  // of the whole score matrices
  int64_t visible_pairs = 0;
  int64_t largest_unit = 0;  // cost
  int64_t unit_divisor = 0;  // greatest common divisor of the units' costs
  int64_t lower_bound = 0;   // of any schedule's busiest core
};

// Both throw std::invalid_argument with the argument's name, what was expected and what came.
Plan make_plan(const ScheduleProblem& problem);
ScheduleFigures figures(const ScheduleProblem& problem);  // O(block rows of all sequences * units of a row)

// Whole tasks in descending cost, for workers that claim the next number from one atomic counter. Equal tasks keep the
// line's order: heads of one group stay neighbours. O(1) per claim, O(block rows) memory.
class LargestFirst {
 public:
  struct Task {
    int64_t batch, head, row;  // head: query head, backward: key/value head; row: block row, backward: block column
    int64_t cost;
  };

  explicit LargestFirst(const ScheduleProblem& problem);

  int64_t size() const { return static_cast<int64_t>(rows_.size()) * line_.heads(); }
  Task operator[](int64_t claim) const;

 private:
  struct Row {
    int64_t cost, sequence, row;
  };
  TaskLine line_;
  std::vector<Row> rows_;
};

}  // namespace triangle
