// KERNEL_TASK_TYPE_DEFAULT(x) inside a kernel: known when the library is loaded, without running the kernel.
#pragma once

namespace ascend_sim {

void RegisterKernelType(const char* function, int type);

namespace detail {
// Tag is a class local to the kernel, so the name of its member, which __PRETTY_FUNCTION__ spells, holds the kernel's.
template <class Tag, int kType>
struct KernelTypeMarker {
  static bool Register() {
    RegisterKernelType(Tag::Name(), kType);
    return true;
  }
  static bool registered;
};
template <class Tag, int kType>
bool KernelTypeMarker<Tag, kType>::registered = KernelTypeMarker<Tag, kType>::Register();
}  // namespace detail
}  // namespace ascend_sim

#define ASCEND_SIM_KERNEL_TYPE(value) ASCEND_SIM_KERNEL_TYPE_AT(value, __LINE__)
#define ASCEND_SIM_KERNEL_TYPE_AT(value, line) ASCEND_SIM_KERNEL_TYPE_TAG(value, line)
#define ASCEND_SIM_KERNEL_TYPE_TAG(value, line)               \
  struct Tag##line {                                          \
    static const char* Name() { return __PRETTY_FUNCTION__; } \
  };                                                          \
  static_cast<void>(&ascend_sim::detail::KernelTypeMarker<Tag##line, value>::registered)
