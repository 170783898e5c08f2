// ACL: device memory, pinned host memory, copies and fills.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "acl/acl.h"
#include "acl/api.h"
#include "acl/device.h"
#include "acl/graph.h"
#include "acl/settings.h"
#include "acl/stream.h"

using namespace ascend_sim::acl;

namespace {

// Modelled rates, assumed: bytes per microsecond over PCIe, between devices, within HBM; and what a copy costs at
// least.
constexpr double kHostRate = 25e3, kPeerRate = 28e3, kDeviceRate = 800e3, kCopyMicroseconds = 3;

struct Copy {
  void* dst = nullptr;
  const void* src = nullptr;
  size_t bytes = 0;
  bool to_device = false, from_device = false, peer = false;
  bool to_pinned = false, from_pinned = false;  // host memory that must still be pinned when the copy runs

  double Microseconds() const {
    const double rate = peer ? kPeerRate : to_device && from_device ? kDeviceRate : kHostRate;
    return kCopyMicroseconds + static_cast<double>(bytes) / rate;
  }
  std::string Check() const {
    Memory& memory = Memory::Get();
    std::string wrong = to_device ? memory.CheckDevice(dst, bytes) : memory.CheckHost(dst, bytes);
    if (!wrong.empty()) return (to_device ? "writes outside the device memory: " : "the destination: ") + wrong;
    wrong = from_device ? memory.CheckDevice(src, bytes) : memory.CheckHost(src, bytes);
    if (!wrong.empty()) return (from_device ? "reads outside the device memory: " : "the source: ") + wrong;
    if (to_pinned && !memory.Pinned(dst)) return "the destination: pinned host memory that was freed";
    if (from_pinned && !memory.Pinned(src)) return "the source: pinned host memory that was freed";
    return "";
  }
  void Do() const {
    std::memmove(dst, src, bytes);
    if (to_device) ascend_sim::acl::MarkWritten(dst);
  }
};

// The copy that a call asks for, checked as far as it can be now.
aclError MakeCopy(const std::string& caller, void* dst, size_t destMax, const void* src, size_t count,
                  aclrtMemcpyKind kind, Copy* copy) {
  if (count > destMax) return Fail(ACL_ERROR_RT_PARAM_INVALID, caller + ": count exceeds destMax");
  copy->dst = dst;
  copy->src = src;
  copy->bytes = count;
  Memory& memory = Memory::Get();
  switch (kind) {
    case ACL_MEMCPY_HOST_TO_HOST:
      break;
    case ACL_MEMCPY_HOST_TO_DEVICE:
    case ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE:
      copy->to_device = true;
      break;
    case ACL_MEMCPY_DEVICE_TO_HOST:
      copy->from_device = true;
      break;
    case ACL_MEMCPY_DEVICE_TO_DEVICE:
    case ACL_MEMCPY_INNER_DEVICE_TO_DEVICE:
    case ACL_MEMCPY_INTER_DEVICE_TO_DEVICE:
      copy->to_device = copy->from_device = true;
      break;
    case ACL_MEMCPY_DEFAULT:
      copy->to_device = memory.Find(dst) != nullptr;
      copy->from_device = memory.Find(src) != nullptr;
      break;
    default:
      return Fail(ACL_ERROR_RT_PARAM_INVALID, caller + ": unknown kind " + std::to_string(kind));
  }
  const std::string wrong = copy->Check();
  if (!wrong.empty()) return Fail(ACL_ERROR_RT_PARAM_INVALID, caller + ": " + wrong);
  if (!copy->to_device || !copy->from_device) return ACL_SUCCESS;
  const int32_t to = memory.Find(dst)->device, from = memory.Find(src)->device;
  copy->peer = to != from;
  if (copy->peer && kind == ACL_MEMCPY_INNER_DEVICE_TO_DEVICE) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, caller + ": the addresses belong to two devices");
  }
  if (!Devices::Get().PeerEnabled(from, to) || !Devices::Get().PeerEnabled(to, from)) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, caller + ": between device " + std::to_string(from) + " and " +
                                                std::to_string(to) +
                                                ": aclrtDeviceEnablePeerAccess was not called for both directions");
  }
  return ACL_SUCCESS;
}

