// Launches of CANN >= 8.5. bisheng compiles a source as one program, so the kernels are included here.
#pragma once
// The kernels come before launch.h, as this order has it: they define TRIANGLE_FN for the device.
#include <cstring>

#include "acl/acl.h"
#include "backward.cpp"
#include "backward_bent.cpp"
#include "backward_intervals.cpp"
#include "forward.cpp"
#include "forward_bent.cpp"
#include "forward_cache.cpp"
#include "forward_intervals.cpp"
#include "launch.h"
#include "launched_asc.h"

#define TRIANGLE_LAUNCH_WAY "asc"

namespace {

// GM_ADDR is a macro of CANN for `__gm__ uint8_t*`: a declaration of several names with it makes bytes of all but the
// first.
GM_ADDR device(const void* pointer) { return (GM_ADDR) const_cast<void*>(pointer); }

int32_t queue_forward(int32_t bf16, int32_t wide, uint32_t cores, const TriangleForwardPointers& p,
                      const TriangleForwardTiling& tiling, aclrtStream stream) {
  triangle::launch_begins();
  TriangleForwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  GM_ADDR q = device(p.q);
  GM_ADDR k = device(p.k);
  GM_ADDR v = device(p.v);
  GM_ADDR mask = device(p.mask);
  GM_ADDR cu_seq_q = device(p.cu_seq_q);
  GM_ADDR cu_seq_k = device(p.cu_seq_k);
  GM_ADDR out = device(p.out);
  GM_ADDR lse = device(p.lse);
  GM_ADDR workspace = device(p.workspace);
  if (tiling.intervals.bounds > 0) {
    GM_ADDR slopes = device(p.slopes);
    GM_ADDR sinks = device(p.sinks);
    if (bf16 != 0 && wide != 0) {
      triangle_attn_fwd_intervals_bf16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out,
                                                                 lse, workspace, words);
    } else if (bf16 != 0) {
      triangle_attn_fwd_intervals_bf16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out,
                                                                 lse, workspace, words);
    } else if (wide != 0) {
      triangle_attn_fwd_intervals_fp16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out,
                                                                 lse, workspace, words);
    } else {
      triangle_attn_fwd_intervals_fp16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out,
                                                                 lse, workspace, words);
    }
  } else if (triangle::is_bent(tiling)) {
    GM_ADDR slopes = device(p.slopes);
    GM_ADDR sinks = device(p.sinks);
    if (bf16 != 0 && wide != 0) {
      triangle_attn_fwd_bent_bf16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out, lse,
                                                            workspace, words);
    } else if (bf16 != 0) {
      triangle_attn_fwd_bent_bf16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out, lse,
                                                            workspace, words);
    } else if (wide != 0) {
      triangle_attn_fwd_bent_fp16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out, lse,
                                                            workspace, words);
    } else {
      triangle_attn_fwd_bent_fp16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, slopes, sinks, out, lse,
                                                            workspace, words);
    }
  } else if (bf16 != 0 && wide != 0) {
    triangle_attn_fwd_bf16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, words);
  } else if (bf16 != 0) {
    triangle_attn_fwd_bf16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, words);
  } else if (wide != 0) {
    triangle_attn_fwd_fp16_256<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, words);
  } else {
    triangle_attn_fwd_fp16_128<<<cores, 0, stream>>>(q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, words);
  }
  return triangle::launch_result();
}

int32_t queue_intervals(uint32_t vector_cores, const void* given, const void* rows, const void* keys, void* tables,
                        const TriangleForwardTiling& tiling, aclrtStream stream) {
  triangle::launch_begins();
  TriangleForwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  GM_ADDR startend = device(given);
  GM_ADDR cu_seq_q = device(rows);
  GM_ADDR cu_seq_k = device(keys);
  GM_ADDR workspace = device(tables);
  triangle_attn_intervals<<<vector_cores, 0, stream>>>(startend, cu_seq_q, cu_seq_k, workspace, words);
  return triangle::launch_result();
}

int32_t queue_append(uint32_t vector_cores, const TriangleCachePointers& p, const TriangleCacheTiling& tiling,
                     aclrtStream stream) {
  triangle::launch_begins();
  TriangleCacheWords words;
  std::memcpy(&words, &tiling, sizeof words);
  GM_ADDR new_k = device(p.new_k);
  GM_ADDR new_v = device(p.new_v);
  GM_ADDR k = device(p.k);
  GM_ADDR v = device(p.v);
  GM_ADDR table = device(p.table);
  GM_ADDR cu_seq_q = device(p.cu_seq_q);
  GM_ADDR lengths = device(p.lengths);
  triangle_attn_cache_append<<<vector_cores, 0, stream>>>(new_k, new_v, k, v, table, cu_seq_q, lengths, words);
  return triangle::launch_result();
}

