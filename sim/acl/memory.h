// Device memory (every allocation between guard pages, with its device) and pinned host memory. Callers hold TheLock().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "acl/acl_base.h"

namespace ascend_sim {
namespace acl {

// Guards devices, memory, streams and events. Recursive, as work on a stream may ask about memory.
std::recursive_mutex& TheLock();

struct Allocation {
  size_t bytes = 0;
  int32_t device = 0;
  uint32_t number = 0;
  bool written = false;  // a kernel may read it without an uninitialised-read finding
};

class Memory {
 public:
  static Memory& Get();

  // Null where the device has too little left.
  void* Malloc(int32_t device, size_t bytes);
  // ACL_SUCCESS, or an error that says what the address is instead.
  aclError Free(void* address);
  void* MallocHost(size_t bytes);
  aclError FreeHost(void* address);
  aclError RegisterHost(void* address, size_t bytes);
  aclError UnregisterHost(void* address);

  // The allocation that holds the byte at address, or null. *begin: where it starts.
  Allocation* Find(const void* address, uintptr_t* begin = nullptr);
  bool Pinned(const void* address) const;
  // "" or why [address, address + bytes) is not device memory of `device` (-1: of any device).
  std::string CheckDevice(const void* address, size_t bytes, int32_t device = -1);
  // "" or why the range is not host memory (null, or device memory).
  std::string CheckHost(const void* address, size_t bytes);

  const std::map<uintptr_t, Allocation>& allocations() const { return allocations_; }
  size_t Used(int32_t device) const;
  size_t Count(int32_t device) const;
  size_t PinnedBytes() const;
  // Frees what a device still holds; returns how many allocations and bytes that were.
  std::pair<size_t, size_t> FreeAll(int32_t device);

 private:
  std::map<uintptr_t, Allocation> allocations_;
  std::map<int32_t, size_t> used_;
  struct Host {
    size_t bytes;
    bool registered;  // memory of the caller's, not from MallocHost
  };
  std::map<uintptr_t, Host> host_;
  struct Freed {
    uintptr_t address;
    size_t bytes;
  };
  std::deque<Freed> freed_;  // recent, so that messages can say "freed before"; its address space stays reserved
  uint32_t next_number_ = 0;

  void Retire(uintptr_t address, size_t bytes);
  bool WasFreed(uintptr_t address) const;
};

}  // namespace acl
}  // namespace ascend_sim

// Bytes and allocations of device memory that are not freed, over all devices where device is -1.
extern "C" void ascend_sim_acl_memory(int32_t device, uint64_t* allocations, uint64_t* bytes);
