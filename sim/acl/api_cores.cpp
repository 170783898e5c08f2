// ACL: limits of cores, of a device and of a stream.
#include <algorithm>
#include <map>

#include "acl/acl.h"
#include "acl/api.h"
#include "acl/cores.h"
#include "acl/device.h"
#include "acl/settings.h"
#include "core/soc.h"

namespace ascend_sim {
namespace acl {

namespace {

struct Limits {
  uint32_t cores[2] = {0, 0};  // by aclrtDevResLimitType, 0: none
};
std::map<int32_t, Limits> g_device_limits;
thread_local Stream* t_stream = nullptr;  // whose limits aclrtGetResInCurrentThread gives

aclError CheckKind(const char* caller, aclrtDevResLimitType type) {
  if (type == ACL_RT_DEV_RES_CUBE_CORE || type == ACL_RT_DEV_RES_VECTOR_CORE) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID, std::string(caller) + ": unknown kind of core " + std::to_string(type));
}

aclError CheckLimit(const char* caller, aclrtDevResLimitType type, uint32_t value) {
  if (const aclError error = CheckKind(caller, type)) return error;
  int64_t cores = 0;
  if (const aclError error = DeviceCores(caller, type, &cores)) return error;
  if (value >= 1 && value <= cores) return ACL_SUCCESS;
  return Fail(ACL_ERROR_RT_PARAM_INVALID,
              std::string(caller) + ": expected 1.." + std::to_string(cores) + " cores, got " + std::to_string(value));
}

aclError DeviceLimit(const char* caller, int32_t device, aclrtDevResLimitType type, uint32_t* value) {
  if (const aclError error = CheckKind(caller, type)) return error;
  *value = g_device_limits[device].cores[type];
  if (*value != 0) return ACL_SUCCESS;
  int64_t cores = 0;
  if (const aclError error = DeviceCores(caller, type, &cores)) return error;
  *value = static_cast<uint32_t>(cores);
  return ACL_SUCCESS;
}

aclError StreamLimit(const char* caller, const Stream& stream, aclrtDevResLimitType type, uint32_t* value) {
  if (const aclError error = CheckKind(caller, type)) return error;
  *value = stream.core_limit[type];
  return *value != 0 ? ACL_SUCCESS : DeviceLimit(caller, stream.device, type, value);
}

}  // namespace

aclError DeviceCores(const char* caller, aclrtDevResLimitType type, int64_t* value) {
  Soc soc;
  if (!Soc::Lookup(TheSettings().soc, &soc)) {
    return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, std::string(caller) + ": unknown chip '" + TheSettings().soc + "'");
  }
  int64_t cores = static_cast<int64_t>(soc.aic_cores);
  if (TheSettings().cores != 0) cores = std::min<int64_t>(cores, TheSettings().cores);
  *value = type == ACL_RT_DEV_RES_VECTOR_CORE ? 2 * cores : cores;
  return ACL_SUCCESS;
}

uint32_t FewerCores(const Stream& stream) {
  uint32_t cube = 0, vector = 0;
  Soc soc;
  if (!Soc::Lookup(TheSettings().soc, &soc) ||
      StreamLimit("launch", stream, ACL_RT_DEV_RES_CUBE_CORE, &cube) != ACL_SUCCESS ||
      StreamLimit("launch", stream, ACL_RT_DEV_RES_VECTOR_CORE, &vector) != ACL_SUCCESS) {
    return 0;
  }
  const uint32_t cores = std::max<uint32_t>(1, std::min(cube, vector / 2));
  return cores < static_cast<uint32_t>(soc.aic_cores) ? cores : 0;
}

}  // namespace acl
}  // namespace ascend_sim

using namespace ascend_sim::acl;

extern "C" {

aclError aclrtGetDeviceResLimit(int32_t deviceId, aclrtDevResLimitType type, uint32_t* value) {
  ACL_ENTER(aclrtGetDeviceResLimit);
  ACL_REQUIRE_POINTER(aclrtGetDeviceResLimit, value);
  if (const aclError error = Devices::Get().CheckId(deviceId, "aclrtGetDeviceResLimit")) return error;
  return DeviceLimit("aclrtGetDeviceResLimit", deviceId, type, value);
}
aclError aclrtSetDeviceResLimit(int32_t deviceId, aclrtDevResLimitType type, uint32_t value) {
  ACL_ENTER(aclrtSetDeviceResLimit);
  if (const aclError error = Devices::Get().CheckId(deviceId, "aclrtSetDeviceResLimit")) return error;
  if (const aclError error = CheckLimit("aclrtSetDeviceResLimit", type, value)) return error;
  g_device_limits[deviceId].cores[type] = value;
  return ACL_SUCCESS;
}
aclError aclrtResetDeviceResLimit(int32_t deviceId) {
  ACL_ENTER(aclrtResetDeviceResLimit);
  if (const aclError error = Devices::Get().CheckId(deviceId, "aclrtResetDeviceResLimit")) return error;
  g_device_limits.erase(deviceId);
  return ACL_SUCCESS;
}

aclError aclrtGetStreamResLimit(aclrtStream stream, aclrtDevResLimitType type, uint32_t* value) {
  ACL_ENTER(aclrtGetStreamResLimit);
  ACL_REQUIRE_POINTER(aclrtGetStreamResLimit, value);
  ACL_FIND_STREAM(aclrtGetStreamResLimit);
  return StreamLimit("aclrtGetStreamResLimit", *found, type, value);
}
aclError aclrtSetStreamResLimit(aclrtStream stream, aclrtDevResLimitType type, uint32_t value) {
  ACL_ENTER(aclrtSetStreamResLimit);
  ACL_FIND_STREAM(aclrtSetStreamResLimit);
  if (const aclError wrong = CheckLimit("aclrtSetStreamResLimit", type, value)) return wrong;
  found->core_limit[type] = value;
  return ACL_SUCCESS;
}
aclError aclrtResetStreamResLimit(aclrtStream stream) {
  ACL_ENTER(aclrtResetStreamResLimit);
  ACL_FIND_STREAM(aclrtResetStreamResLimit);
  found->core_limit[0] = found->core_limit[1] = 0;
  return ACL_SUCCESS;
}

aclError aclrtUseStreamResInCurrentThread(aclrtStream stream) {
  ACL_ENTER(aclrtUseStreamResInCurrentThread);
  ACL_FIND_STREAM(aclrtUseStreamResInCurrentThread);
  t_stream = found;
  return ACL_SUCCESS;
}
aclError aclrtUnuseStreamResInCurrentThread(aclrtStream stream) {
  ACL_ENTER(aclrtUnuseStreamResInCurrentThread);
  ACL_FIND_STREAM(aclrtUnuseStreamResInCurrentThread);
  if (t_stream == found) t_stream = nullptr;
  return ACL_SUCCESS;
}
aclError aclrtGetResInCurrentThread(aclrtDevResLimitType type, uint32_t* value) {
  ACL_ENTER(aclrtGetResInCurrentThread);
  ACL_REQUIRE_POINTER(aclrtGetResInCurrentThread, value);
  const int32_t device = Devices::Get().Current("aclrtGetResInCurrentThread");
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  Stream* stream = t_stream == nullptr ? nullptr : Streams::Get().Find(t_stream, device);  // null: destroyed since
  if (t_stream == nullptr || stream == nullptr) return DeviceLimit("aclrtGetResInCurrentThread", device, type, value);
  return StreamLimit("aclrtGetResInCurrentThread", *stream, type, value);
}

}  // extern "C"
