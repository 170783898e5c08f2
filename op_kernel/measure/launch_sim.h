// The launch on the simulator, which finds the kernel of this library by name.
#pragma once
#include "acl/work.h"
#include "words.h"

#define TRIANGLE_LAUNCH_WAY "sim"

namespace {

int32_t queue_measure(uint32_t cores, void* memory, TriangleMeasureWords words, void* stream) {
  void* const args[2] = {&memory, &words};
  const uint64_t bytes[2] = {sizeof memory, sizeof words};
  return ascend_sim_acl_launch("triangle_measure", 0, cores, stream, args, bytes, 2, "op_kernel/measure/measure.cpp",
                               0);
}

}  // namespace
