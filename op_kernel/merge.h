// Merging chunks into a task's result: out = out * exp(max - new) + chunk * exp(chunk max - new), left to right.
#pragma once
#include "softmax.h"

namespace triangle {

// The state of a vector core's rows of one task: run_max, run_sum and the accumulator [rows, dv16].
struct RowState {
  bool fresh = true;  // nothing merged yet: the state is undefined
};

// run_max, run_sum and the factors [rows, 8] of the accumulator (scratch) and of the chunk (scratch + 128 rows).
__aicore__ inline Floats own_factor(AivChip& chip) { return chip.scratch(); }
__aicore__ inline Floats chunk_factor(AivChip& chip) { return chip.scratch()[AivBuffers::kRows * 8]; }

__aicore__ inline void first_stats(AivChip& chip, const Floats& max, const Floats& sum, int32_t rows) {
  barrier();
  AscendC::Muls(chip.run_max(), max, 1.0f, rows);
  AscendC::Muls(chip.run_sum(), sum, 1.0f, rows);
  barrier();
}

__aicore__ inline void merge_stats(AivChip& chip, const Floats& max, const Floats& sum, int32_t rows) {
  const Floats merged = chip.temporary(0), own = chip.temporary(1), other = chip.temporary(2);
  barrier();
  AscendC::Max(merged, chip.run_max(), max, rows);
  barrier();
  AscendC::Sub(own, chip.run_max(), merged, rows);
  AscendC::Sub(other, max, merged, rows);
  barrier();
  AscendC::Exp(own, own, rows);
  AscendC::Exp(other, other, rows);
  AscendC::Muls(chip.run_max(), merged, 1.0f, rows);
  barrier();
  spread_rows(own_factor(chip), own, rows);
  spread_rows(chunk_factor(chip), other, rows);
  AscendC::Mul(chip.run_sum(), chip.run_sum(), own, rows);
  barrier();
  AscendC::MulAddDst(chip.run_sum(), sum, other, rows);
}

// A row whose sum is 0 saw nothing: 0 / kTiny is 0, and its lse is ln 0 = -inf.
constexpr float kTiny = 1.0e-30f;

// Divides the accumulator by the sums and leaves lse in chip.lse().
__aicore__ inline void normalise(AivChip& chip, int32_t rows, int32_t dv16) {
  const Floats divisor = chip.temporary(0);
  barrier();
  AscendC::Maxs(divisor, chip.run_sum(), kTiny, rows);
  AscendC::Ln(chip.lse(), chip.run_sum(), rows);
  barrier();
  spread_rows(own_factor(chip), divisor, rows);
  AscendC::Add(chip.lse(), chip.lse(), chip.run_max(), rows);
  barrier();
  div_rows(chip.accumulator(), own_factor(chip), rows, dv16);
  barrier();
}

}  // namespace triangle
