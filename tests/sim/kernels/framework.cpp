// TPipe, TQue, TBuf, TBufPool, LocalMemAllocator, printing and the launch's variables. `good` chooses the twin: 1
// follows the rules, 0 breaks one. `// @name` marks a line that the test expects in the finding.

// check_cann: 9.x
#include <cassert>

#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint32_t kTile = 256;  // elements

__aicore__ inline GlobalTensor<float> Gm(GM_ADDR address, uint32_t tile = 0) {
  GlobalTensor<float> t;
  t.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address) + tile * kTile, kTile);
  return t;
}

// Byte address in the tensor's buffer.
template <typename T>
__aicore__ inline uint64_t Address(const LocalTensor<T>& t) {
  return (uint64_t)t.GetPhyAddr();  // NOLINT: an integer on the device, a pointer in CPU debugging
}

}  // namespace

#define TYPE_AIV KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY)
#define TYPE_AIC KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY)
#define TYPE_MIX KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2)

// ---- queues
// ----------------------------------------------------------------------------------------------------------

// Depth 0: tensors stay in place and keep their event ids.
extern "C" __global__ __aicore__ void in_place_queue(GM_ADDR x, GM_ADDR out, int32_t tiles) {
  TYPE_AIV;
  TPipe pipe;
  TQue<TPosition::VECIN, 0> in;
  TQue<TPosition::VECOUT, 0> result;
  pipe.InitBuffer(in, 2, kTile * sizeof(float));
  pipe.InitBuffer(result, 2, kTile * sizeof(float));
  for (int32_t i = 0; i < tiles; ++i) {
    LocalTensor<float> a, b;
    in.AllocTensor<float>(a);
    DataCopy(a, Gm(x, i), kTile);
    in.EnQue(a);
    in.DeQue<float>(a);
    result.AllocTensor<float>(b);
    Add(b, a, a, kTile);
    in.FreeTensor(a);
    result.EnQue(b);
    result.DeQue<float>(b);
    DataCopy(Gm(out, i), b, kTile);
    result.FreeTensor(b);
  }
}

// Addresses of the kernel's own.
extern "C" __global__ __aicore__ void own_addresses(GM_ADDR x, GM_ADDR out) {
  TYPE_AIV;
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
  pipe.InitBuffer(queue, Std::make_tuple(4096, 1024), Std::make_tuple(64, 1024));
  uint64_t seen[2];
  for (int32_t i = 0; i < 2; ++i) {
    auto t = queue.AllocTensor<float>();
    seen[i] = Address(t);
    DataCopy(t, Gm(x, i), kTile);
    queue.EnQue(t);
    auto u = queue.DeQue<float>();
    DataCopy(Gm(out, i), u, kTile);
    queue.FreeTensor(u);
  }
  ascendc_assert(seen[0] == 4096 && seen[1] == 64, "addresses %lu, %lu", seen[0], seen[1]);
}

// ---- queue rules
// -----------------------------------------------------------------------------------------------------

