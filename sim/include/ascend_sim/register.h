// Registers a kernel and its argument types when its library is loaded. ascend_sim_add_kernel generates the uses.
#pragma once

#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/registry.h"

namespace ascend_sim {
namespace detail {

template <class T>
constexpr ArgInfo InfoOfArg() {
  return ArgInfo{std::is_pointer<T>::value                              ? ArgKind::kPointer
                 : std::is_integral<T>::value || std::is_enum<T>::value ? ArgKind::kInteger
                 : std::is_floating_point<T>::value                     ? ArgKind::kFloat
                                                                        : ArgKind::kStruct,
                 sizeof(T)};
}

template <class T>
T LoadArg(void* from) {
  static_assert(std::is_trivially_copyable<T>::value, "kernel arguments are passed by value as bytes");
  std::aligned_storage_t<sizeof(T), alignof(T)> bytes;
  std::memcpy(&bytes, from, sizeof(T));
  return *reinterpret_cast<T*>(&bytes);
}

template <auto kFunction>
struct KernelTraits;
template <class... Args, void (*kFunction)(Args...)>
struct KernelTraits<kFunction> {
  static constexpr uint32_t kCount = sizeof...(Args);
  static const ArgInfo* Infos() {
    static const ArgInfo infos[sizeof...(Args) + 1] = {InfoOfArg<std::remove_cv_t<Args>>()...};
    return infos;
  }
  static void Invoke(void* const* args) { Call(args, std::index_sequence_for<Args...>()); }

 private:
  template <size_t... kIndex>
  static void Call(void* const* args, std::index_sequence<kIndex...>) {
    kFunction(LoadArg<std::remove_cv_t<Args>>(args[kIndex])...);
  }
};

struct Registrar {
  Registrar(const char* name, CoreType core, KernelType type, const ArgInfo* args, uint32_t count,
            void (*invoke)(void* const*)) {
    RegisterKernel(KernelEntry{name, core, type, args, count, invoke});
  }
};

}  // namespace detail
}  // namespace ascend_sim

#if defined(__DAV_C220_CUBE__)
#define ASCEND_SIM_THIS_CORE ascend_sim::CoreType::kAic
#else
#define ASCEND_SIM_THIS_CORE ascend_sim::CoreType::kAiv
#endif
#define ASCEND_SIM_CAT2(a, b) a##b
#define ASCEND_SIM_CAT(a, b) ASCEND_SIM_CAT2(a, b)
// type: an ascend_sim::KernelType. The variadic part is the kernel, template arguments included.
#define ASCEND_SIM_REGISTER(type, ...)                                                                                 \
  static const ascend_sim::detail::Registrar ASCEND_SIM_CAT(ascend_sim_registrar_, __COUNTER__)(                       \
      #__VA_ARGS__, ASCEND_SIM_THIS_CORE, ascend_sim::KernelType::type,                                                \
      ascend_sim::detail::KernelTraits<&__VA_ARGS__>::Infos(), ascend_sim::detail::KernelTraits<&__VA_ARGS__>::kCount, \
      &ascend_sim::detail::KernelTraits<&__VA_ARGS__>::Invoke);
