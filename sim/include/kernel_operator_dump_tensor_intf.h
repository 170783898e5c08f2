// printf, DumpTensor and assertions in kernels.
#pragma once

#include <cassert>
#include <cstdio>
#include <type_traits>
#include <utility>

#include "framework/print.h"
#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

// half and bfloat16_t print with %f.
template <typename T>
constexpr auto SimPrintable(const T& value) {
  using Plain = std::decay_t<T>;
  if constexpr (std::is_same<Plain, half>::value || std::is_same<Plain, bfloat16_t>::value) {
    return static_cast<double>(static_cast<float>(value));
  } else if constexpr (std::is_class<Plain>::value) {
    return static_cast<int64_t>(value);  // device built-ins such as block_idx
  } else {
    return static_cast<std::decay_t<const T&>>(value);
  }
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
template <class... Args>
__aicore__ inline void printf(const char* fmt, Args&&... args) {
  ascend_sim::KernelPrint(fmt, SimPrintable(args)...);
}
template <class... Args>
__aicore__ inline void PRINTF(const char* fmt, Args&&... args) {
  ascend_sim::KernelPrint(fmt, SimPrintable(args)...);
}
#pragma GCC diagnostic pop

template <typename T>
__aicore__ inline void DumpTensor(const LocalTensor<T>& tensor, uint32_t desc, uint32_t dumpSize,
                                  Site site = Site::Here()) {
  ascend_sim::DumpElements(tensor.sim(), ascend_sim::kDTypeOf<T>, desc, dumpSize, site);
}
template <typename T>
__aicore__ inline void DumpTensor(const GlobalTensor<T>& tensor, uint32_t desc, uint32_t dumpSize,
                                  Site site = Site::Here()) {
  ascend_sim::DumpElements(tensor.sim(), ascend_sim::kDTypeOf<T>, desc, dumpSize, site);
}
template <typename T>
__aicore__ inline void DumpAccChkPoint(const LocalTensor<T>& tensor, uint32_t index, uint32_t countOff,
                                       uint32_t dumpSize, Site site = Site::Here()) {
  DumpTensor(tensor[countOff], index, dumpSize, site);
}
template <typename T>
__aicore__ inline void DumpAccChkPoint(const GlobalTensor<T>& tensor, uint32_t index, uint32_t countOff,
                                       uint32_t dumpSize, Site site = Site::Here()) {
  DumpTensor(tensor[countOff], index, dumpSize, site);
}
__aicore__ inline void PrintTimeStamp(uint32_t descId) {
  ascend_sim::KernelPrint("TimeStamp desc=%u cycle=%llu\n", descId,
                          static_cast<unsigned long long>(ascend_sim::device::Cycle()));
}

}  // namespace AscendC

// Levels only label the line.
#define KERNEL_LOG(level, ...)              \
  do {                                      \
    ascend_sim::KernelPrint("%s ", #level); \
    AscendC::printf(__VA_ARGS__);           \
    std::puts("");                          \
  } while (0)
#define ASCENDC_ASSERT(cond, behavior)                                                                 \
  do {                                                                                                 \
    if (!(cond)) {                                                                                     \
      behavior;                                                                                        \
      ascend_sim::AssertionFailed(#cond, ascend_sim::Site{__FILE__, static_cast<uint32_t>(__LINE__)}); \
    }                                                                                                  \
  } while (0)
#define ascendc_assert(expr, ...)                         \
  (static_cast<bool>(expr) ? static_cast<void>(0)         \
                           : ascend_sim::AssertionFailed( \
                                 #expr, ascend_sim::Site{__FILE__, static_cast<uint32_t>(__LINE__)}, ##__VA_ARGS__))
