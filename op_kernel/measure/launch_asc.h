// The launch of CANN >= 8.5. bisheng compiles a source as one program, so the kernel is included here.
#pragma once
#include "acl/acl.h"
#include "launched_asc.h"
#include "measure.cpp"
#include "words.h"

#define TRIANGLE_LAUNCH_WAY "asc"

namespace {

int32_t queue_measure(uint32_t cores, void* memory, TriangleMeasureWords words, aclrtStream stream) {
  triangle::launch_begins();
  triangle_measure<<<cores, 0, stream>>>((GM_ADDR)memory, words);
  return triangle::launch_result();
}

}  // namespace
