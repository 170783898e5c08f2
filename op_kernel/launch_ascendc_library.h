// Launches of CANN 8.1 to 8.3: by the functions that ascendc_library generates for each kernel.
#pragma once
// The generated headers name these without declaring them.
struct TriangleForwardWords;
struct TriangleBackwardWords;
struct TriangleCacheWords;

#include <cstring>

#include "aclrtlaunch_triangle_attn_bwd_bent_bf16.h"
#include "aclrtlaunch_triangle_attn_bwd_bent_fp16.h"
#include "aclrtlaunch_triangle_attn_bwd_bent_rows_bf16.h"
#include "aclrtlaunch_triangle_attn_bwd_bent_rows_fp16.h"
#include "aclrtlaunch_triangle_attn_bwd_bf16.h"
#include "aclrtlaunch_triangle_attn_bwd_fp16.h"
#include "aclrtlaunch_triangle_attn_bwd_intervals_bf16.h"
#include "aclrtlaunch_triangle_attn_bwd_intervals_fp16.h"
#include "aclrtlaunch_triangle_attn_cache_append.h"
#include "aclrtlaunch_triangle_attn_cache_bf16_128.h"
#include "aclrtlaunch_triangle_attn_cache_bf16_256.h"
#include "aclrtlaunch_triangle_attn_cache_fp16_128.h"
#include "aclrtlaunch_triangle_attn_cache_fp16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_bent_bf16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_bent_bf16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_bent_fp16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_bent_fp16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_bf16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_bf16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_fp16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_fp16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_intervals_bf16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_intervals_bf16_256.h"
#include "aclrtlaunch_triangle_attn_fwd_intervals_fp16_128.h"
#include "aclrtlaunch_triangle_attn_fwd_intervals_fp16_256.h"
#include "aclrtlaunch_triangle_attn_intervals.h"
#include "launch.h"
#include "tiling_by_value.h"

#define TRIANGLE_LAUNCH_WAY "ascendc_library"

// The generated launchers print and return 0 where the kernels' binary was refused or not registered, which CANN does
// when the library is opened. The build renames that call (ld --wrap), so that a launch that did not happen is an
// error.
namespace {
constexpr int32_t kNotRegistered = 500000;  // ACL_ERROR_INTERNAL_ERROR
int32_t registration = kNotRegistered;      // 0 or an error; set by a constructor of the generated code
}  // namespace
extern "C" {
uint32_t __real_RegisterAscendBinary(const char* binary, size_t bytes, uint32_t type, void** handle);
uint32_t __wrap_RegisterAscendBinary(const char* binary, size_t bytes, uint32_t type, void** handle) {
  const uint32_t status = __real_RegisterAscendBinary(binary, bytes, type, handle);
  registration = static_cast<int32_t>(status);
  return status;
}
}

