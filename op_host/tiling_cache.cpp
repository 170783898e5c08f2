// From the shapes of a call over a cache to its tiling: how rows share tasks, and how much of them may be cut.
#include "tiling_cache.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace triangle {
namespace {

// The largest power of two up to x: sides of blocks are such (Divisor).
int64_t power_of_two(int64_t x) {
  int64_t power = 1;
  while (power * 2 <= x) power *= 2;
  return power;
}

// Whether one copy reads keys of all pages: their gap counts bytes in 32 bits.
bool reads_by_stride(const Strides& strides, int64_t columns) {
  return strides.row >= columns && 2 * (strides.row - columns) <= int64_t{0xffffffff};
}

}  // namespace

CachePlan make_cache_plan(const CacheProblem& problem) {
  const ForwardProblem& p = problem.forward;
  if (problem.room > kMaxLength)
    throw std::invalid_argument("k_cache: expected room for at most 2^31 keys of a sequence, got " +
                                std::to_string(problem.room));
  ForwardProblem forward = p;
  forward.batch = 1;
  forward.packed = true;
  forward.documents = p.batch;
  forward.bottom_right = true;
  forward.sk = problem.room;
  const ForwardPlan plan = make_forward_plan(forward);

  CachePlan result;
  TriangleCacheTiling& t = result.tiling;
  t.forward = plan.tiling;
  t.heads_kv = static_cast<int32_t>(p.heads_kv);
  t.packed_q = p.packed;
  t.rows = p.packed ? std::min(problem.most_rows, p.sq) : p.sq;
  t.new_keys = problem.new_keys;
  t.pages = problem.pages;
  t.page_size = problem.page_size;
  t.room = problem.room;
  t.table_row = problem.table_row;
  t.length_step = problem.length_step;
  t.new_k = problem.new_k;
  t.new_v = problem.new_v;

  // Rows of a group's heads share a task, so that keys and values are read once for all of them. Not with alibi, whose
  // slopes differ from head to head.
  TaskLine& line = t.forward.line;
  const int64_t rows = tile_rows(p.d, p.dv), group = p.heads_q / p.heads_kv;
  if (p.bend.alibi == 0 && group >= 1 && group <= rows) {
    t.heads_of_task = static_cast<int32_t>(group);
    line.heads_q = p.heads_kv;
    line.group = 1;
    line.block.q = power_of_two(rows / group);
  }

  // Decoding has few tasks of many keys: they are cut between chunks, and each core has room for the partials of one
  // that it finds begun and of one that it leaves.
  int64_t seen = problem.room;  // keys that a task's rows see together, at most
  const int64_t task_rows = std::min<int64_t>(line.block.q, std::max<int64_t>(problem.most_rows, 1));
  if (p.window_left >= 0) seen = std::min(seen, std::min(p.window_left, kMaxLength) + task_rows);
  const int64_t chunks = (seen + kChunkKeys - 2) / kChunkKeys + 1;  // that they touch, at most
  const int64_t dv16 = round_up(t.forward.dv, 16);
  t.forward.cut_rows = round_up(static_cast<int32_t>(task_rows * t.heads_of_task), 16);
  t.reads_ahead = t.forward.cut_rows <= kMostRowsReadAhead && reads_by_stride(p.k, p.d) && reads_by_stride(p.v, p.dv);
  t.forward.cut_slot_bytes = ceil_div(t.forward.cut_rows * (dv16 + 2) * 4, kWorkspaceAlign) * kWorkspaceAlign;
  const int64_t slots = std::min(chunks, kMostCutBytes / (2 * p.cores * t.forward.cut_slot_bytes));
  if (problem.room > kChunkKeys && slots >= 2) {
    line.chunk = kChunkBlocks;
    t.forward.cut_first_slots = static_cast<int32_t>(slots);
    t.forward.cut_slots = static_cast<int32_t>(2 * slots);
    // A piece of n chunks has at least 4 (n - 2) + 2 blocks.
    t.most_cut = slots == chunks ? std::numeric_limits<int64_t>::max() : kChunkBlocks * (slots - 1) + 1;
  }
  result.workspace_bytes = t.forward.cut_offset + p.cores * t.forward.cut_slots * t.forward.cut_slot_bytes;
  return result;
}

}  // namespace triangle
