// What the backward kernel is told. Plain C++17 that host, device and simulator share; op_host/tiling_backward.cpp
// fills it in.
#pragma once
#include "tiling.h"

namespace triangle {

// The backward works on blocks of 128 x 128 in sections: up to kSectionBlocks blocks of one block column (dK, dV and,
// on the fast path, dQ) or of one block row (dQ alone, on the deterministic path). A section is a ring slot: S and dP
// of its blocks, which P and dS replace. Longer sections store the accumulators of dK and dV less often; 8 make two
// slots 2 MiB a core.
constexpr int32_t kGradBlock = 128;
constexpr int32_t kSectionBlocks = 8;
constexpr int32_t kSectionShift = 3;  // 8 == 1 << 3
constexpr int32_t kSectionSlots = 2;
static_assert(kSectionBlocks == 1 << kSectionShift, "its power of two");

// Where cores own block columns (owns_columns()), a core has places for dK and dV of some: those in work, and the one
// that it begins and others go on with.
constexpr int32_t kColumnSlots = kSectionSlots + 1;
constexpr int32_t kSharedColumn = kColumnSlots;  // its place, after the others

// Which blocks share a section.
enum BackwardPass : int { kByColumns = 0, kByRows = 1, kBackwardPasses = 2 };

}  // namespace triangle

struct TriangleBackwardTiling {
  TriangleForwardTiling problem;  // sizes, sequences, strides of q, k, v, out, lse and mask, as the forward has them
  triangle::TaskLine lines[triangle::kBackwardPasses];
  triangle::Partition partitions[triangle::kBackwardPasses];  // dense
  int32_t deterministic = 0;  // 1: every gradient tile is summed by one core in one order; costs a second pass for dQ
  int32_t has_dlse = 0;
  int64_t batch = 1, heads_q = 1, heads_kv = 1, group = 1;  // group: heads_q / heads_kv
  triangle::Strides dout, dq, dk, dv;
  // The workspace, in bytes: rings and places of block columns, then fp32 values per row, [B Hq][rows] or of keys [B
  // Hkv][rows]: lse, delta, and for fp16 the factors of dS (backward_range.h) and what undoes them; then the fp32
  // accumulators [B H][rows][columns rounded up to 16], one after another.
  int64_t ring_bytes = 0;     // of one core
  int64_t column_offset = 0;  // dK, then dV of a block column in fp32: kColumnSlots + 1 of them for each core
  int64_t lse_offset = 0, delta_offset = 0, factor_offset = 0, key_norm_offset = 0;
  int64_t undo_q_offset = 0, undo_k_offset = 0;
  int64_t dq_offset = 0, dk_offset = 0, dv_offset = 0, end_offset = 0;
  int64_t sink_offset = 0;  // with sinks, after the accumulators: partial sums of their gradients
};

namespace triangle {

// Whether a core that has all of a block column owns it: nobody else adds to its dK and dV, so they need no zeros, and
// the core's vector cores round them as soon as they are done. Not where the query heads of a group are shared out. Nor
// in packed batches, whose cumulative lengths may leave out keys, nor with intervals, which may hide a key from all
// rows: such keys get zeros.
TRIANGLE_FN bool owns_columns(const TriangleBackwardTiling& tiling) {
  return !tiling.problem.packed && tiling.problem.intervals.bounds == 0 &&
         (tiling.deterministic || tiling.heads_q == tiling.heads_kv);
}

// Rows that the backward's row-wise passes take at once, of `width` columns; their tiles do not depend on the cores.
TRIANGLE_FN int32_t row_tile(int32_t width) {
  constexpr int32_t kFloats = 64 * kGradBlock;
  return kFloats / width < 64 ? kFloats / width : 64;
}

#if !defined(TRIANGLE_DEVICE)  // the rest is for the host

struct BackwardProblem {
  ForwardProblem forward;
  bool deterministic = false;
  bool has_dlse = false;
  Strides dout, dq, dk, dv;
};

struct BackwardPlan {
  TriangleBackwardTiling tiling;
  int64_t workspace_bytes = 0;
  int64_t ring_bytes = 0;         // of it, all cores
  int64_t accumulator_bytes = 0;  // of it
  int64_t blocks = 0;             // 128 x 128, of the column pass (dense; packed: 0)
  int64_t visible_pairs = 0;
  // Busiest core over the mean, less 1: of the column pass, on the deterministic path of the worse pass. The launch as
  // a whole is no less even than that, whatever a block costs in either pass.
  double imbalance = 0;
};

// Throws std::invalid_argument naming the argument.
BackwardPlan make_backward_plan(const BackwardProblem& problem);

#endif

}  // namespace triangle
