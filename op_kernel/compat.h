// The Ascend C headers, and the few places where CANN versions differ. 8.1 spellings compile on 8.1 to 9.1.
#pragma once
#include "kernel_operator.h"

// CANN 8.1's headers make `inline` always_inline. Here it means what C++ says: else every function is copied to each of
// its calls, and a kernel has five times the code, ten times what the instruction cache holds.
#undef inline

#ifdef TRIANGLE_FN
#error "compat.h comes before anything of op_host, whose functions would not be the device's otherwise"
#endif
#define TRIANGLE_FN __aicore__ inline
// A function that several places call and that does far more than a call takes: one copy of it, where the optimiser
// would make several. A kernel has 40 KiB of code (docs/build.md).
#define TRIANGLE_SHARED_FN __aicore__ __attribute__((noinline)) inline
#define TRIANGLE_DEVICE

// Divisions of 64 bits are a long routine of the scalar unit: this is the only one, and little calls it: the beginnings
// of walks, and what cores find out about packed sequences.
namespace triangle {
TRIANGLE_SHARED_FN int64_t divide(int64_t a, int64_t b) {
#ifdef ASCEND_SIM
  ascend_sim::device::ScalarDivision();
#endif
  return a / b;
}
}  // namespace triangle
#define TRIANGLE_DIVIDE(a, b) ::triangle::divide(a, b)

#include "../op_host/tiling_backward.h"
#include "../op_host/tiling_cache.h"
#include "../op_host/walker.h"

// Of a kernel: its launch waits until all cores that it needs are free ("batch mode"), so that its blocks may meet. A
// word of the compiler, documented from CANN 9.1 on; without it launches are divided (launch.h).
#ifdef TRIANGLE_BATCH_SCHEDULING
#define TRIANGLE_SCHEDULED __schedmode__(1)
#else
#define TRIANGLE_SCHEDULED
#endif

// A helper that only synchronises is named in findings by the place it was called from: `f(TRIANGLE_CALLER)` takes
// that place, `Call(TRIANGLE_CALLED_FROM)` hands it on. Only the simulator's calls take one.
#ifdef ASCEND_SIM
#define TRIANGLE_CALLER ::AscendC::Site caller = ::AscendC::Site::Here()
#define TRIANGLE_CALLED_FROM caller
#else
#define TRIANGLE_CALLER
#define TRIANGLE_CALLED_FROM
#endif

namespace triangle {

// The on-chip buffers, whole: kernels place tensors by the offsets of their buffer tables. Through TPipe because
// tensors at an address of one's own exist only from 9.x on. TPipe presets M_MTE1 events, so it is destroyed at once;
// what it handed out stays valid. Lives as long as the kernel runs, which it ends on both core types as TPipe would.
class OnChip {
 public:
  __aicore__ inline ~OnChip() { AscendC::PipeBarrier<PIPE_ALL>(); }
  __aicore__ inline void Init(uint32_t l1_bytes, uint32_t ub_bytes) {
    if ASCEND_IS_AIC {
      pipe_.InitBuffer(l1_, l1_bytes);
      pipe_.InitBuffer(l0a_, kL0Bytes);
      pipe_.InitBuffer(l0b_, kL0Bytes);
      pipe_.InitBuffer(l0c_, kL0cBytes);
    } else {
      pipe_.InitBuffer(ub_, ub_bytes);
    }
    pipe_.Destroy();
  }
  // offset in bytes, size in elements
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> L1(uint32_t offset, uint32_t size) {
    return l1_.GetWithOffset<T>(size, offset);
  }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> L0A(uint32_t offset, uint32_t size) {
    return l0a_.GetWithOffset<T>(size, offset);
  }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> L0B(uint32_t offset, uint32_t size) {
    return l0b_.GetWithOffset<T>(size, offset);
  }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> L0C(uint32_t offset, uint32_t size) {
    return l0c_.GetWithOffset<T>(size, offset);
  }
  template <class T>
  __aicore__ inline AscendC::LocalTensor<T> UB(uint32_t offset, uint32_t size) {
    return ub_.GetWithOffset<T>(size, offset);
  }

 private:
  static constexpr uint32_t kL0Bytes = 64 * 1024;
  static constexpr uint32_t kL0cBytes = 128 * 1024;

  AscendC::TPipe pipe_;
  AscendC::TBuf<AscendC::TPosition::A1> l1_;
  AscendC::TBuf<AscendC::TPosition::A2> l0a_;
  AscendC::TBuf<AscendC::TPosition::B2> l0b_;
  AscendC::TBuf<AscendC::TPosition::CO1> l0c_;
  AscendC::TBuf<AscendC::TPosition::VECCALC> ub_;
};

template <class T>
__aicore__ inline AscendC::GlobalTensor<T> global(GM_ADDR address) {
  AscendC::GlobalTensor<T> tensor;
  tensor.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return tensor;
}

}  // namespace triangle
