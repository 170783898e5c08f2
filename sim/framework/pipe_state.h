// The book-keeping behind TPipe, TQue, TBuf and TBufPool: who owns which bytes of an on-chip buffer, which event ids
// are taken, and the protocol AllocTensor -> EnQue -> DeQue -> FreeTensor. Compiled once; the API headers are templates
// on it.
//
// These structs live in the kernel's frame, which a fatal finding abandons without unwinding, so they own nothing.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace ascend_sim {

constexpr uint32_t kPipeBuffers = 64;  // buffers of one TPipe
constexpr uint32_t kEventIds = 8;      // event ids of a pair of pipes

// Both directions of a queue's synchronisation: forward is set by EnQue, back by FreeTensor.
struct EventPipes {
  Pipe from, to;
  bool exists;
};

// What a queue is, known at compile time.
struct QueueSpec {
  const char* position;  // "VECIN"
  Buffer buffer;
  EventPipes forward, back;
  int32_t depth;  // consecutive EnQues; 0: in place, with event ids that stay
};

// CANN's TBufState.
enum class QueueBufferState : uint8_t { kFree, kOccupied, kEnqueued, kDequeued };

struct QueueBuffer {
  uint32_t address = 0, bytes = 0;
  QueueBufferState state = QueueBufferState::kFree;
  EventPipes back{};
  int8_t forward_id = -1, back_id = -1;
  const char* position = "";
  uint32_t handle = 0;  // of the allocation handed out last, see Allocations
  uint32_t order = 0;   // of its EnQue
  uint32_t tag = ~0u;
  bool is_buf = false;  // a TBuf's: not handed out and freed, lives until Reset
  Site site;            // where it was handed out
};

struct PipeState;

struct QueueState {
  QueueBuffer* first = nullptr;  // null: InitBuffer was not called
  uint8_t count = 0, cursor = 0;
  uint16_t enqueued = 0;
  uint32_t orders = 0;

  // InitBuffer for buffers that somebody else placed.
  void Start(QueueBuffer* buffers, uint8_t number);

  Local Alloc(const QueueSpec& spec, Site site);
  void EnQue(const QueueSpec& spec, const Local& tensor, EventPipes event, Site site);
  Local DeQue(const QueueSpec& spec, EventPipes event, Site site);
  void DeQueInPlace(const QueueSpec& spec, const Local& tensor, Site site);
  void Free(const QueueSpec& spec, const Local& tensor, Site site);
  void FreeAllEvent(const QueueSpec& spec, Site site);
  bool HasIdle() const;
  QueueBuffer* Find(const Local& tensor) const;

 private:
  QueueBuffer& Require(const char* call, const QueueSpec& spec, const Local& tensor, Site site) const;
  void RequireInit(const char* call, const QueueSpec& spec, Site site) const;
};

// A stretch of a buffer that InitBuffer hands out from the bottom: one per buffer in a TPipe, one in a TBufPool.
struct Arena {
  uint32_t begin = 0, top = 0, end = 0;
};

struct PipeState {
  QueueBuffer buffers[kPipeBuffers];
  uint32_t count = 0;
  Arena arenas[kBufferCount];
  uint8_t taken[kPipeCount][kPipeCount];  // event ids in use, one bit each
  bool destroyed = true;

  void Init(Site site);
  void Destroy(bool barrier, Site site);
  void Reset(Site site);
  void TakeOver(const PipeState& other);  // which ends without effect afterwards
  int AllocEvent(Pipe from, Pipe to, const char* call, Site site);
  int FetchEvent(Pipe from, Pipe to, Site site) const;
  void ReleaseEvent(Pipe from, Pipe to, int id, Site site);

  // InitBuffer: `number` buffers of `bytes` each (rounded up to 32 B) for a queue, or one for a TBuf.
  void InitQueue(QueueState& queue, const QueueSpec& spec, uint32_t number, uint32_t bytes, Site site);
  QueueBuffer* InitBuf(const QueueSpec& spec, uint32_t bytes, Site site);
  // InitBuffer with explicit addresses: adds one buffer of the queue; `index` counts them.
  void AddAt(QueueState& queue, const QueueSpec& spec, uint32_t index, uint32_t address, uint32_t bytes, Site site);
  Arena TakeArena(Buffer buffer, uint32_t bytes, Site site);

 private:
  void ClearPool();
  void WaitBack(Site site);
};

// Shared by TPipe and TBufPool.
void PlaceBuffers(QueueBuffer* at, const QueueSpec& spec, uint32_t number, uint32_t bytes, Arena& arena, Site site);
void PrepareEvents(PipeState& pipe, QueueBuffer& buffer, const QueueSpec& spec, Site site);
// Waits for the events of buffers that were freed; buffers still in use are leaks.
void SettleBuffers(QueueBuffer* buffers, uint32_t count, bool report_leaks, Site site);
// The tensor over a whole TBuf; reports one that InitBuffer was not called for, or too short a one.
Local BufTensor(const QueueBuffer* buffer, const QueueSpec& spec, uint64_t offset, uint64_t bytes, const char* call,
                Site site);

// The TPipe of the running core, or a finding.
PipeState& CurrentPipe(const char* call, Site site);

}  // namespace ascend_sim
