// One kernel per checker rule. `good` chooses the twin: 1 has the synchronisation (or the right argument), 0 lacks it.
// `// @name` marks a line that the test expects in the finding.
// check_cann: no, because its helpers hand on the place of their caller
#include <unistd.h>

#include <cassert>
#include <cstdlib>

#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint32_t kTile = 512;  // elements

using Tensor = LocalTensor<float>;

__aicore__ inline GlobalTensor<float> Gm(GM_ADDR address, uint32_t tile = 0) {
  GlobalTensor<float> t;
  t.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address) + tile * kTile);
  return t;
}
__aicore__ inline Tensor Ub(uint32_t slot) { return Tensor(TPosition::VECCALC, slot * kTile * 4, kTile); }
__aicore__ inline Tensor L1(uint32_t slot) { return Tensor(TPosition::A1, slot * kTile * 4, kTile); }

template <HardEvent event>
__aicore__ inline void Sync(Site site = Site::Here()) {
  SetFlag<event>(EVENT_ID0, site);
  WaitFlag<event>(EVENT_ID0, site);
}

__aicore__ inline void Load(Tensor dst, GM_ADDR x, uint32_t tile = 0) {
  DataCopy(dst, Gm(x, tile), kTile);
  Sync<HardEvent::MTE2_V>();
}
__aicore__ inline void Store(GM_ADDR out, Tensor src, uint32_t tile = 0) {
  Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out, tile), src, kTile);
}

}  // namespace

#define TYPE_AIV KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY)
#define TYPE_MIX KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2)

// ---- races inside a core ----

extern "C" __global__ __aicore__ void race_mte2_v(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);  // @race_mte2_v.write
  if (good) Sync<HardEvent::MTE2_V>();
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_mte2_v.read
  Store(out, Ub(1));
}

extern "C" __global__ __aicore__ void race_v_mte2(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_mte2.read
  if (good) Sync<HardEvent::V_MTE2>();
  DataCopy(Ub(0), Gm(x, 1), kTile);  // @race_v_mte2.write
  Sync<HardEvent::MTE2_V>();
  Store(out, Ub(1));
}

extern "C" __global__ __aicore__ void race_v_v(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_v.write
  if (good) PipeBarrier<PIPE_V>();
  Add(Ub(2), Ub(1), Ub(1), kTile);  // @race_v_v.read
  Store(out, Ub(2));
}

extern "C" __global__ __aicore__ void race_v_v_twice(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_v_twice.first
  if (good) PipeBarrier<PIPE_V>();
  Sub(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_v_twice.second
  Store(out, Ub(1));
}

// In place, and twice the same source: an instruction does not race with itself.
extern "C" __global__ __aicore__ void in_place(GM_ADDR x, GM_ADDR out) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(0), Ub(0), Ub(0), kTile);
  Store(out, Ub(0));
}

extern "C" __global__ __aicore__ void race_v_mte3(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_mte3.write
  if (good) Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out), Ub(1), kTile);  // @race_v_mte3.read
}

extern "C" __global__ __aicore__ void race_mte3_v(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);
  Sync<HardEvent::V_MTE3>();
  DataCopy(Gm(out), Ub(1), kTile);  // @race_mte3_v.read
  if (good) Sync<HardEvent::MTE3_V>();
  Sub(Ub(1), Ub(0), Ub(0), kTile);  // @race_mte3_v.write
}

extern "C" __global__ __aicore__ void race_mte2_mte2(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);  // @race_mte2_mte2.first
  if (good) PipeBarrier<PIPE_MTE2>();
  DataCopy(Ub(0), Gm(x, 1), kTile);  // @race_mte2_mte2.second
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(out), Ub(0), kTile);
}

extern "C" __global__ __aicore__ void race_mte3_mte2(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(out), Ub(0), kTile);  // @race_mte3_mte2.write
  if (good) Sync<HardEvent::MTE3_MTE2>();
  DataCopy(Ub(1), Gm(out), kTile);  // @race_mte3_mte2.read
}

extern "C" __global__ __aicore__ void race_v_s(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_v_s.write
  if (good) Sync<HardEvent::V_S>();
  const float value = Ub(1).GetValue(3);  // @race_v_s.read
  Gm(out).SetValue(0, value);
}

extern "C" __global__ __aicore__ void race_s_v(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Sync<HardEvent::MTE2_S>();
  Ub(0).SetValue(5, 100.0f);  // @race_s_v.write
  if (good) Sync<HardEvent::S_V>();
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_s_v.read
  Store(out, Ub(1));
}

