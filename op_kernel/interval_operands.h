// What the forward with startend_row_indices walks: TensorOperands, and work divided by the blocks that are computed.
#pragma once
#include "intervals.h"
#include "operands.h"

namespace triangle {

class IntervalOperands : public TensorOperands {
 public:
  using Sequences = IntervalSequences;

  __aicore__ inline IntervalOperands(const TriangleForwardTiling* tiling, const ForwardArguments& arguments)
      : TensorOperands(tiling, arguments),
        tiling_(tiling),
        sequences_(tiling, arguments.cu_seq_q, arguments.cu_seq_k, arguments.workspace) {}

  __aicore__ inline const Sequences& sequences() const { return sequences_; }
  __aicore__ inline Share share(int64_t core) const {
    return sequences_.share(tiling_->line, kForwardLine, tiling_->cores, core);
  }

 private:
  const TriangleForwardTiling* tiling_;
  Sequences sequences_;
};

}  // namespace triangle
