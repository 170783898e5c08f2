#include "framework/pipe_state.h"

#include <cstring>

#include "core/core.h"
#include "core/device.h"
#include "core/findings.h"
#include "core/machine.h"

namespace ascend_sim {

namespace {

const char* StateName(QueueBufferState state) {
  static const char* names[] = {"free", "allocated", "in the queue", "dequeued"};
  return names[static_cast<int>(state)];
}

template <class... Args>
void Fail(Rule rule, Site site, const char* call, const char* format, Args... args) {
  device::Report(static_cast<int>(rule), site, call, format, args...);
}

// Timing-only runs issue no checks, and may allocate hundreds of millions of times.
uint32_t Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site) {
  return device::TimingOnly() ? 0 : device::Allocate(buffer, offset, bytes, site);
}

uint32_t RoundUp(uint32_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

// In mixed kernels L1 keeps its last 256 bytes, says the documentation; CANN's constant is 128, and CATLASS, which runs
// on chips, takes all of it. The end of UB that instructions use may be handed out: touching it is reported.
uint32_t UsableBytes(Buffer buffer) {
  const uint64_t capacity = device::Capacity(buffer);
  constexpr uint64_t kept = 256;
  const bool reserved = buffer == Buffer::kL1 && CurrentMachine().group_size_aiv() > 0 &&
                        !CurrentMachine().options.lenient && capacity >= kept;
  return static_cast<uint32_t>(capacity - (reserved ? kept : 0));
}

}  // namespace

PipeState& CurrentPipe(const char* call, Site site) {
  auto* pipe = static_cast<PipeState*>(device::CurrentTPipe());
  if (pipe == nullptr) Fail(Rule::kBufferNotInitialised, site, call, "%s: the kernel has constructed no TPipe", call);
  return *pipe;
}

// ---- TPipe ----------------------------------------------------------------------------------------------------------

void PipeState::ClearPool() {
  count = 0;
  std::memset(taken, 0, sizeof taken);
  for (int b = 1; b < kBufferCount; ++b) {
    arenas[b] = Arena{0, 0, device::Capacity(static_cast<Buffer>(b)) == 0 ? 0 : UsableBytes(static_cast<Buffer>(b))};
  }
}

// On AIC three M -> MTE1 events are kept set between construction and destruction: CANN's matmul waits for them first.
void PipeState::Init(Site site) {
  ClearPool();
  if (device::Type() == CoreType::kAic) {
    for (int id = 0; id < 3; ++id) {
      device::SetFlag(Pipe::kM, Pipe::kMte1, AllocEvent(Pipe::kM, Pipe::kMte1, "TPipe", site), site);
    }
  }
  device::CurrentTPipe() = this;
  destroyed = false;
}

void SettleBuffers(QueueBuffer* buffers, uint32_t count, bool report_leaks, Site site) {
  for (uint32_t i = 0; i < count; ++i) {
    QueueBuffer& buffer = buffers[i];
    if (buffer.back_id >= 0 && buffer.state == QueueBufferState::kFree) {
      device::WaitFlag(buffer.back.from, buffer.back.to, buffer.back_id, site);
      buffer.back_id = -1;
    }
    if (report_leaks && buffer.state != QueueBufferState::kFree && !device::TimingOnly()) {
      Fail(Rule::kLeak, buffer.site, "AllocTensor",
           "the tensor of %u bytes in %s allocated here was never freed (it is %s)", buffer.bytes, buffer.position,
           StateName(buffer.state));
      buffer.state = QueueBufferState::kFree;
    }
  }
}

void PipeState::TakeOver(const PipeState& other) {
  if (this == &other) return;
  *this = other;
  const_cast<PipeState&>(other).destroyed = true;
  device::CurrentTPipe() = this;
}

void PipeState::Destroy(bool barrier, Site site) {
  if (destroyed) return;
  destroyed = true;
  SettleBuffers(buffers, count, true, site);
  if (device::Type() == CoreType::kAic) {
    for (int id = 0; id < 3; ++id) {
      device::WaitFlag(Pipe::kM, Pipe::kMte1, id, site);
      ReleaseEvent(Pipe::kM, Pipe::kMte1, id, site);
    }
  }
  if (barrier) device::Barrier(Pipe::kAll, site);
}

void PipeState::Reset(Site site) {
  SettleBuffers(buffers, count, true, site);
  for (uint32_t i = 0; i < count; ++i) {
    // What TBuf handed out is gone with its memory; tensors of queues were freed one by one.
    if (buffers[i].handle != 0 && buffers[i].is_buf) device::Free(buffers[i].handle, site);
  }
  ClearPool();
}

int PipeState::AllocEvent(Pipe from, Pipe to, const char* call, Site site) {
  const int id = FetchEvent(from, to, site);
  if (id >= static_cast<int>(kEventIds)) {
    Fail(
        Rule::kQueue, site, call,
        "%s: all %u event ids of %s -> %s are taken; a position holds at most %u queue buffers at a time (FreeAllEvent "
        "returns the ids of an idle queue, ReleaseEventID those of AllocEventID)",
        call, kEventIds, PipeName(from), PipeName(to), kEventIds);
  }
  taken[static_cast<int>(from)][static_cast<int>(to)] |= static_cast<uint8_t>(1u << id);
  return id;
}

int PipeState::FetchEvent(Pipe from, Pipe to, Site) const {
  const uint8_t used = taken[static_cast<int>(from)][static_cast<int>(to)];
  int id = 0;
  while (id < static_cast<int>(kEventIds) && (used >> id & 1u) != 0) ++id;
  return id;
}

void PipeState::ReleaseEvent(Pipe from, Pipe to, int id, Site site) {
  uint8_t& used = taken[static_cast<int>(from)][static_cast<int>(to)];
  if (id < 0 || id >= static_cast<int>(kEventIds) || (used >> id & 1u) == 0) {
    Fail(Rule::kQueue, site, "ReleaseEventID", "ReleaseEventID: id %d of %s -> %s was not allocated", id,
         PipeName(from), PipeName(to));
  }
  used = static_cast<uint8_t>(used & ~(1u << id));
}

void PlaceBuffers(QueueBuffer* at, const QueueSpec& spec, uint32_t number, uint32_t bytes, Arena& arena, Site site) {
  if (number == 0 || bytes == 0) {
    Fail(Rule::kArgument, site, "InitBuffer", "InitBuffer: expected num and len above 0, got num %u, len %u", number,
         bytes);
  }
  // A class that both core types share may name buffers that one of them never uses; using one is a finding.
  const bool absent = device::Capacity(spec.buffer) == 0;
  if (absent && !CurrentMachine().options.lenient) {
    Fail(Rule::kWrongCore, site, "InitBuffer", "InitBuffer: %s lies in %s, which this core does not have",
         spec.position, BufferName(spec.buffer));
  }
  const uint64_t rounded = (static_cast<uint64_t>(bytes) + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  if (!absent && arena.top + rounded * number > arena.end) {
    Fail(Rule::kCapacity, site, "InitBuffer", "InitBuffer: %u x %llu bytes of %s at byte %u of %s exceed its end at %u",
         number, static_cast<unsigned long long>(rounded), spec.position, arena.top, BufferName(spec.buffer),
         arena.end);
  }
  for (uint32_t i = 0; i < number; ++i) {
    at[i] = QueueBuffer{};
    at[i].address = arena.top;
    at[i].bytes = static_cast<uint32_t>(rounded);
    at[i].position = spec.position;
    at[i].back = spec.back;
    arena.top += at[i].bytes;
  }
}

// In-place queues (depth 0) keep their event ids; their buffers start as freed ones.
void PrepareEvents(PipeState& pipe, QueueBuffer& buffer, const QueueSpec& spec, Site site) {
  if (spec.depth != 0 || !spec.forward.exists || !spec.back.exists) return;
  buffer.forward_id = static_cast<int8_t>(pipe.AllocEvent(spec.forward.from, spec.forward.to, "InitBuffer", site));
  buffer.back_id = static_cast<int8_t>(pipe.AllocEvent(spec.back.from, spec.back.to, "InitBuffer", site));
  device::SetFlag(spec.back.from, spec.back.to, buffer.back_id, site);
}

void PipeState::InitQueue(QueueState& queue, const QueueSpec& spec, uint32_t number, uint32_t bytes, Site site) {
  if (count + number > kPipeBuffers) {
    Fail(Rule::kQueue, site, "InitBuffer",
         "InitBuffer: a TPipe holds at most %u buffers; it has %u and is asked for %u more", kPipeBuffers, count,
         number);
  }
  QueueBuffer* first = buffers + count;
  PlaceBuffers(first, spec, number, bytes, arenas[static_cast<int>(spec.buffer)], site);
  count += number;
  queue.Start(first, static_cast<uint8_t>(number));
  for (uint32_t i = 0; i < number; ++i) PrepareEvents(*this, first[i], spec, site);
}

void PipeState::AddAt(QueueState& queue, const QueueSpec& spec, uint32_t index, uint32_t address, uint32_t bytes,
                      Site site) {
  if (count + 1 > kPipeBuffers) {
    Fail(Rule::kQueue, site, "InitBuffer", "InitBuffer: a TPipe holds at most %u buffers", kPipeBuffers);
  }
  Arena place{address, address, arenas[static_cast<int>(spec.buffer)].end};
  QueueBuffer* buffer = buffers + count;
  PlaceBuffers(buffer, spec, 1, bytes, place, site);
  ++count;
  queue.Start(buffer - index, static_cast<uint8_t>(index + 1));
  PrepareEvents(*this, *buffer, spec, site);
}

QueueBuffer* PipeState::InitBuf(const QueueSpec& spec, uint32_t bytes, Site site) {
  if (count + 1 > kPipeBuffers) {
    Fail(Rule::kQueue, site, "InitBuffer", "InitBuffer: a TPipe holds at most %u buffers", kPipeBuffers);
  }
  QueueBuffer* buffer = buffers + count;
  PlaceBuffers(buffer, spec, 1, bytes, arenas[static_cast<int>(spec.buffer)], site);
  ++count;
  buffer->is_buf = true;
  buffer->handle = Allocate(spec.buffer, buffer->address, buffer->bytes, site);
  return buffer;
}

Arena PipeState::TakeArena(Buffer buffer, uint32_t bytes, Site site) {
  Arena& from = arenas[static_cast<int>(buffer)];
  const uint32_t rounded = RoundUp(bytes);
  if (bytes == 0 || static_cast<uint64_t>(from.top) + rounded > from.end) {
    Fail(Rule::kCapacity, site, "InitBufPool", "InitBufPool: %u bytes at byte %u of %s: expected 1..%u", bytes,
         from.top, BufferName(buffer), from.end - from.top);
  }
  const Arena taken{from.top, from.top, from.top + rounded};
  from.top += rounded;
  return taken;
}

// ---- TQue -----------------------------------------------------------------------------------------------------------

void QueueState::Start(QueueBuffer* buffers, uint8_t number) {
  *this = QueueState{};
  first = buffers;
  count = number;
}

QueueBuffer* QueueState::Find(const Local& tensor) const {
  for (int i = 0; i < count; ++i) {
    if (tensor.offset >= first[i].address && tensor.offset < first[i].address + first[i].bytes) return first + i;
  }
  return nullptr;
}

bool QueueState::HasIdle() const {
  for (int i = 0; i < count; ++i) {
    if (first[i].state == QueueBufferState::kFree) return true;
  }
  return false;
}

void QueueState::RequireInit(const char* call, const QueueSpec& spec, Site site) const {
  if (first == nullptr) {
    Fail(Rule::kBufferNotInitialised, site, call, "%s: InitBuffer was not called for this %s queue", call,
         spec.position);
  }
}

QueueBuffer& QueueState::Require(const char* call, const QueueSpec& spec, const Local& tensor, Site site) const {
  RequireInit(call, spec, site);
  QueueBuffer* buffer = tensor.buffer == spec.buffer ? Find(tensor) : nullptr;
  if (buffer == nullptr) {
    Fail(Rule::kQueuePosition, site, call, "%s: the tensor at byte %u of %s is no buffer of this %s queue", call,
         tensor.offset, BufferName(tensor.buffer), spec.position);
  }
  return *buffer;
}

Local QueueState::Alloc(const QueueSpec& spec, Site site) {
  RequireInit("AllocTensor", spec, site);
  for (int i = 0; i < count; ++i) {
    QueueBuffer& buffer = first[cursor];
    cursor = static_cast<uint8_t>(cursor + 1 == count ? 0 : cursor + 1);
    if (buffer.state != QueueBufferState::kFree) continue;
    buffer.state = QueueBufferState::kOccupied;
    if (buffer.back_id >= 0) {
      device::WaitFlag(buffer.back.from, buffer.back.to, buffer.back_id, site);
      if (spec.depth != 0) {
        CurrentPipe("AllocTensor", site).ReleaseEvent(buffer.back.from, buffer.back.to, buffer.back_id, site);
        buffer.back_id = -1;
      }
    }
    buffer.handle = Allocate(spec.buffer, buffer.address, buffer.bytes, site);
    buffer.site = site;
    return Local{spec.buffer, buffer.address, buffer.bytes, buffer.handle};
  }
  Fail(Rule::kQueue, site, "AllocTensor",
       "AllocTensor: all %d buffers of this %s queue are in use (the first since %s:%u): the core waits for ever",
       count, spec.position, first->site.file, first->site.line);
  return Local{};
}

void QueueState::EnQue(const QueueSpec& spec, const Local& tensor, EventPipes event, Site site) {
  QueueBuffer& buffer = Require("EnQue", spec, tensor, site);
  if (tensor.handle != buffer.handle || buffer.state == QueueBufferState::kFree ||
      buffer.state == QueueBufferState::kEnqueued) {
    Fail(Rule::kQueue, site, "EnQue", "EnQue: the tensor is %s: expected one from AllocTensor or DeQue",
         tensor.handle != buffer.handle ? "freed" : StateName(buffer.state));
  }
  if (spec.depth != 0 && enqueued >= spec.depth) {
    Fail(Rule::kQueue, site, "EnQue", "EnQue: a %s queue of depth %d takes no more than %d EnQues without a DeQue",
         spec.position, spec.depth, spec.depth);
  }
  ++enqueued;
  buffer.order = ++orders;
  buffer.state = QueueBufferState::kEnqueued;
  if (!event.exists) return;
  if (spec.depth != 0) {
    buffer.forward_id = static_cast<int8_t>(CurrentPipe("EnQue", site).AllocEvent(event.from, event.to, "EnQue", site));
  }
  device::SetFlag(event.from, event.to, buffer.forward_id, site);
}

Local QueueState::DeQue(const QueueSpec& spec, EventPipes event, Site site) {
  RequireInit("DeQue", spec, site);
  QueueBuffer* oldest = nullptr;
  for (int i = 0; i < count; ++i) {
    if (first[i].state == QueueBufferState::kEnqueued && (oldest == nullptr || first[i].order < oldest->order)) {
      oldest = first + i;
    }
  }
  if (oldest == nullptr) Fail(Rule::kQueue, site, "DeQue", "DeQue: this %s queue is empty", spec.position);
  --enqueued;
  oldest->state = QueueBufferState::kDequeued;
  if (event.exists && oldest->forward_id >= 0) {
    device::WaitFlag(event.from, event.to, oldest->forward_id, site);
    CurrentPipe("DeQue", site).ReleaseEvent(event.from, event.to, oldest->forward_id, site);
    oldest->forward_id = -1;
  }
  return Local{spec.buffer, oldest->address, oldest->bytes, oldest->handle};
}

void QueueState::DeQueInPlace(const QueueSpec& spec, const Local& tensor, Site site) {
  QueueBuffer& buffer = Require("DeQue", spec, tensor, site);
  if (buffer.state != QueueBufferState::kEnqueued) {
    Fail(Rule::kQueue, site, "DeQue", "DeQue: the tensor is %s: expected one that was enqueued",
         StateName(buffer.state));
  }
  --enqueued;
  buffer.state = QueueBufferState::kDequeued;
  if (spec.forward.exists) device::WaitFlag(spec.forward.from, spec.forward.to, buffer.forward_id, site);
}

void QueueState::Free(const QueueSpec& spec, const Local& tensor, Site site) {
  QueueBuffer& buffer = Require("FreeTensor", spec, tensor, site);
  if (tensor.handle != buffer.handle || buffer.state == QueueBufferState::kFree) {
    device::Free(tensor.handle, site);  // reports the double free with both places
    return;
  }
  if (buffer.state == QueueBufferState::kEnqueued) {
    Fail(Rule::kQueue, site, "FreeTensor", "FreeTensor: the tensor is still in the %s queue: expected a DeQue first",
         spec.position);
  }
  if (spec.back.exists) {
    if (spec.depth != 0) {
      buffer.back_id = static_cast<int8_t>(
          CurrentPipe("FreeTensor", site).AllocEvent(spec.back.from, spec.back.to, "FreeTensor", site));
    }
    buffer.back = spec.back;
    device::SetFlag(spec.back.from, spec.back.to, buffer.back_id, site);
  }
  buffer.state = QueueBufferState::kFree;
  if (tensor.handle != 0) device::Free(tensor.handle, site);
}

void QueueState::FreeAllEvent(const QueueSpec& spec, Site site) {
  RequireInit("FreeAllEvent", spec, site);
  for (int i = 0; i < count; ++i) {
    QueueBuffer& buffer = first[i];
    if (buffer.back_id < 0 || buffer.state != QueueBufferState::kFree) continue;
    device::WaitFlag(buffer.back.from, buffer.back.to, buffer.back_id, site);
    CurrentPipe("FreeAllEvent", site).ReleaseEvent(buffer.back.from, buffer.back.to, buffer.back_id, site);
    buffer.back_id = -1;
  }
}

Local BufTensor(const QueueBuffer* buffer, const QueueSpec& spec, uint64_t offset, uint64_t bytes, const char* call,
                Site site) {
  if (buffer == nullptr) {
    Fail(Rule::kBufferNotInitialised, site, call, "%s: InitBuffer was not called for this TBuf of %s", call,
         spec.position);
  }
  if (offset + bytes > buffer->bytes) {
    Fail(Rule::kCapacity, site, call, "%s: bytes [%llu, %llu) of a TBuf of %u bytes", call,
         static_cast<unsigned long long>(offset), static_cast<unsigned long long>(offset + bytes), buffer->bytes);
  }
  return Local{spec.buffer, buffer->address + static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes),
               buffer->handle};
}

}  // namespace ascend_sim
