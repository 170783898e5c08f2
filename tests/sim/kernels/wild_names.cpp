// Names that kernels of others use: API functions through pointers, the reductions and broadcasts of the high-level
// API, int4b_t, products of two out of four, cores in order and in groups, scalar accesses past the cache. check_cann:
// no, because pointers to API functions are no constants in the CPU-debugging headers
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

// CANN's types.
using Flag = void (*)(int32_t);
using Barrier = void (*)();
using In = void (*)(const LocalTensor<float>&, const GlobalTensor<float>&, const uint32_t);
using Out = void (*)(const GlobalTensor<float>&, const LocalTensor<float>&, const DataCopyParams&);
using Local = const LocalTensor<float>&;
using Masked = void (*)(Local, Local, Local, uint64_t, const uint8_t, const BinaryRepeatParams&);
using Scaled = void (*)(Local, Local, const float&, uint64_t[], const uint8_t, const UnaryRepeatParams&);
using Convert = void (*)(const LocalTensor<half>&, Local, const RoundMode&, const uint32_t);
using Filled = void (*)(Local, const float&, const int32_t&);
using Reduce = void (*)(Local, Local, const int32_t, const int32_t, const int32_t, const int32_t, const int32_t);

// A pipeline that is told what it is made of.
template <Flag set, Flag wait>
__aicore__ inline void Between() {
  set(EVENT_ID1);
  wait(EVENT_ID1);
}
template <In in, Out out, Masked combine, Barrier all>
struct Pipeline {
  static __aicore__ inline void Run(GM_ADDR x, GM_ADDR y, bool ordered) {
    LocalTensor<float> t(TPosition::VECIN, 0, 64);
    in(t, Gm<float>(x), 64);
    if (ordered) Between<SetFlag<HardEvent::MTE2_V>, WaitFlag<HardEvent::MTE2_V>>();
    combine(t, t, t, 64, 1, BinaryRepeatParams());
    void (*raw)(pipe_t, pipe_t, event_t) = set_flag;
    raw(PIPE_V, PIPE_MTE3, EVENT_ID0);
    raw = wait_flag;
    raw(PIPE_V, PIPE_MTE3, EVENT_ID0);
    out(Gm<float>(y), t, DataCopyParams(1, 8, 0, 0));
    all();
  }
};

}  // namespace

// out [64] = x + x
extern "C" __global__ __aicore__ void names_pointers(GM_ADDR x, GM_ADDR out, int32_t ordered) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Pipeline<DataCopy<float>, DataCopy<float>, Add<float>, PipeBarrier<PIPE_ALL>>::Run(x, out, ordered != 0);
}

// The others, called: out [2] = sum of 64 times 3, the same by way of half.
extern "C" __global__ __aicore__ void names_more_pointers(GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const Barrier v = PipeBarrier<PIPE_V>;
  const Filled fill = Duplicate<float>;
  const Scaled scale = Muls<float>;
  const Convert narrow = Cast<half, float>;
  const Reduce sum = WholeReduceSum<float>;
  LocalTensor<float> t(TPosition::VECCALC, 0, 64), result(TPosition::VECOUT, 1024, 16);
  LocalTensor<half> h(TPosition::VECCALC, 512, 64);
  fill(t, 1.0f, 64);
  v();
  uint64_t mask[2] = {~0ull, 0};
  scale(t, t, 3.0f, mask, 1, UnaryRepeatParams());
  fill(result, 0.0f, 16);
  v();
  sum(result, t, 64, 1, 1, 1, 8);
  narrow(h, t, RoundMode::CAST_RINT, 64);
  v();
  void (*widen)(Local, const LocalTensor<half>&, const RoundMode&, const uint32_t) = Cast<float, half>;
  widen(t, h, RoundMode::CAST_NONE, 64);
  v();
  sum(result[8], t, 64, 1, 1, 1, 8);
  void (*const cross)(uint16_t) = CrossCoreWaitFlag<>;
  static_cast<void>(cross);
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(out), result, 16);
  PipeBarrier<PIPE_ALL>();
}

