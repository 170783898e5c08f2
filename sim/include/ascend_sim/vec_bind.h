// From the mask arguments of a vector call to the engine's VecShape.
#pragma once

#include "isa/vec_shape.h"
#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

constexpr uint64_t SimLowBits(uint64_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

// Norm or counter mode with explicit mask bits. isSetMask = false: the mask register as SetVectorMask left it.
template <bool isSetMask>
inline ascend_sim::VecShape SimShape(const uint64_t mask[2], uint8_t repeat) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  if (isSetMask) {
    regs.mask[0] = mask[0];
    regs.mask[1] = mask[1];
  }
  ascend_sim::VecShape shape;
  shape.mask[0] = regs.mask[0];
  shape.mask[1] = regs.mask[1];
  shape.counter = regs.counter_mode;
  shape.repeat = repeat;
  return shape;
}
// The contiguous form: the first `mask` lanes of a repeat, or in counter mode `mask` elements.
template <bool isSetMask>
inline ascend_sim::VecShape SimShape(uint64_t mask, uint8_t repeat) {
  const bool counter = ascend_sim::device::Regs().counter_mode;
  const uint64_t bits[2] = {counter ? mask : SimLowBits(mask), counter || mask <= 64 ? 0 : SimLowBits(mask - 64)};
  return SimShape<isSetMask>(bits, repeat);
}
// The count form: counter mode for this call, then norm mode with all lanes.
inline ascend_sim::VecShape SimCountShape(uint32_t count) {
  ascend_sim::VecShape shape;
  shape.mask[0] = count;
  shape.mask[1] = 0;
  shape.counter = true;
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  regs.counter_mode = false;
  regs.mask[0] = regs.mask[1] = ~0ull;
  return shape;
}

template <typename T>
inline ascend_sim::VecWalk SimWalk(const LocalTensor<T>& t, uint16_t blockStride = 1, uint16_t repeatStride = 8) {
  return {t.sim(), blockStride, repeatStride};
}

}  // namespace AscendC
