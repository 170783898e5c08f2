// Mask registers, and the enumerations vector calls take.
#pragma once

#include "core/core.h"
#include "kernel_operator_common_intf.h"

namespace AscendC {

constexpr uint64_t MASK_PLACEHOLDER = 0;
constexpr uint64_t MASK_PLACEHOLDER_LIST[2] = {0, 0};

enum class MaskMode : uint8_t { NORMAL = 0, COUNTER };
enum class RoundMode : uint8_t {
  CAST_NONE = 0,
  CAST_RINT,
  CAST_FLOOR,
  CAST_CEIL,
  CAST_ROUND,
  CAST_TRUNC,
  CAST_ODD,
  UNKNOWN = 0xFF,
};
enum class CMPMODE : uint8_t { LT = 0, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR = 0, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX = 0, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };
enum class ReduceType { NONE = -1, SUM = 0, MAX, MIN };

// For calls with isSetMask = false. In counter mode maskLow, or len, is the number of elements.
template <typename T, MaskMode mode = MaskMode::NORMAL>
__aicore__ static inline void SetVectorMask(const uint64_t maskHigh, const uint64_t maskLow) {
  ascend_sim::device::Regs().mask[0] = maskLow;
  ascend_sim::device::Regs().mask[1] = maskHigh;
}
template <typename T, MaskMode mode = MaskMode::NORMAL>
__aicore__ static inline void SetVectorMask(int32_t len) {
  const uint64_t lanes = static_cast<uint64_t>(len);
  if (mode == MaskMode::COUNTER) return SetVectorMask<T, mode>(0, lanes);
  const auto low = [](uint64_t n) { return n >= 64 ? ~0ull : (1ull << n) - 1; };
  SetVectorMask<T, mode>(lanes > 64 ? low(lanes - 64) : 0, low(lanes));
}

// Control bit 48: half and bfloat16_t results saturate, inf becoming the largest number and NaN 0. Off at the start.
enum class SaturationMode : uint8_t { FLOAT, FLOAT8, INT, CAST };
template <SaturationMode mode>
__aicore__ inline void SetSaturationFlag(bool enableSat) {
  static_assert(mode == SaturationMode::FLOAT, "these chips have the flag for floating point only");
  ascend_sim::device::Regs().saturate = enableSat;
}
template <SaturationMode mode>
__aicore__ inline bool GetSaturationFlag() {
  static_assert(mode == SaturationMode::FLOAT, "these chips have the flag for floating point only");
  return ascend_sim::device::Regs().saturate;
}

}  // namespace AscendC
