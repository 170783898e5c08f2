// Kernels for the tests of the runtime: a good one, and three that a checker or the watchdog must stop.
#include "kernel_operator.h"
using namespace AscendC;

namespace {

constexpr uint32_t kLength = 512;

// out = x + x of kLength floats a core; a missing flag when `flags` is false.
__aicore__ inline void Double(GM_ADDR x, GM_ADDR out, uint32_t length, bool flags) {
  GlobalTensor<float> gx, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + GetBlockIdx() * kLength);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + GetBlockIdx() * kLength);
  LocalTensor<float> a(TPosition::VECIN, 0, 2 * kLength), b(TPosition::VECOUT, 16384, 2 * kLength);
  DataCopy(a, gx, length);
  if (flags) {
    SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  }
  Add(b, a, a, length);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(gout, b, length);
  PipeBarrier<PIPE_ALL>();
}

}  // namespace

extern "C" __global__ __aicore__ void npu_test_double(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Double(x, out, kLength, true);
}

extern "C" __global__ __aicore__ void npu_test_race(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Double(x, out, kLength, false);
}

// Reads and writes twice the length it owns: past the end on the last core.
extern "C" __global__ __aicore__ void npu_test_overrun(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Double(x, out, 2 * kLength, true);
}

extern "C" __global__ __aicore__ void npu_test_crash(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  (void)x;
  (void)out;
  *reinterpret_cast<volatile int*>(8) = 1;
}

extern "C" __global__ __aicore__ void npu_test_endless(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  (void)x;
  (void)out;
  volatile uint32_t spin = 0;
  while (true) spin = spin + 1;
}
