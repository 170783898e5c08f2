// Devices, contexts, and which of them a thread uses. Callers hold TheLock().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "acl/acl_base.h"

namespace ascend_sim {
namespace acl {

struct Context {
  int32_t device = 0;
};

class Devices {
 public:
  static Devices& Get();

  // The device of this thread's context; -1 and the error set where there is none. `caller` heads the message.
  int32_t Current(const char* caller);
  bool Valid(int32_t device) const;
  aclError CheckId(int32_t device, const char* caller) const;

  aclError Set(int32_t device);
  // Ends one use of a device; the last one (or force) frees everything on it.
  aclError Reset(int32_t device, bool force);
  bool Active(int32_t device) const;

  Context* CurrentContext() const;
  aclError SetContext(Context* context);
  Context* CreateContext(int32_t device);
  aclError DestroyContext(Context* context);

  aclError EnablePeer(int32_t device, int32_t peer, bool enable);
  bool PeerEnabled(int32_t device, int32_t peer) const;

  aclError Initialise(const char* config);
  aclError Finalise();
  bool initialised() const { return initialised_; }

 private:
  struct Device {
    uint32_t uses = 0;
    Context* primary = nullptr;
    std::set<int32_t> peers;
  };
  void Release(int32_t device);
  void Retire(Context* context);

  std::map<int32_t, Device> devices_;
  std::map<Context*, std::unique_ptr<Context>> contexts_;
  std::vector<std::unique_ptr<Context>> retired_;  // kept, so that no new context gets the address of a stale handle
  bool initialised_ = false;
  int32_t default_device_ = -1;  // of threads that set none, from aclInit's configuration
};

}  // namespace acl
}  // namespace ascend_sim
