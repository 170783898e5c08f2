// out = x + y over many tiles: two sets of buffers, so that the next tile is loaded while this one is added and stored.
// A flag of each direction and set: "the tile is there", and back: "the buffer may be written again".
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 1024, kBytes = kTile * sizeof(float);

extern "C" __global__ __aicore__ void double_buffer(GM_ADDR x, GM_ADDR y, GM_ADDR out, int32_t tiles) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const uint64_t first = GetBlockIdx() * tiles * kTile;
  GlobalTensor<float> gx, gy, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + first);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + first);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + first);

  for (int32_t set = 0; set < 2; ++set) {  // both sets are free at first
    SetFlag<HardEvent::V_MTE2>(set);
    SetFlag<HardEvent::MTE3_V>(set);
  }
  for (int32_t i = 0; i < tiles; ++i) {
    const int32_t set = i % 2;
    LocalTensor<float> a(TPosition::VECIN, (3 * set) * kBytes, kTile);
    LocalTensor<float> b(TPosition::VECIN, (3 * set + 1) * kBytes, kTile);
    LocalTensor<float> sum(TPosition::VECOUT, (3 * set + 2) * kBytes, kTile);

    WaitFlag<HardEvent::V_MTE2>(set);  // forgotten
    DataCopy(a, gx[i * kTile], kTile);
    DataCopy(b, gy[i * kTile], kTile);
    SetFlag<HardEvent::MTE2_V>(set);

    WaitFlag<HardEvent::MTE2_V>(set);
    WaitFlag<HardEvent::MTE3_V>(set);
    Add(sum, a, b, kTile);
    SetFlag<HardEvent::V_MTE2>(set);
    SetFlag<HardEvent::V_MTE3>(set);

    WaitFlag<HardEvent::V_MTE3>(set);
    DataCopy(gout[i * kTile], sum, kTile);
    SetFlag<HardEvent::MTE3_V>(set);
  }
  for (int32_t set = 0; set < 2; ++set) {  // no flag may stay set for the next kernel
    WaitFlag<HardEvent::V_MTE2>(set);
    WaitFlag<HardEvent::MTE3_V>(set);
  }
  PipeBarrier<PIPE_ALL>();
}
