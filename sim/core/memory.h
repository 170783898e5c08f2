// Global memory as the kernel sees it: regions of host memory registered at launch, each with a name and an extent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shadow.h"

namespace ascend_sim {

struct GmRegion {
  std::string name;
  uint64_t address = 0;
  uint64_t bytes = 0;
  bool initialised = true;  // contents may be read before the kernel writes them
  Shadow shadow;
};

class GlobalMemory {
 public:
  // Regions must not overlap.
  void Register(std::string name, uint64_t address, uint64_t bytes, bool initialised);
  void Clear() {
    regions_.clear();
    last_ = 0;
  }
  // The region holding `address`, or null. One past the end belongs to no region.
  GmRegion* Find(uint64_t address);
  // The region whose end is nearest below, to name what was overrun; null when there is none.
  GmRegion* Nearest(uint64_t address);
  std::vector<GmRegion>& regions() { return regions_; }

 private:
  std::vector<GmRegion> regions_;  // sorted by address
  size_t last_ = 0;
};

// Host memory for GM buffers: 512 B aligned, ending at a guard page so that raw pointer overruns fault.
void* GmAllocate(uint64_t bytes);
void GmFree(void* address, uint64_t bytes);

}  // namespace ascend_sim
