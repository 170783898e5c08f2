// One kernel per rule about memory, flags and launches; races are in races.cpp. `good` chooses the twin: 1 has the
// synchronisation (or the right argument), 0 lacks it. `// @name` marks a line that the test expects in the finding.
// check_cann: no, because its helpers hand on the place of their caller
#include <unistd.h>

#include <cassert>
#include <cstdlib>

#include "tiles.h"

// ---- memory ----

extern "C" __global__ __aicore__ void uninitialised(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), good ? kTile : kTile - 8);
  Sync<HardEvent::MTE2_V>();
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @uninitialised.read
  Store(out, Ub(1));
}

extern "C" __global__ __aicore__ void store_at(GM_ADDR x, GM_ADDR out, int64_t element) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(out)[element], Ub(0), kTile);  // @store_at.write
}

// What the tensor owns, where it lies, and how much is used of it.
extern "C" __global__ __aicore__ void ub_bounds(GM_ADDR x, uint32_t address, uint32_t size, uint32_t count) {
  TYPE_AIV;
  Tensor t(TPosition::VECCALC, address, size);
  DataCopy(t, Gm(x), count);  // @ub_bounds.write
}

extern "C" __global__ __aicore__ void misaligned(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(2), Ub(0), Ub(0)[good ? 8 : 7], 64, 1, BinaryRepeatParams());  // @misaligned.read
  PipeBarrier<PIPE_ALL>();
}

// element: where the sum goes, relative to a tensor.
extern "C" __global__ __aicore__ void far_away(GM_ADDR x, GM_ADDR out, uint32_t element) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1)[element], Ub(0), Ub(0), 8);  // @far_away.write
  Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out), Ub(1), 8);
}

// mode 0: only an Add beside the top 8 KB of UB; 1, 2: that mode of Select.
extern "C" __global__ __aicore__ void select_scratch(GM_ADDR x, GM_ADDR out, int32_t mode) {
  TYPE_AIV;
  Tensor top(TPosition::VECCALC, 184 * 1024, 64);
  LocalTensor<uint8_t> mask(TPosition::VECCALC, 3 * kTile * 4, 32);
  DataCopy(top, Gm(x), 64);
  Load(Ub(0), x);
  Duplicate(mask.ReinterpretCast<uint32_t>(), 0x5555u, 8);
  PipeBarrier<PIPE_V>();
  if (mode == 0) Add(Ub(1), Ub(0), Ub(0), 64);
  if (mode == 1) Select(Ub(1), mask, Ub(0), 3.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, 64);
  if (mode == 2) Select(Ub(1), mask, Ub(0), Ub(0), SELMODE::VSEL_TENSOR_TENSOR_MODE, 64);
  Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out), top, 64);
}

extern "C" __global__ __aicore__ void freed(GM_ADDR x, GM_ADDR out, int32_t frees) {
  TYPE_AIV;
  const uint32_t handle = ascend_sim::device::Allocate(ascend_sim::Buffer::kUb, 0, kTile * 4, Site::Here());
  Tensor t = Tensor::FromSim({ascend_sim::Buffer::kUb, 0, kTile * 4, handle}, TPosition::VECCALC);
  if (frees > 0) ascend_sim::device::Free(handle, Site::Here());   // @freed.free
  DataCopy(t, Gm(x), kTile);                                       // @freed.use
  if (frees != 1) ascend_sim::device::Free(handle, Site::Here());  // @freed.again
}

extern "C" __global__ __aicore__ void freed_read(GM_ADDR x, int32_t good) {
  TYPE_AIV;
  const uint32_t handle = ascend_sim::device::Allocate(ascend_sim::Buffer::kUb, 0, kTile * 4, Site::Here());
  Tensor t = Tensor::FromSim({ascend_sim::Buffer::kUb, 0, kTile * 4, handle}, TPosition::VECCALC);
  Load(t, x);
  if (!good) ascend_sim::device::Free(handle, Site::Here());  // @freed_read.free
  Add(Ub(1), t, t, kTile);                                    // @freed_read.use
  if (good) ascend_sim::device::Free(handle, Site::Here());
}

extern "C" __global__ __aicore__ void wrong_core(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_MIX;
  if (good ? g_coreType == AscendC::AIV : g_coreType == AscendC::AIC) {
    DataCopy(Ub(0), Gm(x), kTile);  // @wrong_core.write
  }
}

// ---- flags ----

extern "C" __global__ __aicore__ void set_twice(int32_t good) {
  TYPE_AIV;
  SetFlag<HardEvent::MTE2_V>(EVENT_ID2);  // @set_twice.first
  if (good) WaitFlag<HardEvent::MTE2_V>(EVENT_ID2);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID2);  // @set_twice.second
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID2);
}

extern "C" __global__ __aicore__ void wait_without_set(int32_t good) {
  TYPE_AIV;
  if (good) SetFlag<HardEvent::MTE2_V>(EVENT_ID2);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID2);  // @wait_without_set.wait
}

extern "C" __global__ __aicore__ void left_set(int32_t good) {
  TYPE_AIV;
  SetFlag<HardEvent::V_MTE2>(EVENT_ID3);  // @left_set.set
  if (good) WaitFlag<HardEvent::V_MTE2>(EVENT_ID3);
}

// good: 1 for the barrier of the AIVs, 2 for that of the AIC.
extern "C" __global__ __aicore__ void end_barrier(GM_ADDR x, int32_t good) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);
  if ASCEND_IS_AIV {
    DataCopy(Ub(0), Gm(x), kTile);  // @end_barrier.aiv
    if (good & 1) PipeBarrier<PIPE_ALL>();
  } else {
    PipeBarrier<PIPE_ALL>();
    DataCopy(L1(0), Gm(x), kTile);  // @end_barrier.aic
    if (good & 2) PipeBarrier<PIPE_ALL>();
  }
}

