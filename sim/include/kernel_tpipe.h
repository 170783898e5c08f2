// TPipe, TQue, TQueBind, TBuf and TBufPool: templates over framework/pipe_state.h.
#pragma once

#include "framework/pipe_state.h"
#include "kernel_operator_common_intf.h"
#include "kernel_operator_sys_var_intf.h"
#include "kernel_tensor.h"
#include "kernel_utils_std.h"

namespace AscendC {

using TEventID = int8_t;
using TBufHandle = uint8_t*;
using TTagType = int32_t;
constexpr TEventID INVALID_TEVENTID = static_cast<TEventID>(-1);
constexpr uint32_t defaultBufIDSize = 4;

enum class TBufState : uint8_t { FREE = 0, OCCUPIED, ENQUE, DEQUE };

struct TQueConfig {
  bool nd2nz = false;
  bool nz2nd = false;
  bool scmBlockGroup = false;
  uint32_t bufferLen = 0;
  uint32_t bufferNumber = 0;
  uint32_t consumerSize = 0;
  TPosition consumer[8] = {};
  bool enableStaticEvtId = false;
  bool enableLoopQueue = false;
};
__aicore__ constexpr TQueConfig GetTQueConfig(const int32_t mask) {
  TQueConfig config;
  config.nd2nz = (mask & 1) != 0;
  config.nz2nd = (mask & 2) != 0;
  return config;
}
__aicore__ constexpr TQueConfig GetTQueConfig(const TQueConfig* config) { return *config; }

// The two positions a queue of one position connects.
__aicore__ constexpr TPosition GetBufferLogicPos(TPosition pos, bool isSrc) {
  switch (pos) {
    case TPosition::A1:
    case TPosition::B1:
    case TPosition::C1:
    case TPosition::VECIN:
      return isSrc ? TPosition::GM : pos;
    case TPosition::A2:
      return isSrc ? TPosition::A1 : pos;
    case TPosition::B2:
      return isSrc ? TPosition::B1 : pos;
    case TPosition::C2:
      return isSrc ? TPosition::C1 : pos;
    case TPosition::C2PIPE2GM:
      return isSrc ? TPosition::B1 : pos;
    case TPosition::CO1:
      return isSrc ? pos : TPosition::CO2;
    case TPosition::CO2:
    case TPosition::VECOUT:
      return isSrc ? pos : TPosition::GM;
    default:
      return TPosition::MAX;
  }
}

// The position whose buffer a queue from src to dst takes.
constexpr TPosition SimQueuePosition(TPosition src, TPosition dst) {
  return dst == TPosition::GM || (src == TPosition::CO1 && dst == TPosition::CO2) ? src : dst;
}

// CANN's GetQueEvt for this chip.
constexpr ascend_sim::EventPipes SimQueueEvent(TPosition src, TPosition dst, bool forward) {
  using B = ascend_sim::Buffer;
  using P = ascend_sim::Pipe;
  const B from = BufferOf(src), to = BufferOf(dst);
  P producer = P::kS, consumer = P::kS;
  if (from == B::kGm && to == B::kUb) {
    producer = P::kMte2, consumer = P::kV;
  } else if (from == B::kGm && to == B::kL1) {
    producer = P::kMte2, consumer = P::kMte1;
  } else if (from == B::kGm && (to == B::kL0A || to == B::kL0B)) {
    producer = P::kMte2, consumer = P::kM;
  } else if (from == B::kUb && to == B::kGm) {
    producer = P::kV, consumer = P::kMte3;
  } else if (from == B::kUb && to == B::kL1) {
    producer = P::kMte3, consumer = P::kMte1;
  } else if (from == B::kUb && to == B::kUb) {
    producer = P::kMte2, consumer = P::kMte3;
  } else if (from == B::kL1 && to == B::kUb) {
    producer = P::kMte1, consumer = P::kV;
  } else if (from == B::kL1 && (to == B::kL0A || to == B::kL0B || to == B::kBt)) {
    producer = P::kMte1, consumer = P::kM;
  } else if (from == B::kL1 && to == B::kFb) {
    producer = P::kMte1, consumer = P::kFix;
  } else if (from == B::kL0C && to == B::kGm) {
    producer = P::kM, consumer = P::kFix;
  } else {
    return {P::kS, P::kS, false};
  }
  return forward ? ascend_sim::EventPipes{producer, consumer, true} : ascend_sim::EventPipes{consumer, producer, true};
}

template <TPosition src, TPosition dst, int32_t depth, auto mask = 0>
class TQueBind {
 public:
  static constexpr TQueConfig config = GetTQueConfig(mask);
  static constexpr TPosition srcPosition = src;
  static constexpr TPosition dstPosition = dst;
  static constexpr TPosition kSimPosition = SimQueuePosition(src, dst);
  static constexpr ascend_sim::QueueSpec kSimSpec = {SimPositionName(kSimPosition), BufferOf(kSimPosition),
                                                     SimQueueEvent(src, dst, true), SimQueueEvent(src, dst, false),
                                                     depth};

