// out = x + y, 1024 floats a core: three buffers at fixed addresses, the order of the pipes kept by flags.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kCount = 1024, kBytes = kCount * sizeof(float);

extern "C" __global__ __aicore__ void vector_add(GM_ADDR x, GM_ADDR y, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const uint64_t at = GetBlockIdx() * kCount;
  GlobalTensor<float> gx, gy, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + at, kCount);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + at, kCount);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + at, kCount);
  LocalTensor<float> a(TPosition::VECIN, 0, kCount);
  LocalTensor<float> b(TPosition::VECIN, kBytes, kCount);
  LocalTensor<float> sum(TPosition::VECOUT, 2 * kBytes, kCount);

  DataCopy(a, gx, kCount);  // pipe MTE2
  DataCopy(b, gy, kCount);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);  // forgotten
  Add(sum, a, b, kCount);                  // pipe V
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(gout, sum, kCount);  // pipe MTE3
  PipeBarrier<PIPE_ALL>();
}
