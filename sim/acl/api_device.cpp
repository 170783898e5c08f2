// ACL: start and end, errors, versions, devices and contexts.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "acl/acl.h"
#include "acl/api.h"
#include "acl/cores.h"
#include "acl/device.h"
#include "acl/settings.h"
#include "acl/stream.h"
#include "core/soc.h"

using namespace ascend_sim::acl;

namespace {

int64_t g_options[3] = {0, 0, 0};  // aclrtSetSysParamOpt

// The chip, or an error for one that the simulator does not know.
aclError TheSoc(const char* caller, ascend_sim::Soc* soc) {
  if (ascend_sim::Soc::Lookup(TheSettings().soc, soc)) return ACL_SUCCESS;
  return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, std::string(caller) + ": unknown chip '" + TheSettings().soc + "'");
}

}  // namespace

extern "C" {

aclError aclInit(const char* configPath) {
  ACL_ENTER(aclInit);
  return Devices::Get().Initialise(configPath);
}

aclError aclFinalize(void) {
  ACL_ENTER(aclFinalize);
  return Devices::Get().Finalise();
}

const char* aclGetRecentErrMsg(void) { return TakeMessage(); }
aclError aclrtGetLastError(aclrtLastErrLevel) { return LastError(true); }
aclError aclrtPeekAtLastError(aclrtLastErrLevel) { return LastError(false); }

aclError aclsysGetVersionStr(char* pkgName, char* versionStr) {
  ACL_ENTER(aclsysGetVersionStr);
  ACL_REQUIRE_POINTER(aclsysGetVersionStr, pkgName);
  ACL_REQUIRE_POINTER(aclsysGetVersionStr, versionStr);
  std::snprintf(versionStr, ACL_PKG_VERSION_MAX_SIZE, "%s", TheSettings().cann.c_str());
  return ACL_SUCCESS;
}

aclError aclsysGetCANNVersion(aclCANNPackageName name, aclCANNPackageVersion* version) {
  ACL_ENTER(aclsysGetCANNVersion);
  ACL_REQUIRE_POINTER(aclsysGetCANNVersion, version);
  std::memset(version, 0, sizeof *version);
  // A driver of the time of CANN 8.5: torch_npu asks about pointers and copies as it does on such a machine.
  const std::string text = name == ACL_PKG_NAME_DRIVER ? "25.5.0" : TheSettings().cann;
  std::snprintf(version->version, sizeof version->version, "%s", text.c_str());
  char* const parts[] = {version->majorVersion, version->minorVersion, version->releaseVersion, version->patchVersion};
  size_t at = 0;
  for (char* part : parts) {
    const size_t end = std::min(text.find_first_of(".-", at), text.size());
    std::snprintf(part, ACL_PKG_VERSION_PARTS_MAX_SIZE, "%s", text.substr(at, end - at).c_str());
    if (end == text.size()) break;
    at = end + 1;
  }
  return ACL_SUCCESS;
}

// torch_npu's log; ASCEND_GLOBAL_LOG_LEVEL as CANN has it: 0 debug, 1 info, 2 warning, 3 error (default). Nothing goes
// to stdout unless ASCEND_SLOG_PRINT_TO_STDOUT=1, as with CANN.
void aclAppLog(int level, const char* function, const char*, uint32_t line, const char* format, ...) {
  static const char* print = std::getenv("ASCEND_SLOG_PRINT_TO_STDOUT");
  static const char* least = std::getenv("ASCEND_GLOBAL_LOG_LEVEL");
  if (print == nullptr || *print != '1' || level < (least != nullptr ? std::atoi(least) : 3)) return;
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  std::printf("[acl %d] %s:%u %s\n", level, function, line, text);
}

aclError aclrtSetDevice(int32_t deviceId) {
  ACL_ENTER(aclrtSetDevice);
  return Devices::Get().Set(deviceId);
}
aclError aclrtGetDevice(int32_t* deviceId) {
  ACL_ENTER(aclrtGetDevice);
  ACL_REQUIRE_POINTER(aclrtGetDevice, deviceId);
  const int32_t device = Devices::Get().Current("aclrtGetDevice");
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *deviceId = device;
  return ACL_SUCCESS;
}
aclError aclrtGetDeviceCount(uint32_t* count) {
  ACL_ENTER(aclrtGetDeviceCount);
  ACL_REQUIRE_POINTER(aclrtGetDeviceCount, count);
  *count = TheSettings().devices;
  return ACL_SUCCESS;
}
aclError aclrtResetDevice(int32_t deviceId) {
  ACL_ENTER(aclrtResetDevice);
  return Devices::Get().Reset(deviceId, false);
}
aclError aclrtResetDeviceForce(int32_t deviceId) {
  ACL_ENTER(aclrtResetDeviceForce);
  return Devices::Get().Reset(deviceId, true);
}
const char* aclrtGetSocName(void) { return TheSettings().soc_name.c_str(); }

aclError aclrtGetDeviceInfo(uint32_t deviceId, aclrtDevAttr attr, int64_t* value) {
  ACL_ENTER(aclrtGetDeviceInfo);
  ACL_REQUIRE_POINTER(aclrtGetDeviceInfo, value);
  if (const aclError error = Devices::Get().CheckId(static_cast<int32_t>(deviceId), "aclrtGetDeviceInfo")) {
    return error;
  }
  ascend_sim::Soc soc;
  switch (attr) {
    case ACL_DEV_ATTR_AICORE_CORE_NUM:
    case ACL_DEV_ATTR_CUBE_CORE_NUM:
      return DeviceCores("aclrtGetDeviceInfo", ACL_RT_DEV_RES_CUBE_CORE, value);
    case ACL_DEV_ATTR_VECTOR_CORE_NUM:
      return DeviceCores("aclrtGetDeviceInfo", ACL_RT_DEV_RES_VECTOR_CORE, value);
    case ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE:
      *value = static_cast<int64_t>(TheSettings().hbm_bytes);
      return ACL_SUCCESS;
    case ACL_DEV_ATTR_L2_CACHE_SIZE:
      if (const aclError error = TheSoc("aclrtGetDeviceInfo", &soc)) return error;
      *value = static_cast<int64_t>(soc.l2_bytes);
      return ACL_SUCCESS;
    default:
      return Fail(ACL_ERROR_FEATURE_UNSUPPORTED,
                  "aclrtGetDeviceInfo: attribute " + std::to_string(attr) + " is not emulated");
  }
}

// Kinds: 0 AI cores, 1 vector cores, 2 bytes of L2.
aclError aclGetDeviceCapability(uint32_t deviceId, int deviceInfo, int64_t* value) {
  if (deviceInfo == 0) return aclrtGetDeviceInfo(deviceId, ACL_DEV_ATTR_AICORE_CORE_NUM, value);
  if (deviceInfo == 1) return aclrtGetDeviceInfo(deviceId, ACL_DEV_ATTR_VECTOR_CORE_NUM, value);
  if (deviceInfo == 2) return aclrtGetDeviceInfo(deviceId, ACL_DEV_ATTR_L2_CACHE_SIZE, value);
  return Fail(ACL_ERROR_INVALID_PARAM, "aclGetDeviceCapability: unknown information " + std::to_string(deviceInfo));
}

aclError aclrtGetPrimaryCtxState(int32_t deviceId, uint32_t* flags, int32_t* active) {
  ACL_ENTER(aclrtGetPrimaryCtxState);
  if (const aclError error = Devices::Get().CheckId(deviceId, "aclrtGetPrimaryCtxState")) return error;
  if (flags != nullptr) *flags = 0;
  if (active != nullptr) *active = Devices::Get().Active(deviceId) ? 1 : 0;
  return ACL_SUCCESS;
}

aclError aclrtDeviceCanAccessPeer(int32_t* canAccessPeer, int32_t deviceId, int32_t peerDeviceId) {
  ACL_ENTER(aclrtDeviceCanAccessPeer);
  ACL_REQUIRE_POINTER(aclrtDeviceCanAccessPeer, canAccessPeer);
  if (const aclError error = Devices::Get().CheckId(deviceId, "aclrtDeviceCanAccessPeer")) return error;
  if (const aclError error = Devices::Get().CheckId(peerDeviceId, "aclrtDeviceCanAccessPeer")) return error;
  *canAccessPeer = deviceId != peerDeviceId ? 1 : 0;
  return ACL_SUCCESS;
}
aclError aclrtDeviceEnablePeerAccess(int32_t peerDeviceId, uint32_t flags) {
  ACL_ENTER(aclrtDeviceEnablePeerAccess);
  if (flags != 0) return Fail(ACL_ERROR_INVALID_PARAM, "aclrtDeviceEnablePeerAccess: flags are reserved, pass 0");
  const int32_t device = Devices::Get().Current("aclrtDeviceEnablePeerAccess");
  return device < 0 ? ACL_ERROR_RT_CONTEXT_NULL : Devices::Get().EnablePeer(device, peerDeviceId, true);
}
aclError aclrtDeviceDisablePeerAccess(int32_t peerDeviceId) {
  ACL_ENTER(aclrtDeviceDisablePeerAccess);
  const int32_t device = Devices::Get().Current("aclrtDeviceDisablePeerAccess");
  return device < 0 ? ACL_ERROR_RT_CONTEXT_NULL : Devices::Get().EnablePeer(device, peerDeviceId, false);
}

// The simulator computes as with INF and NaN; saturation is what it does not have.
aclError aclrtSetDeviceSatMode(aclrtFloatOverflowMode mode) {
  ACL_ENTER(aclrtSetDeviceSatMode);
  if (mode == ACL_RT_OVERFLOW_MODE_INFNAN) return ACL_SUCCESS;
  return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, "aclrtSetDeviceSatMode: saturation is not emulated, only INF/NaN");
}
aclError aclrtGetDeviceSatMode(aclrtFloatOverflowMode* mode) {
  ACL_ENTER(aclrtGetDeviceSatMode);
  ACL_REQUIRE_POINTER(aclrtGetDeviceSatMode, mode);
  *mode = ACL_RT_OVERFLOW_MODE_INFNAN;
  return ACL_SUCCESS;
}

