// The forward kernels: out = softmax(scale * Q K^T + mask) V and lse, for the blocks that hold a visible pair only.
//
// Reading order: tasks.h (what a stage is), forward_aic.h (cube core), forward_aiv.h (vector cores), then softmax.h,
// mask.h and merge.h. docs/kernel.md has the pictures.
#include "forward_aic.h"
#include "forward_aiv.h"
#include "tiling_by_value.h"

namespace triangle {

template <class T, class Tile>
__aicore__ inline void forward(const ForwardArguments& arguments, const TriangleForwardTiling& tiling) {
  const ForwardSequences sequences(&tiling, arguments.cu_seq_q, arguments.cu_seq_k);
  if ASCEND_IS_AIC {
    const int64_t core = AscendC::GetBlockIdx();
    const Share share = share_of(tiling, tiling.line, tiling.partition, sequences, core);
    ForwardAic<T, Tile> aic(&tiling, arguments, sequences, share, core);
    if ((tiling.phases & kWalkTasks) != 0) aic.run();
  } else {
    const int64_t core = AscendC::GetBlockIdx() >> 1;  // two vector cores each
    const Share share = share_of(tiling, tiling.line, tiling.partition, sequences, core);
    ForwardAiv<T, Tile> aiv(&tiling, arguments, sequences, share, core,
                            static_cast<int32_t>(AscendC::GetSubBlockIdx()));
    if ((tiling.phases & kWalkTasks) != 0) {
      aiv.run();
    } else {
      aiv.merge_cut_tasks();
    }
  }
}

}  // namespace triangle

// One entry per dtype and tile. `mask`, `cu_seq_q` and `cu_seq_k` may be null where the tiling does not use them.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_fp16_128(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::NarrowTile>({q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace},
                                                triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_fp16_256(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<half, triangle::WideTile>({q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace},
                                              triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bf16_128(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::NarrowTile>({q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace},
                                                      triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_fwd_bf16_256(GM_ADDR q, GM_ADDR k, GM_ADDR v,
                                                                                    GM_ADDR mask, GM_ADDR cu_seq_q,
                                                                                    GM_ADDR cu_seq_k, GM_ADDR out,
                                                                                    GM_ADDR lse, GM_ADDR workspace,
                                                                                    TriangleForwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::forward<bfloat16_t, triangle::WideTile>({q, k, v, mask, cu_seq_q, cu_seq_k, out, lse, workspace},
                                                    triangle::tiling_of(tiling));
}
