// Reductions, in the 8.1 spelling (BlockReduceSum, WholeReduceMax, ...) and in that of 9.x (ReduceDataBlock,
// ReduceRepeat, ReducePairElem), which swap mask and repeat.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_reduce.h"
#include "kernel_common.h"

namespace AscendC {

using SimReduceOp = ascend_sim::VecReduce::Op;
using SimReduceSpan = ascend_sim::VecReduce::Span;

template <typename T>
inline void SimReduce(SimReduceOp op, SimReduceSpan span, const LocalTensor<T>& dst, const LocalTensor<T>& src,
                      const ascend_sim::VecShape& shape, int32_t dstRepStride, int32_t srcBlkStride,
                      int32_t srcRepStride, ReduceOrder order, Site site) {
  Issue(ascend_sim::VecReduce{op, span, static_cast<ascend_sim::VecReduce::Order>(order), ascend_sim::kDTypeOf<T>,
                              static_cast<uint32_t>(dstRepStride), shape, dst.sim(),
                              SimWalk(src, static_cast<uint16_t>(srcBlkStride), static_cast<uint16_t>(srcRepStride))},
        site);
}

// 8.1: repeat before mask.
#define ASCEND_SIM_GROUP_REDUCE(Name, kOp, kSpan)                                                                 \
  template <typename T, bool isSetMask = true>                                                                    \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,         \
                              const int32_t mask, const int32_t dstRepStride, const int32_t srcBlkStride,         \
                              const int32_t srcRepStride, Site site = Site::Here()) {                             \
    SimReduce(SimReduceOp::kOp, SimReduceSpan::kSpan, dst, src,                                                   \
              SimShape<isSetMask>(static_cast<uint64_t>(mask), repeat), dstRepStride, srcBlkStride, srcRepStride, \
              ReduceOrder::ORDER_VALUE_INDEX, site);                                                              \
  }                                                                                                               \
  template <typename T, bool isSetMask = true>                                                                    \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,         \
                              const uint64_t mask[], const int32_t dstRepStride, const int32_t srcBlkStride,      \
                              const int32_t srcRepStride, Site site = Site::Here()) {                             \
    SimReduce(SimReduceOp::kOp, SimReduceSpan::kSpan, dst, src, SimShape<isSetMask>(mask, repeat), dstRepStride,  \
              srcBlkStride, srcRepStride, ReduceOrder::ORDER_VALUE_INDEX, site);                                  \
  }
ASCEND_SIM_GROUP_REDUCE(BlockReduceSum, kSum, kBlock)
ASCEND_SIM_GROUP_REDUCE(BlockReduceMax, kMax, kBlock)
ASCEND_SIM_GROUP_REDUCE(BlockReduceMin, kMin, kBlock)
ASCEND_SIM_GROUP_REDUCE(PairReduceSum, kSum, kPair)
#undef ASCEND_SIM_GROUP_REDUCE

// Mask before repeat; Sum has no order.
#define ASCEND_SIM_WHOLE_REDUCE(Name, kOp)                                                                             \
  template <typename T, bool isSetMask = true>                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],             \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,        \
                              const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,          \
                              Site site = Site::Here()) {                                                              \
    SimReduce(SimReduceOp::kOp, SimReduceSpan::kRepeat, dst, src, SimShape<isSetMask>(mask, repeatTime), dstRepStride, \
              srcBlkStride, srcRepStride, order, site);                                                                \
  }                                                                                                                    \
  template <typename T, bool isSetMask = true>                                                                         \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,                \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,        \
                              const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,          \
                              Site site = Site::Here()) {                                                              \
    SimReduce(SimReduceOp::kOp, SimReduceSpan::kRepeat, dst, src,                                                      \
              SimShape<isSetMask>(static_cast<uint64_t>(mask), repeatTime), dstRepStride, srcBlkStride, srcRepStride,  \
              order, site);                                                                                            \
  }