  template <typename T>
  __aicore__ inline LocalTensor<T> AllocTensor(Site site = Site::Here()) {
    static_assert(depth != 0, "a queue of depth 0 allocates in place: AllocTensor(tensor)");
    return Tensor<T>(queue_.Alloc(kSimSpec, site));
  }
  template <typename T>
  __aicore__ inline void AllocTensor(LocalTensor<T>& tensor, Site site = Site::Here()) {
    static_assert(depth == 0, "AllocTensor(tensor) needs a queue of depth 0");
    tensor = Tensor<T>(queue_.Alloc(kSimSpec, site));
  }
  template <typename T>
  __aicore__ inline void FreeTensor(LocalTensor<T>& tensor, Site site = Site::Here()) {
    queue_.Free(kSimSpec, tensor.sim(), site);
  }
  template <typename T>
  __aicore__ inline bool EnQue(const LocalTensor<T>& tensor, Site site = Site::Here()) {
    queue_.EnQue(kSimSpec, tensor.sim(), kSimSpec.forward, site);
    return true;
  }
  template <TPosition srcUserPos, TPosition dstUserPos, typename T>
  __aicore__ inline bool EnQue(const LocalTensor<T>& tensor, Site site = Site::Here()) {
    static_assert(depth != 0, "EnQue with positions needs a depth above 0");
    queue_.EnQue(kSimSpec, tensor.sim(), SimQueueEvent(srcUserPos, dstUserPos, true), site);
    return true;
  }
  template <typename T>
  __aicore__ inline LocalTensor<T> DeQue(Site site = Site::Here()) {
    static_assert(depth != 0, "a queue of depth 0 dequeues in place: DeQue(tensor)");
    return Tensor<T>(queue_.DeQue(kSimSpec, kSimSpec.forward, site));
  }
  template <typename T>
  __aicore__ inline void DeQue(LocalTensor<T>& tensor, Site site = Site::Here()) {
    static_assert(depth == 0, "DeQue(tensor) needs a queue of depth 0");
    queue_.DeQueInPlace(kSimSpec, tensor.sim(), site);
  }
  template <TPosition srcUserPos, TPosition dstUserPos, typename T>
  __aicore__ inline LocalTensor<T> DeQue(Site site = Site::Here()) {
    static_assert(depth != 0, "DeQue with positions needs a depth above 0");
    return Tensor<T>(queue_.DeQue(kSimSpec, SimQueueEvent(srcUserPos, dstUserPos, true), site));
  }

  __aicore__ inline bool VacantInQue() { return queue_.enqueued < depth; }
  __aicore__ inline bool HasTensorInQue() { return queue_.enqueued != 0; }
  __aicore__ inline int32_t GetTensorCountInQue() { return queue_.enqueued; }
  __aicore__ inline bool HasIdleBuffer() { return queue_.HasIdle(); }
  __aicore__ inline void FreeAllEvent(Site site = Site::Here()) { queue_.FreeAllEvent(kSimSpec, site); }
  template <typename T>
  __aicore__ inline TBufState GetState(const LocalTensor<T>& tensor) const {
    const ascend_sim::QueueBuffer* buffer = queue_.Find(tensor.sim());
    return buffer == nullptr ? TBufState::FREE : static_cast<TBufState>(buffer->state);
  }

  // For pools that a kernel writes itself (EXTERN_IMPL_BUFPOOL).
  __aicore__ inline void InitStartBufHandle(TBufHandle startBufhandle, uint8_t num, uint32_t) {
    queue_.Start(reinterpret_cast<ascend_sim::QueueBuffer*>(startBufhandle), num);
  }
  template <typename T>
  __aicore__ inline void InitBufHandle(T*, uint32_t index, TBufHandle bufhandle, uint32_t curPoolAddr, uint32_t len,
                                       Site site = Site::Here()) {
    auto* buffer = reinterpret_cast<ascend_sim::QueueBuffer*>(bufhandle);
    ascend_sim::Arena place{curPoolAddr, curPoolAddr,
                            static_cast<uint32_t>(ascend_sim::device::Capacity(kSimSpec.buffer))};
    ascend_sim::PlaceBuffers(buffer, kSimSpec, 1, len, place, site);
    static_cast<void>(index);
  }
  ascend_sim::QueueState& SimQueue() { return queue_; }

