// The forward of one core, as every forward kernel runs it.
//
// Reading order: tasks.h (what a stage is), forward_aic.h (cube core), forward_aiv.h (vector cores), then softmax.h,
// bend.h, mask.h and merge.h. docs/kernel.md has the pictures.
#pragma once
#include "forward_aic.h"
#include "forward_aiv.h"
#include "tiling_by_value.h"

namespace triangle {

template <class T, class Tile, class Bend>
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
    ForwardAiv<T, Tile, Bend> aiv(&tiling, arguments, sequences, share, core,
                                  static_cast<int32_t>(AscendC::GetSubBlockIdx()));
    if ((tiling.phases & kWalkTasks) != 0) {
      aiv.run();
    } else {
      aiv.merge_cut_tasks();
    }
  }
}

}  // namespace triangle
