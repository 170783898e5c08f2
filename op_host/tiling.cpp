// From a problem to the forward kernel's tiling: the partition of the block schedule and the workspace's layout.
#include "tiling.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "schedule.h"

namespace triangle {
namespace {

int64_t align(int64_t bytes) { return ceil_div(bytes, kWorkspaceAlign) * kWorkspaceAlign; }

void check(const char* name, bool holds, const char* expected, int64_t got) {
  if (!holds)
    throw std::invalid_argument(std::string(name) + ": expected " + expected + ", got " + std::to_string(got));
}

// Chunks of the pieces of cut tasks, at a core's beginning and at its end: the most that any core has.
struct CutSlots {
  int64_t first = 0, last = 0;
};
CutSlots count_cut_slots(const Plan& plan) {
  CutSlots slots;
  for (int64_t core = 0; core < plan.cores(); ++core) {
    Walker<BandList> walker = plan.walker(core, kMain);
    Piece piece;
    while (walker.next(&piece)) {
      if (piece.opens && piece.closes) continue;
      const int64_t chunks = ceil_div(piece.blocks.end, kChunkBlocks) - piece.blocks.begin / kChunkBlocks;
      int64_t& most = piece.opens ? slots.last : slots.first;
      most = std::max(most, chunks);
    }
  }
  return slots;
}

}  // namespace

double imbalance_of(const Plan& plan) {
  if (plan.total == 0) return 0;
  return static_cast<double>(plan.max_load) * static_cast<double>(plan.cores()) / static_cast<double>(plan.total) - 1;
}

Partition partition_of(const Plan& plan) {
  Partition partition;
  for (const LinePart part : {kMain, kFillers}) {
    const int64_t all = plan.line.heads() * sequence_tasks(plan.line, plan.sequences(), 0, part).tasks_per_head();
    check("q, k", all <= int64_t{0xffffffff}, "at most 2^32 - 1 tasks of the kernels", all);
    for (int64_t core = 0; core <= plan.cores(); ++core) {
      const Start& start = plan.places[core].part[part];
      const uint32_t task = static_cast<uint32_t>(start.sequence == 0 ? start.task : all);
      (part == kMain ? partition.tasks : partition.fillers)[core] = task;
      if (part == kMain) partition.units[core] = static_cast<uint32_t>(start.unit);
    }
  }
  return partition;
}

int64_t place_intervals(const ForwardProblem& problem, int64_t offset, KeyIntervals* intervals) {
  const int64_t most = std::max(problem.sq, problem.sk);
  check("startend_row_indices", most < int64_t{1} << 30, "fewer than 2^30 rows and keys of the kernels", most);
  KeyIntervals& t = *intervals;
  t.bounds = problem.intervals.bounds;
  t.heads = problem.intervals.heads;
  t.heads_kv = static_cast<int32_t>(problem.heads_kv);
  t.group = static_cast<int32_t>(problem.heads_q / problem.heads_kv);
  t.batch = static_cast<int32_t>(problem.packed ? 1 : problem.batch);
  t.pitch = static_cast<int32_t>(ceil_div(problem.sk, kBlockKeys) * kBlockKeys + kChunkKeys);
  const int64_t pairs = int64_t{t.batch} * t.heads;
  t.bounds_offset = align(offset);
  t.blocks_offset = align(t.bounds_offset + pairs * 2 * t.count() * t.pitch * 4);
  int64_t end = align(t.blocks_offset + pairs * (t.pitch / kBlockKeys) * t.count() * 16);
  for (int line = 0; line < kIntervalLines; ++line) {
    t.costs_offset[line] = end;
    end = align(end + pairs * t.rows[line] * 4);
  }
  return end;
}

ForwardPlan make_forward_plan(const ForwardProblem& problem) {
  check("cores", problem.cores >= 1 && problem.cores <= kMaxCores, "1 .. 32", problem.cores);
  check("D", problem.d >= 1 && problem.d <= WideTile::kWidth, "1 .. 256", problem.d);
  check("Dv", problem.dv >= 1 && problem.dv <= WideTile::kWidth, "1 .. 256", problem.dv);

  ForwardPlan result;
  TriangleForwardTiling& t = result.tiling;
  const int32_t rows = tile_rows(problem.d, problem.dv);
  t.d = static_cast<int32_t>(problem.d);
  t.dv = static_cast<int32_t>(problem.dv);
  t.scale = problem.scale;
  t.cores = static_cast<int32_t>(problem.cores);
  t.packed = problem.packed;
  t.bottom_right = problem.bottom_right;
  t.has_mask = problem.has_mask;
  t.documents = problem.documents;
  t.total_q = problem.sq;
  t.total_k = problem.sk;
  t.diagonal = problem.diagonal;
  t.window_left = problem.window_left;
  t.q = problem.q;
  t.k = problem.k;
  t.v = problem.v;
  t.out = problem.out;
  t.lse = problem.lse;
  t.mask = problem.mask;
  t.bend = problem.bend;

  CutSlots cut;
  if (problem.packed) {
    check("q, k", std::max(problem.sq, problem.sk) <= kMaxLength, "at most 2^31 tokens of the kernels",
          std::max(problem.sq, problem.sk));
    // Lengths are on the device: its cores find the partition, of whole tasks.
    t.line.batch = 1;
    t.line.heads_q = problem.heads_q;
    t.line.heads_kv = problem.heads_kv;
    t.line.group = problem.heads_q / problem.heads_kv;
    t.line.block = {rows, kBlockKeys};
    t.line.chunk = 0;
  } else {
    ScheduleProblem schedule;
    schedule.batch = problem.batch;
    schedule.heads_q = problem.heads_q;
    schedule.heads_kv = problem.heads_kv;
    schedule.sequences = {{problem.sq, problem.sk}};
    schedule.bottom_right = problem.bottom_right;
    schedule.diagonal = problem.diagonal;
    schedule.window_left = problem.window_left;
    schedule.block = {rows, kBlockKeys};
    schedule.chunk = 0;
    schedule.cores = problem.cores;
    schedule.allow_fillers = false;
    schedule.cut_fillers = false;
    Plan plan = make_plan(schedule);
    const ScheduleFigures shape = figures(schedule);
    // What intervals hide is on the device: its cores divide whole tasks by the blocks that they count.
    if (imbalance_of(plan) > kMostImbalance && problem.intervals.bounds == 0) {  // worth a merge
      schedule.chunk = kChunkBlocks;
      schedule.allow_fillers = true;
      Plan finer = make_plan(schedule);
      if (finer.max_load < plan.max_load) plan = std::move(finer);
    }
    t.line = plan.line;
    t.band = plan.bands[0];
    t.partition = partition_of(plan);
    cut = count_cut_slots(plan);
    result.blocks = shape.blocks;
    result.visible_pairs = shape.visible_pairs;
    result.imbalance = imbalance_of(plan);
  }

  const int64_t dv16 = round_up(t.dv, 16);
  t.slot_scores_bytes = int64_t{rows} * kChunkKeys * 4;
  t.slot_out_bytes = align(rows * dv16 * 4);
  t.ring_bytes = kRingSlots * (t.slot_scores_bytes + t.slot_out_bytes + t.slot_scores_bytes / 2);
  result.ring_bytes = problem.cores * t.ring_bytes;
  t.cut_offset = result.ring_bytes;
  t.cut_first_slots = static_cast<int32_t>(cut.first);
  t.cut_slots = static_cast<int32_t>(cut.first + cut.last);
  t.cut_rows = static_cast<int32_t>(
      std::min<int64_t>(rows, round_up(static_cast<int32_t>(std::min<int64_t>(problem.sq, rows)), 16)));
  t.cut_slot_bytes = align(t.cut_rows * (dv16 + 2) * 4);
  result.workspace_bytes = t.cut_offset + problem.cores * t.cut_slots * t.cut_slot_bytes;
  if (problem.intervals.bounds > 0) {
    t.intervals.rows[kForwardLine] = static_cast<int32_t>(
        problem.packed ? t.line.block.q.floor(problem.sq) + problem.documents : row_block_count(t.band, t.line.block));
    result.workspace_bytes = place_intervals(problem, result.workspace_bytes, &t.intervals);
  }
  return result;
}

}  // namespace triangle
