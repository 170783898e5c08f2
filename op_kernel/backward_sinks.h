// The gradient of the sinks: dsinks[h] = -sum of P_sink * delta over the rows of head h, P_sink = exp(sink - lse),
// which carries no value. Each tile of rows leaves one number in the workspace before the main pass; after it one
// vector core adds those of a head in one order, whatever the schedule and the number of cores.
#pragma once
#include "backward_ub.h"

namespace triangle {

// part[0] = sum of P_sink * delta of a tile's rows; `lse` [rows] is used up. Rows of no document have lse = -inf,
// stored as the least number, and delta = 0: P_sink, which is never more than 1, must not become inf there.
__aicore__ inline void sink_gradient(const Floats& part, const Floats& lse, const Floats& lse_result,
                                     const Floats& delta, float sink, int32_t rows) {
  AscendC::Muls(lse, lse_result, -1.0f, rows);
  barrier();
  AscendC::Adds(lse, lse, sink, rows);
  barrier();
  AscendC::Mins(lse, lse, 0.0f, rows);
  barrier();
  AscendC::Exp(lse, lse, rows);
  barrier();
  AscendC::Mul(lse, lse, delta, rows);
  barrier();
  AscendC::WholeReduceSum(part, lse, rows, 1, 1, 1, 8);
}

// dsinks of the heads that this vector core has.
__aicore__ inline void sum_sinks(BackwardUb& ub, const TriangleBackwardTiling& tiling,
                                 const BackwardArguments& arguments, int64_t vector_core) {
  if (tiling.problem.bend.sinks == 0) return;
  constexpr int32_t kAtOnce = 32 * BackwardAivBuffers::kLanes;
  const Floats sum = ub.dp(0), loaded = ub.s(0), fold = ub.dp(1);
  const int64_t parts = ceil_div(tiling.problem.total_q, row_tile(round_up(tiling.problem.dv, 16)));
  for (int64_t head = vector_core; head < tiling.heads_q; head += 2 * tiling.problem.cores) {
    AscendC::Duplicate(sum, 0.0f, kAtOnce);
    for (int64_t batch = 0; batch < tiling.batch; ++batch) {
      const AscendC::GlobalTensor<float> src =
          global<float>(arguments.workspace + tiling.sink_offset)[(batch * tiling.heads_q + head) * parts];
      for (int64_t at = 0; at < parts; at += kAtOnce) {
        const int32_t now = static_cast<int32_t>(min64(kAtOnce, parts - at));
        SetFlag<HardEvent::V_MTE2>(kEventTile);
        WaitFlag<HardEvent::V_MTE2>(kEventTile);
        AscendC::DataCopyPad(loaded, src[at], AscendC::DataCopyExtParams(1, static_cast<uint32_t>(now * 4), 0, 0, 0),
                             AscendC::DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
        SetFlag<HardEvent::MTE2_V>(kEventTile);
        WaitFlag<HardEvent::MTE2_V>(kEventTile);
        AscendC::Add(sum, sum, loaded, now);
      }
    }
    barrier();
    AscendC::WholeReduceSum(fold, sum, BackwardAivBuffers::kLanes, 32, 1, 1, 8);
    barrier();
    AscendC::WholeReduceSum(sum, fold, 32, 1, 1, 1, 8);
    barrier();
    AscendC::Muls(sum, sum, -1.0f, 1);
    SetFlag<HardEvent::V_MTE3>(kEventResult);
    WaitFlag<HardEvent::V_MTE3>(kEventResult);
    AscendC::DataCopyPad(global<float>(arguments.dsinks)[head], sum, AscendC::DataCopyExtParams(1, 4, 0, 0, 0));
    SetFlag<HardEvent::MTE3_V>(kEventResult);
    WaitFlag<HardEvent::MTE3_V>(kEventResult);
  }
}

}  // namespace triangle
