// Pointer forms of the vector instructions; included by pointer_forms.h, whose macros it uses.
#pragma once

namespace AscendC {

// A type that the caller names: no deduction from it.
template <typename T>
using SimNamed = typename std::enable_if<true, T>::type;

ASCEND_SIM_POINTER(void, MulAddDst, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<U> c, const uint64_t d[], uint8_t e,
                    const BinaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, MulAddDst, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<U> c, uint64_t d, uint8_t e, const BinaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, MulAddDst, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<U> c, const int32_t& d), (a, b, c, d))
#define ASCEND_SIM_POINTERS_BINARY(Name)                                                                             \
  ASCEND_SIM_POINTER(                                                                                                \
      void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                               \
      (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, uint64_t d[], uint8_t e, const BinaryRepeatParams& f),           \
      (a, b, c, d, e, f))                                                                                            \
  ASCEND_SIM_POINTER(                                                                                                \
      void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                               \
      (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, uint64_t d, uint8_t e, const BinaryRepeatParams& f),             \
      (a, b, c, d, e, f))                                                                                            \
  ASCEND_SIM_POINTER(void, Name, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, const int32_t& d), \
                     (a, b, c, d))
ASCEND_SIM_POINTERS_BINARY(Add)
ASCEND_SIM_POINTERS_BINARY(Sub)
ASCEND_SIM_POINTERS_BINARY(Mul)
ASCEND_SIM_POINTERS_BINARY(Div)
ASCEND_SIM_POINTERS_BINARY(Max)
ASCEND_SIM_POINTERS_BINARY(Min)
ASCEND_SIM_POINTERS_BINARY(And)
ASCEND_SIM_POINTERS_BINARY(Or)
ASCEND_SIM_POINTERS_BINARY(AddRelu)
ASCEND_SIM_POINTERS_BINARY(SubRelu)
ASCEND_SIM_POINTERS_BINARY(FusedMulAdd)
ASCEND_SIM_POINTERS_BINARY(MulAddRelu)
ASCEND_SIM_POINTERS_BINARY(FusedMulAddRelu)
#undef ASCEND_SIM_POINTERS_BINARY
ASCEND_SIM_POINTER(void, ShiftRight, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, const T& c, uint64_t d[], uint8_t e, const UnaryRepeatParams& f,
                    bool g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, ShiftRight, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, const T& c, uint64_t d, uint8_t e, const UnaryRepeatParams& f,
                    bool g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, ShiftRight, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, const T& c, const int32_t& d), (a, b, c, d))
#define ASCEND_SIM_POINTERS_SCALAR(Name)                                                                              \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                 \
                     (SimLocal<T> a, SimLocal<T> b, const T& c, uint64_t d[], uint8_t e, const UnaryRepeatParams& f), \
                     (a, b, c, d, e, f))                                                                              \
  ASCEND_SIM_POINTER(                                                                                                 \
      void, Name,                                                                                                     \
      (typename T, typename U, bool isSetMask = true,                                                                 \
       typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),                                        \
      (T, U, isSetMask),                                                                                              \
      (SimLocal<T> a, SimLocal<T> b, const SimNamed<U>& c, uint64_t d[], uint8_t e, const UnaryRepeatParams& f),      \
      (a, b, c, d, e, f))                                                                                             \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                 \
                     (SimLocal<T> a, SimLocal<T> b, const T& c, uint64_t d, uint8_t e, const UnaryRepeatParams& f),   \
                     (a, b, c, d, e, f))                                                                              \
  ASCEND_SIM_POINTER(                                                                                                 \
      void, Name,                                                                                                     \
      (typename T, typename U, bool isSetMask = true,                                                                 \
       typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),                                        \
      (T, U, isSetMask),                                                                                              \
      (SimLocal<T> a, SimLocal<T> b, const SimNamed<U>& c, uint64_t d, uint8_t e, const UnaryRepeatParams& f),        \
      (a, b, c, d, e, f))                                                                                             \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                 \
                     (SimLocal<T> a, SimLocal<T> b, const T& c, const int32_t& d), (a, b, c, d))                      \
  ASCEND_SIM_POINTER(void, Name,                                                                                      \
                     (typename T, typename U, bool isSetMask = true,                                                  \
                      typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),                         \
                     (T, U, isSetMask), (SimLocal<T> a, SimLocal<T> b, const SimNamed<U>& c, const int32_t& d),       \
                     (a, b, c, d))
