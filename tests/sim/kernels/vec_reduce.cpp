// Reductions, comparisons, selections, gathers and transposes, each on an image of UB (vec_call.h).
// check_cann: no, because it also instantiates types that this chip lacks, to see them refused
#include "vec_call.h"

// op: 0 sum, 1 max, 2 min; nine: the 9.x spelling. 8.1 has repeat before mask, 9.x mask before repeat.
template <typename T, ReduceType kType>
__aicore__ inline void Blocks9(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0);
  const int32_t mask = static_cast<int32_t>(c.mask[0]);
  if (c.form == 2) {
    ReduceDataBlock<kType>(dst, src, c.mask, c.repeat, c.rep[0], c.blk[1], c.rep[1]);
  } else {
    ReduceDataBlock<kType>(dst, src, mask, c.repeat, c.rep[0], c.blk[1], c.rep[1]);
  }
}
template <typename T, ReduceType kType>
__aicore__ inline void Repeats9(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0);
  const int32_t mask = static_cast<int32_t>(c.mask[0]);
  const ReduceOrder order = static_cast<ReduceOrder>(c.mode);
  if (c.form == 2) {
    ReduceRepeat<kType>(dst, src, c.mask, c.repeat, c.rep[0], c.blk[1], c.rep[1], order);
  } else {
    ReduceRepeat<kType>(dst, src, mask, c.repeat, c.rep[0], c.blk[1], c.rep[1], order);
  }
}
#define CALL_81(Name, ...)                                                                         \
  if (c.form == 1) Name(dst, src, FIRST_SECOND(mask), c.rep[0], c.blk[1], c.rep[1] __VA_ARGS__);   \
  if (c.form == 2) Name(dst, src, FIRST_SECOND(c.mask), c.rep[0], c.blk[1], c.rep[1] __VA_ARGS__); \
  if (c.form == 3) Name<T, false>(dst, src, FIRST_SECOND(0), c.rep[0], c.blk[1], c.rep[1] __VA_ARGS__);
template <typename T>
__aicore__ inline void Reduce(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0);
  const int32_t mask = static_cast<int32_t>(c.mask[0]);
  const ReduceOrder order = static_cast<ReduceOrder>(c.mode);
  switch (c.op) {
#define FIRST_SECOND(m) c.repeat, m
    case 0:
      CALL_81(BlockReduceSum)
      break;
    case 1:
      CALL_81(BlockReduceMax)
      break;
    case 2:
      CALL_81(BlockReduceMin)
      break;
    case 3:
      CALL_81(PairReduceSum)
      break;
#undef FIRST_SECOND
#define FIRST_SECOND(m) m, c.repeat
    case 4:
      CALL_81(WholeReduceSum)
      break;
    case 5:
      CALL_81(WholeReduceMax, , order)
      break;
    case 6:
      CALL_81(WholeReduceMin, , order)
      break;
#undef FIRST_SECOND
    case 10:
      Blocks9<T, ReduceType::SUM>(c);
      break;
    case 11:
      Blocks9<T, ReduceType::MAX>(c);
      break;
    case 12:
      Blocks9<T, ReduceType::MIN>(c);
      break;
    case 13:
      ReducePairElem<ReduceType::SUM>(dst, src, mask, c.repeat, c.rep[0], c.blk[1], c.rep[1]);
      break;
    case 14:
      Repeats9<T, ReduceType::SUM>(c);
      break;
    case 15:
      Repeats9<T, ReduceType::MAX>(c);
      break;
    case 16:
      Repeats9<T, ReduceType::MIN>(c);
      break;
  }
}
// type: 0 half, 1 float
extern "C" __global__ __aicore__ void reduce(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  PrepareMask(c);
  if (c.mode2 == 1) Ub<uint8_t>(c.aux).SetValue(0, 0);  // without a flag: a race with who touches this byte
  if (type == 0) Reduce<half>(c);
  if (type == 1) Reduce<float>(c);
  SetMaskNorm();
  StoreImage(out);
}

// Over a whole tensor; work at src1. mode: with index. The result register lands at aux.
template <typename T>
__aicore__ inline void ReduceTensor(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0), work = Ub<T>(c.src1);
  const int32_t mask = static_cast<int32_t>(c.mask[0]), stride = static_cast<int32_t>(c.rep[1]);
  const bool index = c.mode != 0;
  if (c.form == 0) {
    if (c.op == 0) ReduceSum(dst, src, work, c.count);
    if (c.op == 1) ReduceMax(dst, src, work, c.count, index);
    if (c.op == 2) ReduceMin(dst, src, work, c.count, index);
  } else if (c.form == 1) {
    if (c.op == 0) ReduceSum(dst, src, work, mask, c.repeat, stride);
    if (c.op == 1) ReduceMax(dst, src, work, mask, c.repeat, stride, index);
    if (c.op == 2) ReduceMin(dst, src, work, mask, c.repeat, stride, index);
  } else {
    if (c.op == 0) ReduceSum(dst, src, work, c.mask, c.repeat, stride);
    if (c.op == 1) ReduceMax(dst, src, work, c.mask, c.repeat, stride, index);
    if (c.op == 2) ReduceMin(dst, src, work, c.mask, c.repeat, stride, index);
  }
  PipeBarrier<PIPE_ALL>();
  if (c.op == 0 && c.form == 0) Ub<T>(c.aux).SetValue(0, GetAccVal<T>());
}
extern "C" __global__ __aicore__ void reduce_tensor(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (type == 0) ReduceTensor<half>(c);
  if (type == 1) ReduceTensor<float>(c);
  StoreImage(out);
}

