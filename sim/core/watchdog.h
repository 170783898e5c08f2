// Signals while kernels run: a crash on a fiber, or a loop that issues nothing, returns to the scheduler instead of
// ending the process.
#pragma once

#include <csignal>
#include <ctime>
#include <string>

#include "core/machine.h"

namespace ascend_sim {

class Watchdog {
 public:
  Watchdog(Machine& machine, double seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  static void UnblockSignals();
  static bool Interrupted();  // by SIGINT, since the launch began
  static std::string Describe(const Machine::Fault& fault, const Core& core);

 private:
  static void OnFault(int signal, siginfo_t* info, void* context);
  static void OnInterrupt(int signal);
  static void OnTick(int signal, siginfo_t* info, void* context);
  struct sigaction old_[6];
  stack_t old_stack_;
  timer_t timer_;
  bool has_timer_ = false;
  bool handles_interrupt_ = false;
};

}  // namespace ascend_sim
