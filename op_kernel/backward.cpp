// The backward kernels: dQ, dK, dV from dO, Q, K, V, O and lse, for the blocks that hold a visible pair only. Those
// that bend scores are in backward_bent.cpp.
#include "backward.h"

// `dlse`, `mask`, `cu_seq_q` and `cu_seq_k` may be null where the tiling does not use them.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_fp16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv, GM_ADDR workspace,
    TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<half, triangle::NoBend>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bf16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv, GM_ADDR workspace,
    TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<bfloat16_t, triangle::NoBend>(
      {dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace}, triangle::tiling_of(tiling));
}
