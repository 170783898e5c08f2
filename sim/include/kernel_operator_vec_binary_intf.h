// Add, Sub, Mul, Div, Max, Min, And, Or.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_binary.h"
#include "kernel_struct_binary.h"

namespace AscendC {

template <ascend_sim::VecBinary::Op kOp, typename T>
inline void SimBinary(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                      const ascend_sim::VecShape& shape, const BinaryRepeatParams& p, Site site) {
  Issue(ascend_sim::VecBinary{kOp, ascend_sim::kDTypeOf<T>, shape, SimWalk(dst, p.dstBlkStride, p.dstRepStride),
                              SimWalk(src0, p.src0BlkStride, p.src0RepStride),
                              SimWalk(src1, p.src1BlkStride, p.src1RepStride)},
        site);
}

// The three forms of CANN: mask bits, contiguous mask, count.
#define ASCEND_SIM_BINARY(Name, kOp)                                                                                \
  template <typename T, bool isSetMask = true>                                                                      \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,    \
                              uint64_t mask[], const uint8_t repeatTime, const BinaryRepeatParams& repeatParams,    \
                              Site site = Site::Here()) {                                                           \
    SimBinary<ascend_sim::VecBinary::Op::kOp>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams, \
                                              site);                                                                \
  }                                                                                                                 \
  template <typename T, bool isSetMask = true>                                                                      \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,    \
                              uint64_t mask, const uint8_t repeatTime, const BinaryRepeatParams& repeatParams,      \
                              Site site = Site::Here()) {                                                           \
    SimBinary<ascend_sim::VecBinary::Op::kOp>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams, \
                                              site);                                                                \
  }                                                                                                                 \
  template <typename T>                                                                                             \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,    \
                              const int32_t& count, Site site = Site::Here()) {                                     \
    SimBinary<ascend_sim::VecBinary::Op::kOp>(dst, src0, src1, SimCountShape(count), BinaryRepeatParams(), site);   \
  }
ASCEND_SIM_BINARY(Add, kAdd)
ASCEND_SIM_BINARY(Sub, kSub)
ASCEND_SIM_BINARY(Mul, kMul)
ASCEND_SIM_BINARY(Div, kDiv)
ASCEND_SIM_BINARY(Max, kMax)
ASCEND_SIM_BINARY(Min, kMin)
ASCEND_SIM_BINARY(And, kAnd)
ASCEND_SIM_BINARY(Or, kOr)
#undef ASCEND_SIM_BINARY

}  // namespace AscendC
