// What vec_ops.cpp and vec_reduce.cpp are written with: one image of UB in, one instruction (or API call) on it, the
// image out. The test describes the call in a struct (../vec_reference.py).
#pragma once
#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint32_t kImage = 183 * 1024;  // bytes of UB the image covers; the last 8 KB belong to Select

struct Call {
  int32_t op;
  int32_t form;  // 0: count, 1: contiguous mask, 2: mask bits, 3: registers (isSetMask = false)
  int32_t counter;
  int32_t count;
  uint64_t mask[2];
  int32_t repeat;
  uint32_t dst, src0, src1;  // byte addresses
  uint32_t blk[3], rep[3];   // block and repeat strides of dst, src0, src1
  uint64_t scalar;
  int32_t mode;  // rounding, comparison, select mode, reduce order, ...
  int32_t mode2;
  uint32_t aux;
};

template <typename T>
__aicore__ inline LocalTensor<T> Ub(uint32_t address) {
  return LocalTensor<T>(TPosition::VECCALC, address, (kImage - address) / sizeof(T));
}
__aicore__ inline void LoadImage(GM_ADDR in) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(in));
  DataCopy(Ub<float>(0), g, kImage / 4);
  PipeBarrier<PIPE_ALL>();
}
__aicore__ inline void StoreImage(GM_ADDR out) {
  PipeBarrier<PIPE_ALL>();
  GlobalTensor<float> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  DataCopy(g, Ub<float>(0), kImage / 4);
}
// Counter mode and, for form 3, mask registers before the call.
__aicore__ inline void PrepareMask(const Call& c) {
  if (c.counter) SetMaskCount();
  if (c.form == 3) SetVectorMask<float>(c.mask[1], c.mask[0]);
}
__aicore__ inline BinaryRepeatParams Binary(const Call& c) {
  return BinaryRepeatParams(c.blk[0], c.blk[1], c.blk[2], c.rep[0], c.rep[1], c.rep[2]);
}
__aicore__ inline UnaryRepeatParams Unary(const Call& c) {
  return UnaryRepeatParams(c.blk[0], c.blk[1], c.rep[0], c.rep[1]);
}
template <typename T>
__aicore__ inline T Scalar(const Call& c) {
  return *reinterpret_cast<const T*>(&c.scalar);
}

}  // namespace