ASCEND_SIM_WHOLE_REDUCE(WholeReduceMax, kMax)
ASCEND_SIM_WHOLE_REDUCE(WholeReduceMin, kMin)
#undef ASCEND_SIM_WHOLE_REDUCE
template <typename T, bool isSetMask = true>
__aicore__ inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint64_t mask[],
                                      const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                      const int32_t srcRepStride, Site site = Site::Here()) {
  SimReduce(SimReduceOp::kSum, SimReduceSpan::kRepeat, dst, src, SimShape<isSetMask>(mask, repeatTime), dstRepStride,
            srcBlkStride, srcRepStride, ReduceOrder::ORDER_VALUE_INDEX, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t mask,
                                      const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                      const int32_t srcRepStride, Site site = Site::Here()) {
  SimReduce(SimReduceOp::kSum, SimReduceSpan::kRepeat, dst, src,
            SimShape<isSetMask>(static_cast<uint64_t>(mask), repeatTime), dstRepStride, srcBlkStride, srcRepStride,
            ReduceOrder::ORDER_VALUE_INDEX, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void RepeatReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, const int32_t repeat,
                                       const int32_t elemsInOneRepeat, const int32_t dstBlkStride,
                                       const int32_t srcBlkStride, const int32_t dstRepStride,
                                       const int32_t srcRepStride, Site site = Site::Here()) {
  WholeReduceSum<T, isSetMask>(dst, src, elemsInOneRepeat, repeat, dstRepStride, srcBlkStride, srcRepStride, site);
}

// ---- 9.x
// ---------------------------------------------------------------------------------------------------------------
constexpr SimReduceOp SimOpOf(ReduceType type) {
  return type == ReduceType::SUM ? SimReduceOp::kSum : type == ReduceType::MAX ? SimReduceOp::kMax : SimReduceOp::kMin;
}
#define ASCEND_SIM_REDUCE_9(Name, kSpan, Check)                                                                       \
  template <ReduceType reduceType, typename T, typename U, bool isSetMask = true>                                     \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<U>& src, const int32_t mask,               \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,       \
                              const int32_t srcRepStride, Site site = Site::Here()) {                                 \
    static_assert(std::is_same<T, U>::value && (Check), #Name ": not available for these types on this chip");        \
    SimReduce(SimOpOf(reduceType), SimReduceSpan::kSpan, dst, src,                                                    \
              SimShape<isSetMask>(static_cast<uint64_t>(mask), repeatTime), dstRepStride, srcBlkStride, srcRepStride, \
              ReduceOrder::ORDER_VALUE_INDEX, site);                                                                  \
  }                                                                                                                   \
  template <ReduceType reduceType, typename T, typename U, bool isSetMask = true>                                     \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<U>& src, const uint64_t mask[],            \
                              const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,       \
                              const int32_t srcRepStride, Site site = Site::Here()) {                                 \
    static_assert(std::is_same<T, U>::value && (Check), #Name ": not available for these types on this chip");        \
    SimReduce(SimOpOf(reduceType), SimReduceSpan::kSpan, dst, src, SimShape<isSetMask>(mask, repeatTime),             \
              dstRepStride, srcBlkStride, srcRepStride, ReduceOrder::ORDER_VALUE_INDEX, site);                        \
  }
ASCEND_SIM_REDUCE_9(ReduceDataBlock, kBlock, reduceType != ReduceType::NONE)
ASCEND_SIM_REDUCE_9(ReducePairElem, kPair, reduceType == ReduceType::SUM)
#undef ASCEND_SIM_REDUCE_9
template <ReduceType reduceType, typename T, typename U, bool isSetMask = true>
__aicore__ inline void ReduceRepeat(const LocalTensor<T>& dst, const LocalTensor<U>& src, const int32_t mask,
                                    const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                    const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,
                                    Site site = Site::Here()) {
  static_assert(std::is_same<T, U>::value, "ReduceRepeat: source and destination have one type on this chip");
  SimReduce(SimOpOf(reduceType), SimReduceSpan::kRepeat, dst, src,
            SimShape<isSetMask>(static_cast<uint64_t>(mask), repeatTime), dstRepStride, srcBlkStride, srcRepStride,
            order, site);
}
template <ReduceType reduceType, typename T, typename U, bool isSetMask = true>
__aicore__ inline void ReduceRepeat(const LocalTensor<T>& dst, const LocalTensor<U>& src, const uint64_t mask[],
                                    const int32_t repeatTime, const int32_t dstRepStride, const int32_t srcBlkStride,
                                    const int32_t srcRepStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX,
                                    Site site = Site::Here()) {
  static_assert(std::is_same<T, U>::value, "ReduceRepeat: source and destination have one type on this chip");
  SimReduce(SimOpOf(reduceType), SimReduceSpan::kRepeat, dst, src, SimShape<isSetMask>(mask, repeatTime), dstRepStride,
            srcBlkStride, srcRepStride, order, site);
}

// ---- over a whole tensor
// ---------------------------------------------------------------------------------------------------
template <typename T>
inline ascend_sim::ReduceAll SimReduceAll(SimReduceOp op, const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                          const LocalTensor<T>& work, bool index) {
  return {op, ascend_sim::kDTypeOf<T>, dst.sim(), src.sim(), work.sim(), index};
}
#define ASCEND_SIM_REDUCE_EXTREME(Name, kOp)                                                                          \
  template <typename T>                                                                                               \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                                   \
                              const LocalTensor<T>& sharedTmpBuffer, const int32_t mask, const int32_t repeatTime,    \
                              const int32_t srcRepStride, bool calIndex = 0, Site site = Site::Here()) {              \
    ascend_sim::IssueReduceRepeats(SimReduceAll(SimReduceOp::kOp, dst, src, sharedTmpBuffer, calIndex),               \
                                   SimShape<true>(static_cast<uint64_t>(mask), 1), repeatTime, srcRepStride, site);   \
  }                                                                                                                   \
  template <typename T>                                                                                               \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                                   \
                              const LocalTensor<T>& sharedTmpBuffer, const uint64_t mask[], const int32_t repeatTime, \
                              const int32_t srcRepStride, bool calIndex = 0, Site site = Site::Here()) {              \
    ascend_sim::IssueReduceRepeats(SimReduceAll(SimReduceOp::kOp, dst, src, sharedTmpBuffer, calIndex),               \
                                   SimShape<true>(mask, 1), repeatTime, srcRepStride, site);                          \
  }                                                                                                                   \
  template <typename T>                                                                                               \
  __aicore__ inline void Name(const LocalTensor<T>& dst, const LocalTensor<T>& src,                                   \
                              const LocalTensor<T>& sharedTmpBuffer, const int32_t count, bool calIndex = 0,          \
                              Site site = Site::Here()) {                                                             \
    ascend_sim::IssueReduceCount(SimReduceAll(SimReduceOp::kOp, dst, src, sharedTmpBuffer, calIndex),                 \
                                 SimCountShape(count), static_cast<uint32_t>(count), site);                           \
  }
