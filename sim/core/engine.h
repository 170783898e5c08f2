// Helpers of the machine's own source files.
#pragma once

#include <string>

#include "core/machine.h"

namespace ascend_sim {

// While engine code runs the watchdog must not jump away; also tells it that the kernel makes progress.
class EngineScope {
 public:
  explicit EngineScope(Machine& machine) : machine_(machine) {
    machine_.in_engine = true;
    machine_.progress = machine_.progress + 1;
  }
  ~EngineScope() { machine_.in_engine = false; }

 private:
  Machine& machine_;
};

std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));

// The core whose fiber runs, without the checks of CurrentCore().
extern Core* g_core;

}  // namespace ascend_sim
