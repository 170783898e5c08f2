// Scalar accesses that pass by the data cache: atomics on global memory, and plain reads and writes.
#pragma once

#include <cstring>

#include "isa/scalar.h"
#include "kernel_tensor.h"

namespace AscendC {

template <typename T, typename F>
inline T SimScalarAtomic(__gm__ T* address, F change, ascend_sim::Site site) {
  struct Context {
    F change;
    T before;
  } context{change, T{}};
  const auto apply = [](void* bytes, void* given) {
    auto* with = static_cast<Context*>(given);
    std::memcpy(&with->before, bytes, sizeof(T));
    const T after = with->change(with->before);
    std::memcpy(bytes, &after, sizeof(T));
  };
  ascend_sim::ScalarAtomic(ascend_sim::Global{reinterpret_cast<uint64_t>(address), sizeof(T)}, sizeof(T), apply,
                           &context, site);
  return context.before;
}

// Each gives what was there before.
template <typename T>
__aicore__ inline T AtomicAdd(__gm__ T* address, T value, ascend_sim::Site site = ascend_sim::Site::Here()) {
  return SimScalarAtomic(address, [=](T old) { return static_cast<T>(old + value); }, site);
}
template <typename T>
__aicore__ inline T AtomicMax(__gm__ T* address, T value, ascend_sim::Site site = ascend_sim::Site::Here()) {
  return SimScalarAtomic(address, [=](T old) { return old < value ? value : old; }, site);
}
template <typename T>
__aicore__ inline T AtomicMin(__gm__ T* address, T value, ascend_sim::Site site = ascend_sim::Site::Here()) {
  return SimScalarAtomic(address, [=](T old) { return value < old ? value : old; }, site);
}
template <typename T>
__aicore__ inline T AtomicCas(__gm__ T* address, T value1, T value2, ascend_sim::Site site = ascend_sim::Site::Here()) {
  return SimScalarAtomic(address, [=](T old) { return old == value1 ? value2 : old; }, site);
}
template <typename T>
__aicore__ inline T AtomicExch(__gm__ T* address, T value, ascend_sim::Site site = ascend_sim::Site::Here()) {
  return SimScalarAtomic(address, [=](T) { return value; }, site);
}

template <typename T>
__aicore__ inline T ReadGmByPassDCache(__gm__ T* addr, ascend_sim::Site site = ascend_sim::Site::Here()) {
  const ascend_sim::Global at{reinterpret_cast<uint64_t>(addr), sizeof(T)};
  ascend_sim::CleanScalarCache(at, false, site);
  T value;
  ascend_sim::ScalarLoad(at, 0, &value, sizeof(T), site);
  ascend_sim::CleanScalarCache(at, false, site);
  return value;
}
template <typename T>
__aicore__ inline void WriteGmByPassDCache(__gm__ T* addr, T value, ascend_sim::Site site = ascend_sim::Site::Here()) {
  const ascend_sim::Global at{reinterpret_cast<uint64_t>(addr), sizeof(T)};
  ascend_sim::ScalarStore(at, 0, &value, sizeof(T), site);
  ascend_sim::CleanScalarCache(at, false, site);
}

}  // namespace AscendC