// The barrier of another pipe does not order V.
extern "C" __global__ __aicore__ void race_wrong_barrier(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  Add(Ub(1), Ub(0), Ub(0), kTile);
  if (good) {
    PipeBarrier<PIPE_ALL>();
  } else {
    PipeBarrier<PIPE_MTE2>();
  }
  Add(Ub(2), Ub(1), Ub(1), kTile);
  Store(out, Ub(2));
}

// A flag with the right pipes but waited for before the second write: only what precedes the set is ordered.
extern "C" __global__ __aicore__ void race_after_set(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  if (good) DataCopy(Ub(0), Gm(x), kTile);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID1);
  if (!good) DataCopy(Ub(0), Gm(x), kTile);  // @race_after_set.write
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID1);
  Add(Ub(1), Ub(0), Ub(0), kTile);  // @race_after_set.read
  Store(out, Ub(1));
}

// Ordered through a third pipe: MTE2 -> S -> V.
extern "C" __global__ __aicore__ void transitive(GM_ADDR x, GM_ADDR out) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);
  Sync<HardEvent::MTE2_S>();
  Add(Ub(1), Ub(0), Ub(0), kTile);
  Store(out, Ub(1));
}

// Neighbouring elements of one 32-byte block: scalar stores beside a vector result of 4 elements do not overlap it.
extern "C" __global__ __aicore__ void byte_exact(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  Load(Ub(0), x);
  uint64_t mask = 4;
  Add(Ub(1), Ub(0), Ub(0), mask, 1, BinaryRepeatParams());
  Ub(1).SetValue(good ? 4 : 3, 7.0f);  // @byte_exact.write
  Sync<HardEvent::V_S>();
  Gm(out).SetValue(0, Ub(1).GetValue(0));
}

// ---- races between cores ----

extern "C" __global__ __aicore__ void race_cores(GM_ADDR x, GM_ADDR scratch, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  const uint32_t me = GetBlockIdx(), other = (me + 1) % GetBlockNum();
  DataCopy(Ub(0), Gm(x, me), kTile);
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(scratch, me), Ub(0), kTile);  // @race_cores.write
  if (good) SyncAll();
  DataCopy(Ub(1), Gm(scratch, other), kTile);  // @race_cores.read
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(out, me), Ub(1), kTile);
}

// mode 0: atomics only; 1: core 0 stores plainly; 2: as 1, separated by SyncAll.
extern "C" __global__ __aicore__ void atomic_add(GM_ADDR x, GM_ADDR out, int32_t mode) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x, GetBlockIdx()), kTile);
  Sync<HardEvent::MTE2_MTE3>();
  const bool plain = mode != 0 && GetBlockIdx() == 0;
  if (mode == 2 && !plain) SyncAll();
  if (!plain) SetAtomicAdd<float>();
  DataCopy(Gm(out), Ub(0), kTile);  // @atomic_add.store
  SetAtomicNone();
  if (mode == 2 && plain) SyncAll();
}

// The atomic mode is set for one type, the copy is of another (good 0: DataCopy, 2: DataCopyPad) or of the same.
extern "C" __global__ __aicore__ void atomic_type(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  DataCopy(Ub(0), Gm(x), kTile);
  Sync<HardEvent::MTE2_MTE3>();
  if (good == 1) {
    SetAtomicAdd<float>();
  } else {
    SetAtomicAdd<half>();
  }
  if (good == 2) DataCopyPad(Gm(out), Ub(0), DataCopyExtParams(1, kTile * 4, 0, 0, 0));  // @atomic_type.pad
  if (good != 2) DataCopy(Gm(out), Ub(0), kTile);                                        // @atomic_type.copy
  SetAtomicNone();
}