template <typename T>
__aicore__ inline void CompareForms(Call& c) {
  const CMPMODE mode = static_cast<CMPMODE>(c.mode);
  LocalTensor<uint8_t> dst = Ub<uint8_t>(c.dst);
  LocalTensor<T> a = Ub<T>(c.src0), b = Ub<T>(c.src1);
  const UnaryRepeatParams unary(c.blk[0], c.blk[1], c.rep[0], c.rep[1]);
  const T s = Scalar<T>(c);
  if (c.op == 0) {
    if (c.form == 0) Compare(dst, a, b, mode, static_cast<uint32_t>(c.count));
    if (c.form == 1) Compare(dst, a, b, mode, c.mask[0], c.repeat, Binary(c));
    if (c.form == 2) Compare(dst, a, b, mode, c.mask, c.repeat, Binary(c));
  } else if (c.op == 1) {
    if (c.form == 0) CompareScalar(dst, a, s, mode, static_cast<uint32_t>(c.count));
    if (c.form == 1) CompareScalar(dst, a, s, mode, c.mask[0], c.repeat, unary);
    if (c.form == 2) Compares(dst, a, s, mode, c.mask, c.repeat, unary);
  } else {
    if (c.form == 1) Compare(a, b, mode, c.mask[0], Binary(c));
    if (c.form == 2) Compare(a, b, mode, c.mask, Binary(c));
    PipeBarrier<PIPE_V>();
    GetCmpMask(dst);
  }
}
// type: 0 half, 1 float, 3 int32
extern "C" __global__ __aicore__ void compare(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (type == 0) CompareForms<half>(c);
  if (type == 1) CompareForms<float>(c);
  if (type == 3) CompareForms<int32_t>(c);
  StoreImage(out);
}

// mode: 0 register, 1 scalar, 2 tensors; op 1: the forms without a mask, on SetCmpMask. Mask bits at aux.
template <typename T>
__aicore__ inline void SelectForms(Call& c) {
  const SELMODE mode = static_cast<SELMODE>(c.mode);
  LocalTensor<T> dst = Ub<T>(c.dst), a = Ub<T>(c.src0), b = Ub<T>(c.src1);
  LocalTensor<uint8_t> bits = Ub<uint8_t>(c.aux);
  const T s = Scalar<T>(c);
  if (c.op == 1) {
    SetVectorMask<T>(c.mask[1], c.mask[0]);
    if (c.mode == 0) {
      SetCmpMask(bits);
      PipeBarrier<PIPE_V>();
      Select<T, SELMODE::VSEL_CMPMASK_SPR>(dst, a, b, c.repeat, Binary(c));
    } else {
      Duplicate(Ub<T>(c.aux + 4096), s, 64);
      PipeBarrier<PIPE_V>();
      SetCmpMask(Ub<T>(c.aux + 4096));
      PipeBarrier<PIPE_V>();
      SetVectorMask<T>(c.mask[1], c.mask[0]);
      Select(dst, bits, a, c.repeat, Binary(c));
    }
    return;
  }
  if (c.mode2 == 0) {  // tensor src1
    if (c.form == 0) Select(dst, bits, a, b, mode, static_cast<uint32_t>(c.count));
    if (c.form == 1) Select(dst, bits, a, b, mode, c.mask[0], c.repeat, Binary(c));
    if (c.form == 2) Select(dst, bits, a, b, mode, c.mask, c.repeat, Binary(c));
  } else {
    if (c.form == 0) Select(dst, bits, a, s, mode, static_cast<uint32_t>(c.count));
    if (c.form == 1) Select(dst, bits, a, s, mode, c.mask[0], c.repeat, Binary(c));
    if (c.form == 2) Select(dst, bits, a, s, mode, c.mask, c.repeat, Binary(c));
  }
}
extern "C" __global__ __aicore__ void select_lanes(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (type == 0) SelectForms<half>(c);
  if (type == 1) SelectForms<float>(c);
  StoreImage(out);
}