extern "C" __global__ __aicore__ void queue_rules(GM_ADDR x, GM_ADDR out, int32_t rule, int32_t good) {
  TYPE_AIV;
  TPipe pipe;
  TQue<TPosition::VECIN, 1> queue, other;
  if (rule != 0 || good) pipe.InitBuffer(queue, 2, kTile * sizeof(float));
  pipe.InitBuffer(other, 1, kTile * sizeof(float));
  auto load = [&](LocalTensor<float>& t) { DataCopy(t, Gm(x), kTile); };  // @queue_rules.load
  auto store = [&](LocalTensor<float>& t) {
    SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(Gm(out), t, kTile);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
  };
  auto a = queue.AllocTensor<float>();  // @queue_rules.alloc
  load(a);
  if (rule == 1 && !good) queue.DeQue<float>();  // @queue_rules.empty
  queue.EnQue(a);
  if (rule == 2) {  // depth 1 takes one EnQue at a time
    if (good) a = queue.DeQue<float>();
    auto b = queue.AllocTensor<float>();
    load(b);
    queue.EnQue(b);  // @queue_rules.depth
    if (good) {
      queue.FreeTensor(a);
      a = b;
    }
  }
  if (rule == 3 && !good) queue.FreeTensor(a);  // @queue_rules.free_enqueued
  if (rule == 4 && !good) queue.EnQue(a);       // @queue_rules.enqueue_twice
  a = queue.DeQue<float>();
  store(a);
  if (rule == 5) {  // more tensors than buffers
    auto b = queue.AllocTensor<float>();
    if (!good) queue.AllocTensor<float>();  // @queue_rules.exhausted
    queue.FreeTensor(b);
  }
  if (rule == 6) (good ? queue : other).FreeTensor(a);  // @queue_rules.foreign
  if (rule == 7 && !good) return;                       // leaks a
  if (rule != 6) queue.FreeTensor(a);                   // @queue_rules.free
  if (rule == 8 && !good) queue.FreeTensor(a);          // @queue_rules.free_again
  if (rule == 9 && !good) queue.EnQue(a);               // @queue_rules.enqueue_freed
  if (rule == 10) {
    auto b = queue.AllocTensor<float>();
    PipeBarrier<PIPE_ALL>();
    load(good ? b : a);
    queue.FreeTensor(b);
  }
}

// `queues` VECIN queues of one buffer each, all in flight at once: each FreeTensor keeps an event id.
extern "C" __global__ __aicore__ void queue_events(GM_ADDR x, int32_t queues, int32_t free_events) {
  TYPE_AIV;
  TPipe pipe;
  TQue<TPosition::VECIN, 1> q[10];
  for (int32_t i = 0; i < queues; ++i) pipe.InitBuffer(q[i], 1, kTile * sizeof(float));
  for (int32_t i = 0; i < queues; ++i) {
    auto t = q[i].AllocTensor<float>();
    DataCopy(t, Gm(x), kTile);
    q[i].EnQue(t);
    t = q[i].DeQue<float>();
    q[i].FreeTensor(t);  // @queue_events.free
    if (free_events) q[i].FreeAllEvent();
  }
}

extern "C" __global__ __aicore__ void init_buffer(uint32_t queues, uint32_t num, uint32_t len) {
  TYPE_AIV;
  TPipe pipe;
  TQue<TPosition::VECIN, 1> q;
  for (uint32_t i = 0; i < queues; ++i) pipe.InitBuffer(q, static_cast<uint8_t>(num), len);  // @init_buffer.init
}

extern "C" __global__ __aicore__ void queue_state(GM_ADDR x) {
  TYPE_AIV;
  TPipe pipe;
  TQue<TPosition::VECIN, 2> q;
  pipe.InitBuffer(q, 2, 100);  // rounded up to 128 B
  auto a = q.AllocTensor<float>(), b = q.AllocTensor<float>();
  ascendc_assert(a.GetSize() == 32 && Address(b) == 128 && a.GetPosition() == static_cast<int32_t>(TPosition::VECIN));
  ascendc_assert(!q.HasIdleBuffer() && q.VacantInQue() && !q.HasTensorInQue());
  ascendc_assert(q.GetState(a) == TBufState::OCCUPIED);
  DataCopy(a, Gm(x), 32);
  DataCopy(b, Gm(x), 32);
  q.EnQue(a);
  q.EnQue(b);
  ascendc_assert(!q.VacantInQue() && q.GetTensorCountInQue() == 2 && q.GetState(b) == TBufState::ENQUE);
  auto first = q.DeQue<float>();
  ascendc_assert(Address(first) == 0, "first in, first out");
  auto second = q.DeQue<float>();
  q.FreeTensor(second);
  q.FreeTensor(first);
  ascendc_assert(q.HasIdleBuffer() && q.GetState(first) == TBufState::FREE);
}

// ---- TPipe
// -------------------------------------------------------------------------------------------------------------

