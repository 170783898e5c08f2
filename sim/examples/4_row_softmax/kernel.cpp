// out = softmax of each row of x, 32 rows of 64 floats a core. A row is one repeat of a vector instruction (256 bytes),
// so a reduction gives a number a row; Brcb makes a block of 8 equal numbers of it, which a block stride of 0 repeats.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kRows = 32, kColumns = 64, kCount = kRows * kColumns, kBytes = kCount * sizeof(float);

extern "C" __global__ __aicore__ void row_softmax(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<float> gx, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + GetBlockIdx() * kCount, kCount);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + GetBlockIdx() * kCount, kCount);
  LocalTensor<float> rows(TPosition::VECIN, 0, kCount);
  LocalTensor<float> number(TPosition::VECCALC, kBytes, kRows);                             // one a row
  LocalTensor<float> block(TPosition::VECCALC, kBytes + kRows * sizeof(float), kRows * 8);  // eight a row
  const BinaryRepeatParams by_row(1, 1, 0, 8, 8, 1);  // the second source: one block a row

  DataCopy(rows, gx, kCount);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WholeReduceMax(number, rows, kColumns, kRows, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
  PipeBarrier<PIPE_V>();
  Brcb(block, number, kRows / 8, BrcbRepeatParams(1, 8));
  PipeBarrier<PIPE_V>();
  Sub(rows, rows, block, kColumns, kRows, by_row);
  PipeBarrier<PIPE_V>();
  Exp(rows, rows, kCount);
  PipeBarrier<PIPE_V>();  // forgotten
  WholeReduceSum(number, rows, kColumns, kRows, 1, 1, 8);
  PipeBarrier<PIPE_V>();
  Brcb(block, number, kRows / 8, BrcbRepeatParams(1, 8));
  PipeBarrier<PIPE_V>();
  Div(rows, rows, block, kColumns, kRows, by_row);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(gout, rows, kCount);
  PipeBarrier<PIPE_ALL>();
}
