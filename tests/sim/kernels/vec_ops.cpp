// Vector instructions lane by lane, Cast and fills, each on an image of UB (vec_call.h).
// check_cann: no, because it also instantiates types that this chip lacks, to see them refused
#include "vec_call.h"

namespace {

__aicore__ inline void Prepare(const Call& c) {
  PrepareMask(c);
  if (c.mode2 == 1) Ub<uint8_t>(c.aux).SetValue(0, 0);  // without a flag: a race with who touches this byte
  if (c.mode2 == 2) SetSaturationFlag<SaturationMode::FLOAT>(true);
}

// Calls Name in the form asked for, on destination, sources (and scalar) `...`.
#define FORMS(Name, T, params, ...)                                    \
  switch (c.form) {                                                    \
    case 0:                                                            \
      Name(__VA_ARGS__, c.count);                                      \
      break;                                                           \
    case 1:                                                            \
      Name(__VA_ARGS__, c.mask[0], c.repeat, params);                  \
      break;                                                           \
    case 2:                                                            \
      Name(__VA_ARGS__, c.mask, c.repeat, params);                     \
      break;                                                           \
    default:                                                           \
      Name<T, false>(__VA_ARGS__, MASK_PLACEHOLDER, c.repeat, params); \
  }

}  // namespace

#define CASE_BINARY(number, Name, T)                                      \
  case number:                                                            \
    FORMS(Name, T, Binary(c), Ub<T>(c.dst), Ub<T>(c.src0), Ub<T>(c.src1)) \
    break;
#define CASE_SCALAR(number, Name, T)                                    \
  case number:                                                          \
    FORMS(Name, T, Unary(c), Ub<T>(c.dst), Ub<T>(c.src0), Scalar<T>(c)) \
    break;
#define CASE_UNARY(number, Name, T)                       \
  case number:                                            \
    FORMS(Name, T, Unary(c), Ub<T>(c.dst), Ub<T>(c.src0)) \
    break;

template <typename T>
__aicore__ inline void Arithmetic(Call& c) {
  switch (c.op) {
    CASE_BINARY(0, Add, T)
    CASE_BINARY(1, Sub, T)
    CASE_BINARY(2, Mul, T)
    CASE_BINARY(4, Max, T)
    CASE_BINARY(5, Min, T)
    CASE_SCALAR(20, Adds, T)
    CASE_SCALAR(21, Muls, T)
    CASE_SCALAR(22, Maxs, T)
    CASE_SCALAR(23, Mins, T)
  }
}
template <typename T>
__aicore__ inline void Real(Call& c) {
  switch (c.op) {
    CASE_BINARY(3, Div, T)
    CASE_BINARY(8, AddRelu, T)
    CASE_BINARY(9, SubRelu, T)
    CASE_BINARY(10, FusedMulAdd, T)
    CASE_BINARY(11, MulAddRelu, T)
    CASE_SCALAR(24, LeakyRelu, T)
    CASE_UNARY(40, Exp, T)
    CASE_UNARY(41, Ln, T)
    CASE_UNARY(42, Abs, T)
    CASE_UNARY(43, Relu, T)
    CASE_UNARY(44, Reciprocal, T)
    CASE_UNARY(45, Sqrt, T)
    CASE_UNARY(46, Rsqrt, T)
  }
}
template <typename T>
__aicore__ inline void Bits(Call& c) {
  switch (c.op) {
    CASE_SCALAR(25, ShiftLeft, T)
    CASE_SCALAR(26, ShiftRight, T)
  }
}

// type: 0 half, 1 float, 2 int16, 3 int32, 4 uint16, 5 uint32
extern "C" __global__ __aicore__ void lanes(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  Prepare(c);
  if (type == 0) {
    Arithmetic<half>(c);
    Real<half>(c);
  } else if (type == 1) {
    Arithmetic<float>(c);
    Real<float>(c);
  } else if (type == 2) {
    Arithmetic<int16_t>(c);
    Bits<int16_t>(c);
    if (c.op == 6) FORMS(And, int16_t, Binary(c), Ub<int16_t>(c.dst), Ub<int16_t>(c.src0), Ub<int16_t>(c.src1))
    if (c.op == 47) FORMS(Not, int16_t, Unary(c), Ub<int16_t>(c.dst), Ub<int16_t>(c.src0))
  } else if (type == 3) {
    Arithmetic<int32_t>(c);
    Bits<int32_t>(c);
    if (c.op == 43) FORMS(Relu, int32_t, Unary(c), Ub<int32_t>(c.dst), Ub<int32_t>(c.src0))
  } else if (type == 4) {
    Bits<uint16_t>(c);
    if (c.op == 7) FORMS(Or, uint16_t, Binary(c), Ub<uint16_t>(c.dst), Ub<uint16_t>(c.src0), Ub<uint16_t>(c.src1))
  } else {
    Bits<uint32_t>(c);
  }
  SetMaskNorm();
  StoreImage(out);
}

template <typename T, typename U>
__aicore__ inline void MulAddDstForms(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst);
  LocalTensor<U> a = Ub<U>(c.src0), b = Ub<U>(c.src1);
  const U s = Scalar<U>(c);
  if (c.op == 0) {
    if (c.form == 0) MulAddDst(dst, a, b, c.count);
    if (c.form == 1) MulAddDst(dst, a, b, c.mask[0], c.repeat, Binary(c));
    if (c.form == 2) MulAddDst(dst, a, b, c.mask, c.repeat, Binary(c));
    if (c.form == 3) MulAddDst<T, U, false>(dst, a, b, MASK_PLACEHOLDER, c.repeat, Binary(c));
  } else {
    if (c.form == 0) Axpy(dst, a, s, c.count);
    if (c.form == 1) Axpy(dst, a, s, c.mask[0], c.repeat, Unary(c));
    if (c.form == 2) Axpy(dst, a, s, c.mask, c.repeat, Unary(c));
    if (c.form == 3) Axpy<T, U, false>(dst, a, s, MASK_PLACEHOLDER, c.repeat, Unary(c));
  }
}

