// The scalar units' data caches in front of GM, which nothing keeps coherent: SetValue stays in the core's cache until
// DataCacheCleanAndInvalid, GetValue may return what was there when the line was first read.
// Values are not modelled, only the places where a chip may return another one.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace ascend_sim {

class ScalarCaches {
 public:
  static constexpr uint64_t kLineBytes = 64;

  struct Stale {
    bool found = false;
    uint64_t address = 0;
    int core = -1;  // who wrote (Load), or whose cache holds the bytes (Other)
    Site site;
  };

  bool active() const { return !lines_.empty(); }
  void Clear() { lines_.clear(); }

  // A GetValue of `core`: whether another core or a DMA wrote these bytes since the core cached their line.
  Stale Load(int core, uint64_t begin, uint64_t bytes);
  void Store(int core, uint64_t begin, uint64_t bytes, Site site);
  // An access to GM that does not go through `scalar_core`'s cache (-1: a DMA): whether some cache still holds a newer
  // value of these bytes. A write makes cached copies stale.
  Stale Other(int scalar_core, int core, uint64_t begin, uint64_t bytes, bool write, Site site);
  bool Holds(int core, uint64_t line) const;
  // Lines whose newest bytes are in the core's cache: that at `address`, or with address 0 all.
  std::vector<uint64_t> Dirty(int core, uint64_t address) const;
  // DataCacheCleanAndInvalid of the line at `address`, or with address 0 of the whole cache.
  void CleanAndInvalidate(int core, uint64_t address);

 private:
  struct Copy {
    int core;
    uint64_t dirty = 0, stale = 0;  // a bit per byte
    Site stored;
    int writer = -1;
    Site written;
  };
  using Line = std::vector<Copy>;  // the caches that hold it
  Copy& CopyOf(int core, uint64_t line);
  template <class Body>
  void ForEachLine(uint64_t begin, uint64_t bytes, Body body);
  std::unordered_map<uint64_t, Line> lines_;
};

}  // namespace ascend_sim
