// From a problem to the backward kernel's tiling.
#include "tiling_backward.h"

#include <algorithm>
#include <utility>

#include "schedule.h"

namespace triangle {
namespace {

int64_t align(int64_t bytes) { return ceil_div(bytes, kWorkspaceAlign) * kWorkspaceAlign; }

// Blocks are dealt out by columns of the key/value heads, or by rows of the query heads.
ScheduleProblem schedule_of(const BackwardProblem& problem, BackwardPass pass) {
  const ForwardProblem& f = problem.forward;
  ScheduleProblem schedule;
  schedule.backward = pass == kByColumns;
  schedule.batch = f.batch;
  schedule.heads_q = f.heads_q;
  schedule.heads_kv = f.heads_kv;
  // One core has all of a column, its group's query heads included: so the line has one query head a group, and the
  // kernel repeats it.
  if (pass == kByColumns && problem.deterministic) schedule.heads_q = f.heads_kv;
  schedule.sequences = {{f.sq, f.sk}};
  schedule.bottom_right = f.bottom_right;
  schedule.diagonal = f.diagonal;
  schedule.window_left = f.window_left;
  schedule.block = {kGradBlock, kGradBlock};
  // Where there are intervals, cores divide whole tasks by what these leave.
  schedule.chunk = problem.deterministic || f.intervals.bounds > 0 ? 0 : kSectionBlocks;
  schedule.cores = f.cores;
  schedule.allow_fillers = problem.deterministic && f.intervals.bounds == 0;
  return schedule;
}

// On the fast path shares end between sections; where that is too uneven, between halves, quarters or eighths of these,
// the coarsest that is even enough or, if none is, that leaves the busiest core least: a section that is cut costs the
// cube more than one that is not.
Plan plan_of(ScheduleProblem schedule) {
  Plan plan = make_plan(schedule);
  while (schedule.chunk > 1 && imbalance_of(plan) > kMostImbalance) {
    schedule.chunk /= 2;
    Plan finer = make_plan(schedule);
    if (finer.max_load < plan.max_load) plan = std::move(finer);
  }
  return plan;
}

}  // namespace

BackwardPlan make_backward_plan(const BackwardProblem& problem) {
  const ForwardProblem& f = problem.forward;
  BackwardPlan result;
  TriangleBackwardTiling& t = result.tiling;
  t.problem = make_forward_plan(f).tiling;
  t.deterministic = problem.deterministic;
  t.has_dlse = problem.has_dlse;
  t.batch = f.batch;
  t.heads_q = f.heads_q;
  t.heads_kv = f.heads_kv;
  t.group = f.heads_q / f.heads_kv;
  t.dout = problem.dout;
  t.dq = problem.dq;
  t.dk = problem.dk;
  t.dv = problem.dv;

  for (const BackwardPass pass : {kByColumns, kByRows}) {
    if (pass == kByRows && !problem.deterministic) continue;
    const ScheduleProblem schedule = schedule_of(problem, pass);
    if (f.packed) {  // lengths are on the device: its cores find the partition
      TaskLine& line = t.lines[pass];
      line.batch = 1;
      line.heads_q = schedule.heads_q;
      line.heads_kv = schedule.heads_kv;
      line.group = schedule.heads_q / schedule.heads_kv;
      line.block = schedule.block;
      line.chunk = schedule.chunk;
      line.backward = schedule.backward;
      continue;
    }
    const Plan plan = plan_of(schedule);
    t.lines[pass] = plan.line;
    t.partitions[pass] = partition_of(plan);
    result.imbalance = std::max(result.imbalance, imbalance_of(plan));
    if (pass == kByRows) continue;
    ScheduleProblem all = schedule;
    all.heads_q = f.heads_q;
    all.chunk = 0;
    const ScheduleFigures shape = figures(all);
    result.blocks = shape.blocks;
    result.visible_pairs = shape.visible_pairs;
  }

  const int64_t d16 = round_up(t.problem.d, 16), dv16 = round_up(t.problem.dv, 16);
  t.ring_bytes = int64_t{kSectionSlots} * kSectionBlocks * 2 * kGradBlock * kGradBlock * 4;
  result.ring_bytes = f.cores * t.ring_bytes;
  const int64_t queries = align(f.batch * f.heads_q * f.sq * 4), keys = align(f.batch * f.heads_kv * f.sk * 4);
  t.column_offset = result.ring_bytes;
  const int64_t column_bytes = owns_columns(t) ? f.cores * (kColumnSlots + 1) * kGradBlock * (d16 + dv16) * 4 : 0;
  t.lse_offset = t.column_offset + column_bytes;
  t.delta_offset = t.lse_offset + queries;
  t.factor_offset = t.delta_offset + queries;
  t.key_norm_offset = t.factor_offset + queries;
  t.undo_q_offset = t.key_norm_offset + keys;
  t.undo_k_offset = t.undo_q_offset + queries;
  t.dq_offset = t.undo_k_offset + keys;
  t.dk_offset = t.dq_offset + align(f.batch * f.heads_q * f.sq * d16 * 4);
  t.dv_offset = t.dk_offset + (owns_columns(t) ? 0 : align(f.batch * f.heads_kv * f.sk * d16 * 4));
  t.end_offset = t.dv_offset + (owns_columns(t) ? 0 : align(f.batch * f.heads_kv * f.sk * dv16 * 4));
  result.accumulator_bytes = column_bytes + t.end_offset - t.dq_offset;
  t.sink_offset = t.end_offset;
  const int64_t row_tiles = f.batch * f.heads_q * ceil_div(f.sq, row_tile(static_cast<int32_t>(dv16)));
  result.workspace_bytes = t.end_offset + (f.bend.sinks != 0 ? align(row_tiles * 4) : 0);
  if (f.intervals.bounds > 0) {
    KeyIntervals& intervals = t.problem.intervals;
    const BlockShape block = {kGradBlock, kGradBlock};
    intervals = KeyIntervals();
    intervals.fills_chunks = 0;
    intervals.rows[kByColumns] = static_cast<int32_t>(f.packed ? f.sk / kGradBlock + f.documents
                                                               : row_block_count(transpose(t.problem.band), block));
    intervals.rows[kByRows] =
        static_cast<int32_t>(f.packed ? f.sq / kGradBlock + f.documents : row_block_count(t.problem.band, block));
    result.workspace_bytes = place_intervals(f, result.workspace_bytes, &intervals);
  }
  return result;
}

}  // namespace triangle