 private:
  template <typename T>
  static LocalTensor<T> Tensor(const ascend_sim::Local& local) {
    return LocalTensor<T>::FromSim(local, kSimPosition);
  }
  ascend_sim::QueueState queue_;
};

template <TPosition pos, int32_t depth, auto mask = 0>
class TQue : public TQueBind<GetBufferLogicPos(pos, true), GetBufferLogicPos(pos, false), depth, mask> {};

template <TPosition pos, int32_t depth = 1, auto mask = 0>
using TSCM = TQueBind<pos, TPosition::TSCM, depth, mask>;

// A buffer without a queue: the kernel synchronises by itself.
template <TPosition pos = TPosition::LCM>
class TBuf {
 public:
  static constexpr ascend_sim::QueueSpec kSimSpec = {SimPositionName(pos), BufferOf(pos), {}, {}, 0};

  template <typename T>
  __aicore__ inline LocalTensor<T> Get(Site site = Site::Here()) {
    return Part<T>(0, buffer_ == nullptr ? 0 : buffer_->bytes, "Get", site);
  }
  template <typename T>
  __aicore__ inline LocalTensor<T> Get(uint32_t len, Site site = Site::Here()) {
    return Part<T>(0, static_cast<uint64_t>(len) * sizeof(T), "Get", site);
  }
  // size in elements, bufOffset in bytes
  template <typename T>
  __aicore__ inline LocalTensor<T> GetWithOffset(uint32_t size, uint32_t bufOffset, Site site = Site::Here()) {
    return Part<T>(bufOffset, static_cast<uint64_t>(size) * sizeof(T), "GetWithOffset", site);
  }
  __aicore__ inline void InitStartBufHandle(TBufHandle startBufhandle, uint8_t, uint32_t) {
    buffer_ = reinterpret_cast<ascend_sim::QueueBuffer*>(startBufhandle);
  }
  template <typename T>
  __aicore__ inline void InitBufHandle(T*, uint32_t, TBufHandle bufhandle, uint32_t curPoolAddr, uint32_t len,
                                       Site site = Site::Here()) {
    auto* buffer = reinterpret_cast<ascend_sim::QueueBuffer*>(bufhandle);
    ascend_sim::Arena place{curPoolAddr, curPoolAddr,
                            static_cast<uint32_t>(ascend_sim::device::Capacity(kSimSpec.buffer))};
    ascend_sim::PlaceBuffers(buffer, kSimSpec, 1, len, place, site);
  }
  void SimStart(ascend_sim::QueueBuffer* buffer) { buffer_ = buffer; }

 private:
  template <typename T>
  LocalTensor<T> Part(uint64_t offset, uint64_t bytes, const char* call, Site site) const {
    return LocalTensor<T>::FromSim(ascend_sim::BufTensor(buffer_, kSimSpec, offset, bytes, call, site), pos);
  }
  ascend_sim::QueueBuffer* buffer_ = nullptr;
};

template <uint32_t bufIDSize>
struct TBufPoolImpl {
  ascend_sim::QueueBuffer buf_[bufIDSize];
  uint8_t curBufSize_ = 0;
  uint32_t startAddr_ = 0, maxAddr_ = 0, maxLen_ = 0;
  bool isReset_ = true;
};

template <TPosition pos, uint32_t bufIDSize = defaultBufIDSize>
class TBufPool {
 public:
  static constexpr TPosition poolPos = pos;
  static constexpr bool isTbufPool = true;
  static_assert(BufferOf(pos) == ascend_sim::Buffer::kUb || BufferOf(pos) == ascend_sim::Buffer::kL1,
                "a TBufPool lies in L1 or UB");

  __aicore__ inline TBufPool() = default;
  __aicore__ inline ~TBufPool() { Reset(Site{__FILE__, __LINE__}); }