// On AIC a TPipe keeps M -> MTE1 events 0, 1, 2 set until it is destroyed.
extern "C" __global__ __aicore__ void pipe_events(int32_t destroy) {
  TYPE_AIC;
  TPipe pipe;  // @pipe_events.construct
  if (destroy) pipe.Destroy();
  SetFlag<HardEvent::M_MTE1>(EVENT_ID1);  // @pipe_events.set
  WaitFlag<HardEvent::M_MTE1>(EVENT_ID1);
}
extern "C" __global__ __aicore__ void pipe_events_taken() {
  TYPE_AIC;
  TPipe pipe;
  const TEventID id = pipe.AllocEventID<HardEvent::M_MTE1>();
  ascendc_assert(id == 3, "event id %d", id);
  pipe.ReleaseEventID<HardEvent::M_MTE1>(id);
}

// A constructed TPipe, its Reset, and InitSocState clear what an earlier piece of code left behind.
extern "C" __global__ __aicore__ void soc_state(GM_ADDR x, GM_ADDR out, int32_t how) {
  TYPE_AIV;
  auto dirty = [] {
    SetAtomicAdd<float>();
    SetMaskCount();
  };
  if (how < 2) dirty();
  TPipe pipe;
  if (how == 1) dirty(), pipe.Reset();
  if (how == 2) dirty(), InitSocState();
  if (how == 3) dirty();
  TBuf<TPosition::VECCALC> buf;
  pipe.InitBuffer(buf, 2 * kTile * sizeof(float));
  auto t = buf.Get<float>(kTile), u = buf.GetWithOffset<float>(kTile, kTile * sizeof(float));
  DataCopy(t, Gm(x), kTile);
  const TEventID id = pipe.AllocEventID<HardEvent::MTE2_V>();
  SetFlag<HardEvent::MTE2_V>(id);
  WaitFlag<HardEvent::MTE2_V>(id);
  pipe.ReleaseEventID<HardEvent::MTE2_V>(id);
  uint64_t mask = 64;
  Add(u, t, t, mask, kTile / 64, BinaryRepeatParams());
  SetFlag<HardEvent::V_MTE3>(GetTPipePtr()->FetchEventID(HardEvent::V_MTE3));
  WaitFlag<HardEvent::V_MTE3>(GetTPipePtr()->FetchEventID(HardEvent::V_MTE3));
  DataCopy(Gm(out), u, kTile);
  SetAtomicNone();
}

// FetchEventID does not take the id.
extern "C" __global__ __aicore__ void fetch_event(int32_t good) {
  TYPE_AIV;
  TPipe pipe;
  const TEventID first = good ? pipe.AllocEventID<HardEvent::V_S>() : pipe.FetchEventID<HardEvent::V_S>();
  const TEventID second = pipe.FetchEventID(HardEvent::V_S);
  SetFlag<HardEvent::V_S>(first);
  SetFlag<HardEvent::V_S>(second);  // @fetch_event.second
  WaitFlag<HardEvent::V_S>(second);
  if (good) WaitFlag<HardEvent::V_S>(first);
}

extern "C" __global__ __aicore__ void event_ids(int32_t allocated, int32_t released) {
  TYPE_AIV;
  TPipe pipe;
  for (int32_t i = 0; i < allocated; ++i) pipe.AllocEventID<HardEvent::V_S>();    // @event_ids.alloc
  for (int32_t i = 0; i < released; ++i) pipe.ReleaseEventID<HardEvent::V_S>(i);  // @event_ids.release
}

extern "C" __global__ __aicore__ void no_pipe(int32_t good) {
  TYPE_AIV;
  if (good) {
    TPipe pipe;
    GetTPipePtr()->Reset();
  } else {
    GetTPipePtr();  // @no_pipe.get
  }
}

// ---- TBuf and TBufPool
// -------------------------------------------------------------------------------------------------

extern "C" __global__ __aicore__ void buf_rules(GM_ADDR x, int32_t init, uint32_t get) {
  TYPE_AIV;
  TPipe pipe;
  TBuf<> buf;
  if (init) pipe.InitBuffer(buf, kTile * sizeof(float));
  auto t = buf.Get<float>(get);  // @buf_rules.get
  DataCopy(t, Gm(x), get);
}