namespace {

void* device(const void* pointer) { return const_cast<void*>(pointer); }

int32_t queue_forward(int32_t bf16, int32_t wide, uint32_t cores, const TriangleForwardPointers& p,
                      const TriangleForwardTiling& tiling, void* stream) {
  if (registration != 0) return registration;
  TriangleForwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  if (tiling.intervals.bounds > 0) {
    const auto launch = bf16 != 0 ? (wide != 0 ? aclrtlaunch_triangle_attn_fwd_intervals_bf16_256
                                               : aclrtlaunch_triangle_attn_fwd_intervals_bf16_128)
                                  : (wide != 0 ? aclrtlaunch_triangle_attn_fwd_intervals_fp16_256
                                               : aclrtlaunch_triangle_attn_fwd_intervals_fp16_128);
    return static_cast<int32_t>(launch(cores, stream, device(p.q), device(p.k), device(p.v), device(p.mask),
                                       device(p.cu_seq_q), device(p.cu_seq_k), device(p.slopes), device(p.sinks), p.out,
                                       p.lse, p.workspace, &words));
  }
  if (triangle::is_bent(tiling)) {
    const auto launch =
        bf16 != 0
            ? (wide != 0 ? aclrtlaunch_triangle_attn_fwd_bent_bf16_256 : aclrtlaunch_triangle_attn_fwd_bent_bf16_128)
            : (wide != 0 ? aclrtlaunch_triangle_attn_fwd_bent_fp16_256 : aclrtlaunch_triangle_attn_fwd_bent_fp16_128);
    return static_cast<int32_t>(launch(cores, stream, device(p.q), device(p.k), device(p.v), device(p.mask),
                                       device(p.cu_seq_q), device(p.cu_seq_k), device(p.slopes), device(p.sinks), p.out,
                                       p.lse, p.workspace, &words));
  }
  const auto launch =
      bf16 != 0 ? (wide != 0 ? aclrtlaunch_triangle_attn_fwd_bf16_256 : aclrtlaunch_triangle_attn_fwd_bf16_128)
                : (wide != 0 ? aclrtlaunch_triangle_attn_fwd_fp16_256 : aclrtlaunch_triangle_attn_fwd_fp16_128);
  return static_cast<int32_t>(launch(cores, stream, device(p.q), device(p.k), device(p.v), device(p.mask),
                                     device(p.cu_seq_q), device(p.cu_seq_k), p.out, p.lse, p.workspace, &words));
}

int32_t queue_intervals(uint32_t vector_cores, const void* startend, const void* cu_seq_q, const void* cu_seq_k,
                        void* workspace, const TriangleForwardTiling& tiling, void* stream) {
  if (registration != 0) return registration;
  TriangleForwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  return static_cast<int32_t>(aclrtlaunch_triangle_attn_intervals(
      vector_cores, stream, device(startend), device(cu_seq_q), device(cu_seq_k), workspace, &words));
}

int32_t queue_append(uint32_t vector_cores, const TriangleCachePointers& p, const TriangleCacheTiling& tiling,
                     void* stream) {
  if (registration != 0) return registration;
  TriangleCacheWords words;
  std::memcpy(&words, &tiling, sizeof words);
  return static_cast<int32_t>(aclrtlaunch_triangle_attn_cache_append(vector_cores, stream, device(p.new_k),
                                                                     device(p.new_v), p.k, p.v, device(p.table),
                                                                     device(p.cu_seq_q), device(p.lengths), &words));
}

int32_t queue_cache(int32_t bf16, int32_t wide, uint32_t cores, const TriangleCachePointers& p,
                    const TriangleCacheTiling& tiling, void* stream) {
  if (registration != 0) return registration;
  TriangleCacheWords words;
  std::memcpy(&words, &tiling, sizeof words);
  const auto launch =
      bf16 != 0 ? (wide != 0 ? aclrtlaunch_triangle_attn_cache_bf16_256 : aclrtlaunch_triangle_attn_cache_bf16_128)
                : (wide != 0 ? aclrtlaunch_triangle_attn_cache_fp16_256 : aclrtlaunch_triangle_attn_cache_fp16_128);
  return static_cast<int32_t>(launch(cores, stream, device(p.q), p.k, p.v, device(p.table), device(p.cu_seq_q),
                                     device(p.lengths), device(p.slopes), device(p.sinks), p.out, p.lse, p.workspace,
                                     &words));
}

int32_t queue_backward(int32_t bf16, uint32_t cores, const TriangleBackwardPointers& p,
                       const TriangleBackwardTiling& tiling, void* stream) {
  if (registration != 0) return registration;
  TriangleBackwardWords words;
  std::memcpy(&words, &tiling, sizeof words);
  if (triangle::is_bent(tiling.problem)) {
    const bool rows = tiling.problem.phases != triangle::kWalkSections;
    const bool intervals = tiling.problem.intervals.bounds > 0;
    auto launch = bf16 != 0 ? aclrtlaunch_triangle_attn_bwd_bent_bf16 : aclrtlaunch_triangle_attn_bwd_bent_fp16;
    if (intervals)
      launch = bf16 != 0 ? aclrtlaunch_triangle_attn_bwd_intervals_bf16 : aclrtlaunch_triangle_attn_bwd_intervals_fp16;
    if (rows)
      launch = bf16 != 0 ? aclrtlaunch_triangle_attn_bwd_bent_rows_bf16 : aclrtlaunch_triangle_attn_bwd_bent_rows_fp16;
    return static_cast<int32_t>(launch(cores, stream, device(p.dout), device(p.q), device(p.k), device(p.v),
                                       device(p.out), device(p.lse), device(p.dlse), device(p.mask), device(p.cu_seq_q),
                                       device(p.cu_seq_k), device(p.slopes), device(p.sinks), p.dq, p.dk, p.dv,
                                       p.dsinks, p.workspace, &words));
  }
  const auto launch = bf16 != 0 ? aclrtlaunch_triangle_attn_bwd_bf16 : aclrtlaunch_triangle_attn_bwd_fp16;
  return static_cast<int32_t>(launch(cores, stream, device(p.dout), device(p.q), device(p.k), device(p.v),
                                     device(p.out), device(p.lse), device(p.dlse), device(p.mask), device(p.cu_seq_q),
                                     device(p.cu_seq_k), p.dq, p.dk, p.dv, p.workspace, &words));
}

}  // namespace
