// When issued instructions are executed on the bytes. Checking does not depend on it; what a kernel that lacks
// synchronisation computes does: eagerly (at issue), as late as flags allow, or in a seeded random order.
#pragma once

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "core/instruction.h"

namespace ascend_sim {

enum class OrderMode : uint8_t { kEager, kLazy, kRandom };

// Everything issued to a pipe of a core up to and including `ticket`.
struct Work {
  uint16_t core;
  Pipe pipe;
  uint64_t ticket;
};

class Order {
 public:
  void Reset(OrderMode mode, uint64_t seed, bool vector_in_order, std::vector<Core*> cores);
  OrderMode mode() const { return mode_; }

  // The instruction executes now (eager) or later.
  void Push(Core& core, Pipe pipe, const void* instruction, const InstructionOps& ops);
  // Later instructions of the pipe execute after `work`.
  void PushWait(Core& core, Pipe pipe, const std::vector<Work>& work);
  // Later instructions of the pipe execute after its earlier ones.
  void PushBarrier(Core& core, Pipe pipe);
  // What a SetFlag issued now on the pipe stands for.
  Work Mark(const Core& core, Pipe pipe) const;
  void Force(const Work& work);
  void ForceAll(const std::vector<Work>& work) {
    for (const Work& w : work) Force(w);
  }
  // Completes a pipe, or with kAll the core: consumers first, so that producers still run as late as possible.
  void Drain(Core& core, Pipe pipe);
  std::mt19937_64& random() { return random_; }

 private:
  struct Pending {
    uint64_t ticket;
    const InstructionOps* ops;  // null: a wait (work) or, without work, a barrier
    std::vector<Work> work;
    alignas(16) unsigned char bytes[kMaxInstructionBytes];
  };
  struct Queue {
    std::deque<Pending> items;
    uint64_t issued = 0;
  };
  Queue& At(uint16_t core, Pipe pipe) { return queues_[core * kPipeCount + static_cast<size_t>(pipe)]; }
  void RunOne(uint16_t core, Pipe pipe);
  void MaybeRunSome();

  OrderMode mode_ = OrderMode::kEager;
  bool vector_in_order_ = true;
  std::mt19937_64 random_;
  std::vector<Core*> cores_;
  std::vector<Queue> queues_;
};

}  // namespace ascend_sim
