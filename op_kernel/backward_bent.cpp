// The backward kernels that bend scores: softcap, alibi, float masks and sinks (bend.h). Which of these, the tiling
// says. The row-wise phases are kernels of their own: with the main pass in one, fp16's would be too long for the
// instruction cache.
#include "backward.h"

// As in backward.cpp. slopes: fp32 by document or batch entry and query head; sinks, dsinks: fp32 by query head; each
// may be null where the tiling does not use it.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bent_fp16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<half, triangle::TileBend<half>, triangle::kWalkSections>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bent_bf16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<bfloat16_t, triangle::TileBend<bfloat16_t>, triangle::kWalkSections>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bent_rows_fp16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<half, triangle::TileBend<half>, triangle::kAllPhases & ~triangle::kWalkSections>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bent_rows_bf16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
    GM_ADDR dsinks, GM_ADDR workspace, TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<bfloat16_t, triangle::TileBend<bfloat16_t>, triangle::kAllPhases & ~triangle::kWalkSections>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace, slopes, sinks, dsinks},
      triangle::tiling_of(tiling));
}
