// Kernels announce themselves when their library is loaded: one entry per kernel and core type.
#pragma once

#include <cstdint>

#include "core/machine.h"

namespace ascend_sim {

enum class ArgKind : uint8_t { kPointer, kInteger, kFloat, kStruct };

struct ArgInfo {
  ArgKind kind;
  uint32_t bytes;
};

struct KernelEntry {
  const char* name;
  CoreType core;
  KernelType type;  // from the kernel's attributes; kUnset: its KERNEL_TASK_TYPE macro, or the launch, says
  const ArgInfo* args;
  uint32_t arg_count;
  void (*invoke)(void* const* args);
};

void RegisterKernel(const KernelEntry& entry);
// From KERNEL_TASK_TYPE*; `function` is the __PRETTY_FUNCTION__ of something inside the kernel.
void RegisterKernelType(const char* function, int type);

}  // namespace ascend_sim
