// Add, Sub, Mul, Div, Max, Min, And, Or, AddRelu, SubRelu, FusedMulAdd, MulAddRelu, MulAddDst.
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
template <ascend_sim::VecMulAdd::Op kOp, typename T, typename U>
inline void SimBinary(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                      const ascend_sim::VecShape& shape, const BinaryRepeatParams& p, Site site) {
  Issue(ascend_sim::VecMulAdd{kOp, ascend_sim::kDTypeOf<T>, ascend_sim::kDTypeOf<U>, shape,
                              SimWalk(dst, p.dstBlkStride, p.dstRepStride),
                              SimWalk(src0, p.src0BlkStride, p.src0RepStride),
                              SimWalk(src1, p.src1BlkStride, p.src1RepStride)},
        site);
}

// The three forms of CANN: mask bits, contiguous mask, count.
#define ASCEND_SIM_BINARY(Name, Op)                                                                              \
  template <typename T, bool isSetMask = true>                                                                   \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              uint64_t mask[], const uint8_t repeatTime, const BinaryRepeatParams& repeatParams, \
                              Site site = Site::Here()) {                                                        \
    SimBinary<ascend_sim::Op>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);       \
  }                                                                                                              \
  template <typename T, bool isSetMask = true>                                                                   \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              uint64_t mask, const uint8_t repeatTime, const BinaryRepeatParams& repeatParams,   \
                              Site site = Site::Here()) {                                                        \
    SimBinary<ascend_sim::Op>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);       \
  }                                                                                                              \
  template <typename T>                                                                                          \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                              const int32_t& count, Site site = Site::Here()) {                                  \
    SimBinary<ascend_sim::Op>(dst, src0, src1, SimCountShape(count), BinaryRepeatParams(), site);                \
  }
ASCEND_SIM_BINARY(Add, VecBinary::Op::kAdd)
ASCEND_SIM_BINARY(Sub, VecBinary::Op::kSub)
ASCEND_SIM_BINARY(Mul, VecBinary::Op::kMul)
ASCEND_SIM_BINARY(Div, VecBinary::Op::kDiv)
ASCEND_SIM_BINARY(Max, VecBinary::Op::kMax)
ASCEND_SIM_BINARY(Min, VecBinary::Op::kMin)
ASCEND_SIM_BINARY(And, VecBinary::Op::kAnd)
ASCEND_SIM_BINARY(Or, VecBinary::Op::kOr)
ASCEND_SIM_BINARY(AddRelu, VecBinary::Op::kAddRelu)
ASCEND_SIM_BINARY(SubRelu, VecBinary::Op::kSubRelu)
ASCEND_SIM_BINARY(FusedMulAdd, VecMulAdd::Op::kFusedMulAdd)
ASCEND_SIM_BINARY(MulAddRelu, VecMulAdd::Op::kMulAddRelu)
ASCEND_SIM_BINARY(FusedMulAddRelu, VecMulAdd::Op::kMulAddRelu)
#undef ASCEND_SIM_BINARY

template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 const uint64_t mask[], const uint8_t repeatTime,
                                 const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimBinary<ascend_sim::VecMulAdd::Op::kMulAddDst>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams,
                                                   site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 uint64_t mask, const uint8_t repeatTime, const BinaryRepeatParams& repeatParams,
                                 Site site = Site::Here()) {
  SimBinary<ascend_sim::VecMulAdd::Op::kMulAddDst>(dst, src0, src1, SimShape<isSetMask>(mask, repeatTime), repeatParams,
                                                   site);
}
template <typename T, typename U>
__aicore__ inline void MulAddDst(const LocalTensor<T>& dst, const LocalTensor<U>& src0, const LocalTensor<U>& src1,
                                 const int32_t& count, Site site = Site::Here()) {
  BinaryRepeatParams p;
  p.src0RepStride = p.src1RepStride = static_cast<uint8_t>(SimDenseStride<U>(sizeof(T)));
  SimBinary<ascend_sim::VecMulAdd::Op::kMulAddDst>(dst, src0, src1, SimCountShape(count), p, site);
}

}  // namespace AscendC
