// out = relu(a b) + bias: the cube core multiplies into a workspace, its two vector cores each take half of the rows.
// They share nothing but global memory, and meet by cross-core flags.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 64, kCount = kTile * kTile, kHalf = kCount / 2, kFractals = kTile / 16;
constexpr uint16_t kProductReady = 0;  // cross-core flag

__aicore__ inline void Multiply(GlobalTensor<float> product, GlobalTensor<half> a, GlobalTensor<half> b) {
  LocalTensor<half> l1a(TPosition::A1, 0, kCount), l1b(TPosition::B1, kCount * sizeof(half), kCount);
  LocalTensor<half> l0a(TPosition::A2, 0, kCount), l0b(TPosition::B2, 0, kCount);
  LocalTensor<float> l0c(TPosition::CO1, 0, kCount);
  const Nd2NzParams to_columns(1, kTile, kTile, 0, kTile, kTile, 1, 0);
  DataCopy(l1a, a, to_columns);
  DataCopy(l1b, b, to_columns);
  SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
  for (uint32_t i = 0; i < kFractals; ++i) {
    LoadData(l0a[i * kTile * 16], l1a[i * 256], LoadData2DParams(0, kFractals, kFractals, 0, 0, false, 0));
    LoadData(l0b[i * kTile * 16], l1b[i * 256], LoadData2DParams(0, kFractals, kFractals, 0, 0, true, 0));
  }
  SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
  WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
  Mmad(l0c, l0a, l0b, MmadParams(kTile, kTile, kTile, 3, false, true));
  FixpipeParamsV220 fix(kTile, kTile, kTile, kTile, false);
  fix.unitFlag = 3;
  Fixpipe<float, float, CFG_ROW_MAJOR>(product, l0c, fix);
}

extern "C" __global__ __aicore__ void two_core_types(GM_ADDR a, GM_ADDR b, GM_ADDR workspace, GM_ADDR out, float bias) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  GlobalTensor<float> product, result;
  if ASCEND_IS_AIC {
    const uint64_t at = GetBlockIdx() * kCount;
    GlobalTensor<half> ga, gb;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a) + at, kCount);
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(b), kCount);
    product.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(workspace) + at, kCount);
    Multiply(product, ga, gb);
    CrossCoreSetFlag<2, PIPE_FIX>(kProductReady);  // to both vector cores, when Fixpipe is done
  }
  if ASCEND_IS_AIV {
    const uint64_t at = GetBlockIdx() * kHalf;  // vector cores count on: 0 and 1 belong to the first cube core
    product.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(workspace) + at, kHalf);
    result.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + at, kHalf);
    LocalTensor<float> rows(TPosition::VECIN, 0, kHalf);
    CrossCoreWaitFlag(kProductReady);  // forgotten
    DataCopy(rows, product, kHalf);
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
    Relu(rows, rows, kHalf);
    PipeBarrier<PIPE_V>();
    Adds(rows, rows, bias, kHalf);
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(result, rows, kHalf);
  }
  PipeBarrier<PIPE_ALL>();
}