  template <class T>
  __aicore__ inline bool InitBuffer(T& que, uint8_t num, uint32_t len, Site site = Site::Here()) {
    ascend_sim::QueueBuffer* first = Place(T::kSimSpec, num, len, site);
    que.SimQueue().Start(first, num);
    for (uint8_t i = 0; i < num; ++i) {
      ascend_sim::PrepareEvents(ascend_sim::CurrentPipe("InitBuffer", site), first[i], T::kSimSpec, site);
    }
    return true;
  }
  template <TPosition bufPos>
  __aicore__ inline bool InitBuffer(TBuf<bufPos>& buf, uint32_t len, Site site = Site::Here()) {
    buf.SimStart(Place(TBuf<bufPos>::kSimSpec, 1, len, site));
    return true;
  }
  template <class T, class U>
  __aicore__ inline bool InitBufPool(T& bufPool, uint32_t len, U& shareBuf, Site site = Site::Here()) {
    static_assert(T::isTbufPool && U::isTbufPool, "InitBufPool takes TBufPools");
    SimShare(bufPool, len, shareBuf, site);
    return true;
  }
  template <class T>
  __aicore__ inline bool InitBufPool(T& bufPool, uint32_t len, Site site = Site::Here()) {
    static_assert(T::isTbufPool, "InitBufPool takes a TBufPool");
    ascend_sim::QueueBuffer whole;
    ascend_sim::Arena arena = Space(site);
    ascend_sim::PlaceBuffers(&whole, kSpec, 1, len, arena, site);
    tBufPoolImpl.maxAddr_ = arena.top;
    SimGive(bufPool, {whole.address, whole.address, arena.top});
    return true;
  }
  __aicore__ inline void Reset(Site site = Site::Here()) {
    ascend_sim::SettleBuffers(tBufPoolImpl.buf_, tBufPoolImpl.curBufSize_, true, site);
    tBufPoolImpl.curBufSize_ = 0;
    tBufPoolImpl.maxAddr_ = tBufPoolImpl.startAddr_;
  }

  template <class Pool>
  static void SimGive(Pool& pool, const ascend_sim::Arena& arena) {
    pool.tBufPoolImpl.startAddr_ = pool.tBufPoolImpl.maxAddr_ = arena.begin;
    pool.tBufPoolImpl.maxLen_ = arena.end - arena.begin;
  }
  template <class Pool, class Other>
  static void SimShare(Pool& pool, uint32_t len, const Other& other, Site site) {
    const ascend_sim::Arena arena{other.tBufPoolImpl.startAddr_, other.tBufPoolImpl.startAddr_,
                                  other.tBufPoolImpl.startAddr_ + other.tBufPoolImpl.maxLen_};
    if (len == 0 || len > other.tBufPoolImpl.maxLen_) {
      ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kCapacity), site, "InitBufPool",
                                 "InitBufPool: %u bytes of a shared pool of %u", len, other.tBufPoolImpl.maxLen_);
    }
    SimGive(pool, arena);
  }

  TBufPoolImpl<bufIDSize> tBufPoolImpl;

 private:
  static constexpr ascend_sim::QueueSpec kSpec = {SimPositionName(pos), BufferOf(pos), {}, {}, 0};
  ascend_sim::Arena Space(Site site) const {
    if (tBufPoolImpl.maxLen_ == 0) {
      ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kPoolNotInitialised), site, "InitBuffer",
                                 "InitBuffer: InitBufPool was not called for this TBufPool");
    }
    return {tBufPoolImpl.startAddr_, tBufPoolImpl.maxAddr_, tBufPoolImpl.startAddr_ + tBufPoolImpl.maxLen_};
  }
  ascend_sim::QueueBuffer* Place(const ascend_sim::QueueSpec& spec, uint32_t number, uint32_t len, Site site) {
    if (spec.buffer != BufferOf(pos)) {
      ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kQueuePosition), site, "InitBuffer",
                                 "InitBuffer: a queue of %s in a TBufPool of %s", spec.position, SimPositionName(pos));
    }
    ascend_sim::Arena arena = Space(site);
    if (tBufPoolImpl.curBufSize_ + number > bufIDSize) {
      ascend_sim::device::Report(
          static_cast<int>(ascend_sim::Rule::kQueue), site, "InitBuffer",
          "InitBuffer: this TBufPool holds at most %u buffers; it has %u and is asked for %u more", bufIDSize,
          tBufPoolImpl.curBufSize_, number);
    }
    ascend_sim::QueueBuffer* first = tBufPoolImpl.buf_ + tBufPoolImpl.curBufSize_;
    ascend_sim::PlaceBuffers(first, spec, number, len, arena, site);
    tBufPoolImpl.curBufSize_ = static_cast<uint8_t>(tBufPoolImpl.curBufSize_ + number);
    tBufPoolImpl.maxAddr_ = arena.top;
    return first;
  }
};

