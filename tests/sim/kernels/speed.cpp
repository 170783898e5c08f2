// Loops for measuring the simulator itself (benchmarks/sim_speed.py).
#include "kernel_operator.h"

using namespace AscendC;

// `iterations` passes over UB tiles of `count` floats: two adds, a load and a store, double-buffered as real kernels
// are.
extern "C" __global__ __aicore__ void vector_loop(GM_ADDR x, GM_ADDR out, int32_t iterations, int32_t count) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<float> gx, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + GetBlockIdx() * count);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + GetBlockIdx() * count);
  const uint32_t bytes = count * sizeof(float);
  for (int32_t slot = 0; slot < 2; ++slot) {
    SetFlag<HardEvent::V_MTE2>(slot);
    SetFlag<HardEvent::MTE3_V>(slot);
  }
  for (int32_t i = 0; i < iterations; ++i) {
    const int32_t slot = i & 1;
    LocalTensor<float> a(TPosition::VECIN, slot * 3 * bytes, count);
    LocalTensor<float> b(TPosition::VECCALC, (slot * 3 + 1) * bytes, count);
    LocalTensor<float> c(TPosition::VECOUT, (slot * 3 + 2) * bytes, count);
    WaitFlag<HardEvent::V_MTE2>(slot);
    DataCopy(a, gx, count);
    SetFlag<HardEvent::MTE2_V>(slot);
    WaitFlag<HardEvent::MTE2_V>(slot);
    WaitFlag<HardEvent::MTE3_V>(slot);
    Add(b, a, a, count);
    PipeBarrier<PIPE_V>();
    Mul(c, a, b, count);
    SetFlag<HardEvent::V_MTE2>(slot);
    SetFlag<HardEvent::V_MTE3>(slot);
    WaitFlag<HardEvent::V_MTE3>(slot);
    DataCopy(gout, c, count);
    PipeBarrier<PIPE_MTE3>();
    SetFlag<HardEvent::MTE3_V>(slot);
  }
  for (int32_t slot = 0; slot < 2; ++slot) {
    WaitFlag<HardEvent::V_MTE2>(slot);
    WaitFlag<HardEvent::MTE3_V>(slot);
  }
}
