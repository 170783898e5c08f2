// Merging chunks into a task's result: out = out * exp(max - new) + chunk * exp(chunk max - new), left to right.
#pragma once
#include "softmax.h"

namespace triangle {

// The state of a vector core's rows of one task: run_max, run_sum and the accumulator [rows, dv16].
struct RowState {
  bool fresh = true;  // nothing merged yet: the state is undefined
};

__aicore__ inline void first_stats(AivChip& chip, const Floats& max, const Floats& sum, int32_t rows) {
  barrier();
  AscendC::Muls(chip.run_max(), max, 1.0f, rows);
  AscendC::Muls(chip.run_sum(), sum, 1.0f, rows);
}

// run_max, run_sum and both factors. `max` is used up.
__aicore__ inline void merge_stats(AivChip& chip, const Floats& max, const Floats& sum, int32_t rows) {
  const Floats merged = chip.temporary(0), own = chip.temporary(1);
  barrier();
  AscendC::Max(merged, chip.run_max(), max, rows);
  barrier();
  AscendC::Sub(own, chip.run_max(), merged, rows);
  AscendC::Sub(max, max, merged, rows);
  barrier();
  AscendC::Exp(own, own, rows);
  AscendC::Exp(max, max, rows);
  AscendC::Muls(chip.run_max(), merged, 1.0f, rows);
  barrier();
  spread_rows(chip.own_factor(), own, rows);
  spread_rows(chip.chunk_factor(), max, rows);
  AscendC::Mul(chip.run_sum(), chip.run_sum(), own, rows);
  barrier();
  AscendC::MulAddDst(chip.run_sum(), sum, max, rows);
}

// A logit that joins the sums and has no value: run_max and run_sum become those with it, and temporary(1) what the
// accumulator is still to be multiplied by.
__aicore__ inline void join_sink(AivChip& chip, float sink, int32_t rows) {
  const Floats merged = chip.temporary(0), factor = chip.temporary(1), own = chip.lse();
  barrier();
  AscendC::Maxs(merged, chip.run_max(), sink, rows);
  barrier();
  AscendC::Sub(factor, chip.run_max(), merged, rows);
  AscendC::Muls(own, merged, -1.0f, rows);
  barrier();
  AscendC::Exp(factor, factor, rows);
  AscendC::Adds(own, own, sink, rows);
  AscendC::Muls(chip.run_max(), merged, 1.0f, rows);
  barrier();
  AscendC::Exp(own, own, rows);
  AscendC::Mul(chip.run_sum(), chip.run_sum(), factor, rows);
  barrier();
  AscendC::Add(chip.run_sum(), chip.run_sum(), own, rows);
}

// The same with a logit of each row's own.
__aicore__ inline void join_sink_rows(AivChip& chip, const Floats& sinks, int32_t rows) {
  const Floats merged = chip.temporary(0), factor = chip.temporary(1), own = chip.lse();
  barrier();
  AscendC::Max(merged, chip.run_max(), sinks, rows);
  barrier();
  AscendC::Sub(factor, chip.run_max(), merged, rows);
  AscendC::Sub(own, sinks, merged, rows);
  barrier();
  AscendC::Exp(factor, factor, rows);
  AscendC::Exp(own, own, rows);
  AscendC::Muls(chip.run_max(), merged, 1.0f, rows);
  barrier();
  AscendC::Mul(chip.run_sum(), chip.run_sum(), factor, rows);
  barrier();
  AscendC::Add(chip.run_sum(), chip.run_sum(), own, rows);
}

// A row whose sum is 0 saw nothing: 0 / kTiny is 0, and its lse is ln 0 = -inf.
constexpr float kTiny = 1.0e-30f;

// Divides the accumulator by the sums (by way of their reciprocals: a division costs as much as two products) and
// leaves lse in chip.lse(). `scaled`: temporary(1) has what each row is multiplied by besides, of join_sink().
__aicore__ inline void normalise(AivChip& chip, int32_t rows, int32_t dv16, bool scaled = false) {
  const Floats divisor = chip.temporary(0), reciprocal = chip.temporary(1);
  barrier();
  AscendC::Maxs(divisor, chip.run_sum(), kTiny, rows);
  if (!scaled) AscendC::Duplicate(reciprocal, 1.0f, rows);
  AscendC::Ln(chip.lse(), chip.run_sum(), rows);
  barrier();
  AscendC::Div(reciprocal, reciprocal, divisor, rows);
  AscendC::Add(chip.lse(), chip.lse(), chip.run_max(), rows);
  barrier();
  spread_rows(chip.own_factor(), reciprocal, rows);
  barrier();
  mul_rows(chip.accumulator(), chip.own_factor(), rows, dv16);
  barrier();
}

}  // namespace triangle