// Members of a pool class that a kernel writes itself.
#define EXTERN_IMPL_BUFPOOL(EXT_BUFPOOL, POSITION, BUFID_SIZE)                                              \
 public:                                                                                                    \
  static constexpr AscendC::TPosition poolPos = POSITION;                                                   \
  static constexpr int bufIDSize = BUFID_SIZE;                                                              \
  static constexpr bool isTbufPool = true;                                                                  \
  __aicore__ inline ~EXT_BUFPOOL() { Reset(); }                                                             \
  __aicore__ inline void Reset() {                                                                          \
    ascend_sim::SettleBuffers(tBufPoolImpl.buf_, tBufPoolImpl.curBufSize_, true, AscendC::Site::Here());    \
    ResetPool();                                                                                            \
  }                                                                                                         \
  __aicore__ inline void Init() {                                                                           \
    ResetPool();                                                                                            \
    tBufPoolImpl.isReset_ = true;                                                                           \
  }                                                                                                         \
  __aicore__ inline AscendC::TBufHandle GetBufHandle(uint8_t offset) {                                      \
    return reinterpret_cast<AscendC::TBufHandle>(this->tBufPoolImpl.buf_ + offset);                         \
  }                                                                                                         \
  __aicore__ inline void SetCurAddr(uint32_t curAddr) { this->tBufPoolImpl.maxAddr_ = curAddr; }            \
  __aicore__ inline uint32_t GetCurAddr() { return this->tBufPoolImpl.maxAddr_; }                           \
  __aicore__ inline void SetCurBufSize(uint8_t curBufSize) { this->tBufPoolImpl.curBufSize_ = curBufSize; } \
  __aicore__ inline uint8_t GetCurBufSize() { return this->tBufPoolImpl.curBufSize_; }                      \
  AscendC::TBufPoolImpl<BUFID_SIZE> tBufPoolImpl;                                                           \
                                                                                                            \
 private:                                                                                                   \
  __aicore__ inline void ResetPool() {                                                                      \
    tBufPoolImpl.curBufSize_ = 0;                                                                           \
    tBufPoolImpl.startAddr_ = tBufPoolImpl.maxAddr_ = tBufPoolImpl.maxLen_ = 0;                             \
  }                                                                                                         \
  static_assert(true, "")

class TPipe {
 public:
  __aicore__ inline TPipe(Site site = Site::Here()) : site_(site) {
    InitSocState();
    state_.Init(site);
  }
  TPipe(const TPipe&) = delete;
  // The state of another one, as kernels that keep a TPipe in a class assign it; the other one's end is then this
  // one's.
  __aicore__ inline TPipe& operator=(const TPipe& other) {
    state_.TakeOver(other.state_);
    return *this;
  }
  __aicore__ inline ~TPipe() { state_.Destroy(true, site_); }
  __aicore__ inline void Init(Site site = Site::Here()) { state_.Init(site); }
  __aicore__ inline void Destroy(Site site = Site::Here()) { state_.Destroy(true, site); }
  __aicore__ inline void DestroyWithoutPipeAll(Site site = Site::Here()) { state_.Destroy(false, site); }
  __aicore__ inline void Reset(Site site = Site::Here()) {
    state_.Reset(site);
    InitSocState();
  }