extern "C" __global__ __aicore__ void buf_after_reset(GM_ADDR x, int32_t good) {
  TYPE_AIV;
  TPipe pipe;
  TBuf<> buf;
  pipe.InitBuffer(buf, kTile * sizeof(float));
  auto t = buf.Get<float>();
  pipe.Reset();
  pipe.InitBuffer(buf, kTile * sizeof(float));
  if (good) t = buf.Get<float>();
  DataCopy(t, Gm(x), kTile);  // @buf_after_reset.use
}

namespace {

// A pool of the kernel's own, with CANN's macro.
class OwnPool {
 public:
  __aicore__ inline OwnPool() { Init(); }
  template <class T>
  __aicore__ inline bool InitBuffer(T& que, uint8_t num, uint32_t len) {
    auto handle = this->GetBufHandle(this->GetCurBufSize());
    que.InitStartBufHandle(handle, num, len);
    for (uint8_t i = 0; i < num; ++i) {
      que.InitBufHandle(this, i, this->GetBufHandle(this->GetCurBufSize() + i), this->GetCurAddr() + i * len, len);
    }
    this->SetCurAddr(this->GetCurAddr() + num * len);
    this->SetCurBufSize(this->GetCurBufSize() + num);
    return true;
  }
  EXTERN_IMPL_BUFPOOL(OwnPool, TPosition::VECCALC, 8);
};

template <class Pool>
__aicore__ inline void DoubleIn(Pool& pool, GM_ADDR x, GM_ADDR out, uint32_t tile) {
  TQue<TPosition::VECIN, 1> in;
  TQue<TPosition::VECOUT, 1> result;
  pool.InitBuffer(in, 1, kTile * sizeof(float));
  pool.InitBuffer(result, 1, kTile * sizeof(float));
  auto a = in.AllocTensor<float>();
  DataCopy(a, Gm(x, tile), kTile);
  in.EnQue(a);
  a = in.DeQue<float>();
  auto b = result.AllocTensor<float>();
  Add(b, a, a, kTile);
  in.FreeTensor(a);
  result.EnQue(b);
  b = result.DeQue<float>();
  DataCopy(Gm(out, tile), b, kTile);
  result.FreeTensor(b);
  pool.Reset();
}

}  // namespace

// Two pools on the same bytes, one after the other; then a pool inside a pool; then a pool of the kernel's own.
extern "C" __global__ __aicore__ void pools(GM_ADDR x, GM_ADDR out) {
  TYPE_AIV;
  TPipe pipe;
  TBufPool<TPosition::VECCALC> first, second, inner;
  OwnPool own;
  pipe.InitBufPool(first, 2 * kTile * sizeof(float));
  pipe.InitBufPool(second, 2 * kTile * sizeof(float), first);
  DoubleIn(first, x, out, 0);
  PipeBarrier<PIPE_ALL>();
  DoubleIn(second, x, out, 1);
  PipeBarrier<PIPE_ALL>();
  second.InitBufPool(inner, 2 * kTile * sizeof(float));
  DoubleIn(inner, x, out, 2);
  pipe.InitBufPool(own, 2 * kTile * sizeof(float));
  DoubleIn(own, x, out, 3);
}

extern "C" __global__ __aicore__ void pool_rules(int32_t init, uint32_t num, uint32_t len) {
  TYPE_AIV;
  TPipe pipe;
  TBufPool<TPosition::VECIN> pool;
  TQue<TPosition::VECIN, 1> q;
  if (init) pipe.InitBufPool(pool, 4096);
  pool.InitBuffer(q, static_cast<uint8_t>(num), len);  // @pool_rules.init
}

// ---- tensors
// -------------------------------------------------------------------------------------------------------------

