// c = a b, one tile: a [64, 64], b [64, 64] half, c [64, 64] float, row major in global memory. The cube wants fractals
// of 16 x 16: Nd2Nz makes columns of them in L1, LoadData the orders that L0A and L0B take.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 64, kCount = kTile * kTile, kFractal = 256, kFractals = kTile / 16;

extern "C" __global__ __aicore__ void matmul_tile(GM_ADDR a, GM_ADDR b, GM_ADDR c) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  if ASCEND_IS_AIC {
    GlobalTensor<half> ga, gb;
    GlobalTensor<float> gc;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a), kCount);
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b), kCount);
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c), kCount);
    LocalTensor<half> l1a(TPosition::A1, 0, kCount), l1b(TPosition::B1, kCount * sizeof(half), kCount);
    LocalTensor<half> l0a(TPosition::A2, 0, kCount), l0b(TPosition::B2, 0, kCount);
    LocalTensor<float> l0c(TPosition::CO1, 0, kCount);

    const Nd2NzParams to_columns(1, kTile, kTile, 0, kTile, kTile, 1, 0);
    DataCopy(l1a, ga, to_columns);
    DataCopy(l1b, gb, to_columns);
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    for (uint32_t i = 0; i < kFractals; ++i) {  // a row of fractals at a time; those of b are transposed on the way
      LoadData(l0a[i * kTile * 16], l1a[i * kFractal], LoadData2DParams(0, kFractals, kFractals, 0, 0, false, 0));
      LoadData(l0b[i * kTile * 16], l1b[i * kFractal], LoadData2DParams(0, kFractals, kFractals, 0, 0, true, 0));
    }
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    Mmad(l0c, l0a, l0b, MmadParams(kTile, kTile, kTile, 0, false, true));
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);  // forgotten
    Fixpipe<float, float, CFG_ROW_MAJOR>(gc, l0c, FixpipeParamsV220(kTile, kTile, kTile, kTile, false));
  }
  PipeBarrier<PIPE_ALL>();
}
