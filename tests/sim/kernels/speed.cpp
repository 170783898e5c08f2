// Loops for measuring the simulator itself (benchmarks/sim_speed.py).
// check_cann: 9.x
#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

// `iterations` passes over UB tiles of `count` floats: two adds, a load and a store, double-buffered as real kernels
// are.
extern "C" __global__ __aicore__ void vector_loop(GM_ADDR x, GM_ADDR out, int32_t iterations, int32_t count) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
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

// C[128 * blocks, 128] = A B, all tiles 128 x 128 x 128, double-buffered through L1 and L0: the inner loop of a matmul.
extern "C" __global__ __aicore__ void matmul_loop(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t k_tiles) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    constexpr uint32_t kTile = 128, kElements = kTile * kTile, kBytes = kElements * sizeof(half);
    GlobalTensor<half> ga, gb;
    GlobalTensor<float> gc;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a) + GetBlockIdx() * kTile * k_tiles * kTile);
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b));
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c) + GetBlockIdx() * kElements);
    LocalTensor<float> l0c(TPosition::CO1, 0, kElements);
    for (int32_t slot = 0; slot < 2; ++slot) {
      SetFlag<HardEvent::MTE1_MTE2>(slot);
      SetFlag<HardEvent::M_MTE1>(slot);
    }
    for (int32_t i = 0; i < k_tiles; ++i) {
      const int32_t slot = i & 1;
      LocalTensor<half> l1a(TPosition::A1, slot * 2 * kBytes, kElements);
      LocalTensor<half> l1b(TPosition::B1, (slot * 2 + 1) * kBytes, kElements);
      LocalTensor<half> l0a(TPosition::A2, slot * kBytes, kElements), l0b(TPosition::B2, slot * kBytes, kElements);
      WaitFlag<HardEvent::MTE1_MTE2>(slot);
      // A [128, K] rows; B is [128 n, K] rows too
      DataCopy(l1a, ga[i * kTile], Nd2NzParams(1, kTile, kTile, 0, k_tiles * kTile, kTile, 1, 0));
      DataCopy(l1b, gb[i * kTile], Nd2NzParams(1, kTile, kTile, 0, k_tiles * kTile, kTile, 1, 0));
      SetFlag<HardEvent::MTE2_MTE1>(slot);
      WaitFlag<HardEvent::MTE2_MTE1>(slot);
      WaitFlag<HardEvent::M_MTE1>(slot);
      for (uint32_t row = 0; row < kTile / 16; ++row) {  // NZ -> ZZ
        LoadData(l0a[row * kTile * 16], l1a[row * 256], LoadData2DParams(0, kTile / 16, kTile / 16, 0, 0, false, 0));
      }
      LoadData(l0b, l1b, LoadData2DParams(0, kElements / 256, 1, 0, 0, false, 0));  // NZ of B^T is ZN of B
      SetFlag<HardEvent::MTE1_MTE2>(slot);
      SetFlag<HardEvent::MTE1_M>(slot);
      WaitFlag<HardEvent::MTE1_M>(slot);
      Mmad(l0c, l0a, l0b, MmadParams(kTile, kTile, kTile, i + 1 == k_tiles ? 3 : 2, false, i == 0));
      SetFlag<HardEvent::M_MTE1>(slot);
    }
    FixpipeParamsV220 fix(kTile, kTile, kTile, kTile, false);
    fix.unitFlag = 3;
    Fixpipe<float, float, CFG_ROW_MAJOR>(gc, l0c, fix);
    for (int32_t slot = 0; slot < 2; ++slot) {
      WaitFlag<HardEvent::MTE1_MTE2>(slot);
      WaitFlag<HardEvent::M_MTE1>(slot);
    }
  }
}

// Mmad alone: `loops` products of 128 x 128 x 128 into one accumulator; operands are an L1 constant fill.
extern "C" __global__ __aicore__ void mmad_loop(GM_ADDR c, int32_t loops) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    GlobalTensor<float> gc;
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c));
    LocalTensor<half> l0a(TPosition::A2, 0, 16384), l0b(TPosition::B2, 0, 16384);
    LocalTensor<float> l0c(TPosition::CO1, 0, 16384);
    InitConstValue(l0a, InitConstValueParams<half>(1, 64, 0, half(0.5f)));
    InitConstValue(l0b, InitConstValueParams<half>(1, 64, 0, half(0.25f)));
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    for (int32_t i = 0; i < loops; ++i) Mmad(l0c, l0a, l0b, MmadParams(128, 128, 128, 0, false, i == 0));
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe<float, float, CFG_ROW_MAJOR>(gc, l0c, FixpipeParamsV220(128, 128, 128, 128, false));
  }
}