extern "C" __global__ __aicore__ void allocator(GM_ADDR x, GM_ADDR out, uint32_t tile) {
  TYPE_AIV;
  const EndOfKernel end;
  InitSocState();
  LocalMemAllocator<Hardware::UB> ub;
  auto a = ub.Alloc<float, kTile>();
  auto b = ub.Alloc<TPosition::VECOUT, float>(tile);  // @allocator.alloc
  ascendc_assert(ub.GetCurAddr() == (kTile + tile) * sizeof(float));
  DataCopy(a, Gm(x), kTile);
  PipeBarrier<PIPE_ALL>();
  Add(b, a, a, kTile);
  PipeBarrier<PIPE_ALL>();
  DataCopy(Gm(out), b, kTile);
}

extern "C" __global__ __aicore__ void tensor_methods(GM_ADDR x, GM_ADDR out) {
  TYPE_AIV;
  const EndOfKernel end;
  GlobalTensor<float> g = Gm(x);
  ascendc_assert(g.GetSize() == kTile && g[8].GetSize() == kTile);
  ascendc_assert(g.GetPhyAddr(4) == reinterpret_cast<float*>(x) + 4 && g[4].GetPhyAddr() == g.GetPhyAddr(4));
  g.SetL2CacheHint(CacheMode::CACHE_MODE_DISABLE);
  g.SetL2CacheHint<CacheRwMode::READ>(CacheMode::CACHE_MODE_NORMAL);
  LocalTensor<float> t(TPosition::VECCALC, 512, kTile);
  ascendc_assert(t.GetSize() == kTile && t.GetLength() == kTile * 4 && Address(t) == 512 &&
                 (uint64_t)t.GetPhyAddr(2) == 520);
  ascendc_assert(t[64].GetSize() == kTile - 64);
  auto bytes = t.ReinterpretCast<uint8_t>();
  ascendc_assert(bytes.GetSize() == kTile * 4 && Address(bytes[4]) == 516);
  LocalTensor<half> h;
  h.SetAddrWithOffset(t, 16);
  ascendc_assert(Address(h) == 512 + 32);
  auto sized = t;
  sized.SetSize(16);
  ascendc_assert(sized.GetSize() == 16);
  sized.SetUserTag(7);
  ascendc_assert(sized.GetUserTag() == 7);
  t.SetValue(0, 2);
  t(1) = t.GetValue(0) + 1.5f;
  t(2) = t(1);
  Gm(out).SetValue(0, t(2));
  Gm(out)(1) = Gm(x)(3);
}

// ---- the launch's variables
// -----------------------------------------------------------------------------------------------

extern "C" __global__ __aicore__ void who_am_i(GM_ADDR aic, GM_ADDR aiv) {
  TYPE_MIX;
  const EndOfKernel end;
  const int64_t me = GetBlockIdx();
  if ASCEND_IS_AIC {
    GlobalTensor<float> g;
    g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(aic) + me * 8);
    const int64_t values[] = {GetBlockNum(), GetSubBlockIdx(), GetTaskRation(),
                              block_idx,     get_block_num(),  GetSubBlockNum()};
    for (int i = 0; i < 6; ++i) g.SetValue(i, static_cast<float>(values[i]));
  } else {
    GlobalTensor<float> g;
    g.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(aiv) + me * 8);
    const int64_t values[] = {GetBlockNum(), GetSubBlockIdx(), GetTaskRatio(), block_idx, block_num, get_subblockid()};
    for (int i = 0; i < 6; ++i) g.SetValue(i, static_cast<float>(values[i]));
  }
}

#if defined(ASCEND_SIM)  // with CANN the build generates GET_TILING_DATA
struct Tiling {
  uint32_t rows;
  float scale;
};

extern "C" __global__ __aicore__ void tiling_data(GM_ADDR out, GM_ADDR workspace, GM_ADDR tiling) {
  TYPE_AIV;
  const EndOfKernel end;
  REGISTER_TILING_DEFAULT(Tiling);
  GET_TILING_DATA(data, tiling);
  Gm(out).SetValue(0, data.scale * data.rows);
  ascendc_assert(GetUserWorkspace(workspace) == workspace + 16 * 1024 * 1024);
  SetSysWorkspace(workspace);
  ascendc_assert(GetSysWorkSpacePtr() == workspace);
}
#endif