int32_t queue_cache(int32_t bf16, int32_t wide, uint32_t cores, const TriangleCachePointers& p,
                    const TriangleCacheTiling& tiling, aclrtStream stream) {
  triangle::launch_begins();
  TriangleCacheWords words;
  std::memcpy(&words, &tiling, sizeof words);
  GM_ADDR q = device(p.q);
  GM_ADDR k = device(p.k);
  GM_ADDR v = device(p.v);
  GM_ADDR table = device(p.table);
  GM_ADDR cu_seq_q = device(p.cu_seq_q);
  GM_ADDR lengths = device(p.lengths);
  GM_ADDR slopes = device(p.slopes);
  GM_ADDR sinks = device(p.sinks);
  GM_ADDR out = device(p.out);
  GM_ADDR lse = device(p.lse);
  GM_ADDR workspace = device(p.workspace);
  if (bf16 != 0 && wide != 0) {
    triangle_attn_cache_bf16_256<<<cores, 0, stream>>>(q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse,
                                                       workspace, words);
  } else if (bf16 != 0) {
    triangle_attn_cache_bf16_128<<<cores, 0, stream>>>(q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse,
                                                       workspace, words);
  } else if (wide != 0) {
    triangle_attn_cache_fp16_256<<<cores, 0, stream>>>(q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse,
                                                       workspace, words);
  } else {
    triangle_attn_cache_fp16_128<<<cores, 0, stream>>>(q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse,
                                                       workspace, words);
  }
  return triangle::launch_result();
}

int32_t queue_backward(int32_t bf16, uint32_t cores, const TriangleBackwardPointers& p,
                       const TriangleBackwardTiling& tiling, aclrtStream stream) {
  triangle::launch_begins();
  TriangleBackwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  GM_ADDR dout = device(p.dout);
  GM_ADDR q = device(p.q);
  GM_ADDR k = device(p.k);
  GM_ADDR v = device(p.v);
  GM_ADDR out = device(p.out);
  GM_ADDR lse = device(p.lse);
  GM_ADDR dlse = device(p.dlse);
  GM_ADDR mask = device(p.mask);
  GM_ADDR cu_seq_q = device(p.cu_seq_q);
  GM_ADDR cu_seq_k = device(p.cu_seq_k);
  GM_ADDR dq = device(p.dq);
  GM_ADDR dk = device(p.dk);
  GM_ADDR dv = device(p.dv);
  GM_ADDR workspace = device(p.workspace);
  if (triangle::is_bent(tiling.problem)) {
    GM_ADDR slopes = device(p.slopes);
    GM_ADDR sinks = device(p.sinks);
    GM_ADDR dsinks = device(p.dsinks);
    const bool rows = tiling.problem.phases != triangle::kWalkSections;
    if (bf16 != 0 && rows) {
      triangle_attn_bwd_bent_rows_bf16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k,
                                                             slopes, sinks, dq, dk, dv, dsinks, workspace, words);
    } else if (rows) {
      triangle_attn_bwd_bent_rows_fp16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k,
                                                             slopes, sinks, dq, dk, dv, dsinks, workspace, words);
    } else if (bf16 != 0 && tiling.problem.intervals.bounds > 0) {
      triangle_attn_bwd_intervals_bf16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k,
                                                             slopes, sinks, dq, dk, dv, dsinks, workspace, words);
    } else if (tiling.problem.intervals.bounds > 0) {
      triangle_attn_bwd_intervals_fp16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k,
                                                             slopes, sinks, dq, dk, dv, dsinks, workspace, words);
    } else if (bf16 != 0) {
      triangle_attn_bwd_bent_bf16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, slopes,
                                                        sinks, dq, dk, dv, dsinks, workspace, words);
    } else {
      triangle_attn_bwd_bent_fp16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, slopes,
                                                        sinks, dq, dk, dv, dsinks, workspace, words);
    }
  } else if (bf16 != 0) {
    triangle_attn_bwd_bf16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv,
                                                 workspace, words);
  } else {
    triangle_attn_bwd_fp16<<<cores, 0, stream>>>(dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv,
                                                 workspace, words);
  }
  return triangle::launch_result();
}

}  // namespace
