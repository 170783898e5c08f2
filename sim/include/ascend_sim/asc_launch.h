// What a launch k<<<blocks, l2ctrl, stream>>>(args) of an .asc source becomes, see cmake/asc_rewrite.py.
//
// The source is compiled twice, for AIC and for AIV. Both copies register the kernel; the host code of the AIV copy
// runs.
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <typeinfo>

#include "ascend_sim/register.h"
#include "core/types.h"

// Runs the kernel on the simulator, in stream order (acl/runtime.cpp). type: what its attributes say, or kUnset.
extern "C" void ascend_sim_acl_launch(const char* kernel, int type, uint32_t blocks, void* stream, void* const* args,
                                      const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line);

namespace ascend_sim {
namespace asc {

template <auto kKernel>
struct Named {};

// `ascend_sim::asc::Named<&(void add<2048u, true>(float*))>` -> add<2048, true>. From the type's name and not from
// __PRETTY_FUNCTION__, in which clang spells every instance of a template `add`.
inline std::string NameFromType(const std::type_info& type) {
  int status = 0;
  char* demangled = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string text = demangled == nullptr ? type.name() : demangled;
  std::free(demangled);
  text = text.substr(text.find("Named<&") + 7);
  text.pop_back();
  for (const std::string unnamed = "(anonymous namespace)::"; text.find(unnamed) != std::string::npos;) {
    text.erase(text.find(unnamed), unnamed.size());
  }
  if (text[0] == '(') text = text.substr(1, text.size() - 2);
  std::string name;
  int depth = 0;
  bool number = false;
  for (const char c : text) {
    depth += (c == '<') - (c == '>');
    if (depth == 0 && c == '(') break;
    if (depth == 0 && c == ' ') {  // what stood before is the result's type
      name.clear();
      continue;
    }
    const bool digit = c >= '0' && c <= '9', starts = !name.empty() && std::strchr("< -)", name.back()) != nullptr;
    number = digit ? number || starts : number && (c == 'u' || c == 'l');
    if (!number || digit) name += c;
  }
  return name;
}
template <auto kKernel>
const char* KernelName() {
  static const std::string name = NameFromType(typeid(Named<kKernel>));
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
