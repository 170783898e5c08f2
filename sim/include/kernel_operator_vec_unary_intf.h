// Exp, Ln, Abs, Relu, Reciprocal, Sqrt, Rsqrt, Not.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_unary.h"
#include "kernel_struct_unary.h"

namespace AscendC {

template <ascend_sim::VecUnary::Op kOp, typename T>
inline void SimUnary(const LocalTensor<T>& dst, const LocalTensor<T>& src, const ascend_sim::VecShape& shape,
                     const UnaryRepeatParams& p, Site site) {
  Issue(ascend_sim::VecUnary{kOp, ascend_sim::kDTypeOf<T>, shape, SimWalk(dst, p.dstBlkStride, p.dstRepStride),
                             SimWalk(src, p.srcBlkStride, p.srcRepStride)},
        site);
}

#define ASCEND_SIM_UNARY(Name, kOp)                                                                               \
  template <typename T, bool isSetMask = true>                                                                    \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask[],              \
                              const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,                    \
                              Site site = Site::Here()) {                                                         \
    SimUnary<ascend_sim::VecUnary::Op::kOp>(dst, src, SimShape<isSetMask>(mask, repeatTime), repeatParams, site); \
  }                                                                                                               \
  template <typename T, bool isSetMask = true>                                                                    \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask,                \
                              const uint8_t repeatTime, const UnaryRepeatParams& repeatParams,                    \
                              Site site = Site::Here()) {                                                         \
    SimUnary<ascend_sim::VecUnary::Op::kOp>(dst, src, SimShape<isSetMask>(mask, repeatTime), repeatParams, site); \
  }                                                                                                               \
  template <typename T>                                                                                           \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count,         \
                              Site site = Site::Here()) {                                                         \
    SimUnary<ascend_sim::VecUnary::Op::kOp>(dst, src, SimCountShape(count), UnaryRepeatParams(), site);           \
  }
ASCEND_SIM_UNARY(Exp, kExp)
ASCEND_SIM_UNARY(Ln, kLn)
ASCEND_SIM_UNARY(Abs, kAbs)
ASCEND_SIM_UNARY(Relu, kRelu)
ASCEND_SIM_UNARY(Reciprocal, kReciprocal)
ASCEND_SIM_UNARY(Sqrt, kSqrt)
ASCEND_SIM_UNARY(Rsqrt, kRsqrt)
ASCEND_SIM_UNARY(Not, kNot)
#undef ASCEND_SIM_UNARY

}  // namespace AscendC
