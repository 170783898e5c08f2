#include "core/order.h"

#include "core/core.h"

namespace ascend_sim {

namespace {
// Bounds the memory of lazy execution; past it the oldest instruction of the pipe runs.
constexpr size_t kMaxPending = 4096;
}  // namespace

void Order::Reset(OrderMode mode, uint64_t seed, bool vector_in_order, std::vector<Core*> cores) {
  mode_ = mode;
  vector_in_order_ = vector_in_order;
  random_.seed(seed);
  cores_ = std::move(cores);
  queues_.clear();
  queues_.resize(cores_.size() * kPipeCount);
}

void Order::Push(Core& core, Pipe pipe, const void* instruction, const InstructionOps& ops) {
  // The scalar unit's own accesses happen where they stand in the program.
  if (mode_ == OrderMode::kEager || pipe == Pipe::kS) {
    ops.execute(instruction, core.exec());
    return;
  }
  Queue& queue = At(core.index, pipe);
  queue.items.emplace_back();
  Pending& item = queue.items.back();
  item.ticket = ++queue.issued;
  item.ops = &ops;
  std::memcpy(item.bytes, instruction, ops.bytes);
  if (queue.items.size() > kMaxPending) RunOne(core.index, pipe);
  if (mode_ == OrderMode::kRandom) MaybeRunSome();
}

void Order::PushWait(Core& core, Pipe pipe, const std::vector<Work>& work) {
  if (mode_ == OrderMode::kEager) return;
  if (pipe == Pipe::kS) {
    ForceAll(work);
    return;
  }
  Queue& queue = At(core.index, pipe);
  queue.items.emplace_back();
  queue.items.back().ticket = ++queue.issued;
  queue.items.back().ops = nullptr;
  queue.items.back().work = work;
}

void Order::PushBarrier(Core& core, Pipe pipe) {
  if (mode_ != OrderMode::kRandom) return;  // queues are in order already
  PushWait(core, pipe, {});
}

Work Order::Mark(const Core& core, Pipe pipe) const {
  const Queue& queue = queues_[static_cast<size_t>(core.index) * kPipeCount + static_cast<size_t>(pipe)];
  return Work{static_cast<uint16_t>(core.index), pipe, queue.issued};
}

void Order::Force(const Work& work) {
  if (mode_ == OrderMode::kEager) return;
  Queue& queue = At(work.core, work.pipe);
  while (!queue.items.empty() && queue.items.front().ticket <= work.ticket) RunOne(work.core, work.pipe);
}

void Order::Drain(Core& core, Pipe pipe) {
  if (mode_ == OrderMode::kEager) return;
  static const Pipe consumers_first[] = {Pipe::kMte3, Pipe::kFix, Pipe::kV, Pipe::kM, Pipe::kMte1, Pipe::kMte2};
  for (Pipe p : consumers_first) {
    if (pipe == Pipe::kAll || pipe == p) Force(Mark(core, p));
  }
}

// Runs the first item, or in random order any instruction before the next wait or barrier of the pipe.
void Order::RunOne(uint16_t core, Pipe pipe) {
  Queue& queue = At(core, pipe);
  size_t pick = 0;
  const bool in_order = pipe == Pipe::kM || (pipe == Pipe::kV && vector_in_order_);
  if (mode_ == OrderMode::kRandom && !in_order && queue.items.front().ops != nullptr) {
    size_t window = 0;
    while (window < queue.items.size() && window < 16 && queue.items[window].ops != nullptr) ++window;
    pick = random_() % window;
  }
  if (queue.items[pick].ops == nullptr) {
    const std::vector<Work> work = queue.items[pick].work;  // forcing may come back to this queue
    const uint64_t ticket = queue.items[pick].ticket;
    ForceAll(work);
    if (!queue.items.empty() && queue.items.front().ticket == ticket) queue.items.pop_front();
    return;
  }
  Pending item = queue.items[pick];
  queue.items.erase(queue.items.begin() + static_cast<std::ptrdiff_t>(pick));
  item.ops->execute(item.bytes, cores_[core]->exec());
}

void Order::MaybeRunSome() {
  while (random_() % 3 != 0) {
    const size_t q = random_() % queues_.size();
    if (!queues_[q].items.empty()) {
      RunOne(static_cast<uint16_t>(q / kPipeCount), static_cast<Pipe>(q % kPipeCount));
    }
  }
}

}  // namespace ascend_sim
