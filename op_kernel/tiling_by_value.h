// How a kernel takes its tiling by value.
//
// CANN 8.1 to 8.3 (ascendc_library) write the host's side of a launch themselves: they copy the text of a by-value
// struct out of the preprocessed source, without the types it is made of. There a kernel takes plain words instead, and
// tiling_of() reads them as what they are. Everywhere else the tiling is the argument.
#pragma once
#include "../op_host/tiling_backward.h"

// Numbers, because constants are not copied along; both have room to spare.
#define TRIANGLE_FORWARD_WORDS 192
#define TRIANGLE_BACKWARD_WORDS 448
static_assert(sizeof(TriangleForwardTiling) <= 8 * TRIANGLE_FORWARD_WORDS, "raise TRIANGLE_FORWARD_WORDS");
static_assert(sizeof(TriangleBackwardTiling) <= 8 * TRIANGLE_BACKWARD_WORDS, "raise TRIANGLE_BACKWARD_WORDS");

#if defined(TRIANGLE_LAUNCH_ASCENDC_LIBRARY)

struct TriangleForwardWords {
  uint64_t words[TRIANGLE_FORWARD_WORDS];
};
struct TriangleBackwardWords {
  uint64_t words[TRIANGLE_BACKWARD_WORDS];
};

namespace triangle {
TRIANGLE_FN const TriangleForwardTiling& tiling_of(const TriangleForwardWords& value) {
  return reinterpret_cast<const TriangleForwardTiling&>(value);
}
TRIANGLE_FN const TriangleBackwardTiling& tiling_of(const TriangleBackwardWords& value) {
  return reinterpret_cast<const TriangleBackwardTiling&>(value);
}
}  // namespace triangle

#else

using TriangleForwardWords = TriangleForwardTiling;
using TriangleBackwardWords = TriangleBackwardTiling;

namespace triangle {
TRIANGLE_FN const TriangleForwardTiling& tiling_of(const TriangleForwardTiling& value) { return value; }
TRIANGLE_FN const TriangleBackwardTiling& tiling_of(const TriangleBackwardTiling& value) { return value; }
}  // namespace triangle

#endif