aclError FindStream(const char* caller, aclrtStream handle, Stream** stream) {
  const int32_t device = handle == nullptr ? Devices::Get().Current(caller) : -1;
  if (handle == nullptr && device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *stream = Streams::Get().Find(handle, device);
  if (*stream == nullptr) return Fail(ACL_ERROR_RT_INVALID_HANDLE, std::string(caller) + ": unknown stream");
  return ACL_SUCCESS;
}

// Host memory that is not pinned: the source is read now and may change afterwards, a destination is waited for.
aclError PushCopy(const char* caller, Copy copy, aclrtStream handle) {
  Stream* stream = nullptr;
  if (const aclError error = FindStream(caller, handle, &stream)) return error;
  auto staged = std::make_shared<std::vector<uint8_t>>();
  copy.to_pinned = !copy.to_device && Memory::Get().Pinned(copy.dst);
  copy.from_pinned = !copy.from_device && Memory::Get().Pinned(copy.src);
  if ((!copy.from_device && !copy.from_pinned) || (!copy.to_device && !copy.to_pinned)) {  // waits for the host
    if (const aclError unsafe = Graphs::Get().CheckUnsafe(caller)) return unsafe;
  }
  if (!copy.from_device && !copy.from_pinned) {
    const auto* bytes = static_cast<const uint8_t*>(copy.src);
    staged->assign(bytes, bytes + copy.bytes);
    copy.src = staged->data();
  }
  Task task;
  task.name = caller;
  task.run = [copy, staged] {
    Outcome outcome;
    outcome.text = copy.Check();  // the memory may have been freed since
    if (!outcome.text.empty()) {
      outcome.code = ACL_ERROR_RT_PARAM_INVALID;
      return outcome;
    }
    copy.Do();
    outcome.microseconds = copy.Microseconds();
    return outcome;
  };
  const bool wait = !copy.to_device && !copy.to_pinned;
  const aclError error = Streams::Get().Push(stream, std::move(task));
  return error != ACL_SUCCESS || !wait ? error : Streams::Get().Finish(stream, caller);
}

aclError Allocate(const char* caller, void** devPtr, size_t size) {
  if (devPtr == nullptr || size == 0) {
    return Fail(ACL_ERROR_INVALID_PARAM, std::string(caller) + ": expected a pointer and a size above 0");
  }
  const int32_t device = Devices::Get().Current(caller);
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *devPtr = Memory::Get().Malloc(device, size);
  if (*devPtr != nullptr) return ACL_SUCCESS;
  const size_t used = Memory::Get().Used(device), total = TheSettings().hbm_bytes;
  return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, std::string(caller) + ": Failed to allocate " + std::to_string(size) +
                                                  " bytes on device " + std::to_string(device) + ": " +
                                                  std::to_string(used) + " of " + std::to_string(total) +
                                                  " bytes are in use (ASCEND_SIM_HBM_BYTES)");
}

aclError CheckFill(const char* caller, void* devPtr, size_t maxCount, size_t count) {
  if (count > maxCount) return Fail(ACL_ERROR_RT_PARAM_INVALID, std::string(caller) + ": count exceeds maxCount");
  const std::string wrong = Memory::Get().CheckDevice(devPtr, count);
  return wrong.empty() ? ACL_SUCCESS : Fail(ACL_ERROR_RT_PARAM_INVALID, std::string(caller) + ": " + wrong);
}

}  // namespace

extern "C" {

aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy) {
  ACL_ENTER(aclrtMalloc);
  return Allocate("aclrtMalloc", devPtr, size);
}
aclError aclrtMallocAlign32(void** devPtr, size_t size, aclrtMemMallocPolicy) {
  ACL_ENTER(aclrtMallocAlign32);
  return Allocate("aclrtMallocAlign32", devPtr, size);
}
aclError aclrtFree(void* devPtr) {
  ACL_ENTER(aclrtFree);
  return Memory::Get().Free(devPtr);
}
aclError aclrtMallocHost(void** hostPtr, size_t size) {
  ACL_ENTER(aclrtMallocHost);
  if (hostPtr == nullptr || size == 0) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHost: expected a pointer and a size above 0");
  }
  *hostPtr = Memory::Get().MallocHost(size);
  return *hostPtr != nullptr ? ACL_SUCCESS : Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtMallocHost: no memory");
}
aclError aclrtFreeHost(void* hostPtr) {
  ACL_ENTER(aclrtFreeHost);
  return Memory::Get().FreeHost(hostPtr);
}
aclError aclrtHostRegister(void* ptr, uint64_t size, int, void** devPtr) {
  ACL_ENTER(aclrtHostRegister);
  ACL_REQUIRE_POINTER(aclrtHostRegister, devPtr);
  *devPtr = ptr;
  return Memory::Get().RegisterHost(ptr, size);
}
aclError aclrtHostUnregister(void* ptr) {
  ACL_ENTER(aclrtHostUnregister);
  return Memory::Get().UnregisterHost(ptr);
}

