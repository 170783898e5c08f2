// Adds, Muls, Maxs, Mins, LeakyRelu, ShiftLeft, ShiftRight.
#pragma once

#include <type_traits>

#include "ascend_sim/vec_bind.h"
#include "isa/vec_scalar.h"
#include "kernel_struct_unary.h"

namespace AscendC {

template <ascend_sim::VecScalar::Op kOp, typename T>
inline void SimScalarOp(const LocalTensor<T>& dst, const LocalTensor<T>& src, T scalar,
                        const ascend_sim::VecShape& shape, const UnaryRepeatParams& p, bool round, Site site) {
  Issue(
      ascend_sim::VecScalar{kOp, ascend_sim::kDTypeOf<T>, round, ascend_sim::ScalarBits(scalar), shape,
                            SimWalk(dst, p.dstBlkStride, p.dstRepStride), SimWalk(src, p.srcBlkStride, p.srcRepStride)},
      site);
}

// CANN declares each form twice: with a scalar of T, and with one of a U that must be the tensor's own type.
#define ASCEND_SIM_SCALAR_FORMS(Name, kOp, S, ...)                                                               \
  template <__VA_ARGS__>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const S& scalarValue,        \
                              uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,  \
                              Site site = Site::Here()) {                                                        \
    SimScalarOp<ascend_sim::VecScalar::Op::kOp, T>(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime), \
                                                   repeatParams, false, site);                                   \
  }                                                                                                              \
  template <__VA_ARGS__>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const S& scalarValue,        \
                              uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,    \
                              Site site = Site::Here()) {                                                        \
    SimScalarOp<ascend_sim::VecScalar::Op::kOp, T>(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime), \
                                                   repeatParams, false, site);                                   \
  }                                                                                                              \
  template <__VA_ARGS__>                                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const S& scalarValue,        \
                              const int32_t& count, Site site = Site::Here()) {                                  \
    SimScalarOp<ascend_sim::VecScalar::Op::kOp, T>(dst, src, scalarValue, SimCountShape<isSetMask>(count),       \
                                                   UnaryRepeatParams(), false, site);                            \
  }
#define ASCEND_SIM_SCALAR(Name, kOp)                                                   \
  ASCEND_SIM_SCALAR_FORMS(Name, kOp, T, typename T, bool isSetMask = true)             \
  ASCEND_SIM_SCALAR_FORMS(Name, kOp, U, typename T, typename U, bool isSetMask = true, \
                          typename std::enable_if<std::is_same<T, U>::value, bool>::type = true)
ASCEND_SIM_SCALAR(Adds, kAdds)
ASCEND_SIM_SCALAR(Muls, kMuls)
ASCEND_SIM_SCALAR(Maxs, kMaxs)
ASCEND_SIM_SCALAR(Mins, kMins)
ASCEND_SIM_SCALAR(LeakyRelu, kLeakyRelu)
ASCEND_SIM_SCALAR(ShiftLeft, kShiftLeft)
#undef ASCEND_SIM_SCALAR
#undef ASCEND_SIM_SCALAR_FORMS

// roundEn: adds the last bit shifted out.
template <typename T, bool isSetMask = true>
__aicore__ inline void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue,
                                  uint64_t mask[], const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,
                                  bool roundEn = false, Site site = Site::Here()) {
  SimScalarOp<ascend_sim::VecScalar::Op::kShiftRight, T>(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime),
                                                         repeatParams, roundEn, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue,
                                  uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,
                                  bool roundEn = false, Site site = Site::Here()) {
  SimScalarOp<ascend_sim::VecScalar::Op::kShiftRight, T>(dst, src, scalarValue, SimShape<isSetMask>(mask, repeatTime),
                                                         repeatParams, roundEn, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void ShiftRight(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue,
                                  const int32_t& count, Site site = Site::Here()) {
  SimScalarOp<ascend_sim::VecScalar::Op::kShiftRight, T>(dst, src, scalarValue, SimCountShape<isSetMask>(count),
                                                         UnaryRepeatParams(), false, site);
}

}  // namespace AscendC
