// What kernels of others use: names, function pointers, habits beyond the documented limits. A case a number.
// check_cann: no, because pointers to API functions are no constants in the CPU-debugging headers
#include "kernel_operator.h"

using namespace AscendC;

namespace {

template <typename T>
__aicore__ inline GlobalTensor<T> Gm(GM_ADDR address) {
  GlobalTensor<T> t;
  t.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return t;
}

template <HardEvent event>
__aicore__ inline void Order() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

// CANN's types of the count forms.
using Unary = void (*)(const LocalTensor<float>&, const LocalTensor<float>&, const int32_t&);
using Binary = void (*)(const LocalTensor<float>&, const LocalTensor<float>&, const LocalTensor<float>&,
                        const int32_t&);
using Scalar = void (*)(const LocalTensor<float>&, const LocalTensor<float>&, const float&, const int32_t&);

template <Unary unary, Binary binary>
__aicore__ __forceinline__ void Apply(const LocalTensor<float>& t, int32_t count) {
  unary(t, t, count);
  PipeBarrier<PIPE_V>();
  binary(t, t, t, count);
}

class Keeper {
 public:
  __aicore__ inline void Init() {
    TPipe other;
    pipe = other;
    pipe.InitBuffer(queue, 1, 256);
  }
  TPipe pipe;
  TQue<TPosition::VECIN, 1> queue;
};

}  // namespace

// out [64] from x [64]; what is done to them is case `how`.
extern "C" __global__ __aicore__ void wild_vector(GM_ADDR x, GM_ADDR out, int32_t how, int32_t zero) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  constexpr int32_t kCount = 64;
  GlobalTensor<float> gx = Gm<float>(x), gout = Gm<float>(out);
  LocalTensor<float> t(TPosition::VECIN, 0, kCount);
  DataCopy(t, gx, kCount);
  Order<HardEvent::MTE2_V>();
  TRACE_START(how);
  if (how == 0) {  // function pointers and template arguments
    Apply<Abs<float>, Add<float>>(t, kCount);
    PipeBarrier<PIPE_V>();
    const Scalar scale = Muls<float>;
    scale(t, t, 0.5f, kCount);
  }
  if (how == 1) {  // integer division by zero
    const int32_t quotient = (how + 6) / zero, rest = (how + 6) % zero;
    Duplicate(t, static_cast<float>(quotient + 10 * rest + 1), kCount);
  }
  if (how == 2) {  // an atomic type alone adds
    Order<HardEvent::V_MTE3>();
    SetAtomicType<float>();
    DataCopy(gout, t, kCount);
    SetAtomicNone();
    PipeBarrier<PIPE_ALL>();
    return;
  }
  if (how == 3) {  // a tensor declared smaller than it is used
    LocalTensor<float> small(TPosition::VECIN, 0, 8);
    Muls(small, small, 2.0f, kCount);
  }
  if (how == 4) {  // the reserved end of UB
    LocalTensor<float> end(TPosition::VECIN, 192 * 1024 - kCount * 4, kCount);
    Duplicate(end, 3.0f, kCount);
    PipeBarrier<PIPE_V>();
    Adds(t, end, 0.0f, kCount);
  }
  if (how == 5) {  // event ids 6 and 7
    SetFlag<HardEvent::V_MTE3>(EVENT_ID7);
    WaitFlag<HardEvent::V_MTE3>(EVENT_ID7);
  }
  if (how == 6) {  // widening over its own source, which is the last half
    LocalTensor<half> narrow(TPosition::VECIN, kCount * 2, kCount);
    LocalTensor<half> other(TPosition::VECCALC, 1024, kCount);
    Cast(other, t, RoundMode::CAST_NONE, kCount);
    PipeBarrier<PIPE_V>();
    Adds(narrow, other, half(0.0f), kCount);
    PipeBarrier<PIPE_V>();
    Cast(t, narrow, RoundMode::CAST_NONE, kCount);
  }
  if (how == 7) {  // addresses and shapes of tensors
    LocalTensor<float> moved;
    moved.InitBuffer(2048, kCount);
    const uint32_t extent[2] = {2, 32};
    moved.SetShapeInfo(ShapeInfo(2, extent, DataFormat::ND));
    const LocalTensor<float> shaped = moved;
    Adds(moved, t, static_cast<float>(GetShapeSize(shaped.GetShapeInfo())), kCount);
    PipeBarrier<PIPE_V>();
    LocalTensor<float> again;
    again.SetAddr(2048);
    Adds(t, again, unlikely(::g_coreType == AIC) ? 100.0f : 0.0f, kCount);
  }
  if (how == 8) {  // a TPipe that is assigned
    Keeper keeper;
    keeper.Init();
    LocalTensor<float> other = keeper.queue.AllocTensor<float>();
    Adds(other, t, 1.0f, kCount);
    PipeBarrier<PIPE_V>();
    Adds(t, other, 0.0f, kCount);
    keeper.queue.FreeTensor(other);
  }
  if (how == 9) {  // the smallest integer by -1 (`zero` here), in registers and in memory; then by zero
    const int32_t least = INT32_MIN + (how - 9);
    const int64_t longest = INT64_MIN + (how - 9);
    // Volatile: clang knows that no quotient which the language has is the smallest integer.
    volatile int32_t of_least = least / zero, rest_of_least = least % zero;
    volatile int64_t of_longest = longest / zero;
    int32_t wrong = (of_least != INT32_MIN) + (rest_of_least != 0) + (of_longest != INT64_MIN);
#if defined(__x86_64__)
    static int64_t fixed[3] = {0, -1, 0};
    const int32_t* words = reinterpret_cast<int32_t*>(fixed);
    int64_t quotient = longest, rest = -1, index = how - 8;
    asm volatile("idivq %2" : "+a"(quotient), "+d"(rest) : "m"(fixed[1]));
    wrong += quotient != INT64_MIN || rest != 0;
    quotient = longest, rest = -1;
    asm volatile("idivq (%2,%3,8)" : "+a"(quotient), "+d"(rest) : "r"(fixed), "r"(index));
    wrong += quotient != INT64_MIN || rest != 0;
    quotient = longest, rest = -1;
    asm volatile("idivq 8(%2)" : "+a"(quotient), "+d"(rest) : "r"(fixed + 1));
    wrong += quotient != 0 || rest != 0;
    int32_t low = least, high = -1;
    asm volatile("idivl -4(%2)" : "+a"(low), "+d"(high) : "r"(words + 4));
    wrong += low != INT32_MIN || high != 0;
    int16_t narrow = -128;
    asm volatile("idivb %1" : "+a"(narrow) : "m"(fixed[1]));
    wrong += narrow != 0x80;
#endif
    Duplicate(t, static_cast<float>(wrong), kCount);
  }
  TRACE_STOP(how);
  Order<HardEvent::V_MTE3>();
  DataCopy(gout, t, kCount);
  PipeBarrier<PIPE_ALL>();
}

