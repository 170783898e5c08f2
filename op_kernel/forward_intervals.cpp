// The forward kernels with startend_row_indices, which bend scores as well (forward_bent.cpp), and what comes before
// them and before the backward's: tables of the intervals, in launches of their own.
#include "forward.h"
#include "interval_mask.h"
#include "interval_operands.h"
#include "intervals_prepare.h"

namespace triangle {

template <class T, class Tile>
__aicore__ inline void forward_intervals(const ForwardArguments& arguments, const TriangleForwardTiling& tiling) {
  forward<T, Tile, TileIntervals<T>>(arguments, tiling, IntervalOperands(&tiling, arguments));
}

}  // namespace triangle

// One entry per dtype and tile, as in forward.cpp; slopes and sinks as in forward_bent.cpp.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_intervals_fp16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward_intervals<half, triangle::NarrowTile>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_intervals_fp16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward_intervals<half, triangle::WideTile>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_intervals_bf16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward_intervals<bfloat16_t, triangle::NarrowTile>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_intervals_bf16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward_intervals<bfloat16_t, triangle::WideTile>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}

// startend: int32 by batch entry, head and key. The tiling's phase says which tables.
extern "C" __global__ __aicore__ void triangle_attn_intervals(GM_ADDR startend, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k,
                                                              GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  if ASCEND_IS_AIV {
    const TriangleForwardTiling& forward = triangle::tiling_of(tiling);
    const triangle::IntervalSequences sequences(&forward, cu_seq_q, cu_seq_k, workspace);
    triangle::PrepareIntervals prepare(&forward, sequences, startend, workspace);
    if (forward.phases == triangle::kReadIntervals) {
      prepare.read();
    } else {
      prepare.count();
    }
  }
}
