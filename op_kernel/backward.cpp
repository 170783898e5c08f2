// The backward kernels: dQ, dK, dV from dO, Q, K, V, O and lse, for the blocks that hold a visible pair only.
//
// Reading order: backward_sections.h (what a section is), backward_aic.h and backward_cube.h (cube core),
// backward_aiv.h (vector cores, main pass), backward_rows.h (vector cores, before and after it), backward_range.h (the
// range of fp16).
#include "backward_aic.h"
#include "backward_aiv.h"
#include "backward_range.h"
#include "backward_rows.h"
#include "tiling_by_value.h"

namespace triangle {

template <class T>
__aicore__ inline void backward(const BackwardArguments& arguments, const TriangleBackwardTiling& tiling) {
  const ForwardSequences sequences(&tiling.problem, arguments.cu_seq_q, arguments.cu_seq_k);
  const int32_t phases = tiling.problem.phases;
  const bool together = phases == kAllPhases;
  if ASCEND_IS_AIC {
    if ((phases & kWalkSections) == 0) return;
    if (tile_rows(tiling.problem.d, tiling.problem.dv) == WideTile::kRows) {
      BackwardAic<T, WideTile> aic(&tiling, arguments, sequences, AscendC::GetBlockIdx());
      aic.run();
    } else {
      BackwardAic<T, NarrowTile> aic(&tiling, arguments, sequences, AscendC::GetBlockIdx());
      aic.run();
    }
  } else {
    const int64_t core = AscendC::GetBlockIdx() >> 1;  // two vector cores each
    BackwardUb ub;
    ub.Init();
    BackwardRows<T> rows(&tiling, arguments, sequences, &ub, AscendC::GetBlockIdx());
    if ((phases & kPrepareRows) != 0) rows.prepare();
    // All accumulators are zeros before any core adds: a cube core adds after its vector cores' first flag.
    if (together) AscendC::SyncAll<true>();
    if constexpr (kNarrowRange<T>) {
      if ((phases & kChooseRange) != 0) {
        BackwardRange<T> range(&tiling, arguments.workspace, sequences, &ub, AscendC::GetBlockIdx());
        range.run();
      }
      if (together) AscendC::SyncAll<true>();
    }
    if ((phases & kWalkSections) != 0) {
      BackwardAiv<T> main(&tiling, arguments, sequences, &ub, core, static_cast<int32_t>(AscendC::GetSubBlockIdx()));
      main.run();
    }
    if (together) AscendC::SyncAll<true>();
    if ((phases & kFinishRows) != 0) rows.finish();
  }
}

}  // namespace triangle

// `dlse`, `mask`, `cu_seq_q` and `cu_seq_k` may be null where the tiling does not use them.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_fp16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv, GM_ADDR workspace,
    TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<half>({dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace},
                           triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_bwd_bf16(
    GM_ADDR dout, GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR out, GM_ADDR lse, GM_ADDR dlse, GM_ADDR mask,
    GM_ADDR cu_seq_q, GM_ADDR cu_seq_k, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv, GM_ADDR workspace,
    TriangleBackwardWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::backward<bfloat16_t>({dout, q, k, v, out, lse, dlse, mask, cu_seq_q, cu_seq_k, dq, dk, dv, workspace},
                                 triangle::tiling_of(tiling));
}
