#include "acl/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "acl/error.h"
#include "acl/settings.h"
#include "core/capi.h"

namespace ascend_sim {
namespace acl {

namespace {

constexpr size_t kQuarantine = 4096;  // freed allocations whose addresses are not given out again

uintptr_t Address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

std::string Hex(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%zx", static_cast<size_t>(value));
  return text;
}

// The pages of an allocation, without its guard pages.
std::pair<uintptr_t, size_t> Pages(uintptr_t address, size_t bytes) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = address / page * page;
  return {begin, (address + bytes + page - 1) / page * page - begin};
}

}  // namespace

std::recursive_mutex& TheLock() {
  static auto* lock = new std::recursive_mutex;
  return *lock;
}

Memory& Memory::Get() {
  static Memory* memory = new Memory;  // outlives every static destructor of the program
  return *memory;
}

void* Memory::Malloc(int32_t device, size_t bytes) {
  const Settings& settings = TheSettings();
  if (bytes > settings.hbm_bytes - used_[device]) return nullptr;
  void* address = ascend_sim_gm_alloc(bytes);
  if (address == nullptr) return nullptr;
  if (settings.poison) std::memset(address, 0xff, bytes);
  Allocation allocation;
  allocation.bytes = bytes;
  allocation.device = device;
  allocation.number = next_number_++;
  allocations_[Address(address)] = allocation;
  used_[device] += bytes;
  return address;
}

aclError Memory::Free(void* address) {
  auto at = allocations_.find(Address(address));
  if (at == allocations_.end()) {
    uintptr_t begin = 0;
    const Allocation* inside = Find(address, &begin);
    std::string why = "not an address aclrtMalloc returned";
    if (inside != nullptr) {
      why = "lies " + std::to_string(Address(address) - begin) + " bytes inside device memory " +
            std::to_string(inside->number);
    } else if (WasFreed(Address(address))) {
      why = "was freed before";
    } else if (Pinned(address)) {
      why = "is pinned host memory";
    }
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtFree: " + Hex(Address(address)) + " " + why);
  }
  used_[at->second.device] -= at->second.bytes;
  Retire(at->first, at->second.bytes);
  allocations_.erase(at);
  return ACL_SUCCESS;
}

// Gives the memory back but keeps its addresses unmapped for a while, so that stale pointers fault or are named.
void Memory::Retire(uintptr_t address, size_t bytes) {
  ascend_sim_gm_free(reinterpret_cast<void*>(address), bytes);
  const auto [begin, length] = Pages(address, bytes);
  void* wanted = reinterpret_cast<void*>(begin);
  void* got = mmap(wanted, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) return;
  if (got != wanted) {  // a kernel that does not know MAP_FIXED_NOREPLACE
    munmap(got, length);
    return;
  }
  freed_.push_back({address, bytes});
  if (freed_.size() <= kQuarantine) return;
  const auto [old_begin, old_length] = Pages(freed_.front().address, freed_.front().bytes);
  munmap(reinterpret_cast<void*>(old_begin), old_length);
  freed_.pop_front();
}

bool Memory::WasFreed(uintptr_t address) const {
  for (const Freed& item : freed_) {
    if (address - item.address < item.bytes) return true;
  }
  return false;
}

void* Memory::MallocHost(size_t bytes) {
  void* address = nullptr;
  if (posix_memalign(&address, 4096, bytes) != 0) return nullptr;
  host_[Address(address)] = {bytes, false};
  return address;
}

aclError Memory::FreeHost(void* address) {
  auto at = host_.find(Address(address));
  if (at == host_.end() || at->second.registered) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID,
                "aclrtFreeHost: " + Hex(Address(address)) + " is not an address aclrtMallocHost returned");
  }
  host_.erase(at);
  std::free(address);
  return ACL_SUCCESS;
}

aclError Memory::RegisterHost(void* address, size_t bytes) {
  if (!CheckHost(address, bytes).empty() || bytes == 0) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtHostRegister: expected host memory and a size above 0");
  }
  if (!host_.emplace(Address(address), Host{bytes, true}).second) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtHostRegister: " + Hex(Address(address)) + " is registered already");
  }
  return ACL_SUCCESS;
}