// 128 values: sorted by fours of 32, then merged; then the list's tensors, and scalar accesses that pass by the cache.
extern "C" __global__ __aicore__ void wild_sort(GM_ADDR x, GM_ADDR index, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> values(TPosition::VECIN, 0, 128), sorted(TPosition::VECCALC, 1024, 256);
  LocalTensor<uint32_t> indices(TPosition::VECIN, 512, 128);
  LocalTensor<float> merged(TPosition::VECOUT, 2048, 256);
  DataCopy(values, Gm<float>(x), 128);
  DataCopy(indices, Gm<uint32_t>(index), 128);
  Order<HardEvent::MTE2_V>();
  Sort32(sorted, values, indices, 4);
  PipeBarrier<PIPE_V>();
  const uint16_t lengths[4] = {32, 32, 32, 32};
  const uint32_t list = GetSortLen<float>(32);
  MrgSort(merged, MrgSortSrcList<float>(sorted, sorted[list], sorted[GetSortOffset<float>(64)], sorted[3 * list]),
          MrgSort4Info(lengths, false, 15, 1));
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(out), merged, 256);
  PipeBarrier<PIPE_ALL>();
}

// Adds up the elements of a list's tensors; every core counts itself in by an atomic.
extern "C" __global__ __aicore__ void wild_list(GM_ADDR list, GM_ADDR counter, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  ListTensorDesc tensors(list);
  int32_t sum = 0;
  for (uint32_t i = 0; i < tensors.GetSize(); ++i) {
    uint64_t shape[8];
    TensorDesc<int32_t> desc;
    desc.SetShapeAddr(shape);
    tensors.GetDesc(desc, i);
    for (uint64_t j = 0; j < desc.GetShape(0); ++j) sum += desc.GetDataObj().GetValue(j);
  }
  const int32_t before = AtomicAdd(reinterpret_cast<__gm__ int32_t*>(counter), int32_t{1});
  WriteGmByPassDCache(reinterpret_cast<__gm__ int32_t*>(out) + before * 16, sum + before);
  DataSyncBarrier<MemDsbT::ALL>();
  PipeBarrier<PIPE_ALL>();
}

