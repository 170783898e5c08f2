// The C functions of acl/acl.h on the simulated device.
#include "acl/acl.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "acl/runtime.h"
#include "core/machine.h"

using ascend_sim::acl::Runtime;

namespace {

aclError Fail(aclError code, std::string message) {
  Runtime::Get().error = std::move(message);
  return code;
}

bool OnDevice(aclrtMemcpyKind kind, bool destination) {
  if (kind == ACL_MEMCPY_DEVICE_TO_DEVICE) return true;
  return kind == (destination ? ACL_MEMCPY_HOST_TO_DEVICE : ACL_MEMCPY_DEVICE_TO_HOST);
}

}  // namespace

extern "C" {

aclError aclInit(const char*) {
  Runtime& runtime = Runtime::Get();
  if (runtime.initialised) return Fail(ACL_ERROR_REPEAT_INITIALIZE, "aclInit: called twice");
  runtime.initialised = true;
  return ACL_SUCCESS;
}

aclError aclFinalize(void) {
  Runtime& runtime = Runtime::Get();
  if (!runtime.initialised) return Fail(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize: without aclInit");
  runtime.initialised = false;
  return ACL_SUCCESS;
}

const char* aclGetRecentErrMsg(void) {
  const std::string& error = Runtime::Get().error;
  return error.empty() ? nullptr : error.c_str();
}

aclError aclrtSetDevice(int32_t deviceId) {
  if (deviceId != 0) {
    return Fail(ACL_ERROR_RT_INVALID_DEVICEID,
                "aclrtSetDevice: there is one device, 0; got " + std::to_string(deviceId));
  }
  Runtime::Get().device = deviceId;
  return ACL_SUCCESS;
}
aclError aclrtGetDevice(int32_t* deviceId) {
  if (Runtime::Get().device < 0) return Fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtGetDevice: before aclrtSetDevice");
  *deviceId = Runtime::Get().device;
  return ACL_SUCCESS;
}
aclError aclrtGetDeviceCount(uint32_t* count) {
  *count = 1;
  return ACL_SUCCESS;
}
aclError aclrtResetDevice(int32_t deviceId) {
  if (deviceId != Runtime::Get().device)
    return Fail(ACL_ERROR_RT_INVALID_DEVICEID, "aclrtResetDevice: the device is not set");
  Runtime::Get().device = -1;
  return ACL_SUCCESS;
}
aclError aclrtSynchronizeDevice(void) { return aclrtSynchronizeStream(nullptr); }
const char* aclrtGetSocName(void) {
  static const std::string soc = ascend_sim::acl::Settings::FromEnvironment().soc;
  return soc.c_str();
}

aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  const aclError error = aclrtSetDevice(deviceId);
  if (error == ACL_SUCCESS) *context = &Runtime::Get();
  return error;
}
aclError aclrtDestroyContext(aclrtContext context) { return aclrtSetCurrentContext(context); }
aclError aclrtSetCurrentContext(aclrtContext context) {
  if (context != &Runtime::Get()) return Fail(ACL_ERROR_RT_PARAM_INVALID, "unknown context");
  return ACL_SUCCESS;
}

aclError aclrtCreateStream(aclrtStream* stream) {
  if (Runtime::Get().device < 0) return Fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtCreateStream: before aclrtSetDevice");
  *stream = Runtime::Get().CreateStream();
  return ACL_SUCCESS;
}
aclError aclrtDestroyStream(aclrtStream stream) {
  if (!Runtime::Get().DestroyStream(stream))
    return Fail(ACL_ERROR_RT_INVALID_HANDLE, "aclrtDestroyStream: unknown stream");
  return ACL_SUCCESS;
}
aclError aclrtSynchronizeStream(aclrtStream stream) {
  if (!Runtime::Get().KnowsStream(stream)) {
    return Fail(ACL_ERROR_RT_STREAM_CONTEXT, "aclrtSynchronizeStream: unknown stream");
  }
  return Runtime::Get().TakeFailure() ? ACL_ERROR_RT_AICORE_EXCEPTION : ACL_SUCCESS;
}
aclError aclrtGetLastError(aclrtLastErrLevel) { return aclrtSynchronizeStream(nullptr); }

aclError aclrtMalloc(void** devPtr, size_t size, aclrtMemMallocPolicy) {
  if (devPtr == nullptr || size == 0)
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMalloc: expected a pointer and a size above 0");
  if (Runtime::Get().device < 0) return Fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtMalloc: before aclrtSetDevice");
  *devPtr = Runtime::Get().Malloc(size);
  if (*devPtr == nullptr)
    return Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtMalloc: no memory for " + std::to_string(size) + " bytes");
  return ACL_SUCCESS;
}
aclError aclrtFree(void* devPtr) {
  if (!Runtime::Get().Free(devPtr))
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtFree: not an address aclrtMalloc returned");
  return ACL_SUCCESS;
}
aclError aclrtMallocHost(void** hostPtr, size_t size) {
  if (hostPtr == nullptr || size == 0)
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMallocHost: expected a pointer and a size above 0");
  *hostPtr = std::malloc(size);
  return *hostPtr != nullptr ? ACL_SUCCESS : Fail(ACL_ERROR_RT_MEMORY_ALLOCATION, "aclrtMallocHost: no memory");
}
aclError aclrtFreeHost(void* hostPtr) {
  std::free(hostPtr);
  return ACL_SUCCESS;
}

aclError aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  if (count > maxCount || !Runtime::Get().Holds(devPtr, count)) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID,
                "aclrtMemset: " + std::to_string(count) + " bytes reach outside the device memory");
  }
  std::memset(devPtr, value, count);
  Runtime::Get().MarkWritten(devPtr);
  return ACL_SUCCESS;
}
aclError aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream) {
  return aclrtMemset(devPtr, maxCount, value, count);
}
aclError aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind) {
  if (count > destMax) return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy: count exceeds destMax");
  if (OnDevice(kind, true) && !Runtime::Get().Holds(dst, count)) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy: writes outside the device memory");
  }
  if (OnDevice(kind, false) && !Runtime::Get().Holds(src, count)) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtMemcpy: reads outside the device memory");
  }
  std::memmove(dst, src, count);
  Runtime::Get().MarkWritten(dst);
  return ACL_SUCCESS;
}
aclError aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind, aclrtStream) {
  return aclrtMemcpy(dst, destMax, src, count, kind);
}

void ascend_sim_acl_launch(const char* kernel, int type, uint32_t blocks, void* stream, void* const* args,
                           const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line) {
  const auto kind = static_cast<ascend_sim::KernelType>(type);
  const char* name = kind == ascend_sim::KernelType::kUnset ? "" : ascend_sim::KernelTypeName(kind);
  Runtime::Get().Launch(kernel, name, blocks, stream, args, arg_bytes, arg_count, file, line);
}

}  // extern "C"
