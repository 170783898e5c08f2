// Host side of the samples: an array in device memory, and the check of AscendCL's return values.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "acl/acl.h"

inline void Check(aclError error, const char* call) {
  if (error == ACL_SUCCESS) return;
  std::fprintf(stderr, "%s: error %d: %s\n", call, error, aclGetRecentErrMsg());
  std::exit(3);
}

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    void* address = nullptr;
    Check(aclrtMalloc(&address, Bytes(), ACL_MEM_MALLOC_HUGE_FIRST), "aclrtMalloc");
    data_ = static_cast<T*>(address);
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) {
    Check(aclrtMemcpy(data_, Bytes(), host.data(), Bytes(), ACL_MEMCPY_HOST_TO_DEVICE), "aclrtMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { aclrtFree(data_); }

  std::vector<T> Host() const {
    std::vector<T> host(count_);
    Check(aclrtMemcpy(host.data(), Bytes(), data_, Bytes(), ACL_MEMCPY_DEVICE_TO_HOST), "aclrtMemcpy");
    return host;
  }
  operator T*() const { return data_; }  // NOLINT: a kernel's argument
  size_t Bytes() const { return count_ * sizeof(T); }

 private:
  size_t count_;
  T* data_ = nullptr;
};

// Prints the first difference; whether there is none.
template <typename T>
bool Same(const char* name, const std::vector<T>& got, const std::vector<T>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (static_cast<float>(got[i]) == static_cast<float>(expected[i])) continue;
    std::printf("%s: element %zu: expected %g, got %g\n", name, i, static_cast<double>(static_cast<float>(expected[i])),
                static_cast<double>(static_cast<float>(got[i])));
    return false;
  }
  std::printf("%s: pass\n", name);
  return true;
}
