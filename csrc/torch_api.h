// The few things of torch that the operators use, in two dialects: PyTorch's stable ABI (torch >= 2.10, one binary for
// all of them) and, with TRIANGLE_CLASSIC_TORCH, the C++ API of torch 2.6 to 2.9 (one binary a torch minor). Nothing
// else in csrc/ includes a header of torch.
#pragma once
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef TRIANGLE_CLASSIC_TORCH
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>
#else
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

// The message of this thread's last exception behind the C interface, or null in a torch without it.
extern "C" __attribute__((weak)) const char* torch_exception_get_what_without_backtrace();
#endif

namespace triangle {

#ifdef TRIANGLE_CLASSIC_TORCH

using ScalarType = at::ScalarType;
using DeviceType = at::DeviceType;
using BFloat16 = at::BFloat16;
using Half = at::Half;
using Tensor = at::Tensor;
#define TRIANGLE_LIBRARY TORCH_LIBRARY
#define TRIANGLE_LIBRARY_IMPL TORCH_LIBRARY_IMPL
#define TRIANGLE_KERNEL(function) (function)

// Makes the device of this index current until it goes.
class DeviceGuard {
 public:
  explicit DeviceGuard(int32_t index) : guard_(at::Device(at::kPrivateUse1, static_cast<int8_t>(index))) {}

 private:
  c10::DeviceGuard guard_;
};

namespace torch_api {

inline int32_t device_index(const Tensor& t) { return t.device().index(); }
inline const void* address_of(const Tensor& t) { return &t; }
inline int32_t current_device_index() { return c10::impl::VirtualGuardImpl(at::kPrivateUse1).getDevice().index(); }
inline const char* name_of(ScalarType dtype) { return c10::toString(dtype); }
inline Tensor zero_(Tensor t) { return t.zero_(); }
inline Tensor fill_(Tensor t, double x) { return t.fill_(x); }
inline Tensor logical_not(const Tensor& t) { return t.logical_not(); }
inline Tensor narrow(Tensor t, int64_t dim, int64_t start, int64_t length) { return t.narrow(dim, start, length); }
inline Tensor contiguous(const Tensor& t) { return t.contiguous(); }
inline Tensor copy_(Tensor to, const Tensor& from) { return to.copy_(from); }
inline Tensor to_cpu(const Tensor& t) { return t.to(at::kCPU); }
inline Tensor new_zeros(const Tensor& like, const std::vector<int64_t>& sizes) {
  return at::zeros(sizes, like.options());
}
inline Tensor new_empty(const Tensor& like, const std::vector<int64_t>& sizes) {
  return at::empty(sizes, like.options());
}
inline Tensor empty_strided(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, ScalarType dtype,
                            const Tensor& device_of) {
  return at::empty_strided(sizes, strides, device_of.options().dtype(dtype));
}
inline std::string words_of(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  return of_torch != nullptr ? of_torch->what_without_backtrace() : error.what();
}
inline int num_threads() { return at::get_num_threads(); }
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  at::parallel_for(begin, end, grain, f);
}

}  // namespace torch_api

#else

using torch::headeronly::BFloat16;
using torch::headeronly::DeviceType;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using Tensor = torch::stable::Tensor;
using DeviceGuard = torch::stable::accelerator::DeviceGuard;
#define TRIANGLE_LIBRARY STABLE_TORCH_LIBRARY
#define TRIANGLE_LIBRARY_IMPL STABLE_TORCH_LIBRARY_IMPL
#define TRIANGLE_KERNEL(function) TORCH_BOX(function)

namespace torch_api {

inline int32_t device_index(const Tensor& t) { return t.get_device_index(); }
// A handle of the stable ABI is the address of an at::Tensor.
inline const void* address_of(const Tensor& t) { return t.get(); }
inline int32_t current_device_index() { return torch::stable::accelerator::getCurrentDeviceIndex(); }
inline auto name_of(ScalarType dtype) { return torch::headeronly::toString(dtype); }
inline Tensor zero_(Tensor t) { return torch::stable::zero_(t); }
inline Tensor fill_(Tensor t, double x) { return torch::stable::fill_(t, x); }
inline Tensor logical_not(const Tensor& t) {
  StableIValue stack[] = {torch::stable::detail::from(t)};
  STABLE_TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::logical_not", "", stack, TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}
inline Tensor narrow(Tensor t, int64_t dim, int64_t start, int64_t length) {
  return torch::stable::narrow(t, dim, start, length);
}
inline Tensor contiguous(const Tensor& t) { return torch::stable::contiguous(t); }
inline Tensor copy_(Tensor to, const Tensor& from) { return torch::stable::copy_(to, from); }
inline Tensor to_cpu(const Tensor& t) { return torch::stable::to(t, torch::stable::Device(DeviceType::CPU)); }
inline Tensor new_zeros(const Tensor& like, const std::vector<int64_t>& sizes) {
  return torch::stable::new_zeros(like, torch::headeronly::IntHeaderOnlyArrayRef(sizes.data(), sizes.size()));
}
inline Tensor new_empty(const Tensor& like, const std::vector<int64_t>& sizes) {
  return torch::stable::new_empty(like, torch::headeronly::IntHeaderOnlyArrayRef(sizes.data(), sizes.size()));
}
inline Tensor empty_strided(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, ScalarType dtype,
                            const Tensor& device_of) {
  int32_t device_type = 0;
  const auto shim_dtype = torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype));
  AtenTensorHandle handle = nullptr;
  if (aoti_torch_get_device_type(device_of.get(), &device_type) != AOTI_TORCH_SUCCESS ||
      aoti_torch_empty_strided(static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(), shim_dtype,
                               device_type, device_of.get_device_index(), &handle) != AOTI_TORCH_SUCCESS)
    throw std::runtime_error("");  // torch's own words are words_of()'s to find
  return Tensor(handle);
}
// An error in the stable ABI is a code; where this torch hands out the words of its last one (2.13 does), those.
inline std::string words_of(const std::exception&) {
  const char* why =
      torch_exception_get_what_without_backtrace != nullptr ? torch_exception_get_what_without_backtrace() : nullptr;
  return why != nullptr ? why : "";
}
inline int num_threads() { return static_cast<int>(torch::stable::get_num_threads()); }
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& f) {
  torch::stable::parallel_for(begin, end, grain, f);
}

}  // namespace torch_api

#endif

}  // namespace triangle