// Core 0 waits in GM for what core 1 writes; `clean` is what makes it right.
extern "C" __global__ __aicore__ void wild_poll(GM_ADDR flag, GM_ADDR data, GM_ADDR out, int32_t clean) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  GlobalTensor<int32_t> word = Gm<int32_t>(flag);
  LocalTensor<float> t(TPosition::VECIN, 0, 64);
  if (GetBlockIdx() == 1) {
    Duplicate(t, 7.0f, 64);
    Order<HardEvent::V_MTE3>();
    DataCopy(Gm<float>(data), t, 64);
    Order<HardEvent::MTE3_S>();
    word.SetValue(0, 1);
    DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(word);
  } else {
    int32_t seen = 0;
    for (int32_t i = 0; i < 100000 && seen == 0; ++i) {
      if (clean != 0 || i == 0) {
        DataCacheCleanAndInvalid<int32_t, CacheLine::SINGLE_CACHE_LINE, DcciDst::CACHELINE_OUT>(word);
      }
      seen = word.GetValue(0);
    }
    DataCopy(t, Gm<float>(data), 64);
    Order<HardEvent::MTE2_MTE3>();
    DataCopy(Gm<float>(out), t, 64);
  }
  PipeBarrier<PIPE_ALL>();
}

// A mixed 1:2 kernel whose AIVs meet through words in GM.
extern "C" __global__ __aicore__ void wild_soft_sync(GM_ADDR words) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  TPipe pipe;
  TBuf<> sync;
  if ASCEND_IS_AIV {
    pipe.InitBuffer(sync, 256);
    SyncAll(Gm<int32_t>(words), sync.Get<int32_t>());
  }
}

// Mixed kernels: buffers that a core type lacks, the end of L1, ids of cross-core flags, WaitEvent.
extern "C" __global__ __aicore__ void wild_mixed(GM_ADDR x, GM_ADDR out, int32_t how) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_1);
  TPipe pipe;
  TBuf<TPosition::A1> l1;
  TBuf<TPosition::C2PIPE2GM> scales;
  SetSyncBaseAddr(0);
  if (how == 0) pipe.InitBuffer(l1, 512 * 1024);
  if (how == 1) pipe.InitBuffer(scales, 7 * 1024);
  const uint16_t id = how == 2 ? 12 : 3;
  if ASCEND_IS_AIC {
    CrossCoreSetFlag<2, PIPE_FIX>(id);
  }
  if ASCEND_IS_AIV {
    WaitEvent(id);
    if (how == 3) {
      pipe.InitBuffer(l1, 256);
      DataCopy(l1.Get<float>(), Gm<float>(x), 64);
    }
    LocalTensor<float> t(TPosition::VECIN, 1024, 64);
    DataCopy(t, Gm<float>(x), 64);
    Order<HardEvent::MTE2_MTE3>();
    DataCopy(Gm<float>(out), t, 64);
  }
}

// out[0] = x[0] + x[1], out[1] = (an element nobody wrote) * 0 + 1: a lane that can reach a result.
extern "C" __global__ __aicore__ void wild_lanes(GM_ADDR x, GM_ADDR out, int32_t reaches) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> t(TPosition::VECIN, 0, 64), sum(TPosition::VECOUT, 256, 64);
  DataCopy(t, Gm<float>(x), 8);
  Order<HardEvent::MTE2_V>();
  Adds(sum, t, 1.0f, 64);  // ascend_sim: ignore(uninitialised-write) is another rule
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(out), sum[reaches != 0 ? 8 : 0], 8);
  PipeBarrier<PIPE_ALL>();
}
extern "C" __global__ __aicore__ void wild_silenced(GM_ADDR x, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> t(TPosition::VECIN, 0, 64);
  DataCopy(t, Gm<float>(x), 64);
  DataCopy(Gm<float>(out), t, 64);  // ascend_sim: ignore(race.*)
  PipeBarrier<PIPE_ALL>();
}
