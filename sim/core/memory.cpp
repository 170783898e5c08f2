#include "core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

namespace ascend_sim {

void GlobalMemory::Register(std::string name, uint64_t address, uint64_t bytes, bool initialised) {
  GmRegion region;
  region.name = std::move(name);
  region.address = address;
  region.bytes = bytes;
  region.initialised = initialised;
  auto at = std::upper_bound(regions_.begin(), regions_.end(), address,
                             [](uint64_t a, const GmRegion& r) { return a < r.address; });
  regions_.insert(at, std::move(region));
}

GmRegion* GlobalMemory::Find(uint64_t address) {
  if (last_ < regions_.size() && address - regions_[last_].address < regions_[last_].bytes) return &regions_[last_];
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (address - regions_[i].address < regions_[i].bytes) {
      last_ = i;
      return &regions_[i];
    }
  }
  return nullptr;
}

GmRegion* GlobalMemory::Nearest(uint64_t address) {
  GmRegion* best = nullptr;
  for (GmRegion& region : regions_) {
    if (region.address <= address) best = &region;
  }
  return best != nullptr ? best : (regions_.empty() ? nullptr : &regions_.front());
}

namespace {
uint64_t PageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }
uint64_t MappedBytes(uint64_t bytes) {
  const uint64_t page = PageBytes();
  return (bytes + page - 1) / page * page + 2 * page;
}
// The end of the buffer is at most 511 bytes away from the trailing guard page.
uint64_t FrontGap(uint64_t bytes) {
  const uint64_t page = PageBytes();
  const uint64_t room = (bytes + page - 1) / page * page;
  return page + (room - bytes) / 512 * 512;
}
}  // namespace

void* GmAllocate(uint64_t bytes) {
  const uint64_t mapped = MappedBytes(bytes);
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto* start = static_cast<uint8_t*>(base);
  mprotect(start, PageBytes(), PROT_NONE);
  mprotect(start + mapped - PageBytes(), PageBytes(), PROT_NONE);
  return start + FrontGap(bytes);
}

void GmFree(void* address, uint64_t bytes) {
  munmap(static_cast<uint8_t*>(address) - FrontGap(bytes), MappedBytes(bytes));
}

}  // namespace ascend_sim
