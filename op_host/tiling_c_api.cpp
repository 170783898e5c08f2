// The tilings for Python, through ctypes: plain structs in, a kernel's tiling as bytes out.
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <type_traits>

#include "tiling_backward.h"
#include "tiling_cache.h"

#define TRIANGLE_EXPORT __attribute__((visibility("default")))

namespace {

// Mirrored by triangle_attn_op/sim/tiling.py. Strides: batch, head, row.
struct ForwardProblemC {
  int64_t batch, heads_q, heads_kv, sq, sk, d, dv;
  double scale;
  int64_t bottom_right, diagonal, window_left, packed, documents, has_mask, cores;
  int64_t strides[6][3];  // q, k, v, out, lse, mask
  double softcap;
  int64_t alibi, sinks, mask_element, mask_by_row, slope_batch, interval_bounds, interval_heads;
};
struct ForwardFiguresC {
  int64_t workspace_bytes, ring_bytes, blocks, visible_pairs, rows, wide, chunk, filler_tasks;
  double imbalance;
};

struct BackwardProblemC {
  ForwardProblemC forward;
  int64_t strides[4][3];  // dout, dq, dk, dv
  int64_t deterministic, has_dlse;
};
struct BackwardFiguresC {
  int64_t workspace_bytes, ring_bytes, accumulator_bytes, blocks, visible_pairs;
  int64_t filler_columns, filler_rows;  // block columns of the column pass, block rows of the row pass
  double imbalance;
};

struct CacheProblemC {
  ForwardProblemC forward;
  int64_t strides[2][3];  // new_k, new_v
  int64_t most_rows, new_keys, pages, page_size, room, table_row, length_step;
};

thread_local std::string last_error;

// Runs `body`: 0, or -1 with triangle_tiling_error() saying why not.
template <class Body>
int guarded(const Body& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    last_error = error.what();
    return -1;
  }
}

triangle::Strides strides(const int64_t* from) { return {from[0], from[1], from[2]}; }

triangle::ForwardProblem problem_of(const ForwardProblemC& p) {
  triangle::ForwardProblem problem;
  problem.batch = p.batch;
  problem.heads_q = p.heads_q;
  problem.heads_kv = p.heads_kv;
  problem.sq = p.sq;
  problem.sk = p.sk;
  problem.d = p.d;
  problem.dv = p.dv;
  problem.scale = static_cast<float>(p.scale);
  problem.bottom_right = p.bottom_right != 0;
  problem.diagonal = p.diagonal;
  problem.window_left = p.window_left;
  problem.packed = p.packed != 0;
  problem.documents = p.documents;
  problem.has_mask = p.has_mask != 0;
  problem.cores = p.cores;
  problem.q = strides(p.strides[0]);
  problem.k = strides(p.strides[1]);
  problem.v = strides(p.strides[2]);
  problem.out = strides(p.strides[3]);
  problem.lse = strides(p.strides[4]);
  problem.mask = strides(p.strides[5]);
  problem.bend.softcap = static_cast<float>(p.softcap);
  problem.bend.alibi = p.alibi != 0;
  problem.bend.sinks = p.sinks != 0;
  problem.bend.mask_element = static_cast<int32_t>(p.mask_element);
  problem.bend.mask_by_row = p.mask_by_row != 0;
  problem.bend.slope_batch = p.slope_batch;
  problem.intervals.bounds = static_cast<int32_t>(p.interval_bounds);
  problem.intervals.heads = static_cast<int32_t>(p.interval_heads);
  return problem;
}

}  // namespace

static_assert(std::is_trivially_copyable<TriangleForwardTiling>::value, "the tiling is passed by value");
static_assert(std::is_trivially_copyable<TriangleCacheTiling>::value, "the tiling is passed by value");
static_assert(std::is_trivially_copyable<TriangleBackwardTiling>::value, "the tiling is passed by value");

