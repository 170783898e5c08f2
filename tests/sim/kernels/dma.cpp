// Kernels for the copies between GM and UB, every parameter an argument. UB is first filled from `background`, so that
// the whole of it can be seen in `out`.
// check_cann: 9.x
#include <cstring>

#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

struct PadCase {
  int32_t count, len, src_gap, dst_gap;
  int32_t left, right, is_pad;
  float value;
  int32_t set_value;  // SetPadValue before
  int32_t old_form;   // DataCopyParams and DataCopyPadParams
  int32_t total;      // bytes of UB, a multiple of 32
  int32_t atomic;     // of pad_out: 1 add, 2 max, 3 min, 4 set by type
};

template <typename T>
__aicore__ inline void PadIn(GM_ADDR src, GM_ADDR background, GM_ADDR out, const PadCase& p) {
  GlobalTensor<T> from, back, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(src));
  back.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(background));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(out));
  LocalTensor<T> ub(TPosition::VECIN, 0, p.total / sizeof(T));
  DataCopy(ub, back, static_cast<uint32_t>(p.total / sizeof(T)));
  PipeBarrier<PIPE_MTE2>();
  if (p.set_value != 0) SetPadValue(static_cast<T>(p.value));
  if (p.old_form != 0) {
    uint64_t bits = 0;
    const T value = static_cast<T>(p.value);
    memcpy(&bits, &value, sizeof(T));
    DataCopyPad(ub, from, DataCopyParams(p.count, p.len, p.src_gap, p.dst_gap),
                DataCopyPadParams(p.is_pad != 0, p.left, p.right, bits));
  } else {
    DataCopyPadExtParams<T> pad(p.is_pad != 0, p.left, p.right, p.value);
    DataCopyPad(ub, from, DataCopyExtParams(p.count, p.len, p.src_gap, p.dst_gap, 0), pad);
  }
  SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  DataCopy(to, ub, static_cast<uint32_t>(p.total / sizeof(T)));
}

template <typename T>
__aicore__ inline void PadOut(GM_ADDR src, GM_ADDR out, const PadCase& p) {
  GlobalTensor<T> from, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(src));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(out));
  LocalTensor<T> ub(TPosition::VECIN, 0, p.total / sizeof(T));
  DataCopy(ub, from, static_cast<uint32_t>(p.total / sizeof(T)));
  SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  if constexpr (sizeof(T) <= 4 && !std::is_same<T, uint8_t>::value) {
    if (p.atomic == 1) SetAtomicAdd<T>();
    if (p.atomic == 2) SetAtomicMax<T>();
    if (p.atomic == 3) SetAtomicMin<T>();
    if (p.atomic == 4) {  // the mode stays when only its type is set again
      SetAtomicAdd<float>();
      SetAtomicType<T>();
    }
  }
  if (p.old_form != 0) {
    DataCopyPad(to, ub, DataCopyParams(p.count, p.len, p.src_gap, p.dst_gap));
  } else {
    DataCopyPad(to, ub, DataCopyExtParams(p.count, p.len, p.src_gap, p.dst_gap, 0));
  }
  DisableDmaAtomic();
}

// Entry points are written out: they are found in the source text.
extern "C" __global__ __aicore__ void pad_in_b8(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<int8_t>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_b8(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<int8_t>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_b16(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<half>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_b16(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<half>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_bf16(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<bfloat16_t>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_bf16(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<bfloat16_t>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_b32(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<float>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_b32(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<float>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_i16(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<int16_t>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_i16(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<int16_t>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_i32(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<int32_t>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_i32(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<int32_t>(src, out, p);
}
extern "C" __global__ __aicore__ void pad_in_b64(GM_ADDR src, GM_ADDR background, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadIn<int64_t>(src, background, out, p);
}
extern "C" __global__ __aicore__ void pad_out_b64(GM_ADDR src, GM_ADDR out, PadCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  PadOut<int64_t>(src, out, p);
}

// GM -> UB with `in`, UB -> UB with `local`, UB -> GM with `back`; each in 32 B.
extern "C" __global__ __aicore__ void copy_blocks(GM_ADDR src, GM_ADDR background, GM_ADDR out, int32_t total,
                                                  DataCopyParams in, DataCopyParams local, DataCopyParams back) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<uint8_t> from, blank, to;
  from.SetGlobalBuffer(src);
  blank.SetGlobalBuffer(background);
  to.SetGlobalBuffer(out);
  LocalTensor<uint8_t> a(TPosition::VECIN, 0, total), b(TPosition::VECOUT, total, total);
  DataCopy(a, blank, static_cast<uint32_t>(total));
  DataCopy(b, blank, static_cast<uint32_t>(total));
  PipeBarrier<PIPE_MTE2>();
  DataCopy(a, from, in);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  DataCopy(b, a, local);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(to, b, back);
}

extern "C" __global__ __aicore__ void nz2nd(GM_ADDR src, GM_ADDR out, int32_t elements, Nz2NdParamsFull p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<float> from, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(src));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  LocalTensor<float> ub(TPosition::VECIN, 0, elements);
  DataCopy(ub, from, static_cast<uint32_t>(elements));
  SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  DataCopy(to, ub, p);
}

// Rows 0 and 2 of [3, 87], two bursts of 24 each, become [2, 48] in UB and in `packed`; and back to their places.
extern "C" __global__ __aicore__ void slices(GM_ADDR src, GM_ADDR packed, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<float> from, rows, to;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(src));
  rows.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(packed));
  to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  LocalTensor<float> ub(TPosition::VECIN, 0, 96);
  SliceInfo wide[] = {{16, 70, 7, 3, 87}, {0, 2, 1, 1, 3}}, tight[] = {{0, 47, 0, 3, 48}, {0, 1, 0, 1, 2}};
  DataCopy(ub, from, tight, wide, 2);
  SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
  DataCopy(rows, ub, 96);
  DataCopy(to, ub, wide, tight, 2);
}

// Two transfers of one pipe into the same bytes, with and without a barrier between them.
extern "C" __global__ __aicore__ void overlap(GM_ADDR src, int32_t barrier) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<float> from;
  from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(src));
  LocalTensor<float> ub(TPosition::VECIN, 0, 128);
  DataCopy(ub, from, 64);
  if (barrier != 0) PipeBarrier<PIPE_MTE2>();
  DataCopy(ub[32], from[64], 64);
}