// op: 0 Gather, 1 Gatherb, 2 GatherMask with a pattern, 3 with bits at src1. What GatherMask picked lands at aux.
template <typename T, typename U>
__aicore__ inline void GatherForms(Call& c) {
  LocalTensor<T> dst = Ub<T>(c.dst), src = Ub<T>(c.src0);
  LocalTensor<uint32_t> offsets = Ub<uint32_t>(c.src1);
  const GatherMaskParams p(c.blk[1], c.repeat, c.rep[1], c.rep[2]);
  uint64_t picked = 0;
  switch (c.op) {
    case 0:
      if (c.form == 0) Gather(dst, src, offsets, c.aux, static_cast<uint32_t>(c.count));
      if (c.form == 1) Gather(dst, src, offsets, c.aux, c.mask[0], c.repeat, c.rep[0]);
      if (c.form == 2) Gather(dst, src, offsets, c.aux, c.mask, c.repeat, c.rep[0]);
      break;
    case 1:
      Gatherb(Ub<U>(c.dst), Ub<U>(c.src0), offsets, c.repeat, GatherRepeatParams(c.blk[0], c.rep[0]));
      break;
    case 2:
    case 3:
      if (c.op == 2) {
        GatherMask(dst, src, static_cast<uint8_t>(c.mode), c.mode2 != 0, static_cast<uint32_t>(c.count), p, picked);
      } else {
        GatherMask(dst, src, Ub<U>(c.src1), c.mode2 != 0, static_cast<uint32_t>(c.count), p, picked);
      }
      Ub<uint32_t>(c.aux).SetValue(0, static_cast<uint32_t>(picked));
      Ub<uint32_t>(c.aux).SetValue(1, static_cast<uint32_t>(GetGatherMaskRemainCount()));
      break;
  }
}
extern "C" __global__ __aicore__ void gather(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (type == 0) GatherForms<half, uint16_t>(c);
  if (type == 1) GatherForms<float, uint32_t>(c);
  StoreImage(out);
}

template <typename T>
__aicore__ inline void TransData(Call& c) {
  const TransDataTo5HDParams p(c.mode != 0, c.mode2 != 0, c.repeat, c.rep[0], c.rep[1]);
  if (c.form == 0) {
    uint64_t dst[16], src[16];
    for (int i = 0; i < 16; ++i) {
      dst[i] = reinterpret_cast<uint64_t>(Ub<T>(c.dst + i * c.blk[0] * 32).GetPhyAddr());
      src[i] = reinterpret_cast<uint64_t>(Ub<T>(c.src0 + i * c.blk[1] * 32).GetPhyAddr());
    }
    TransDataTo5HD<T>(dst, src, p);
  } else {
    LocalTensor<T> dst[16], src[16];
    for (int i = 0; i < 16; ++i) {
      dst[i] = Ub<T>(c.dst + i * c.blk[0] * 32);
      src[i] = Ub<T>(c.src0 + i * c.blk[1] * 32);
    }
    TransDataTo5HD<T>(dst, src, p);
  }
}
// op 0: Transpose; 2: with a type (mode); 1: TransDataTo5HD of 8, 16, 32 bits for type 0, 1, 2
extern "C" __global__ __aicore__ void transpose(GM_ADDR in, GM_ADDR out, int32_t type, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  if (c.op == 0) Transpose(Ub<half>(c.dst), Ub<half>(c.src0));
  if (c.op == 2) {
    const TransposeParamsExt p(0, 0, 16, 16, static_cast<TransposeType>(c.mode));
    Transpose(Ub<uint16_t>(c.dst), Ub<uint16_t>(c.src0), Ub<uint8_t>(c.aux), p);
  }
  if (c.op == 1 && type == 0) TransData<int8_t>(c);
  if (c.op == 1 && type == 1) TransData<half>(c);
  if (c.op == 1 && type == 2) TransData<float>(c);
  StoreImage(out);
}

// The mask after a call: lanes left as they were show it. op chooses the call.
extern "C" __global__ __aicore__ void mask_after(GM_ADDR in, GM_ADDR out, Call c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  LoadImage(in);
  LocalTensor<float> a = Ub<float>(0), b = Ub<float>(4096), result = Ub<float>(c.dst);
  SetVectorMask<float>(0, 0xff);
  if (c.op == 1) Add(b, a, a, 100);
  if (c.op == 2) Brcb(b, a, 1, BrcbRepeatParams(1, 8));
  if (c.op == 3) {
    uint64_t picked;
    GatherMask(b, a, 7, true, 5, GatherMaskParams(1, 1, 8, 0), picked);
  }
  if (c.op == 4) ResetMask();
  PipeBarrier<PIPE_V>();
  Add<float, false>(result, a, a, MASK_PLACEHOLDER, 1, BinaryRepeatParams());
  StoreImage(out);
}

// half and bfloat16_t on the scalar unit, and the bit counts.
extern "C" __global__ __aicore__ void scalars(GM_ADDR in, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<half> x;
  x.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(in));
  GlobalTensor<float> y;
  y.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  const half a = x.GetValue(0), b = x.GetValue(1);
  half sum = a + b, product = a * b, three = 3;
  half running = a;
  running += b;
  y.SetValue(0, static_cast<float>(sum));
  y.SetValue(1, static_cast<float>(product));
  y.SetValue(2, static_cast<float>(running) + static_cast<float>(three) + (a < b ? 1.0f : 0.0f));
  y.SetValue(3, ToFloat(ToBfloat16(1.00390625f)));
  y.SetValue(4, static_cast<float>(ScalarGetCountOfValue<1>(0xf0f0) + ScalarCountLeadingZero(1)));
  y.SetValue(5, static_cast<float>(ScalarGetSFFValue<1>(8) + CountBitsCntSameAsSignBit(-1)));
}
