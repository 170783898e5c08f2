// Atomic mode: transfers to GM issued from here on combine with what is there. Setting it needs no synchronisation with
// the data pipes, and it stays until it is cleared.
#pragma once

#include <type_traits>

#include "core/core.h"
#include "core/device.h"
#include "kernel_macros.h"

namespace AscendC {

// Turns the sum on besides, as on this chip.
template <typename T>
__aicore__ inline void SetAtomicType(ascend_sim::Site site = ascend_sim::Site::Here()) {
  static_assert(std::is_same<T, float>::value || std::is_same<T, half>::value || std::is_same<T, bfloat16_t>::value ||
                    std::is_same<T, int32_t>::value || std::is_same<T, int16_t>::value ||
                    std::is_same<T, int8_t>::value,
                "atomics take float, half, bfloat16_t, int32_t, int16_t and int8_t");
  ascend_sim::device::Regs().atomic_type = ascend_sim::kDTypeOf<T>;
  ascend_sim::device::Regs().atomic = ascend_sim::AtomicOp::kAdd;
  ascend_sim::device::Regs().atomic_site = site;
}
template <typename T>
__aicore__ inline void SetAtomicAdd(ascend_sim::Site site = ascend_sim::Site::Here()) {
  SetAtomicType<T>(site);
  ascend_sim::device::Regs().atomic = ascend_sim::AtomicOp::kAdd;
}
template <typename T>
__aicore__ inline void SetAtomicMax(ascend_sim::Site site = ascend_sim::Site::Here()) {
  SetAtomicType<T>(site);
  ascend_sim::device::Regs().atomic = ascend_sim::AtomicOp::kMax;
}
template <typename T>
__aicore__ inline void SetAtomicMin(ascend_sim::Site site = ascend_sim::Site::Here()) {
  SetAtomicType<T>(site);
  ascend_sim::device::Regs().atomic = ascend_sim::AtomicOp::kMin;
}
__aicore__ inline void SetAtomicNone() { ascend_sim::device::Regs().atomic = ascend_sim::AtomicOp::kNone; }
__aicore__ inline void DisableDmaAtomic() { SetAtomicNone(); }

enum class AtomicDtype { ATOMIC_NONE = 0, ATOMIC_F32, ATOMIC_F16, ATOMIC_S16, ATOMIC_S32, ATOMIC_S8, ATOMIC_BF16 };
enum class AtomicOp { ATOMIC_SUM = 0 };
template <AtomicDtype type, AtomicOp op>
__aicore__ inline void SetStoreAtomicConfig(ascend_sim::Site site = ascend_sim::Site::Here()) {
  if constexpr (type == AtomicDtype::ATOMIC_NONE) {
    SetAtomicNone();
  } else if constexpr (type == AtomicDtype::ATOMIC_F32) {
    SetAtomicAdd<float>(site);
  } else if constexpr (type == AtomicDtype::ATOMIC_F16) {
    SetAtomicAdd<half>(site);
  } else if constexpr (type == AtomicDtype::ATOMIC_S16) {
    SetAtomicAdd<int16_t>(site);
  } else if constexpr (type == AtomicDtype::ATOMIC_S32) {
    SetAtomicAdd<int32_t>(site);
  } else if constexpr (type == AtomicDtype::ATOMIC_S8) {
    SetAtomicAdd<int8_t>(site);
  } else {
    SetAtomicAdd<bfloat16_t>(site);
  }
}

// As the control register has them: type as AtomicDtype, op 0 for the sum.
__aicore__ inline void GetStoreAtomicConfig(uint16_t& atomicType, uint16_t& atomicOp) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  AtomicDtype type = AtomicDtype::ATOMIC_NONE;
  if (regs.atomic != ascend_sim::AtomicOp::kNone) {
    switch (regs.atomic_type) {
      case ascend_sim::DType::kF32:
        type = AtomicDtype::ATOMIC_F32;
        break;
      case ascend_sim::DType::kF16:
        type = AtomicDtype::ATOMIC_F16;
        break;
      case ascend_sim::DType::kI16:
        type = AtomicDtype::ATOMIC_S16;
        break;
      case ascend_sim::DType::kI32:
        type = AtomicDtype::ATOMIC_S32;
        break;
      case ascend_sim::DType::kI8:
        type = AtomicDtype::ATOMIC_S8;
        break;
      default:
        type = AtomicDtype::ATOMIC_BF16;
    }
  }
  atomicType = static_cast<uint16_t>(type);
  atomicOp = 0;
}

}  // namespace AscendC
