// Instructions of the vector cores.
#pragma once
#include "tensors.h"

namespace AscendC {

struct UnaryRepeatParams {
  __aicore__ UnaryRepeatParams() {}
  __aicore__ UnaryRepeatParams(uint16_t dstBlk, uint16_t srcBlk, uint8_t dstRep, uint8_t srcRep)
      : dstBlkStride(dstBlk), srcBlkStride(srcBlk), dstRepStride(dstRep), srcRepStride(srcRep) {}
  uint32_t blockNumber = 8;
  uint16_t dstBlkStride = 1;
  uint16_t srcBlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t srcRepStride = 8;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
  bool halfBlock = false;
};

struct BinaryRepeatParams {
  __aicore__ BinaryRepeatParams() {}
  __aicore__ BinaryRepeatParams(uint8_t dstBlk, uint8_t src0Blk, uint8_t src1Blk, uint8_t dstRep, uint8_t src0Rep,
                                uint8_t src1Rep)
      : dstBlkStride(dstBlk),
        src0BlkStride(src0Blk),
        src1BlkStride(src1Blk),
        dstRepStride(dstRep),
        src0RepStride(src0Rep),
        src1RepStride(src1Rep) {}
  uint32_t blockNumber = 8;
  uint8_t dstBlkStride = 1;
  uint8_t src0BlkStride = 1;
  uint8_t src1BlkStride = 1;
  uint8_t dstRepStride = 8;
  uint8_t src0RepStride = 8;
  uint8_t src1RepStride = 8;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
};

struct BrcbRepeatParams {
  __aicore__ BrcbRepeatParams() {}
  __aicore__ BrcbRepeatParams(uint16_t dstBlk, uint16_t dstRep) : dstRepStride(dstRep), dstBlkStride(dstBlk) {}
  uint32_t blockNumber = 8;
  uint16_t dstRepStride = 8;
  uint16_t dstBlkStride = 1;
  uint8_t src0BlkStride = 1;
  uint8_t src1BlkStride = 1;
  uint8_t src0RepStride = 8;
  uint8_t src1RepStride = 8;
  bool repeatStrideMode = false;
  bool strideSizeMode = false;
};

enum class RoundMode : uint8_t { CAST_NONE, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD };
enum class CMPMODE : uint8_t { LT, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class ReduceOrder : uint8_t { ORDER_VALUE_INDEX, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };

#define CHECK_UNARY(name)                                                                           \
  template <typename T, bool isSetMask = true>                                                      \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint64_t mask, \
                               const uint8_t repeatTime, const UnaryRepeatParams& repeatParams);    \
  template <typename T>                                                                             \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t& count);
#define CHECK_BINARY(name)                                                                                        \
  template <typename T, bool isSetMask = true>                                                                    \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                               uint64_t mask, const uint8_t repeatTime, const BinaryRepeatParams& repeatParams);  \
  template <typename T>                                                                                           \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1, \
                               const int32_t& count);
#define CHECK_SCALAR(name)                                                                                      \
  template <typename T, bool isSetMask = true>                                                                  \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue,      \
                               uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams); \
  template <typename T, bool isSetMask = true>                                                                  \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const T& scalarValue,      \
                               const int32_t& count);
#define CHECK_BLOCK_REDUCE(name)                                                                           \
  template <typename T, bool isSetMask = true>                                                             \
  VECTOR_INSTRUCTION void name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat, \
                               const int32_t mask, const int32_t dstRepStride, const int32_t srcBlkStride, \
                               const int32_t srcRepStride);

CHECK_UNARY(Exp)
CHECK_UNARY(Ln)
CHECK_UNARY(Abs)
CHECK_UNARY(Sqrt)
CHECK_UNARY(Rsqrt)
CHECK_UNARY(Reciprocal)
CHECK_UNARY(Relu)
CHECK_BINARY(Add)
CHECK_BINARY(Sub)
CHECK_BINARY(Mul)
CHECK_BINARY(Div)
CHECK_BINARY(Max)
CHECK_BINARY(Min)
CHECK_BINARY(MulAddDst)
CHECK_BINARY(FusedMulAdd)
CHECK_BINARY(Or)
CHECK_SCALAR(Adds)
CHECK_SCALAR(Muls)
CHECK_SCALAR(Maxs)
CHECK_SCALAR(Mins)
CHECK_BLOCK_REDUCE(BlockReduceSum)
CHECK_BLOCK_REDUCE(BlockReduceMax)
CHECK_BLOCK_REDUCE(BlockReduceMin)

template <typename T, typename U>
VECTOR_INSTRUCTION void Axpy(const LocalTensor<T>& dst, const LocalTensor<U>& src, const U& scalarValue,
                             const int32_t& count);

#undef CHECK_UNARY
#undef CHECK_BINARY
#undef CHECK_SCALAR
#undef CHECK_BLOCK_REDUCE

template <typename T, bool isSetMask = true>
VECTOR_INSTRUCTION void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,
                                       const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                       const int32_t srcRepStride);
template <typename T, bool isSetMask = true>
VECTOR_INSTRUCTION void WholeReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,
                                       const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                       const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX);
template <typename T, bool isSetMask = true>
VECTOR_INSTRUCTION void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask,
                                  const uint8_t repeatTime, const uint16_t dstBlockStride,
                                  const uint8_t dstRepeatStride);
template <typename T, bool isSetMask = true>
VECTOR_INSTRUCTION void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, uint64_t mask[],
                                  const uint8_t repeatTime, const uint16_t dstBlockStride,
                                  const uint8_t dstRepeatStride);
template <typename T>
VECTOR_INSTRUCTION void Duplicate(const LocalTensor<T>& dst, const T& scalarValue, const int32_t& count);
template <typename T, typename U>
VECTOR_INSTRUCTION void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                             const uint32_t count);
template <typename T, typename U, bool isSetMask = true>
VECTOR_INSTRUCTION void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, const RoundMode& roundMode,
                             const uint64_t mask, const uint8_t repeatTime, const UnaryRepeatParams& repeatParams);
template <typename T>
VECTOR_INSTRUCTION void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const uint8_t repeatTime,
                             const BrcbRepeatParams& repeatParams);
template <typename T>
VECTOR_INSTRUCTION void CreateVecIndex(LocalTensor<T> dst, const T& firstValue, uint32_t count);
template <typename T, typename U>
VECTOR_INSTRUCTION void CompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar,
                                      CMPMODE cmpMode, uint32_t count);
template <typename T, typename U>
VECTOR_INSTRUCTION void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                                CMPMODE cmpMode, uint32_t count);
template <typename T, typename U>
VECTOR_INSTRUCTION void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                               T src1, SELMODE selMode, uint32_t count);
template <typename T, typename U>
VECTOR_INSTRUCTION void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                               const LocalTensor<T>& src1, SELMODE selMode, uint32_t count);

}  // namespace AscendC
