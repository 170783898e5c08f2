#include "acl/device.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "acl/error.h"
#include "acl/launch.h"
#include "acl/memory.h"
#include "acl/settings.h"
#include "acl/stream.h"

namespace ascend_sim {
namespace acl {

namespace {

thread_local Context* t_context = nullptr;

// {"defaultDevice": {"default_device": "0"}} -> 0; -1 where there is none.
int32_t DefaultDevice(const std::string& json) {
  const size_t key = json.find("\"default_device\"");
  if (key == std::string::npos) return -1;
  const size_t digit = json.find_first_of("0123456789", key + 16);
  return digit == std::string::npos ? -1 : static_cast<int32_t>(std::strtol(json.c_str() + digit, nullptr, 10));
}

}  // namespace

Devices& Devices::Get() {
  static Devices* devices = new Devices;  // outlives every static destructor of the program
  return *devices;
}

int32_t Devices::Current(const char* caller) {
  if (CurrentContext() == nullptr && default_device_ >= 0) Set(default_device_);
  if (const Context* context = CurrentContext()) return context->device;
  Fail(ACL_ERROR_RT_CONTEXT_NULL, std::string(caller) + ": this thread has no device; call aclrtSetDevice first");
  return -1;
}

bool Devices::Valid(int32_t device) const {
  return device >= 0 && static_cast<uint32_t>(device) < TheSettings().devices;
}

aclError Devices::CheckId(int32_t device, const char* caller) const {
  if (Valid(device)) return ACL_SUCCESS;
  const uint32_t count = TheSettings().devices;
  if (count == 0) return Fail(ACL_ERROR_RT_NO_DEVICE, std::string(caller) + ": there is no device");
  return Fail(ACL_ERROR_RT_INVALID_DEVICEID, std::string(caller) + ": expected a device in 0.." +
                                                 std::to_string(count - 1) + ", got " + std::to_string(device));
}

aclError Devices::Set(int32_t device) {
  if (const aclError error = CheckId(device, "aclrtSetDevice")) return error;
  if (!TheSettings().wrong.empty()) return Fail(ACL_ERROR_INVALID_PARAM, TheSettings().wrong);
  Device& entry = devices_[device];
  if (entry.primary == nullptr) entry.primary = CreateContext(device);
  ++entry.uses;
  t_context = entry.primary;
  return ACL_SUCCESS;
}

aclError Devices::Reset(int32_t device, bool force) {
  const char* name = force ? "aclrtResetDeviceForce" : "aclrtResetDevice";
  if (const aclError error = CheckId(device, name)) return error;
  Device& entry = devices_[device];
  if (entry.uses == 0) {
    return Fail(ACL_ERROR_RT_INVALID_DEVICEID,
                std::string(name) + ": device " + std::to_string(device) + " is not in use");
  }
  entry.uses = force ? 0 : entry.uses - 1;
  if (entry.uses == 0) Release(device);
  return ACL_SUCCESS;
}

bool Devices::Active(int32_t device) const {
  auto at = devices_.find(device);
  return at != devices_.end() && at->second.uses != 0;
}

Context* Devices::CurrentContext() const { return contexts_.count(t_context) != 0 ? t_context : nullptr; }

aclError Devices::SetContext(Context* context) {
  if (contexts_.count(context) == 0) {
    return Fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtSetCurrentContext: not a context");
  }
  t_context = context;
  return ACL_SUCCESS;
}

Context* Devices::CreateContext(int32_t device) {
  auto context = std::make_unique<Context>();
  context->device = device;
  Context* handle = context.get();
  contexts_[handle] = std::move(context);
  return handle;
}

aclError Devices::DestroyContext(Context* context) {
  for (const auto& item : devices_) {
    if (item.second.primary == context && context != nullptr) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclrtDestroyContext: the device's own context; use aclrtResetDevice");
    }
  }
  if (contexts_.count(context) == 0) return Fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtDestroyContext: not a context");
  Retire(context);
  return ACL_SUCCESS;
}

void Devices::Retire(Context* context) {
  auto at = contexts_.find(context);
  retired_.push_back(std::move(at->second));
  contexts_.erase(at);
}

aclError Devices::EnablePeer(int32_t device, int32_t peer, bool enable) {
  if (const aclError error = CheckId(peer, "aclrtDeviceEnablePeerAccess")) return error;
  if (device == peer) {
    return Fail(ACL_ERROR_RT_INVALID_DEVICEID, "aclrtDeviceEnablePeerAccess: a device is no peer of its own");
  }
  if (enable) {
    devices_[device].peers.insert(peer);
  } else {
    devices_[device].peers.erase(peer);
  }
  return ACL_SUCCESS;
}

bool Devices::PeerEnabled(int32_t device, int32_t peer) const {
  auto at = devices_.find(device);
  return device == peer || (at != devices_.end() && at->second.peers.count(peer) != 0);
}

aclError Devices::Initialise(const char* config) {
  if (initialised_) return Fail(ACL_ERROR_REPEAT_INITIALIZE, "aclInit: called twice");
  if (!TheSettings().wrong.empty()) return Fail(ACL_ERROR_INVALID_PARAM, TheSettings().wrong);
  default_device_ = -1;
  if (config != nullptr && *config != 0) {
    std::ifstream file(config);
    std::stringstream text;
    text << file.rdbuf();
    if (!file) return Fail(ACL_ERROR_INVALID_FILE, std::string("aclInit: cannot read ") + config);
    default_device_ = DefaultDevice(text.str());
    if (default_device_ >= 0) {
      if (const aclError error = CheckId(default_device_, "aclInit: default_device")) return error;
    }
  }
  initialised_ = true;
  return ACL_SUCCESS;
}

aclError Devices::Finalise() {
  if (!initialised_) return Fail(ACL_ERROR_REPEAT_FINALIZE, "aclFinalize: without aclInit");
  initialised_ = false;
  default_device_ = -1;
  for (auto& item : devices_) {
    if (item.second.uses == 0) continue;
    item.second.uses = 0;
    Release(item.first);
  }
  return ACL_SUCCESS;
}

void Devices::Release(int32_t device) {
  const uint64_t before = Streams::Get().dropped();
  Streams::Get().DestroyAll(device);
  const auto [count, bytes] = Memory::Get().FreeAll(device);
  WriteReport("{\"released_device\":" + std::to_string(device) + ",\"allocations_not_freed\":" + std::to_string(count) +
              ",\"bytes_not_freed\":" + std::to_string(bytes) +
              ",\"tasks_dropped\":" + std::to_string(Streams::Get().dropped() - before) + "}");
  Device& entry = devices_[device];
  for (auto at = contexts_.begin(); at != contexts_.end();) {
    Context* context = (at++)->first;
    if (context->device == device) Retire(context);
  }
  entry.primary = nullptr;
  entry.peers.clear();
}

}  // namespace acl
}  // namespace ascend_sim
