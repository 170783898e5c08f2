// Accesses that nothing orders: inside a core, between cores, by the scalar unit's cache. `good` chooses the twin: 1
// has the synchronisation, 0 lacks it. `// @name` marks a line that the test expects in the finding. check_cann: no,
// because its helpers hand on the place of their caller
#include "tiles.h"

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