// ---- the high-level API -------------------------------------------------------------------------------------------

template <typename T>
__aicore__ inline void HighLevel(GM_ADDR x, GM_ADDR out, int32_t how, uint32_t rows, uint32_t columns, uint32_t given,
                                 uint32_t taken, uint32_t scratch) {
  TPipe pipe;
  constexpr uint32_t kRoom = 65536;
  TBuf<> taken_by_tensors;
  pipe.InitBuffer(taken_by_tensors, 2 * kRoom + 4096);
  LocalTensor<T> in(TPosition::VECIN, 0, kRoom / sizeof(T)), result(TPosition::VECOUT, kRoom, kRoom / sizeof(T));
  LocalTensor<uint8_t> tmp(TPosition::VECCALC, 2 * kRoom, scratch);
  DataCopyPad(in, Gm<T>(x), DataCopyExtParams(1, given * sizeof(T), 0, 0, 0), DataCopyPadExtParams<T>());
  Order<HardEvent::MTE2_V>();
  const uint32_t shape[2] = {rows, columns}, column[2] = {rows, 1}, row[2] = {1, columns};
  if (how == 8) {
    InitOutput<T>(Gm<T>(out), taken, T(3));
    return;
  }
  namespace P = Pattern::Reduce;
  if (how == 0) BroadCast<T, 2, 1>(result, in, shape, column, tmp);
  if (how == 1) BroadCast<T, 2, 0>(result, in, shape, row, tmp);
  if (how == 2) Broadcast<T, 1, 0>(result, in, row + 1, column + 1);
  if (how == 3) ReduceMax<T, P::AR, false>(result, in, tmp, shape, true);
  if (how == 4) ReduceMax<T, P::RA>(result, in, shape, true);
  if (how == 5) ReduceMin<T, P::AR>(result, in, shape, true);
  if constexpr (sizeof(T) == 4) {
    if (how == 6) ReduceSum<T, P::AR, true>(result, in, tmp, shape, true);
    if (how == 7) ReduceSum<T, P::RA>(result, in, tmp, shape, true);
  }
  Order<HardEvent::V_MTE3>();
  DataCopyPad(Gm<T>(out), result, DataCopyExtParams(1, taken * sizeof(T), 0, 0, 0));
}
// given, taken: elements of x and out.
extern "C" __global__ __aicore__ void names_float(GM_ADDR x, GM_ADDR out, int32_t how, uint32_t rows, uint32_t columns,
                                                  uint32_t given, uint32_t taken, uint32_t scratch) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  HighLevel<float>(x, out, how, rows, columns, given, taken, scratch);
}
extern "C" __global__ __aicore__ void names_half(GM_ADDR x, GM_ADDR out, int32_t how, uint32_t rows, uint32_t columns,
                                                 uint32_t given, uint32_t taken, uint32_t scratch) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  HighLevel<half>(x, out, how, rows, columns, given, taken, scratch);
}

// ---- int4b_t ------------------------------------------------------------------------------------------------------

// x [256] half -> packed [128] bytes -> back [256] half. mask: of the second half of both, or odd.
extern "C" __global__ __aicore__ void names_int4(GM_ADDR x, GM_ADDR packed, GM_ADDR back, int32_t mask) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<half> in(TPosition::VECIN, 0, 256), out(TPosition::VECOUT, 1024, 256);
  LocalTensor<int8_t> bytes(TPosition::VECCALC, 2048, 128);
  LocalTensor<int4b_t> four = bytes.ReinterpretCast<int4b_t>();
  DataCopy(in, Gm<half>(x), 256);
  Order<HardEvent::MTE2_V>();
  Cast(four, in, RoundMode::CAST_RINT, 128);
  Cast(four[128], in[128], RoundMode::CAST_FLOOR, 128, 1, UnaryRepeatParams(1, 1, 2, 8));
  PipeBarrier<PIPE_V>();
  Cast(out, four, RoundMode::CAST_NONE, four.GetSize() / 2);
  const uint64_t pairs[2] = {mask != 0 ? 2ull : ~0ull, ~0ull};
  Cast(out[128], four[128], RoundMode::CAST_NONE, pairs, 1, UnaryRepeatParams(1, 1, 8, 2));
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<int4b_t>(packed), four, 256);
  DataCopy(Gm<half>(back), out, 256);
  PipeBarrier<PIPE_ALL>();
}