ASCEND_SIM_REDUCE_EXTREME(ReduceMax, kMax)
ASCEND_SIM_REDUCE_EXTREME(ReduceMin, kMin)
#undef ASCEND_SIM_REDUCE_EXTREME

template <typename T>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                 const LocalTensor<T>& sharedTmpBuffer, const int32_t mask, const int32_t repeatTime,
                                 const int32_t srcRepStride, Site site = Site::Here()) {
  ascend_sim::IssueReduceRepeats(SimReduceAll(SimReduceOp::kSum, dst, src, sharedTmpBuffer, false),
                                 SimShape<true>(static_cast<uint64_t>(mask), 1), repeatTime, srcRepStride, site);
}
template <typename T>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                 const LocalTensor<T>& sharedTmpBuffer, const uint64_t mask[], const int32_t repeatTime,
                                 const int32_t srcRepStride, Site site = Site::Here()) {
  ascend_sim::IssueReduceRepeats(SimReduceAll(SimReduceOp::kSum, dst, src, sharedTmpBuffer, false),
                                 SimShape<true>(mask, 1), repeatTime, srcRepStride, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void ReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                 const LocalTensor<T>& sharedTmpBuffer, const int32_t count, Site site = Site::Here()) {
  ascend_sim::IssueReduceCount(SimReduceAll(SimReduceOp::kSum, dst, src, sharedTmpBuffer, false),
                               SimCountShape<isSetMask>(count), static_cast<uint32_t>(count), site);
}

// ---- result registers: the kernel orders V before S itself
// ---------------------------------------------------------------
template <typename T>
__aicore__ inline void GetReduceMaxMinCount(T& maxMinValue, T& maxMinIndex, Site site = Site::Here()) {
  const uint64_t bits = ascend_sim::ReadResult(ascend_sim::ResultRegister::kMaxMin, "GetReduceMaxMinCount", site);
  maxMinValue = ascend_sim::ScalarFrom<T>(bits);
  maxMinIndex = ascend_sim::ScalarFrom<T>(bits >> 32);
}
template <typename T>
__aicore__ inline void GetReduceRepeatMaxMinSpr(T& maxMinValue, T& maxMinIndex, Site site = Site::Here()) {
  GetReduceMaxMinCount(maxMinValue, maxMinIndex, site);
}
template <typename T>
__aicore__ inline T GetAccVal(Site site = Site::Here()) {
  return ascend_sim::ScalarFrom<T>(ascend_sim::ReadResult(ascend_sim::ResultRegister::kAccumulator, "GetAccVal", site));
}
template <typename T>
__aicore__ inline T GetReduceRepeatSumSpr(Site site = Site::Here()) {
  return GetAccVal<T>(site);
}

}  // namespace AscendC
