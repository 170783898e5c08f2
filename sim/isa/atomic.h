// How a transfer to GM combines with what is there (SetAtomicAdd and its like).
#pragma once

#include <cstdint>
#include <cstring>

#include "core/core.h"
#include "core/types.h"

namespace ascend_sim {

// dst[i] = dst[i] op src[i] for `bytes` bytes of `type`; plain copy when op is none.
inline void StoreGm(AtomicOp op, DType type, uint8_t* dst, const uint8_t* src, uint64_t bytes);

namespace detail {
template <class T, class C>
void Combine(AtomicOp op, uint8_t* dst, const uint8_t* src, uint64_t bytes) {
  T* d = reinterpret_cast<T*>(dst);
  const T* s = reinterpret_cast<const T*>(src);
  for (uint64_t i = 0; i < bytes / sizeof(T); ++i) {
    const C a = static_cast<C>(d[i]), b = static_cast<C>(s[i]);
    d[i] = static_cast<T>(op == AtomicOp::kAdd   ? static_cast<C>(a + b)
                          : op == AtomicOp::kMax ? (a > b ? a : b)
                                                 : (a < b ? a : b));
  }
}
}  // namespace detail

inline void StoreGm(AtomicOp op, DType type, uint8_t* dst, const uint8_t* src, uint64_t bytes) {
  if (op == AtomicOp::kNone) {
    std::memcpy(dst, src, bytes);
    return;
  }
  switch (type) {
    case DType::kF32:
      return detail::Combine<float, float>(op, dst, src, bytes);
    case DType::kF16:
      return detail::Combine<Half, float>(op, dst, src, bytes);
    case DType::kBf16:
      return detail::Combine<Bf16, float>(op, dst, src, bytes);
    case DType::kI8:
      return detail::Combine<int8_t, int>(op, dst, src, bytes);
    case DType::kI16:
      return detail::Combine<int16_t, int>(op, dst, src, bytes);
    default:
      return detail::Combine<int32_t, int64_t>(op, dst, src, bytes);
  }
}

}  // namespace ascend_sim