// Attributes: 0 INF and NaN, 1 bf16, 2 operators compiled when first used.
aclError aclGetCannAttribute(int attribute, int32_t* value) {
  ACL_ENTER(aclGetCannAttribute);
  ACL_REQUIRE_POINTER(aclGetCannAttribute, value);
  if (attribute < 0 || attribute > 2) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclGetCannAttribute: unknown attribute " + std::to_string(attribute));
  }
  *value = attribute == 2 ? 0 : 1;
  return ACL_SUCCESS;
}

// Options: 0 deterministic, 1 debug kernels, 2 strong consistency. They are kept for the operators that ask; work runs
// in one order anyway.
aclError aclrtSetSysParamOpt(int option, int64_t value) {
  ACL_ENTER(aclrtSetSysParamOpt);
  if (option < 0 || option > 2) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtSetSysParamOpt: unknown option " + std::to_string(option));
  }
  g_options[option] = value;
  return ACL_SUCCESS;
}
aclError aclrtGetSysParamOpt(int option, int64_t* value) {
  ACL_ENTER(aclrtGetSysParamOpt);
  ACL_REQUIRE_POINTER(aclrtGetSysParamOpt, value);
  if (option < 0 || option > 2) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclrtGetSysParamOpt: unknown option " + std::to_string(option));
  }
  *value = g_options[option];
  return ACL_SUCCESS;
}
aclError aclrtCtxSetSysParamOpt(int option, int64_t value) { return aclrtSetSysParamOpt(option, value); }
aclError aclrtCtxGetSysParamOpt(int option, int64_t* value) { return aclrtGetSysParamOpt(option, value); }

