// What the kernels of races.cpp and rules.cpp are written with: tiles of 512 floats in GM, UB and L1.
#pragma once
#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint32_t kTile = 512;  // elements

using Tensor = LocalTensor<float>;

__aicore__ inline GlobalTensor<float> Gm(GM_ADDR address, uint32_t tile = 0) {
  GlobalTensor<float> t;
  t.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address) + tile * kTile);
  return t;
}
__aicore__ inline Tensor Ub(uint32_t slot) { return Tensor(TPosition::VECCALC, slot * kTile * 4, kTile); }
__aicore__ inline Tensor L1(uint32_t slot) { return Tensor(TPosition::A1, slot * kTile * 4, kTile); }

template <HardEvent event>
__aicore__ inline void Sync(Site site = Site::Here()) {
  SetFlag<event>(EVENT_ID0, site);
  WaitFlag<event>(EVENT_ID0, site);
}

__aicore__ inline void Load(Tensor dst, GM_ADDR x, uint32_t tile = 0) {
  DataCopy(dst, Gm(x, tile), kTile);
  Sync<HardEvent::MTE2_V>();
}
__aicore__ inline void Store(GM_ADDR out, Tensor src, uint32_t tile = 0) {
  Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out, tile), src, kTile);
}

}  // namespace

#define TYPE_AIV                                  \
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY); \
  const EndOfKernel end
#define TYPE_MIX                                     \
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2); \
  const EndOfKernel end