ASCEND_SIM_POINTERS_SCALAR(Adds)
ASCEND_SIM_POINTERS_SCALAR(Muls)
ASCEND_SIM_POINTERS_SCALAR(Maxs)
ASCEND_SIM_POINTERS_SCALAR(Mins)
ASCEND_SIM_POINTERS_SCALAR(LeakyRelu)
ASCEND_SIM_POINTERS_SCALAR(ShiftLeft)
#undef ASCEND_SIM_POINTERS_SCALAR
#define ASCEND_SIM_POINTERS_UNARY(Name)                                                                   \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                     \
                     (SimLocal<T> a, SimLocal<T> b, uint64_t c[], uint8_t d, const UnaryRepeatParams& e), \
                     (a, b, c, d, e))                                                                     \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                     \
                     (SimLocal<T> a, SimLocal<T> b, uint64_t c, uint8_t d, const UnaryRepeatParams& e),   \
                     (a, b, c, d, e))                                                                     \
  ASCEND_SIM_POINTER(void, Name, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, const int32_t& c), (a, b, c))
ASCEND_SIM_POINTERS_UNARY(Exp)
ASCEND_SIM_POINTERS_UNARY(Ln)
ASCEND_SIM_POINTERS_UNARY(Abs)
ASCEND_SIM_POINTERS_UNARY(Relu)
ASCEND_SIM_POINTERS_UNARY(Reciprocal)
ASCEND_SIM_POINTERS_UNARY(Sqrt)
ASCEND_SIM_POINTERS_UNARY(Rsqrt)
ASCEND_SIM_POINTERS_UNARY(Not)
#undef ASCEND_SIM_POINTERS_UNARY
ASCEND_SIM_POINTER(void, Axpy, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, const U& c, uint64_t d, uint8_t e, const UnaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Axpy, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, const U& c, uint64_t d[], uint8_t e, const UnaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Axpy, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, const U& c, const int32_t& d), (a, b, c, d))
ASCEND_SIM_POINTER(void, Brcb, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, uint8_t c, const BrcbRepeatParams& d),
                   (a, b, c, d))
ASCEND_SIM_POINTER(void, Compare, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<U> a, SimLocal<T> b, SimLocal<T> c, CMPMODE d, const uint64_t e[], uint8_t f,
                    const BinaryRepeatParams& g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, Compare, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<U> a, SimLocal<T> b, SimLocal<T> c, CMPMODE d, uint64_t e, uint8_t f,
                    const BinaryRepeatParams& g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, Compare, (typename T, typename U), (T, U),
                   (SimLocal<U> a, SimLocal<T> b, SimLocal<T> c, CMPMODE d, uint32_t e), (a, b, c, d, e))
ASCEND_SIM_POINTER(void, Compare, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, CMPMODE c, const uint64_t d[], const BinaryRepeatParams& e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, Compare, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, CMPMODE c, uint64_t d, const BinaryRepeatParams& e), (a, b, c, d, e))
ASCEND_SIM_POINTER(void, GetCmpMask, (typename T), (T), (SimLocal<T> a), (a))
ASCEND_SIM_POINTER(void, SetCmpMask, (typename T), (T), (SimLocal<T> a), (a))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, SimLocal<T> d, SELMODE e, uint64_t f[], uint8_t g,
                    const BinaryRepeatParams& h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, SimLocal<T> d, SELMODE e, uint64_t f, uint8_t g,
                    const BinaryRepeatParams& h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, SimLocal<T> d, SELMODE e, uint32_t f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, T d, SELMODE e, uint64_t f[], uint8_t g,
                    const BinaryRepeatParams& h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, T d, SELMODE e, uint64_t f, uint8_t g,
                    const BinaryRepeatParams& h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, T d, SELMODE e, uint32_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Select, (typename T, SELMODE selMode), (T, selMode),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, uint8_t d, const BinaryRepeatParams& e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, Select, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<T> c, uint8_t d, const BinaryRepeatParams& e),
                   (a, b, c, d, e))
#define ASCEND_SIM_POINTERS_COMPARE_SCALAR(Name)                                                                 \
  ASCEND_SIM_POINTER(                                                                                            \
      void, Name, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),                            \
      (SimLocal<U> a, SimLocal<T> b, T c, CMPMODE d, const uint64_t e[], uint8_t f, const UnaryRepeatParams& g), \
      (a, b, c, d, e, f, g))                                                                                     \
  ASCEND_SIM_POINTER(                                                                                            \
      void, Name, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),                            \
      (SimLocal<U> a, SimLocal<T> b, T c, CMPMODE d, uint64_t e, uint8_t f, const UnaryRepeatParams& g),         \
      (a, b, c, d, e, f, g))                                                                                     \
  ASCEND_SIM_POINTER(void, Name, (typename T, typename U), (T, U),                                               \
                     (SimLocal<U> a, SimLocal<T> b, T c, CMPMODE d, uint32_t e), (a, b, c, d, e))
