// Launches on the simulator, which finds the kernels of this library by name.
//
// TRIANGLE_SIM_FAULT=wrong_tiling makes a kernel write outside of its output, as a wrong tiling would: the tests of
// faults watch how that comes back to Python. TRIANGLE_SIM_LAUNCHES=split launches each phase by itself, as with a CANN
// before 9.1. Both exist in the simulator's build only.
#pragma once
#include <cstdlib>
#include <cstring>
#include <string>

#include "acl/work.h"
#include "launch.h"

#define TRIANGLE_LAUNCH_WAY "sim"

namespace triangle {
inline bool begins_together() {
  const char* wanted = std::getenv("TRIANGLE_SIM_LAUNCHES");
  return wanted == nullptr || std::strcmp(wanted, "split") != 0;
}
}  // namespace triangle

namespace {

bool fault(const char* kind) {
  const char* wanted = std::getenv("TRIANGLE_SIM_FAULT");
  return wanted != nullptr && std::strcmp(wanted, kind) == 0;
}

constexpr int64_t kFarAway = int64_t{1} << 24;  // elements, further than any tensor of a test

template <class Tiling, size_t kCount>
int32_t queue(const std::string& kernel, const char* file, uint32_t cores, const void* const (&pointers)[kCount],
              const Tiling& tiling, void* stream) {
  const void* args[kCount + 1];
  uint64_t bytes[kCount + 1];
  for (size_t i = 0; i < kCount; ++i) {
    args[i] = &pointers[i];
    bytes[i] = sizeof(void*);
  }
  args[kCount] = &tiling;
  bytes[kCount] = sizeof tiling;
  return ascend_sim_acl_launch(kernel.c_str(), 0, cores, stream, const_cast<void* const*>(args), bytes, kCount + 1,
                               file, 0);
}

int32_t queue_forward(int32_t bf16, int32_t wide, uint32_t cores, const TriangleForwardPointers& p,
                      TriangleForwardTiling tiling, void* stream) {
  if (fault("wrong_tiling")) tiling.out.row += kFarAway;
  const std::string name = std::string(bf16 != 0 ? "bf16_" : "fp16_") + (wide != 0 ? "256" : "128");
  if (tiling.intervals.bounds > 0) {
    return queue("triangle_attn_fwd_intervals_" + name, "op_kernel/forward_intervals.cpp", cores,
                 {p.q, p.k, p.v, p.mask, p.cu_seq_q, p.cu_seq_k, p.slopes, p.sinks, p.out, p.lse, p.workspace}, tiling,
                 stream);
  }
  if (triangle::is_bent(tiling)) {
    return queue("triangle_attn_fwd_bent_" + name, "op_kernel/forward_bent.cpp", cores,
                 {p.q, p.k, p.v, p.mask, p.cu_seq_q, p.cu_seq_k, p.slopes, p.sinks, p.out, p.lse, p.workspace}, tiling,
                 stream);
  }
  return queue("triangle_attn_fwd_" + name, "op_kernel/forward.cpp", cores,
               {p.q, p.k, p.v, p.mask, p.cu_seq_q, p.cu_seq_k, p.out, p.lse, p.workspace}, tiling, stream);
}

int32_t queue_intervals(uint32_t vector_cores, const void* startend, const void* cu_seq_q, const void* cu_seq_k,
                        void* workspace, const TriangleForwardTiling& tiling, void* stream) {
  return queue("triangle_attn_intervals", "op_kernel/forward_intervals.cpp", vector_cores,
               {startend, cu_seq_q, cu_seq_k, workspace}, tiling, stream);
}

int32_t queue_append(uint32_t vector_cores, const TriangleCachePointers& p, const TriangleCacheTiling& tiling,
                     void* stream) {
  return queue("triangle_attn_cache_append", "op_kernel/forward_cache.cpp", vector_cores,
               {p.new_k, p.new_v, p.k, p.v, p.table, p.cu_seq_q, p.lengths}, tiling, stream);
}

int32_t queue_cache(int32_t bf16, int32_t wide, uint32_t cores, const TriangleCachePointers& p,
                    const TriangleCacheTiling& tiling, void* stream) {
  const std::string name = std::string(bf16 != 0 ? "bf16_" : "fp16_") + (wide != 0 ? "256" : "128");
  return queue("triangle_attn_cache_" + name, "op_kernel/forward_cache.cpp", cores,
               {p.q, p.k, p.v, p.table, p.cu_seq_q, p.lengths, p.slopes, p.sinks, p.out, p.lse, p.workspace}, tiling,
               stream);
}

int32_t queue_backward(int32_t bf16, uint32_t cores, const TriangleBackwardPointers& p, TriangleBackwardTiling tiling,
                       void* stream) {
  if (fault("wrong_tiling")) tiling.dq.row += kFarAway;
  const std::string name = bf16 != 0 ? "bf16" : "fp16";
  if (triangle::is_bent(tiling.problem)) {
    const bool walks = tiling.problem.phases == triangle::kWalkSections;
    const std::string kind = !walks ? "bent_rows_" : (tiling.problem.intervals.bounds > 0 ? "intervals_" : "bent_");
    return queue("triangle_attn_bwd_" + kind + name,
                 kind == "intervals_" ? "op_kernel/backward_intervals.cpp" : "op_kernel/backward_bent.cpp", cores,
                 {p.dout, p.q, p.k, p.v, p.out, p.lse, p.dlse, p.mask, p.cu_seq_q, p.cu_seq_k, p.slopes, p.sinks, p.dq,
                  p.dk, p.dv, p.dsinks, p.workspace},
                 tiling, stream);
  }
  return queue(
      "triangle_attn_bwd_" + name, "op_kernel/backward.cpp", cores,
      {p.dout, p.q, p.k, p.v, p.out, p.lse, p.dlse, p.mask, p.cu_seq_q, p.cu_seq_k, p.dq, p.dk, p.dv, p.workspace},
      tiling, stream);
}

}  // namespace
