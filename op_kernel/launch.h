// The C interface of libtriangle_attn_npu.so: plain pointers, a tiling and a stream in, a queued kernel launch out.
//
// No torch and no CANN header: the library is built by CANN's compiler (or for the simulator), the caller
// (csrc/npu/loader.cpp) opens it at the first NPU call.
#pragma once
#include <stdint.h>

#include "../op_host/tiling_backward.h"
#include "../op_host/tiling_cache.h"

#ifdef __cplusplus
extern "C" {
#endif

// Device addresses. mask, cu_seq_q, cu_seq_k, slopes, sinks, startend, dsinks and dlse are null where the tiling does
// not use them. q, k, v, out and their gradients point to the first element of a strided tensor whose strides the
// tiling holds; lse, dlse, slopes, sinks, dsinks fp32.
typedef struct TriangleForwardPointers {
  const void *q, *k, *v, *mask, *cu_seq_q, *cu_seq_k, *slopes, *sinks, *startend;
  void *out, *lse, *workspace;
} TriangleForwardPointers;

typedef struct TriangleBackwardPointers {
  const void *dout, *q, *k, *v, *out, *lse, *dlse, *mask, *cu_seq_q, *cu_seq_k, *slopes, *sinks, *startend;
  void *dq, *dk, *dv, *dsinks, *workspace;
} TriangleBackwardPointers;

// new_k, new_v: null where nothing is appended to k and v, the caches. table: page numbers or entries, null where each
// sequence has the entry of its number.
typedef struct TriangleCachePointers {
  const void *q, *new_k, *new_v, *table, *cu_seq_q, *lengths, *slopes, *sinks;
  void *k, *v, *out, *lse, *workspace;
} TriangleCachePointers;

// Identifies the structs of this header: a library built from other sources must not be called.
int32_t triangle_npu_abi(void);

// What the library was built with: "cann=8.5.0;way=asc;arch=dav-2201", "cann=none;way=sim;arch=dav-2201". Static text.
const char* triangle_npu_build(void);

// Queue a launch on `cores` AI cores behind the work of `stream` (an aclrtStream), or one for each of its phases, and
// return at once: 0, or an aclError. Everything that the pointers name must stay alive until the stream has passed the
// launch; the structs are read before the call returns. wide: 1 where D or Dv is above 128.
int32_t triangle_npu_forward(int32_t bf16, int32_t wide, uint32_t cores, const TriangleForwardPointers* pointers,
                             const TriangleForwardTiling* tiling, void* stream);
int32_t triangle_npu_backward(int32_t bf16, uint32_t cores, const TriangleBackwardPointers* pointers,
                              const TriangleBackwardTiling* tiling, void* stream);
// Appends first, where there is something to append, in a launch of its own.
int32_t triangle_npu_cache(int32_t bf16, int32_t wide, uint32_t cores, const TriangleCachePointers* pointers,
                           const TriangleCacheTiling* tiling, void* stream);

#ifdef __cplusplus
}

namespace triangle {
// Bump the first term when the functions or the layout of the workspace change; the others change with the structs.
constexpr int32_t kNpuAbi = (3 << 24) + static_cast<int32_t>(sizeof(TriangleForwardTiling) * 4096 % (1 << 23)) +
                            static_cast<int32_t>(sizeof(TriangleBackwardTiling) + sizeof(TriangleForwardPointers) +
                                                 sizeof(TriangleBackwardPointers) + sizeof(TriangleCacheTiling) +
                                                 sizeof(TriangleCachePointers));

// Whether the blocks of a launch begin together, on as many cores, whatever other streams' kernels do. Then one launch
// may do all phases; else each is a launch of its own, and their order in the stream takes the place of SyncAll.
#if defined(TRIANGLE_BATCH_SCHEDULING) || defined(TRIANGLE_LAUNCH_SIM)
constexpr bool kBeginsTogether = true;
#else
constexpr bool kBeginsTogether = false;
#endif

#ifndef TRIANGLE_LAUNCH_SIM  // the simulator's launches can be told to do without (launch_sim.h)
constexpr bool begins_together() { return kBeginsTogether; }
#endif

// Whether a launch takes the kernels that bend scores, or those with intervals, which do so too. For the host:
// functions of op_host are the device's in the asc way.
inline bool is_bent(const TriangleForwardTiling& tiling) {
  const ScoreBend& bend = tiling.bend;
  return tiling.intervals.bounds > 0 || bend.softcap > 0 || bend.alibi != 0 || bend.mask_element != 0 ||
         bend.sinks != 0;
}

struct Phases {
  int32_t count;
  int32_t launches[4];
};
inline Phases phases_of(const TriangleForwardTiling& tiling, bool begins_together) {
  if (tiling.intervals.bounds > 0) return {1, {kWalkTasks}};               // after queue_intervals()
  if (begins_together || tiling.cut_slots == 0) return {1, {kAllPhases}};  // without cut tasks nobody meets
  return {2, {kWalkTasks, kMergeCutTasks}};
}
inline Phases phases_of(const TriangleBackwardTiling& tiling, bool bf16, bool begins_together) {
  // Where scores are bent the main pass is a kernel of its own.
  if (begins_together && is_bent(tiling.problem)) return {3, {kPrepareRows | kChooseRange, kWalkSections, kFinishRows}};
  if (begins_together) return {1, {kAllPhases}};
  if (bf16) return {3, {kPrepareRows, kWalkSections, kFinishRows}};
  return {4, {kPrepareRows, kChooseRange, kWalkSections, kFinishRows}};
}
}  // namespace triangle
#endif
