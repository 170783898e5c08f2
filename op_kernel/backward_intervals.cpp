// The main pass of the backward with startend_row_indices, which bends scores as well (backward_bent.cpp, which has the
// row-wise phases too).
#include "backward.h"
#include "interval_mask.h"

namespace triangle {

template <class T>
__aicore__ inline void backward_intervals(const BackwardArguments& arguments, const TriangleBackwardTiling& tiling) {
  const IntervalSequences sequences(&tiling.problem, arguments.cu_seq_q, arguments.cu_seq_k, arguments.workspace);
  backward_parts<T, TileIntervals<T>, kWalkSections>(arguments, tiling, sequences);
}

}  // namespace triangle

extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_intervals_fp16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward_intervals<half>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_intervals_bf16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward_intervals<bfloat16_t>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
