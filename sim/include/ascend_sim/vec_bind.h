// From the mask arguments of a vector call to the engine's VecShape.
#pragma once

#include "isa/vec_math.h"
#include "isa/vec_shape.h"
#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

constexpr uint64_t SimLowBits(uint64_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }

inline ascend_sim::VecShape SimRegisterShape(int32_t repeat) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::VecShape shape;
  shape.mask[0] = regs.mask[0];
  shape.mask[1] = regs.mask[1];
  shape.counter = regs.counter_mode;
  shape.saturate = regs.saturate;
  shape.repeat = repeat;
  return shape;
}
// Norm or counter mode with explicit mask bits. isSetMask = false: the mask register as SetVectorMask left it.
template <bool isSetMask>
inline ascend_sim::VecShape SimShape(const uint64_t mask[2], int32_t repeat) {
  if (isSetMask) {
    ascend_sim::device::Regs().mask[0] = mask[0];
    ascend_sim::device::Regs().mask[1] = mask[1];
  }
  return SimRegisterShape(repeat);
}
// The contiguous form: the first `mask` lanes of a repeat, or in counter mode `mask` elements.
template <bool isSetMask>
inline ascend_sim::VecShape SimShape(uint64_t mask, int32_t repeat) {
  const bool counter = ascend_sim::device::Regs().counter_mode;
  const uint64_t bits[2] = {counter ? mask : SimLowBits(mask), counter || mask <= 64 ? 0 : SimLowBits(mask - 64)};
  ascend_sim::VecShape shape = SimShape<isSetMask>(bits, repeat);
  if (isSetMask && !counter) shape.contiguous = mask > 0xffffffffull ? ~0u : static_cast<uint32_t>(mask);
  return shape;
}
// The count form: counter mode for this call, then norm mode with all lanes. A negative count stays out of range.
// isSetMask = false: mode and mask as they are.
template <bool isSetMask = true>
inline ascend_sim::VecShape SimCountShape(int64_t count) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  if (!isSetMask) return SimRegisterShape(1);
  ascend_sim::VecShape shape = ascend_sim::CountShape(static_cast<uint64_t>(count));
  shape.saturate = regs.saturate;
  regs.counter_mode = false;
  regs.mask[0] = regs.mask[1] = ~0ull;
  return shape;
}

template <typename T>
inline ascend_sim::VecWalk SimWalk(const LocalTensor<T>& t, uint16_t blockStride = 1, uint16_t repeatStride = 8) {
  return {t.sim(), blockStride, repeatStride};
}
// The repeat stride of an operand of T whose instruction works in lanes of `wide` bytes, contiguous.
template <typename T>
constexpr uint16_t SimDenseStride(uint32_t wide) {
  return static_cast<uint16_t>(8 * sizeof(T) / wide);
}

}  // namespace AscendC