extern "C" {

TRIANGLE_EXPORT int64_t triangle_forward_tiling_bytes() { return sizeof(TriangleForwardTiling); }
TRIANGLE_EXPORT int64_t triangle_cache_tiling_bytes() { return sizeof(TriangleCacheTiling); }
TRIANGLE_EXPORT int64_t triangle_backward_tiling_bytes() { return sizeof(TriangleBackwardTiling); }

// The message of this thread's last error.
TRIANGLE_EXPORT const char* triangle_tiling_error() { return last_error.c_str(); }

TRIANGLE_EXPORT int triangle_forward_tiling(const ForwardProblemC* p, void* tiling, ForwardFiguresC* figures) {
  return guarded([&] {
    const triangle::ForwardPlan plan = triangle::make_forward_plan(problem_of(*p));
    std::memcpy(tiling, &plan.tiling, sizeof plan.tiling);
    figures->workspace_bytes = plan.workspace_bytes;
    figures->ring_bytes = plan.ring_bytes;
    figures->blocks = plan.blocks;
    figures->visible_pairs = plan.visible_pairs;
    figures->rows = plan.tiling.line.block.q;
    figures->wide = std::max(p->d, p->dv) > triangle::NarrowTile::kWidth;
    figures->chunk = plan.tiling.line.chunk;
    figures->filler_tasks = plan.tiling.partition.filler_tasks(p->cores);
    figures->imbalance = plan.imbalance;
  });
}

TRIANGLE_EXPORT int triangle_cache_tiling(const CacheProblemC* p, void* tiling, int64_t* workspace_bytes) {
  return guarded([&] {
    triangle::CacheProblem problem;
    problem.forward = problem_of(p->forward);
    problem.new_k = strides(p->strides[0]);
    problem.new_v = strides(p->strides[1]);
    problem.most_rows = p->most_rows;
    problem.new_keys = p->new_keys;
    problem.pages = p->pages;
    problem.page_size = p->page_size;
    problem.room = p->room;
    problem.table_row = p->table_row;
    problem.length_step = p->length_step;
    const triangle::CachePlan plan = triangle::make_cache_plan(problem);
    std::memcpy(tiling, &plan.tiling, sizeof plan.tiling);
    *workspace_bytes = plan.workspace_bytes;
  });
}

// What the launch is told that counts the blocks of one pass of a backward with intervals, as launch.cpp makes it.
TRIANGLE_EXPORT void triangle_interval_tiling(const void* backward, int64_t pass, void* tiling) {
  TriangleBackwardTiling from;
  std::memcpy(&from, backward, sizeof from);
  TriangleForwardTiling part = from.problem;
  part.line = from.lines[pass];
  part.intervals.counted = static_cast<int32_t>(pass);
  std::memcpy(tiling, &part, sizeof part);
}

TRIANGLE_EXPORT int triangle_backward_tiling(const BackwardProblemC* p, void* tiling, BackwardFiguresC* figures) {
  return guarded([&] {
    triangle::BackwardProblem problem;
    problem.forward = problem_of(p->forward);
    problem.dout = strides(p->strides[0]);
    problem.dq = strides(p->strides[1]);
    problem.dk = strides(p->strides[2]);
    problem.dv = strides(p->strides[3]);
    problem.deterministic = p->deterministic != 0;
    problem.has_dlse = p->has_dlse != 0;
    const triangle::BackwardPlan plan = triangle::make_backward_plan(problem);
    std::memcpy(tiling, &plan.tiling, sizeof plan.tiling);
    figures->workspace_bytes = plan.workspace_bytes;
    figures->ring_bytes = plan.ring_bytes;
    figures->accumulator_bytes = plan.accumulator_bytes;
    figures->blocks = plan.blocks;
    figures->visible_pairs = plan.visible_pairs;
    figures->filler_columns = plan.tiling.partitions[triangle::kByColumns].filler_tasks(p->forward.cores);
    figures->filler_rows = plan.tiling.partitions[triangle::kByRows].filler_tasks(p->forward.cores);
    figures->imbalance = plan.imbalance;
  });
}

}  // extern "C"
