// The forward of one core, as every forward kernel runs it.
//
// Reading order: tasks.h (what a stage is), forward_aic.h (cube core), forward_aiv.h (vector cores), then softmax.h,
// bend.h, mask.h and merge.h. docs/kernel.md has the pictures.
#pragma once
#include "forward_aic.h"
#include "forward_aiv.h"
#include "tiling_by_value.h"

namespace triangle {

template <class T, class Tile, class Bend, class Operands>
__aicore__ inline void forward(const ForwardArguments& arguments, const TriangleForwardTiling& tiling,
                               const Operands& operands) {
  if ASCEND_IS_AIC {
    const int64_t core = AscendC::GetBlockIdx();
    ForwardAic<T, Tile, Operands> aic(&tiling, arguments, operands, operands.share(core), core);
    if ((tiling.phases & kWalkTasks) != 0) aic.run();
  } else {
    const int64_t core = AscendC::GetBlockIdx() >> 1;  // two vector cores each
    ForwardAiv<T, Tile, Bend, Operands> aiv(&tiling, arguments, operands, operands.share(core), core,
                                            static_cast<int32_t>(AscendC::GetSubBlockIdx()));
    if ((tiling.phases & kWalkTasks) != 0) {
      aiv.run();
    } else {
      aiv.merge_cut_tasks();
    }
  }
}

template <class T, class Tile, class Bend>
__aicore__ inline void forward(const ForwardArguments& arguments, const TriangleForwardTiling& tiling) {
  forward<T, Tile, Bend>(arguments, tiling, TensorOperands(&tiling, arguments));
}

}  // namespace triangle
