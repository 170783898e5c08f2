// c = a b^T: a [128 cores, K], b [128, K] half, c float; 128 rows of a to each core. Loads into L1, loads into L0 and
// the cube work on three different steps of K at a time: two buffers at each level, a flag forth and one back for each.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 128, kStep = 64, kCount = kTile * kStep, kBytes = kCount * sizeof(half);

extern "C" __global__ __aicore__ void matmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t k) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {
    GlobalTensor<half> ga, gb;
    GlobalTensor<float> gc;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a) + GetBlockIdx() * kTile * k);
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b));
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c) + GetBlockIdx() * kTile * kTile);
    LocalTensor<float> l0c(TPosition::CO1, 0, kTile * kTile);
    const Nd2NzParams rows(1, kTile, kStep, 0, static_cast<uint16_t>(k), kTile, 1, 0);
    for (int32_t set = 0; set < 2; ++set) {
      SetFlag<HardEvent::MTE1_MTE2>(set);
      SetFlag<HardEvent::M_MTE1>(set);
    }
    const int32_t steps = k / static_cast<int32_t>(kStep);
    for (int32_t i = 0; i < steps; ++i) {
      const int32_t set = i % 2;
      LocalTensor<half> l1a(TPosition::A1, 2 * set * kBytes, kCount),
          l1b(TPosition::B1, (2 * set + 1) * kBytes, kCount);
      LocalTensor<half> l0a(TPosition::A2, set * kBytes, kCount), l0b(TPosition::B2, set * kBytes, kCount);
      WaitFlag<HardEvent::MTE1_MTE2>(set);
      DataCopy(l1a, ga[i * kStep], rows);
      DataCopy(l1b, gb[i * kStep], rows);
      SetFlag<HardEvent::MTE2_MTE1>(set);

      WaitFlag<HardEvent::MTE2_MTE1>(set);
      WaitFlag<HardEvent::M_MTE1>(set);  // forgotten
      for (uint32_t row = 0; row < kTile / 16; ++row) {
        LoadData(l0a[row * kStep * 16], l1a[row * 256], LoadData2DParams(0, kStep / 16, kTile / 16, 0, 0, false, 0));
      }
      LoadData(l0b, l1b, LoadData2DParams(0, kCount / 256, 1, 0, 0, false, 0));  // columns of b^T: as they are
      SetFlag<HardEvent::MTE1_MTE2>(set);
      SetFlag<HardEvent::MTE1_M>(set);

      WaitFlag<HardEvent::MTE1_M>(set);
      Mmad(l0c, l0a, l0b, MmadParams(kTile, kTile, kStep, i + 1 == steps ? 3 : 2, false, i == 0));
      SetFlag<HardEvent::M_MTE1>(set);
    }
    FixpipeParamsV220 fix(kTile, kTile, kTile, kTile, false);
    fix.unitFlag = 3;  // follows the last Mmad block by block, without a flag
    Fixpipe<float, float, CFG_ROW_MAJOR>(gc, l0c, fix);
    for (int32_t set = 0; set < 2; ++set) {
      WaitFlag<HardEvent::MTE1_MTE2>(set);
      WaitFlag<HardEvent::M_MTE1>(set);
    }
  }
  PipeBarrier<PIPE_ALL>();
}