aclError Memory::UnregisterHost(void* address) {
  auto at = host_.find(Address(address));
  if (at == host_.end() || !at->second.registered) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtHostUnregister: " + Hex(Address(address)) + " is not registered");
  }
  host_.erase(at);
  return ACL_SUCCESS;
}

Allocation* Memory::Find(const void* p, uintptr_t* begin) {
  auto at = allocations_.upper_bound(Address(p));
  if (at == allocations_.begin()) return nullptr;
  --at;
  if (Address(p) - at->first >= at->second.bytes) return nullptr;
  if (begin != nullptr) *begin = at->first;
  return &at->second;
}

bool Memory::Pinned(const void* p) const {
  auto at = host_.upper_bound(Address(p));
  if (at == host_.begin()) return false;
  --at;
  return Address(p) - at->first < at->second.bytes;
}

std::string Memory::CheckDevice(const void* p, size_t bytes, int32_t device) {
  uintptr_t begin = 0;
  const Allocation* allocation = Find(p, &begin);
  if (allocation == nullptr) {
    return Hex(Address(p)) + (WasFreed(Address(p)) ? " is device memory that was freed" : " is not device memory");
  }
  const size_t offset = Address(p) - begin;
  if (bytes > allocation->bytes - offset) {
    return "bytes [" + std::to_string(offset) + ", " + std::to_string(offset + bytes) +
           ") reach outside device memory " + std::to_string(allocation->number) + ", which has " +
           std::to_string(allocation->bytes) + " bytes";
  }
  if (device >= 0 && allocation->device != device) {
    return Hex(Address(p)) + " is memory of device " + std::to_string(allocation->device) + ", not " +
           std::to_string(device);
  }
  return "";
}

std::string Memory::CheckHost(const void* p, size_t) {
  if (p == nullptr) return "a null pointer";
  if (Find(p) != nullptr) return Hex(Address(p)) + " is device memory";
  if (WasFreed(Address(p))) return Hex(Address(p)) + " is device memory that was freed";
  return "";
}

size_t Memory::Used(int32_t device) const {
  auto at = used_.find(device);
  return at == used_.end() ? 0 : at->second;
}

size_t Memory::Count(int32_t device) const {
  size_t count = 0;
  for (const auto& item : allocations_) count += item.second.device == device ? 1 : 0;
  return count;
}

size_t Memory::PinnedBytes() const {
  size_t bytes = 0;
  for (const auto& item : host_) bytes += item.second.bytes;
  return bytes;
}

std::pair<size_t, size_t> Memory::FreeAll(int32_t device) {
  std::pair<size_t, size_t> lost{0, 0};
  for (auto at = allocations_.begin(); at != allocations_.end();) {
    if (at->second.device != device) {
      ++at;
      continue;
    }
    ++lost.first;
    lost.second += at->second.bytes;
    Retire(at->first, at->second.bytes);
    at = allocations_.erase(at);
  }
  used_[device] = 0;
  return lost;
}

bool Holds(const void* p, size_t bytes) {
  std::lock_guard<std::recursive_mutex> guard(TheLock());
  return Memory::Get().CheckDevice(p, bytes).empty();
}

void MarkWritten(const void* p) {
  std::lock_guard<std::recursive_mutex> guard(TheLock());
  Allocation* allocation = Memory::Get().Find(p);
  if (allocation != nullptr) allocation->written = true;
}

}  // namespace acl
}  // namespace ascend_sim

extern "C" void ascend_sim_acl_memory(int32_t device, uint64_t* allocations, uint64_t* bytes) {
  using namespace ascend_sim::acl;
  std::lock_guard<std::recursive_mutex> guard(TheLock());
  *allocations = *bytes = 0;
  for (uint32_t d = 0; d < TheSettings().devices; ++d) {
    if (device >= 0 && static_cast<uint32_t>(device) != d) continue;
    *allocations += Memory::Get().Count(static_cast<int32_t>(d));
    *bytes += Memory::Get().Used(static_cast<int32_t>(d));
  }
}
