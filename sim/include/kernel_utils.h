// AscendCUtils, as far as kernels call it themselves.
#pragma once

#include "core/core.h"
#include "core/device.h"
#include "kernel_macros.h"

namespace AscendC {

class AscendCUtils {
 public:
  // CTRL[48]. 1: infinities and NaNs of float results stay; 0: they become the largest value and 0.
  __aicore__ static inline void SetOverflow(uint64_t ctrlValue) {
    ascend_sim::device::Regs().saturate = ctrlValue == 0;
  }
};

}  // namespace AscendC
