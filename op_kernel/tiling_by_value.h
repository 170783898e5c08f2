// How a kernel takes its tiling by value: as plain words, which tiling_of() reads as what they are.
//
// CANN asks for plain data as kernel arguments, and the tilings have default values. And CANN 8.1 to 8.3
// (ascendc_library) write the host's side of a launch themselves: they copy the text of a by-value struct out of the
// preprocessed source, without the types and constants that it is made of.
#pragma once
#include "../op_host/tiling_backward.h"
#include "../op_host/tiling_cache.h"

struct TriangleForwardWords {
  uint64_t words[116];
};
struct TriangleBackwardWords {
  uint64_t words[275];
};
struct TriangleCacheWords {
  uint64_t words[132];
};
static_assert(sizeof(TriangleForwardWords) == sizeof(TriangleForwardTiling), "the words of the forward's tiling");
static_assert(
    sizeof(TriangleForwardWords) + 12 * sizeof(uint64_t) <= 1024,
    "up to 1 KB of arguments, 11 pointers and one of the launch's own among them, the runtime has a faster way");
static_assert(sizeof(TriangleBackwardWords) == sizeof(TriangleBackwardTiling), "the words of the backward's tiling");
static_assert(sizeof(TriangleCacheWords) == sizeof(TriangleCacheTiling), "the words of the tiling over a cache");

namespace triangle {

TRIANGLE_FN const TriangleForwardTiling& tiling_of(const TriangleForwardWords& value) {
  return reinterpret_cast<const TriangleForwardTiling&>(value);
}
TRIANGLE_FN const TriangleBackwardTiling& tiling_of(const TriangleBackwardWords& value) {
  return reinterpret_cast<const TriangleBackwardTiling&>(value);
}
TRIANGLE_FN const TriangleCacheTiling& tiling_of(const TriangleCacheWords& value) {
  return reinterpret_cast<const TriangleCacheTiling&>(value);
}

}  // namespace triangle