extern "C" __global__ __aicore__ void prints(GM_ADDR x) {
  TYPE_AIV;
  const EndOfKernel end;
  LocalTensor<float> t(TPosition::VECCALC, 0, kTile);
  DataCopy(t, Gm(x), kTile);
  AscendC::printf("block %d of %u: %s %f\n", GetBlockIdx(), GetBlockNum(), "half", half(1.5f));
  PRINTF("hex %x\n", 255);
  DumpTensor(t, 5, 16);
  DumpTensor(Gm(x)[8], 6, 8);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
}

extern "C" __global__ __aicore__ void asserts(int32_t how, int32_t value) {
  TYPE_AIV;
  const EndOfKernel end;
  if (how == 0) ascendc_assert(value == 1, "value is %d", value);                                // @asserts.ascendc
  if (how == 1) assert(value == 1);                                                              // @asserts.libc
  if (how == 2) ASCENDC_ASSERT((value == 1), { KERNEL_LOG(KERNEL_ERROR, "it is %d", value); });  // @asserts.old
  if (how == 3 && value != 1) Trap();                                                            // @asserts.trap
}

// ---- cores that meet through global memory
// -----------------------------------------------------------------------------

// Each AIV writes its tile, all meet, each reads its neighbour's: twice, so that the workspace counts to 2.
extern "C" __global__ __aicore__ void soft_sync(GM_ADDR x, GM_ADDR scratch, GM_ADDR out, GM_ADDR workspace,
                                                uint32_t ub) {
  TYPE_AIV;
  TPipe pipe;
  TBuf<> sync, data;
  pipe.InitBuffer(sync, ub);
  pipe.InitBuffer(data, 2 * kTile * sizeof(float));
  GlobalTensor<int32_t> words;
  words.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(workspace));
  auto mine = data.Get<float>(kTile), theirs = data.GetWithOffset<float>(kTile, kTile * sizeof(float));
  const uint32_t me = GetBlockIdx(), next = (me + 1) % GetBlockNum();
  DataCopy(mine, Gm(x, me), kTile);
  PipeBarrier<PIPE_ALL>();
  DataCopy(Gm(scratch, me), mine, kTile);
  SyncAll(words, sync.Get<int32_t>());  // @soft_sync.first
  DataCopy(theirs, Gm(scratch, next), kTile);
  SyncAll(words, sync.Get<int32_t>());
  DataCopy(Gm(scratch, me), theirs, kTile);
  SyncAll(words, sync.Get<int32_t>());
  DataCopy(mine, Gm(scratch, next), kTile);
  PipeBarrier<PIPE_ALL>();
  DataCopy(Gm(out, me), mine, kTile);
}

// Block i hands its tile to block i + 1. good 0: nobody sets; 1: set and wait; 2: block 0 sets only the event 1.
extern "C" __global__ __aicore__ void hand_on(GM_ADDR x, GM_ADDR out, GM_ADDR workspace, int32_t good) {
  TYPE_AIV;
  TPipe pipe;
  TBuf<> sync, data;
  pipe.InitBuffer(sync, 32);
  pipe.InitBuffer(data, kTile * sizeof(float));
  GlobalTensor<int32_t> words;
  words.SetGlobalBuffer(reinterpret_cast<__gm__ int32_t*>(workspace));
  auto buf = sync.Get<int32_t>();
  auto tile = data.Get<float>();
  const int32_t me = static_cast<int32_t>(GetBlockIdx());
  if (me != 0) IBWait(words, buf, me - 1, 0);  // @hand_on.wait
  DataCopy(tile, me == 0 ? Gm(x) : Gm(out, me - 1), kTile);
  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);
  Add(tile, tile, tile, kTile);
  SetFlag<HardEvent::V_MTE3>(EVENT_ID0);
  WaitFlag<HardEvent::V_MTE3>(EVENT_ID0);
  DataCopy(Gm(out, me), tile, kTile);
  if (good != 0 && me + 1 < GetBlockNum()) IBSet(words, buf, me, good == 2 ? 1 : 0);  // @hand_on.set
}