// ---- two of four --------------------------------------------------------------------------------------------------

// out [32, 32] = a [32, 128] * b [128, 32], of which b holds 64 rows and index says where they were; twice, added.
// Fractals are laid out by the host. loaded: whether the indices are.
extern "C" __global__ __aicore__ void names_sparse(GM_ADDR a, GM_ADDR b, GM_ADDR index, GM_ADDR out, int32_t loaded) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  LocalTensor<int8_t> l1a(TPosition::A1, 0, 4096), l1b(TPosition::B1, 4096, 2048);
  LocalTensor<uint8_t> l1i(TPosition::B1, 8192, 512);
  LocalTensor<int8_t> l0a(TPosition::A2, 0, 4096), l0b(TPosition::B2, 1024, 2048);
  LocalTensor<int32_t> c(TPosition::CO1, 0, 1024);
  DataCopy(l1a, Gm<int8_t>(a), 4096);
  DataCopy(l1b, Gm<int8_t>(b), 2048);
  DataCopy(l1i, Gm<uint8_t>(index), 512);
  Order<HardEvent::MTE2_MTE1>();
  LoadData(l0a, l1a, LoadData2DParams(0, 8, 1, 0, 0, false, 0));
  LoadData2dParams load;
  load.repeatTimes = 1;
  LoadDataWithSparse(l0b, l1b, l1i, load);
  load.startIndex = 1;
  load.repeatTimes = 3;
  if (loaded != 0) LoadDataWithSparse(l0b[512], l1b, l1i, load);
  if (loaded == 0) LoadData(l0b[512], l1b, LoadData2DParams(1, 3, 1, 0, 0, false, 0));
  Order<HardEvent::MTE1_M>();
  MmadParams params;
  params.m = params.n = 32;
  params.k = 128;
  MmadWithSparse(c, l0a, l0b, params);
  params.cmatrixInitVal = false;
  PipeBarrier<PIPE_M>();
  MmadWithSparse(c, l0a, l0b, params);
  Order<HardEvent::M_FIX>();
  Fixpipe<int32_t, int32_t, CFG_ROW_MAJOR>(Gm<int32_t>(out), c, FixpipeParamsV220(32, 32, 32, 32, false));
  PipeBarrier<PIPE_ALL>();
}

// ---- cores in order and in groups ---------------------------------------------------------------------------------

// Three rounds: every core in its turn makes value 2 * value + its index. how: 0 in order; 1 without waiting; 2 without
// the initialisation; 3 with less workspace.
extern "C" __global__ __aicore__ void names_turns(GM_ADDR value, GM_ADDR words, int32_t how) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  GlobalTensor<float> total = Gm<float>(value);
  GlobalTensor<int32_t> gm = Gm<int32_t>(words);
  LocalTensor<float> t(TPosition::VECIN, 0, 8);
  LocalTensor<int32_t> ub(TPosition::VECCALC, 1024, how == 3 ? 8 : 8 * GetBlockNum() + 8);
  if (how != 2) InitDetermineComputeWorkspace(gm, ub);
  for (int round = 0; round < 3; ++round) {
    if (how != 1) WaitPreBlock(gm, ub);
    DataCopy(t, total, 8);
    Order<HardEvent::MTE2_V>();
    Muls(t, t, 2.0f, 8);
    PipeBarrier<PIPE_V>();
    Adds(t, t, static_cast<float>(GetBlockIdx()), 8);
    Order<HardEvent::V_MTE3>();
    DataCopy(total, t, 8);
    if (how != 1) NotifyNextBlock(gm, ub);
    if (how == 1) PipeBarrier<PIPE_ALL>();
  }
}