// AIC -> both AIVs -> AIC through GM, mode 2. step counts how much of the handshake is there: 2 is all of it.
extern "C" __global__ __aicore__ void handshake(GM_ADDR x, GM_ADDR scratch, GM_ADDR out, int32_t step) {
  TYPE_MIX;
  constexpr uint16_t kReady = 1, kDone = 2;
  const uint32_t aic = GetBlockIdx() / (g_coreType == AscendC::AIV ? 2 : 1);
  if ASCEND_IS_AIC {
    DataCopy(L1(0), Gm(x, aic), kTile);
    Sync<HardEvent::MTE2_MTE3>();
    DataCopy(Gm(scratch, aic), L1(0), kTile);  // @handshake.aic_write
    if (step >= 1) CrossCoreSetFlag<2, PIPE_MTE3>(kReady);
    if (step >= 2) CrossCoreWaitFlag(kDone);
    DataCopy(L1(1), Gm(out, 2 * aic), kTile);  // @handshake.aic_read
    DataCopy(L1(2), Gm(out, 2 * aic + 1), kTile);
  } else {
    if (step >= 1) CrossCoreWaitFlag(kReady);
    DataCopy(Ub(0), Gm(scratch, aic), kTile);  // @handshake.aiv_read
    Sync<HardEvent::MTE2_V>();
    Add(Ub(1), Ub(0), Ub(0), kTile);
    Store(out, Ub(1), GetBlockIdx());  // @handshake.aiv_write
    if (step >= 2) CrossCoreSetFlag<2, PIPE_MTE3>(kDone);
  }
}

// The two AIVs of a group exchange tiles: mode 1.
extern "C" __global__ __aicore__ void aiv_pair(GM_ADDR x, GM_ADDR scratch, GM_ADDR out, int32_t good) {
  TYPE_MIX;
  if ASCEND_IS_AIV {
    const uint32_t me = GetBlockIdx();
    DataCopy(Ub(0), Gm(x, me), kTile);
    Sync<HardEvent::MTE2_MTE3>();
    DataCopy(Gm(scratch, me), Ub(0), kTile);
    if (good) {
      CrossCoreSetFlag<1, PIPE_MTE3>(4);
      CrossCoreWaitFlag(4);
    }
    DataCopy(Ub(1), Gm(scratch, me ^ 1), kTile);
    Sync<HardEvent::MTE2_MTE3>();
    DataCopy(Gm(out, me), Ub(1), kTile);
  }
}

// Everyone meets, AIC and AIV: what the AICs wrote before, the AIVs of other groups read after.
extern "C" __global__ __aicore__ void sync_all_mixed(GM_ADDR x, GM_ADDR scratch, GM_ADDR out, int32_t good) {
  TYPE_MIX;
  const uint32_t n = GetBlockNum();
  if ASCEND_IS_AIC {
    DataCopy(L1(0), Gm(x, GetBlockIdx()), kTile);
    Sync<HardEvent::MTE2_MTE3>();
    DataCopy(Gm(scratch, GetBlockIdx()), L1(0), kTile);
  }
  if (good) {
    SyncAll<false>();
  } else {
    SyncAll<true>();
  }
  if ASCEND_IS_AIV {
    DataCopy(Ub(0), Gm(scratch, (GetBlockIdx() / 2 + 1) % n), kTile);
    Sync<HardEvent::MTE2_MTE3>();
    DataCopy(Gm(out, GetBlockIdx()), Ub(0), kTile);
  }
}

// ---- the scalar unit's data cache ----

// SetValue into GM, then a DMA of the same bytes.
extern "C" __global__ __aicore__ void scalar_store(GM_ADDR x, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  GlobalTensor<float> g = Gm(x);
  g.SetValue(3, 42.0f);  // @scalar_store.store
  if (good == 1) DataCacheCleanAndInvalid<float, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(g);
  if (good == 2) DataCacheCleanAndInvalid<float, CacheLine::ENTIRE_DATA_CACHE>(g[100]);
  if (good == 3) DataCacheCleanAndInvalid<float, CacheLine::SINGLE_CACHE_LINE>(g[16]);  // another line
  Sync<HardEvent::S_MTE2>();
  DataCopy(Ub(0), g, kTile);  // @scalar_store.load
  Sync<HardEvent::MTE2_MTE3>();
  DataCopy(Gm(out), Ub(0), kTile);
}

// Core 1 polls what core 0 stores between two SyncAlls.
extern "C" __global__ __aicore__ void scalar_load(GM_ADDR x, GM_ADDR flag, GM_ADDR out, int32_t good) {
  TYPE_AIV;
  GlobalTensor<float> g = Gm(flag);
  DataCopy(Ub(0), Gm(x), kTile);
  if (GetBlockIdx() == 1) g.GetValue(0);
  SyncAll();
  if (GetBlockIdx() == 0) DataCopy(g, Ub(0), 8);  // @scalar_load.write
  SyncAll();
  if (GetBlockIdx() == 1) {
    if (good) DataCacheCleanAndInvalid<float, CacheLine::SINGLE_CACHE_LINE>(g);
    Gm(out).SetValue(0, g.GetValue(0));  // @scalar_load.load
  }
}

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