  template <class T>
  __aicore__ inline bool InitBuffer(T& que, uint8_t num, uint32_t len, Site site = Site::Here()) {
    state_.InitQueue(que.SimQueue(), T::kSimSpec, num, len, site);
    return true;
  }
  // Addresses of the kernel's own: one tuple (address, length) a buffer.
  template <class T, class U, class V, class... Addrs>
  __aicore__ inline bool InitBuffer(T& que, const Std::tuple<U, V>& addr0, const Addrs&... addrs) {
    const uint32_t places[][2] = {
        {static_cast<uint32_t>(Std::get<0>(addr0)), static_cast<uint32_t>(Std::get<1>(addr0))},
        {static_cast<uint32_t>(Std::get<0>(addrs)), static_cast<uint32_t>(Std::get<1>(addrs))}...};
    for (uint32_t i = 0; i < 1 + sizeof...(addrs); ++i) {
      state_.AddAt(que.SimQueue(), T::kSimSpec, i, places[i][0], places[i][1], site_);
    }
    return true;
  }
  template <TPosition pos>
  __aicore__ inline bool InitBuffer(TBuf<pos>& buf, uint32_t len, Site site = Site::Here()) {
    buf.SimStart(state_.InitBuf(TBuf<pos>::kSimSpec, len, site));
    return true;
  }
  template <class T>
  __aicore__ inline bool InitBufPool(T& bufPool, uint32_t len, Site site = Site::Here()) {
    static_assert(T::isTbufPool, "InitBufPool takes a TBufPool");
    TBufPool<TPosition::VECCALC>::SimGive(bufPool, state_.TakeArena(BufferOf(T::poolPos), len, site));
    return true;
  }
  template <class T, class U>
  __aicore__ inline bool InitBufPool(T& bufPool, uint32_t len, U& shareBuf, Site site = Site::Here()) {
    static_assert(T::isTbufPool && U::isTbufPool, "InitBufPool takes TBufPools");
    TBufPool<TPosition::VECCALC>::SimShare(bufPool, len, shareBuf, site);
    return true;
  }

  template <HardEvent evt>
  __aicore__ inline TEventID AllocEventID(Site site = Site::Here()) {
    return static_cast<TEventID>(state_.AllocEvent(SimPipesOf(evt).from, SimPipesOf(evt).to, "AllocEventID", site));
  }
  template <HardEvent evt>
  __aicore__ inline void ReleaseEventID(TEventID id, Site site = Site::Here()) {
    state_.ReleaseEvent(SimPipesOf(evt).from, SimPipesOf(evt).to, id, site);
  }
  // Names a free id without taking it: the next call may name it again.
  template <HardEvent evt>
  __aicore__ inline TEventID FetchEventID(Site site = Site::Here()) {
    return FetchEventID(evt, site);
  }
  __aicore__ inline TEventID FetchEventID(HardEvent evt, Site site = Site::Here()) {
    return static_cast<TEventID>(state_.FetchEvent(SimPipesOf(evt).from, SimPipesOf(evt).to, site));
  }
  // offset and size in bytes
  template <TPosition pos, typename T>
  __aicore__ inline LocalTensor<T> GetAbsAddr(int32_t offset, int32_t size) const {
    return LocalTensor<T>::FromSim({BufferOf(pos), static_cast<uint32_t>(offset), static_cast<uint32_t>(size), 0}, pos);
  }
  // What InitBuffer has not handed out.
  ascend_sim::Arena SimRest(ascend_sim::Buffer buffer) const { return state_.arenas[static_cast<int>(buffer)]; }

 private:
  ascend_sim::PipeState state_;  // first: the current TPipe is found through it
  Site site_;                    // of its construction, which names its destruction in findings
};

}  // namespace AscendC

// Global, as in CANN.
__aicore__ inline AscendC::TPipe* GetTPipePtr(ascend_sim::Site site = ascend_sim::Site::Here()) {
  // TPipe is standard layout, so its state and itself share an address.
  static_assert(std::is_standard_layout<AscendC::TPipe>::value, "TPipe and its state share an address");
  return reinterpret_cast<AscendC::TPipe*>(&ascend_sim::CurrentPipe("GetTPipePtr", site));
}

namespace AscendC {

// The rest of the position's buffer, as high-level APIs take it for scratch.
template <typename T, TPosition pos>
__aicore__ inline bool PopStackBuffer(LocalTensor<T>& popBuffer, Site site = Site::Here()) {
  const ascend_sim::Arena rest = GetTPipePtr(site)->SimRest(BufferOf(pos));
  popBuffer = LocalTensor<T>::FromSim({BufferOf(pos), rest.top, rest.end - rest.top, 0}, pos);
  return rest.end > rest.top;
}

// A pair of pipes, for kernels that spell flags by pipe.
template <pipe_t src, pipe_t dst>
class TQueSync {
 public:
  __aicore__ inline void SetFlag(TEventID id, Site site = Site::Here()) {
    ascend_sim::device::KernelSetFlag(SimPipe(src), SimPipe(dst), id, site);
  }
  __aicore__ inline void WaitFlag(TEventID id, Site site = Site::Here()) {
    ascend_sim::device::KernelWaitFlag(SimPipe(src), SimPipe(dst), id, site);
  }
};

}  // namespace AscendC