extern "C" __global__ __aicore__ void atomic_left_set(int32_t good) {
  TYPE_AIV;
  SetAtomicAdd<float>();  // @atomic_left_set.set
  if (good) SetAtomicNone();
}

extern "C" __global__ __aicore__ void two_types() {
  KERNEL_TASK_TYPE(1, KERNEL_TYPE_AIV_ONLY);
  KERNEL_TASK_TYPE(2, KERNEL_TYPE_MIX_AIC_1_2);
}

// |count| findings at as many lines; count < 0: then one that stops the launch.
extern "C" __global__ __aicore__ void many_findings(int32_t count) {
  TYPE_AIV;
  for (int32_t i = 0; i < (count < 0 ? -count : count); ++i) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kPortability),
                               Site{__FILE__, 1000u + static_cast<uint32_t>(i)}, "call", "number %d", i);
  }
  assert(count >= 0);
}

extern "C" __global__ __aicore__ void flag_id(int32_t id) {
  TYPE_AIV;
  SetFlag<HardEvent::V_MTE2>(id);  // @flag_id.set
  WaitFlag<HardEvent::V_MTE2>(id);
}

extern "C" __global__ __aicore__ void cross_flag_id(int32_t id) {
  TYPE_AIV;
  CrossCoreSetFlag<0, PIPE_MTE3>(id);  // @cross_flag_id.set
  CrossCoreWaitFlag(id);
}

// The AIC sets `sets` times before the AIVs, which answer once, wait for all of them.
extern "C" __global__ __aicore__ void cross_overflow(int32_t sets, int32_t answered) {
  TYPE_MIX;
  if ASCEND_IS_AIC {
    for (int32_t i = 0; i < sets; ++i) {
      CrossCoreSetFlag<2, PIPE_FIX>(0);  // @cross_overflow.set
      if (answered) CrossCoreWaitFlag(1);
    }
  } else {
    for (int32_t i = 0; i < sets; ++i) {
      CrossCoreWaitFlag(0);
      if (answered) CrossCoreSetFlag<2, PIPE_MTE2>(1);
    }
  }
}

// All cores of one type set in mode 0; who waits is of that type (good) or of the other.
extern "C" __global__ __aicore__ void mode_0(int32_t aivs_set, int32_t good) {
  TYPE_MIX;
  const bool sets = (g_coreType == AscendC::AIV) == (aivs_set != 0);
  if (sets) CrossCoreSetFlag<0, PIPE_MTE3>(7);
  if (good ? sets : !sets) CrossCoreWaitFlag(7);  // @mode_0.wait
}

// An AIV with nothing to do skips its half. waits: whether the AIC waits for the pair.
extern "C" __global__ __aicore__ void cross_half(int32_t good, int32_t waits) {
  TYPE_MIX;
  if ASCEND_IS_AIV {
    if (good || GetSubBlockIdx() == 0) CrossCoreSetFlag<2, PIPE_MTE3>(3);  // @cross_half.set
  } else {
    if (waits) CrossCoreWaitFlag(3);  // @cross_half.wait
  }
}

extern "C" __global__ __aicore__ void deadlock(int32_t good) {
  TYPE_MIX;
  if ASCEND_IS_AIV {
    if (!good) CrossCoreWaitFlag(5);  // @deadlock.aiv
    CrossCoreSetFlag<2, PIPE_MTE3>(6);
    if (good) CrossCoreWaitFlag(5);
  } else {
    CrossCoreWaitFlag(6);  // @deadlock.aic
    CrossCoreSetFlag<2, PIPE_FIX>(5);
  }
}

// ---- kernels that go wrong by themselves ----

extern "C" __global__ __aicore__ void misbehave(GM_ADDR x, int32_t how) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);  // @misbehave.last
  volatile int zero = 0;
  if (how == 1) *reinterpret_cast<volatile int*>(static_cast<uintptr_t>(zero)) = 1;
  if (how == 2) zero = how / zero;
  if (how == 3) {
    while (zero == 0) {
    }
  }
  if (how == 4) {
    while (zero == 0) PipeBarrier<PIPE_V>();
  }
  if (how == 5) throw 42;
  if (how == 6) __builtin_trap();
  if (how == 7) {
    struct Recurse {
      static int Down(volatile int depth) {
        volatile char frame[4096];
        frame[depth % 4096] = 1;
        return Down(depth + 1) + frame[0];
      }
    };
    zero = Recurse::Down(0);
  }
  if (how == 9) std::exit(3);
  if (how == 10) _exit(3);
  if (how == 8) reinterpret_cast<volatile float*>(x)[kTile + 128] = 1.0f;  // past the buffer: its guard page
}

struct Numbers {
  int64_t a;
  float b;
  int16_t c[9];
};

extern "C" __global__ __aicore__ void by_value(GM_ADDR out, int8_t small, uint64_t large, float real, Numbers numbers) {
  TYPE_AIV;
  GlobalTensor<float> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  g.SetValue(0, small);
  g.SetValue(1, static_cast<float>(large >> 32));
  g.SetValue(2, real);
  g.SetValue(3, static_cast<float>(numbers.a));
  g.SetValue(4, numbers.b);
  g.SetValue(5, numbers.c[8]);
}

extern "C" __global__ __aicore__ void untyped(GM_ADDR out) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  g.SetValue(GetBlockIdx(), static_cast<float>(g_coreType));
}

extern "C" __global__ __mix__(1, 2) void attributed(GM_ADDR out) {
  GlobalTensor<float> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
  if ASCEND_IS_AIV {
    g.SetValue(GetBlockIdx(), static_cast<float>(GetSubBlockIdx() + 1));
  }
}
