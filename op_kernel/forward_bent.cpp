// The forward kernels that bend scores: softcap, alibi, float masks and sinks (bend.h). Which of these, the tiling
// says.
#include "forward.h"

// One entry per dtype and tile, as in forward.cpp. slopes: fp32 by document or batch entry and query head; sinks: fp32
// by query head; either may be null where the tiling does not use it.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bent_fp16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::NarrowTile, triangle::TileBend<half>>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bent_fp16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::WideTile, triangle::TileBend<half>>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bent_bf16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::NarrowTile, triangle::TileBend<bfloat16_t>>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bent_bf16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR mask, GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::WideTile, triangle::TileBend<bfloat16_t>>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace, slopes, sinks}, triangle::tiling_of(tiling));
}