aclError aclrtGetMemInfo(aclrtMemAttr attr, size_t* free, size_t* total) {
  ACL_ENTER(aclrtGetMemInfo);
  ACL_REQUIRE_POINTER(aclrtGetMemInfo, free);
  ACL_REQUIRE_POINTER(aclrtGetMemInfo, total);
  const int32_t device = Devices::Get().Current("aclrtGetMemInfo");
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  if (attr != ACL_HBM_MEM) return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, "aclrtGetMemInfo: only ACL_HBM_MEM is emulated");
  *total = TheSettings().hbm_bytes;
  *free = *total - Memory::Get().Used(device);
  return ACL_SUCCESS;
}

aclError aclrtPointerGetAttributes(const void* ptr, aclrtPtrAttributes* attributes) {
  ACL_ENTER(aclrtPointerGetAttributes);
  ACL_REQUIRE_POINTER(aclrtPointerGetAttributes, attributes);
  std::memset(attributes, 0, sizeof *attributes);
  const Allocation* allocation = Memory::Get().Find(ptr);
  attributes->pageSize = 4096;
  if (allocation != nullptr) {
    attributes->location.type = ACL_MEM_LOCATION_TYPE_DEVICE;
    attributes->location.id = static_cast<uint32_t>(allocation->device);
  } else {
    attributes->location.type =
        Memory::Get().Pinned(ptr) ? ACL_MEM_LOCATION_TYPE_HOST : ACL_MEM_LOCATION_TYPE_UNREGISTERED;
  }
  return ACL_SUCCESS;
}

aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  ACL_ENTER(aclrtMemset);
  if (const aclError unsafe = Graphs::Get().CheckUnsafe("aclrtMemset")) return unsafe;
  if (const aclError error = CheckFill("aclrtMemset", devPtr, maxCount, count)) return error;
  std::memset(devPtr, value, count);
  MarkWritten(devPtr);
  return ACL_SUCCESS;
}
aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) {
  ACL_ENTER(aclrtMemsetAsync);
  if (const aclError error = CheckFill("aclrtMemsetAsync", devPtr, maxCount, count)) return error;
  Stream* found = nullptr;
  if (const aclError error = FindStream("aclrtMemsetAsync", stream, &found)) return error;
  Task task;
  task.name = "aclrtMemsetAsync";
  task.run = [devPtr, value, count] {
    Outcome outcome;
    outcome.text = Memory::Get().CheckDevice(devPtr, count);
    if (!outcome.text.empty()) {
      outcome.code = ACL_ERROR_RT_PARAM_INVALID;
      return outcome;
    }
    std::memset(devPtr, value, count);
    MarkWritten(devPtr);
    outcome.microseconds = kCopyMicroseconds + static_cast<double>(count) / kDeviceRate;
    return outcome;
  };
  return Streams::Get().Push(found, std::move(task));
}

// Copies at once, whatever streams have queued: the caller synchronises what must come first.
aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind) {
  ACL_ENTER(aclrtMemcpy);
  if (const aclError unsafe = Graphs::Get().CheckUnsafe("aclrtMemcpy")) return unsafe;
  if (count == 0) return ACL_SUCCESS;
  Copy copy;
  if (const aclError error = MakeCopy("aclrtMemcpy", dst, destMax, src, count, kind, &copy)) return error;
  copy.Do();
  return ACL_SUCCESS;
}
aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind,
                          aclrtStream stream) {
  ACL_ENTER(aclrtMemcpyAsync);
  if (count == 0) return ACL_SUCCESS;
  Copy copy;
  if (const aclError error = MakeCopy("aclrtMemcpyAsync", dst, destMax, src, count, kind, &copy)) return error;
  return PushCopy("aclrtMemcpyAsync", copy, stream);
}
aclError aclrtMemcpyAsyncWithCondition(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind,
                                       aclrtStream stream) {
  ACL_ENTER(aclrtMemcpyAsyncWithCondition);
  if (count == 0) return ACL_SUCCESS;
  const char* name = "aclrtMemcpyAsyncWithCondition";
  Copy copy;
  if (const aclError error = MakeCopy(name, dst, destMax, src, count, kind, &copy)) return error;
  return PushCopy(name, copy, stream);
}

aclError aclrtMemcpy2d(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height,
                       aclrtMemcpyKind kind) {
  ACL_ENTER(aclrtMemcpy2d);
  if (const aclError unsafe = Graphs::Get().CheckUnsafe("aclrtMemcpy2d")) return unsafe;
  if (width > dpitch || width > spitch) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy2d: width exceeds a pitch");
  }
  for (size_t row = 0; row < height; ++row) {
    Copy copy;
    if (const aclError error = MakeCopy("aclrtMemcpy2d", static_cast<char*>(dst) + row * dpitch, width,
                                        static_cast<const char*>(src) + row * spitch, width, kind, &copy)) {
      return error;
    }
    copy.Do();
  }
  return ACL_SUCCESS;
}

}  // extern "C"