// type: 0 half, 1 float, 2 half sources into float
extern "C" __global__ __aicore__ void multiply_add(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  Prepare(c);
  if (type == 0) MulAddDstForms<half, half>(c);
  if (type == 1) MulAddDstForms<float, float>(c);
  if (type == 2) MulAddDstForms<float, half>(c);
  SetMaskNorm();
  StoreImage(out);
}

template <typename T, typename U>
__aicore__ inline void CastForms(Call& c) {
  const RoundMode mode = static_cast<RoundMode>(c.mode);
  LocalTensor<T> dst = Ub<T>(c.dst);
  LocalTensor<U> src = Ub<U>(c.src0);
  if (c.form == 0) Cast(dst, src, mode, c.count);
  if (c.form == 1) Cast(dst, src, mode, c.mask[0], c.repeat, Unary(c));
  if (c.form == 2) Cast(dst, src, mode, c.mask, c.repeat, Unary(c));
  if (c.form == 3) Cast<T, U, false>(dst, src, mode, MASK_PLACEHOLDER, c.repeat, Unary(c));
}

// Pairs in the order of the test's table.
extern "C" __global__ __aicore__ void cast(GM_ADDR in, GM_ADDR out, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  Prepare(c);
  SetDeqScale(static_cast<half>(0.5f));
  switch (c.op) {
    case 0:
      CastForms<half, int8_t>(c);
      break;
    case 1:
      CastForms<half, uint8_t>(c);
      break;
    case 2:
      CastForms<half, int16_t>(c);
      break;
    case 3:
      CastForms<float, int16_t>(c);
      break;
    case 4:
      CastForms<int8_t, half>(c);
      break;
    case 5:
      CastForms<uint8_t, half>(c);
      break;
    case 6:
      CastForms<int16_t, half>(c);
      break;
    case 7:
      CastForms<int32_t, half>(c);
      break;
    case 8:
      CastForms<float, half>(c);
      break;
    case 9:
      CastForms<int32_t, bfloat16_t>(c);
      break;
    case 10:
      CastForms<float, bfloat16_t>(c);
      break;
    case 11:
      CastForms<int16_t, int32_t>(c);
      break;
    case 12:
      CastForms<half, int32_t>(c);
      break;
    case 13:
      CastForms<float, int32_t>(c);
      break;
    case 14:
      CastForms<int64_t, int32_t>(c);
      break;
    case 15:
      CastForms<int16_t, float>(c);
      break;
    case 16:
      CastForms<half, float>(c);
      break;
    case 17:
      CastForms<bfloat16_t, float>(c);
      break;
    case 18:
      CastForms<int32_t, float>(c);
      break;
    case 19:
      CastForms<float, float>(c);
      break;
    case 20:
      CastForms<int64_t, float>(c);
      break;
    case 21:
      CastForms<int32_t, int64_t>(c);
      break;
    case 22:
      CastForms<float, int64_t>(c);
      break;
    case 23:
      CastForms<bfloat16_t, half>(c);
      break;
  }
  SetMaskNorm();
  StoreImage(out);
}

template <typename T>
__aicore__ inline void FillForms(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0);
  switch (c.op) {
    case 0:
      if (c.form == 0) Duplicate(dst, Scalar<T>(c), c.count);
      if (c.form == 1) Duplicate(dst, Scalar<T>(c), c.mask[0], c.repeat, c.blk[0], c.rep[0]);
      if (c.form == 2) Duplicate(dst, Scalar<T>(c), c.mask, c.repeat, c.blk[0], c.rep[0]);
      if (c.form == 3) Duplicate<T, false>(dst, Scalar<T>(c), MASK_PLACEHOLDER, c.repeat, c.blk[0], c.rep[0]);
      break;
    case 1:
      Brcb(dst, src, c.repeat, BrcbRepeatParams(c.blk[0], c.rep[0]));
      break;
    case 2: {
      const CopyRepeatParams p(c.blk[0], c.blk[1], c.rep[0], c.rep[1]);
      if (c.form == 1) Copy(dst, src, c.mask[0], c.repeat, p);
      if (c.form == 2) Copy(dst, src, c.mask, c.repeat, p);
      if (c.form == 3) Copy<T, false>(dst, src, MASK_PLACEHOLDER, c.repeat, p);
      break;
    }
  }
}

// type: 0 half, 1 float, 2 bfloat16
extern "C" __global__ __aicore__ void fill(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  Prepare(c);
  if (type == 0) FillForms<half>(c);
  if (type == 1) FillForms<float>(c);
  if (type == 2) FillForms<bfloat16_t>(c);
  SetMaskNorm();
  StoreImage(out);
}

template <typename T>
__aicore__ inline void IndexForms(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst);
  if (c.form == 0) CreateVecIndex(dst, Scalar<T>(c), static_cast<uint32_t>(c.count));
  if (c.form == 1) CreateVecIndex(dst, Scalar<T>(c), c.mask[0], c.repeat, c.blk[0], c.rep[0]);
  if (c.form == 2) CreateVecIndex(dst, Scalar<T>(c), c.mask, c.repeat, c.blk[0], c.rep[0]);
}
// type: 0 half, 1 float, 2 int16, 3 int32
extern "C" __global__ __aicore__ void create_index(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (type == 0) IndexForms<half>(c);
  if (type == 1) IndexForms<float>(c);
  if (type == 2) IndexForms<int16_t>(c);
  if (type == 3) IndexForms<int32_t>(c);
  StoreImage(out);
}
