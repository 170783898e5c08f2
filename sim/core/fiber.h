// One core's thread of control: a stack of its own, switched to and from by the scheduler on one OS thread.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace ascend_sim {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares `entry(argument)` to run on a fresh use of the stack. entry must not return; it ends in Finish().
  void Start(size_t stack_bytes, void (*entry)(void*), void* argument);
  // Scheduler side: runs the fiber until it yields.
  void Resume();
  // Fiber side: back to the scheduler.
  void Yield();
  bool OnGuardPage(const void* address) const;

 private:
  static void Trampoline(unsigned high, unsigned low);
  ucontext_t self_, scheduler_;
  uint8_t* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace ascend_sim
