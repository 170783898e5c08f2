// out = x + y, static buffers, one tile of 1024 floats per AIV: the smallest complete kernel.
// check_cann: 9.x
#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t kTile = 1024;

extern "C" __global__ __aicore__ void vector_add(GM_ADDR x, GM_ADDR y, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  GlobalTensor<float> gx, gy, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + GetBlockIdx() * kTile);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + GetBlockIdx() * kTile);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + GetBlockIdx() * kTile);
  LocalTensor<float> a(TPosition::VECIN, 0, kTile);
  LocalTensor<float> b(TPosition::VECIN, kTile * sizeof(float), kTile);
  LocalTensor<float> c(TPosition::VECOUT, 2 * kTile * sizeof(float), kTile);
  DataCopy(a, gx, kTile);
  DataCopy(b, gy, kTile);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  Add(c, a, b, kTile);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(gout, c, kTile);
}
