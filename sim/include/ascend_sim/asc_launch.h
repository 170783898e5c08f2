// What a launch k<<<blocks, l2ctrl, stream>>>(args) of an .asc source becomes, see cmake/asc_rewrite.py.
//
// The source is compiled twice, for AIC and for AIV. Both copies register the kernel; the host code of the AIV copy
// runs.
#pragma once

#include <string>

#include "ascend_sim/register.h"
#include "core/types.h"

// Runs the kernel on the simulator, in stream order (acl/runtime.cpp). type: what its attributes say, or kUnset.
extern "C" void ascend_sim_acl_launch(const char* kernel, int type, uint32_t blocks, void* stream, void* const* args,
                                      const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line);

namespace ascend_sim {
namespace asc {

// `... [with auto kKernel = add<2048>]` -> add<2048>
inline std::string NameFromSignature(std::string text) {
  text = text.substr(text.find("kKernel = ") + 10);
  if (text[0] == '&') text.erase(0, 1);  // clang's
  text.pop_back();
  return text;
}
template <auto kKernel>
const char* KernelName() {
  static const std::string name = NameFromSignature(__PRETTY_FUNCTION__);
  return name.c_str();
}

template <KernelType kType, auto kKernel>
class Launch;

template <KernelType kType, class... Params, void (*kKernel)(Params...)>
class Launch<kType, kKernel> {
 public:
  template <class L2 = int>
  explicit Launch(uint32_t blocks, L2 = {}, void* stream = nullptr, Site site = Site::Here())
      : blocks_(blocks), stream_(stream), site_(site) {
    static_cast<void>(&registrar_);
  }
  void operator()(Params... params) const {
    void* args[sizeof...(Params) + 1] = {const_cast<void*>(static_cast<const void*>(&params))...};
    const uint64_t bytes[sizeof...(Params) + 1] = {sizeof(Params)...};
    ascend_sim_acl_launch(KernelName<kKernel>(), static_cast<int>(kType), blocks_, stream_, args, bytes,
                          sizeof...(Params), site_.file, site_.line);
  }

 private:
  uint32_t blocks_;
  void* stream_;
  Site site_;
  using Traits = ascend_sim::detail::KernelTraits<kKernel>;
  static const ascend_sim::detail::Registrar registrar_;
};

template <KernelType kType, class... Params, void (*kKernel)(Params...)>
const ascend_sim::detail::Registrar Launch<kType, kKernel>::registrar_(KernelName<kKernel>(), ASCEND_SIM_THIS_CORE,
                                                                       kType, Traits::Infos(), Traits::kCount,
                                                                       &Traits::Invoke);

}  // namespace asc
}  // namespace ascend_sim