ASCEND_SIM_POINTERS_COMPARE_SCALAR(CompareScalar)
ASCEND_SIM_POINTERS_COMPARE_SCALAR(Compares)
#undef ASCEND_SIM_POINTERS_COMPARE_SCALAR
ASCEND_SIM_POINTER(void, CreateVecIndex, (typename T), (T),
                   (LocalTensor<T> & a, const T& b, uint64_t c, uint8_t d, uint16_t e, uint8_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, CreateVecIndex, (typename T), (T),
                   (LocalTensor<T> & a, const T& b, uint64_t c[], uint8_t d, uint16_t e, uint8_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, CreateVecIndex, (typename T), (T), (LocalTensor<T> a, const T& b, uint32_t c), (a, b, c))
ASCEND_SIM_POINTER(void, Duplicate, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, const T& b, uint64_t c, uint8_t d, uint16_t e, uint8_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Duplicate, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, const T& b, uint64_t c[], uint8_t d, uint16_t e, uint8_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Duplicate, (typename T), (T), (SimLocal<T> a, const T& b, const int32_t& c), (a, b, c))
ASCEND_SIM_POINTER(void, Gather, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<uint32_t> c, uint32_t d, uint64_t e, uint8_t f, uint16_t g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, Gather, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<uint32_t> c, uint32_t d, const uint64_t e[], uint8_t f,
                    uint16_t g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, Gather, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<uint32_t> c, uint32_t d, uint32_t e), (a, b, c, d, e))
ASCEND_SIM_POINTER(void, Gatherb, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<uint32_t> c, uint8_t d, const GatherRepeatParams& e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, GatherMask, (typename T, typename U, GatherMaskMode mode = defaultGatherMaskMode),
                   (T, U, mode),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<U> c, bool d, uint32_t e, const GatherMaskParams& f,
                    uint64_t& g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, GatherMask, (typename T, GatherMaskMode mode = defaultGatherMaskMode), (T, mode),
                   (SimLocal<T> a, SimLocal<T> b, uint8_t c, bool d, uint32_t e, const GatherMaskParams& f,
                    uint64_t& g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER_0(int64_t, GetGatherMaskRemainCount)
ASCEND_SIM_POINTER(void, WholeReduceSum, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, const uint64_t c[], int32_t d, int32_t e, int32_t f, int32_t g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, WholeReduceSum, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g),
                   (a, b, c, d, e, f, g))
ASCEND_SIM_POINTER(void, RepeatReduceSum, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, int32_t h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, ReduceRepeat, (ReduceType reduceType, typename T, typename U, bool isSetMask = true),
                   (reduceType, T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, ReduceOrder h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, ReduceRepeat, (ReduceType reduceType, typename T, typename U, bool isSetMask = true),
                   (reduceType, T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, const uint64_t c[], int32_t d, int32_t e, int32_t f, int32_t g,
                    ReduceOrder h),
                   (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTER(void, ReduceSum, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, int32_t d, int32_t e, int32_t f), (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, ReduceSum, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, const uint64_t d[], int32_t e, int32_t f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, ReduceSum, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, int32_t d), (a, b, c, d))
ASCEND_SIM_POINTER(void, GetReduceMaxMinCount, (typename T), (T), (T & a, T& b), (a, b))
ASCEND_SIM_POINTER(void, GetReduceRepeatMaxMinSpr, (typename T), (T), (T & a, T& b), (a, b))
ASCEND_SIM_POINTER_T(T, GetAccVal, (typename T), (T))
ASCEND_SIM_POINTER_T(T, GetReduceRepeatSumSpr, (typename T), (T))
#define ASCEND_SIM_POINTERS_GROUP_REDUCE(Name)                                                                       \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                \
                     (SimLocal<T> a, SimLocal<T> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g),          \
                     (a, b, c, d, e, f, g))                                                                          \
  ASCEND_SIM_POINTER(void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                \
                     (SimLocal<T> a, SimLocal<T> b, int32_t c, const uint64_t d[], int32_t e, int32_t f, int32_t g), \
                     (a, b, c, d, e, f, g))
ASCEND_SIM_POINTERS_GROUP_REDUCE(BlockReduceSum)
ASCEND_SIM_POINTERS_GROUP_REDUCE(BlockReduceMax)
ASCEND_SIM_POINTERS_GROUP_REDUCE(BlockReduceMin)
ASCEND_SIM_POINTERS_GROUP_REDUCE(PairReduceSum)
#undef ASCEND_SIM_POINTERS_GROUP_REDUCE
#define ASCEND_SIM_POINTERS_WHOLE_REDUCE(Name)                                                                       \
  ASCEND_SIM_POINTER(                                                                                                \
      void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                               \
      (SimLocal<T> a, SimLocal<T> b, const uint64_t c[], int32_t d, int32_t e, int32_t f, int32_t g, ReduceOrder h), \
      (a, b, c, d, e, f, g, h))                                                                                      \
  ASCEND_SIM_POINTER(                                                                                                \
      void, Name, (typename T, bool isSetMask = true), (T, isSetMask),                                               \
      (SimLocal<T> a, SimLocal<T> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g, ReduceOrder h),          \
      (a, b, c, d, e, f, g, h))
ASCEND_SIM_POINTERS_WHOLE_REDUCE(WholeReduceMax)
ASCEND_SIM_POINTERS_WHOLE_REDUCE(WholeReduceMin)
#undef ASCEND_SIM_POINTERS_WHOLE_REDUCE
#define ASCEND_SIM_POINTERS_REDUCE_9(Name)                                                                           \
  ASCEND_SIM_POINTER(void, Name, (ReduceType reduceType, typename T, typename U, bool isSetMask = true),             \
                     (reduceType, T, U, isSetMask),                                                                  \
                     (SimLocal<T> a, SimLocal<U> b, int32_t c, int32_t d, int32_t e, int32_t f, int32_t g),          \
                     (a, b, c, d, e, f, g))                                                                          \
  ASCEND_SIM_POINTER(void, Name, (ReduceType reduceType, typename T, typename U, bool isSetMask = true),             \
                     (reduceType, T, U, isSetMask),                                                                  \
                     (SimLocal<T> a, SimLocal<U> b, const uint64_t c[], int32_t d, int32_t e, int32_t f, int32_t g), \
                     (a, b, c, d, e, f, g))
ASCEND_SIM_POINTERS_REDUCE_9(ReduceDataBlock)
ASCEND_SIM_POINTERS_REDUCE_9(ReducePairElem)
#undef ASCEND_SIM_POINTERS_REDUCE_9
#define ASCEND_SIM_POINTERS_REDUCE_EXTREME(Name)                                                                      \
  ASCEND_SIM_POINTER(void, Name, (typename T), (T),                                                                   \
                     (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, int32_t d, int32_t e, int32_t f, bool g),          \
                     (a, b, c, d, e, f, g))                                                                           \
  ASCEND_SIM_POINTER(void, Name, (typename T), (T),                                                                   \
                     (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, const uint64_t d[], int32_t e, int32_t f, bool g), \
                     (a, b, c, d, e, f, g))                                                                           \
  ASCEND_SIM_POINTER(void, Name, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, SimLocal<T> c, int32_t d, bool e), \
                     (a, b, c, d, e))
ASCEND_SIM_POINTERS_REDUCE_EXTREME(ReduceMax)
ASCEND_SIM_POINTERS_REDUCE_EXTREME(ReduceMin)
#undef ASCEND_SIM_POINTERS_REDUCE_EXTREME
ASCEND_SIM_POINTER(void, Transpose, (typename T), (T), (SimLocal<T> a, SimLocal<T> b), (a, b))
ASCEND_SIM_POINTER(void, Transpose, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, SimLocal<uint8_t> c, const TransposeParamsExt& d), (a, b, c, d))
ASCEND_SIM_POINTER(void, TransDataTo5HD, (typename T), (T),
                   (const LocalTensor<T> (&a)[NCHW_CONV_ADDR_LIST_SIZE],
                    const LocalTensor<T> (&b)[NCHW_CONV_ADDR_LIST_SIZE], const TransDataTo5HDParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, TransDataTo5HD, (typename T), (T),
                   (uint64_t a[NCHW_CONV_ADDR_LIST_SIZE], uint64_t b[NCHW_CONV_ADDR_LIST_SIZE],
                    const TransDataTo5HDParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, Cast, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, const RoundMode& c, const uint64_t d[], uint8_t e,
                    const UnaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Cast, (typename T, typename U, bool isSetMask = true), (T, U, isSetMask),
                   (SimLocal<T> a, SimLocal<U> b, const RoundMode& c, uint64_t d, uint8_t e,
                    const UnaryRepeatParams& f),
                   (a, b, c, d, e, f))
ASCEND_SIM_POINTER(void, Cast, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, const RoundMode& c, uint32_t d), (a, b, c, d))
ASCEND_SIM_POINTER(void, Sort32, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, SimLocal<uint32_t> c, int32_t d),
                   (a, b, c, d))
ASCEND_SIM_POINTER(void, MrgSort, (typename T), (T), (SimLocal<T> a, const MrgSortSrcList<T>& b, const MrgSort4Info& c),
                   (a, b, c))

}  // namespace AscendC
