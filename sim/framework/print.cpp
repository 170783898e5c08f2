#include "framework/print.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "core/device.h"
#include "core/machine.h"

namespace ascend_sim {

namespace {

std::string Format(const char* format, va_list arguments) {
  char text[2048];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}

std::string ElementText(DType type, const uint8_t* at) {
  const auto load = [at](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  char text[64];
  switch (type) {
    case DType::kF16:
      std::snprintf(text, sizeof text, "%g", HalfToFloat(load(uint16_t())));
      break;
    case DType::kBf16:
      std::snprintf(text, sizeof text, "%g", Bf16ToFloat(load(uint16_t())));
      break;
    case DType::kF32:
      std::snprintf(text, sizeof text, "%g", load(float()));
      break;
    case DType::kF64:
      std::snprintf(text, sizeof text, "%g", load(double()));
      break;
    case DType::kI8:
      return std::to_string(load(int8_t()));
    case DType::kU8:
    case DType::kBool:
      return std::to_string(load(uint8_t()));
    case DType::kI16:
      return std::to_string(load(int16_t()));
    case DType::kU16:
      return std::to_string(load(uint16_t()));
    case DType::kI32:
      return std::to_string(load(int32_t()));
    case DType::kU32:
      return std::to_string(load(uint32_t()));
    case DType::kI64:
      return std::to_string(load(int64_t()));
    case DType::kU64:
      return std::to_string(load(uint64_t()));
    default:
      return "?";
  }
  return text;
}

void Dump(const char* kind, const std::string& where, DType type, uint32_t description, uint32_t count,
          const uint8_t* at) {
  std::string text;
  for (uint32_t i = 0; i < count; ++i) {
    if (i % 8 == 0) text += i == 0 ? "" : "\n";
    text += (i % 8 == 0 ? "  " : ", ") + ElementText(type, at + static_cast<size_t>(i) * BytesOf(type));
  }
  KernelPrint("DumpTensor desc=%u %s<%s> at %s, %u elements\n", description, kind, DTypeName(type), where.c_str(),
              count);
  std::printf("%s\n", text.c_str());
}

}  // namespace

void KernelPrint(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = Format(format, arguments);
  va_end(arguments);
  if (device::Running()) std::printf("[%s] ", CurrentMachine().CoreName(CurrentCore().index).c_str());
  std::fputs(text.c_str(), stdout);
}

void DumpElements(const Local& tensor, DType type, uint32_t description, uint32_t count, Site site) {
  Machine& machine = CurrentMachine();
  Core& core = CurrentCore();
  if (machine.options.timing_only) return;  // there is no data to show
  const uint64_t end = tensor.offset + static_cast<uint64_t>(count) * BytesOf(type);
  if (end > device::Capacity(tensor.buffer)) {
    machine.Report(Rule::kOutOfBoundsRead, site, "DumpTensor", Pipe::kS,
                   std::string("DumpTensor: reads past the end of ") + BufferName(tensor.buffer));
  }
  machine.order.Drain(core, Pipe::kAll);
  Dump("LocalTensor", std::string(BufferName(tensor.buffer)) + "+" + std::to_string(tensor.offset), type, description,
       count, device::HostAddress(tensor));
}

void DumpElements(const Global& tensor, DType type, uint32_t description, uint32_t count, Site site) {
  Machine& machine = CurrentMachine();
  if (machine.options.timing_only) return;
  const GmRegion* region = machine.gm.Find(tensor.address);
  const uint64_t end = tensor.address + static_cast<uint64_t>(count) * BytesOf(type);
  if (region == nullptr || end > region->address + region->bytes) {
    machine.Report(Rule::kOutOfBoundsRead, site, "DumpTensor", Pipe::kS, "DumpTensor: reads outside global memory");
  }
  machine.order.Drain(CurrentCore(), Pipe::kAll);
  Dump("GlobalTensor", "GM '" + region->name + "'+" + std::to_string(tensor.address - region->address), type,
       description, count, reinterpret_cast<const uint8_t*>(tensor.address));
}

void AssertionFailed(const char* expression, Site site) { AssertionFailed(expression, site, "%s", ""); }

void AssertionFailed(const char* expression, Site site, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::string text = Format(format, arguments);
  va_end(arguments);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text = std::string("assertion failed: ") + expression + (text.empty() ? "" : ": ") + text;
  if (device::Running()) CurrentMachine().Report(Rule::kMessage, site, "assert", Pipe::kS, text);
  std::fprintf(stderr, "%s:%u: %s\n", site.file, site.line, text.c_str());
  std::abort();
}

}  // namespace ascend_sim

// A kernel that ends the process is a crash; host code of an .asc program, which is linked the same way, may do it.
#define ASCEND_SIM_WRAP_EXIT(name)                                                                        \
  extern "C" __attribute__((noreturn)) void __wrap_##name(int status) {                                   \
    if (ascend_sim::device::Running()) {                                                                  \
      const ascend_sim::Core& core = ascend_sim::CurrentCore();                                           \
      ascend_sim::CurrentMachine().Report(ascend_sim::Rule::kCrash, core.last_site, core.last_name,       \
                                          ascend_sim::Pipe::kS,                                           \
                                          "the kernel called " #name "(" + std::to_string(status) + ")"); \
    }                                                                                                     \
    name(status);                                                                                         \
    std::abort();                                                                                         \
  }
ASCEND_SIM_WRAP_EXIT(exit)
ASCEND_SIM_WRAP_EXIT(_exit)
ASCEND_SIM_WRAP_EXIT(_Exit)
ASCEND_SIM_WRAP_EXIT(quick_exit)

// <cassert> in kernels: ascend_sim_add_kernel links with --wrap=__assert_fail.
extern "C" __attribute__((noreturn)) void __wrap___assert_fail(const char* expression, const char* file, unsigned line,
                                                               const char*) {
  ascend_sim::AssertionFailed(expression, ascend_sim::Site{file, line});
}