// The longest an operator may take; the simulator's own watchdog (ASCEND_SIM_WATCHDOG) is what ends endless kernels.
aclError aclrtSetOpExecuteTimeOut(uint32_t) { return ACL_SUCCESS; }
aclError aclrtSetOpWaitTimeout(uint32_t) { return ACL_SUCCESS; }

aclError aclrtCreateContext(aclrtContext* context, int32_t deviceId) {
  ACL_ENTER(aclrtCreateContext);
  ACL_REQUIRE_POINTER(aclrtCreateContext, context);
  if (const aclError error = Devices::Get().Set(deviceId)) return error;
  *context = Devices::Get().CreateContext(deviceId);
  return Devices::Get().SetContext(static_cast<Context*>(*context));
}
aclError aclrtDestroyContext(aclrtContext context) {
  ACL_ENTER(aclrtDestroyContext);
  return Devices::Get().DestroyContext(static_cast<Context*>(context));
}
aclError aclrtSetCurrentContext(aclrtContext context) {
  ACL_ENTER(aclrtSetCurrentContext);
  return Devices::Get().SetContext(static_cast<Context*>(context));
}
aclError aclrtGetCurrentContext(aclrtContext* context) {
  ACL_ENTER(aclrtGetCurrentContext);
  ACL_REQUIRE_POINTER(aclrtGetCurrentContext, context);
  if (Devices::Get().Current("aclrtGetCurrentContext") < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *context = Devices::Get().CurrentContext();
  return ACL_SUCCESS;
}

}  // extern "C"
