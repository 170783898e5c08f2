// What ends a kernel that has no TPipe: declared first in it, so that it comes last.
#pragma once
#include "kernel_operator.h"

struct EndOfKernel {
  __aicore__ inline EndOfKernel() {}
  __aicore__ inline ~EndOfKernel() { AscendC::PipeBarrier<PIPE_ALL>(); }
};
