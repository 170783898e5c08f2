// libtriangle_attn_npu.so's functions (launch.h): from pointers and a tiling to one of the kernels, three ways.
//
// | macro                            | kernels are built by         | and launched as                              |
// |----------------------------------|------------------------------|----------------------------------------------|
// | TRIANGLE_LAUNCH_ASC              | CANN >= 8.5, with this file: | k<<<cores, 0, stream>>>(...)                 |
// |                                  | one .asc source              |                                              |
// | TRIANGLE_LAUNCH_ASCENDC_LIBRARY  | ascendc_library, 8.1 to 8.3  | aclrtlaunch_k(cores, stream, ..., &tiling)   |
// | TRIANGLE_LAUNCH_SIM              | ascend_sim_add_kernel        | a call of the simulator's libascendcl.so     |
//
// TRIANGLE_CANN_VERSION is the text of the CANN that builds the library; the simulator has none.
#if defined(TRIANGLE_LAUNCH_ASC)
#include "launch_asc.h"
#elif defined(TRIANGLE_LAUNCH_ASCENDC_LIBRARY)
#include "launch_ascendc_library.h"
#elif defined(TRIANGLE_LAUNCH_SIM)
#include "launch_sim.h"
#else
#error "one of TRIANGLE_LAUNCH_ASC, TRIANGLE_LAUNCH_ASCENDC_LIBRARY, TRIANGLE_LAUNCH_SIM must be defined"
#endif
#include "launch.h"

#ifndef TRIANGLE_CANN_VERSION
#error "TRIANGLE_CANN_VERSION must be defined: the version of the CANN that compiles the kernels, or \"none\""
#endif

#define TRIANGLE_EXPORT __attribute__((visibility("default")))

namespace {

// The tables of intervals, if there are any: `reads` them first, then counts what the tasks of the tiling's line cost.
template <class Pointers>
int32_t prepare_intervals(uint32_t cores, const Pointers& pointers, TriangleForwardTiling tiling, bool reads,
                          void* stream) {
  if (tiling.intervals.bounds == 0) return 0;
  for (int32_t i = reads ? 0 : 1; i < 2; ++i) {
    tiling.phases = i == 0 ? triangle::kReadIntervals : triangle::kCountBlocks;
    const int32_t status = queue_intervals(2 * cores, pointers.startend, pointers.cu_seq_q, pointers.cu_seq_k,
                                           pointers.workspace, tiling, stream);
    if (status != 0) return status;
  }
  return 0;
}

}  // namespace

extern "C" {

TRIANGLE_EXPORT int32_t triangle_npu_abi(void) { return triangle::kNpuAbi; }

TRIANGLE_EXPORT const char* triangle_npu_build(void) {
  return "cann=" TRIANGLE_CANN_VERSION ";way=" TRIANGLE_LAUNCH_WAY ";arch=dav-2201";
}

TRIANGLE_EXPORT int32_t triangle_npu_forward(int32_t bf16, int32_t wide, uint32_t cores,
                                             const TriangleForwardPointers* pointers,
                                             const TriangleForwardTiling* tiling, void* stream) {
  TriangleForwardTiling part = *tiling;
  const int32_t prepared = prepare_intervals(cores, *pointers, part, true, stream);
  if (prepared != 0) return prepared;
  const triangle::Phases phases = triangle::phases_of(*tiling, triangle::begins_together());
  for (int32_t i = 0; i < phases.count; ++i) {
    part.phases = phases.launches[i];
    const int32_t status = queue_forward(bf16, wide, cores, *pointers, part, stream);
    if (status != 0) return status;
  }
  return 0;
}

TRIANGLE_EXPORT int32_t triangle_npu_cache(int32_t bf16, int32_t wide, uint32_t cores,
                                           const TriangleCachePointers* pointers, const TriangleCacheTiling* tiling,
                                           void* stream) {
  TriangleCacheTiling part = *tiling;
  if (pointers->new_k != nullptr) {
    const int32_t status = queue_append(2 * cores, *pointers, part, stream);
    if (status != 0) return status;
  }
  const triangle::Phases phases = triangle::phases_of(part.forward, triangle::begins_together());
  for (int32_t i = 0; i < phases.count; ++i) {
    part.forward.phases = phases.launches[i];
    const int32_t status = queue_cache(bf16, wide, cores, *pointers, part, stream);
    if (status != 0) return status;
  }
  return 0;
}

TRIANGLE_EXPORT int32_t triangle_npu_backward(int32_t bf16, uint32_t cores, const TriangleBackwardPointers* pointers,
                                              const TriangleBackwardTiling* tiling, void* stream) {
  TriangleBackwardTiling part = *tiling;
  for (int pass = 0; pass < (tiling->deterministic != 0 ? 2 : 1); ++pass) {
    TriangleForwardTiling counted = tiling->problem;
    counted.line = tiling->lines[pass];
    counted.intervals.counted = pass;
    const int32_t prepared = prepare_intervals(cores, *pointers, counted, pass == 0, stream);
    if (prepared != 0) return prepared;
  }
  const triangle::Phases phases = triangle::phases_of(*tiling, bf16 != 0, triangle::begins_together());
  for (int32_t i = 0; i < phases.count; ++i) {
    part.problem.phases = phases.launches[i];
    const int32_t status = queue_backward(bf16, cores, *pointers, part, stream);
    if (status != 0) return status;
  }
  return 0;
}

}  // extern "C"
