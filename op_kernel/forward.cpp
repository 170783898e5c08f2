// The forward kernels: out = softmax(scale * Q K^T + mask) V and lse, for the blocks that hold a visible pair only.
// Those that bend scores are in forward_bent.cpp.
#include "forward.h"

// One entry per dtype and tile. `mask`, `cu_seq_q` and `cu_seq_k` may be null where the tiling does not use them.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_fp16_128(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::NarrowTile, triangle::NoBend>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_fp16_256(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::WideTile, triangle::NoBend>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bf16_128(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::NarrowTile, triangle::NoBend>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bf16_256(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::WideTile, triangle::NoBend>(
      {q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace}, triangle::tiling_of(tiling));
}
