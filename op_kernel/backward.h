// The backward of one core, as every backward kernel runs it.
//
// Reading order: backward_sections.h (what a section is), backward_aic.h and backward_cube.h (cube core),
// backward_aiv.h (vector cores, main pass), backward_rows.h (vector cores, before and after it), backward_range.h (the
// range of fp16).
#pragma once
#include "backward_aic.h"
#include "backward_aiv.h"
#include "backward_range.h"
#include "backward_rows.h"
#include "tiling_by_value.h"

namespace triangle {

// kParts: the phases that the kernel has; each launch says which of them it does.
template <class T, class Bend, int32_t kParts, class Sequences>
__aicore__ inline void backward_parts(const BackwardArguments& arguments, const TriangleBackwardTiling& tiling,
                                      const Sequences& sequences) {
  const int32_t phases = tiling.problem.phases & kParts;
  if ASCEND_IS_AIC {
    if constexpr ((kParts & kWalkSections) != 0) {
      if ((phases & kWalkSections) == 0) return;
      if (tile_rows(tiling.problem.d, tiling.problem.dv) == WideTile::kRows) {
        BackwardAic<T, WideTile, Sequences> aic(&tiling, arguments, sequences, AscendC::GetBlockIdx());
        aic.run();
      } else {
        BackwardAic<T, NarrowTile, Sequences> aic(&tiling, arguments, sequences, AscendC::GetBlockIdx());
        aic.run();
      }
    }
  } else {
    const int64_t core = AscendC::GetBlockIdx() >> 1;  // two vector cores each
    BackwardUb ub;
    ub.Init();
    BackwardRows<T, Bend> rows(&tiling, arguments, sequences, &ub, AscendC::GetBlockIdx());
    if constexpr ((kParts & kPrepareRows) != 0) {
      if ((phases & kPrepareRows) != 0) rows.prepare();
    }
    // All accumulators are zeros before any core adds: a cube core adds after its vector cores' first flag.
    if (meets_before(phases, kChooseRange)) AscendC::SyncAll<true>();
    if constexpr (kNarrowRange<T> && (kParts & kChooseRange) != 0) {
      if ((phases & kChooseRange) != 0) {
        BackwardRange<T> range(&tiling, arguments.workspace, sequences, &ub, AscendC::GetBlockIdx());
        range.run();
      }
      if (meets_before(phases, kWalkSections)) AscendC::SyncAll<true>();
    }
    if constexpr ((kParts & kWalkSections) != 0) {
      if ((phases & kWalkSections) != 0) {
        BackwardAiv<T, Bend, Sequences> main(&tiling, arguments, sequences, &ub, core,
                                             static_cast<int32_t>(AscendC::GetSubBlockIdx()));
        main.run();
      }
    }
    if constexpr ((kParts & kFinishRows) != 0) {
      if (meets_before(phases, kFinishRows)) AscendC::SyncAll<true>();
      if ((phases & kFinishRows) != 0) rows.finish();
    }
  }
}

template <class T, class Bend, int32_t kParts = kAllPhases>
__aicore__ inline void backward(const BackwardArguments& arguments, const TriangleBackwardTiling& tiling) {
  const ForwardSequences sequences(&tiling.problem, arguments.cu_seq_q, arguments.cu_seq_k);
  backward_parts<T, Bend, kParts>(arguments, tiling, sequences);
}

}  // namespace triangle
