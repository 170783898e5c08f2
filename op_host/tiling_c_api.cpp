// The tiling for Python, through ctypes: plain structs in, the kernel's tiling as bytes out.
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <type_traits>

#include "tiling.h"

namespace {

// Mirrored by triangle_attn_op/sim/tiling.py.
struct ForwardProblemC {
  int64_t batch, heads_q, heads_kv, sq, sk, d, dv;
  double scale;
  int64_t bottom_right, diagonal, window_left, packed, documents, has_mask, cores;
  int64_t strides[6][3];  // q, k, v, out, lse, mask: batch, head, row
};
struct ForwardFiguresC {
  int64_t workspace_bytes, ring_bytes, blocks, visible_pairs, rows, wide, chunk;
  double imbalance;
};

thread_local std::string last_error;

triangle::Strides strides(const int64_t* from) { return {from[0], from[1], from[2]}; }

}  // namespace

static_assert(std::is_trivially_copyable<TriangleForwardTiling>::value, "the tiling is passed by value");

extern "C" {

__attribute__((visibility("default"))) int64_t triangle_forward_tiling_bytes() { return sizeof(TriangleForwardTiling); }

__attribute__((visibility("default"))) const char* triangle_tiling_error() { return last_error.c_str(); }

// 0, or -1 with triangle_tiling_error() saying why.
__attribute__((visibility("default"))) int triangle_forward_tiling(const ForwardProblemC* p, void* tiling,
                                                                   ForwardFiguresC* figures) {
  try {
    triangle::ForwardProblem problem;
    problem.batch = p->batch;
    problem.heads_q = p->heads_q;
    problem.heads_kv = p->heads_kv;
    problem.sq = p->sq;
    problem.sk = p->sk;
    problem.d = p->d;
    problem.dv = p->dv;
    problem.scale = static_cast<float>(p->scale);
    problem.bottom_right = p->bottom_right != 0;
    problem.diagonal = p->diagonal;
    problem.window_left = p->window_left;
    problem.packed = p->packed != 0;
    problem.documents = p->documents;
    problem.has_mask = p->has_mask != 0;
    problem.cores = p->cores;
    problem.q = strides(p->strides[0]);
    problem.k = strides(p->strides[1]);
    problem.v = strides(p->strides[2]);
    problem.out = strides(p->strides[3]);
    problem.lse = strides(p->strides[4]);
    problem.mask = strides(p->strides[5]);
    const triangle::ForwardPlan plan = triangle::make_forward_plan(problem);
    std::memcpy(tiling, &plan.tiling, sizeof plan.tiling);
    figures->workspace_bytes = plan.workspace_bytes;
    figures->ring_bytes = plan.ring_bytes;
    figures->blocks = plan.blocks;
    figures->visible_pairs = plan.visible_pairs;
    figures->rows = plan.tiling.line.block.q;
    figures->wide = std::max(p->d, p->dv) > triangle::NarrowTile::kWidth;
    figures->chunk = plan.tiling.line.chunk;
    figures->imbalance = plan.imbalance;
    return 0;
  } catch (const std::exception& error) {
    last_error = error.what();
    return -1;
  }
}

}  // extern "C"