// Cores 0 and 1 give numbers in two rounds, the others take both. how: 0 right; 1 a waiter does not wait; 2 a wrong
// index.
extern "C" __global__ __aicore__ void names_groups(GM_ADDR words, GM_ADDR data, GM_ADDR out, int32_t how) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  const uint32_t me = static_cast<uint32_t>(GetBlockIdx()), waiters = static_cast<uint32_t>(GetBlockNum()) - 2;
  GroupBarrier<PipeMode::MTE3_MODE> barrier(words, 2, waiters);
  LocalTensor<float> t(TPosition::VECCALC, 0, 64), sum(TPosition::VECCALC, 1024, 64);
  Duplicate(sum, static_cast<float>(barrier.GetWorkspaceLen()), 64);
  PipeBarrier<PIPE_V>();
  for (int round = 1; round < 3; ++round) {
    if (me < 2) {
      Duplicate(t, static_cast<float>(round * 10 + static_cast<int>(me)), 64);
      Order<HardEvent::V_MTE3>();
      DataCopy(Gm<float>(data)[((round - 1) * 2 + me) * 64], t, 64);
      barrier.Arrive(how == 2 ? me + 1 : me);
      Order<HardEvent::MTE3_V>();
      continue;
    }
    if (how != 1 || me != 3) barrier.Wait(me - 2);
    for (int from = 0; from < 2; ++from) {
      DataCopy(t, Gm<float>(data)[((round - 1) * 2 + from) * 64], 64);
      Order<HardEvent::MTE2_V>();
      Add(sum, sum, t, 64);
      PipeBarrier<PIPE_V>();
      Order<HardEvent::V_MTE2>();
    }
  }
  if (me < 2) return;
  Order<HardEvent::V_MTE3>();
  DataCopy(Gm<float>(out)[(me - 2) * 64], sum, 64);
}

// ---- scalar accesses past the cache -------------------------------------------------------------------------------

// Cores count themselves in by each atomic, and read and write a word without cache maintenance.
extern "C" __global__ __aicore__ void names_scalar(GM_ADDR words, GM_ADDR out) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  auto* w = reinterpret_cast<__gm__ int32_t*>(words);
  const int32_t me = static_cast<int32_t>(GetBlockIdx()), all = static_cast<int32_t>(GetBlockNum());
  AtomicMax(w, me);
  AtomicMin(w + 16, me);
  int32_t turn = 0;
  while (turn < 1000000 && AtomicCas(w + 32, me, me + all) != me) ++turn;  // one after the other, by its index
  AtomicExch(w + 48, me);
  WriteGmByPassDCache(w + 64, ReadGmByPassDCache(w + 64) * 2 + me);
  AtomicExch(w + 32, me + 1);
  DataSyncBarrier<MemDsbT::DDR>();
  WriteGmByPassDCache(reinterpret_cast<__gm__ int32_t*>(out) + me * 16, turn < 1000000 ? 1 : 0);
  PipeBarrier<PIPE_ALL>();
}

// ---- names of other chips -----------------------------------------------------------------------------------------

extern "C" __global__ __aicore__ void names_other_chips(int32_t how) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  LocalTensor<float> t(TPosition::VECCALC, 0, 64);
  if (how == 0) Interleave(t, t, t, t, 64);
  if (how == 1) DeInterleave(t, t, t, 64);
  if (how == 2) Mutex::Lock<PIPE_V>(0);
  if (how == 3) ReleaseMutexID(AllocMutexID());
}
