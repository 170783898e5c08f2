#include "torch_npu.h"

#include "process.h"

namespace triangle::npu {
namespace {

// c10_npu::NPUStream, which holds a c10::Stream (16 bytes) and nothing else, with room to spare. The destructor is what
// matters: the real one has one too, so it is returned through memory that the caller provides.
struct StreamObject {
  alignas(16) unsigned char bytes[64] = {};
  StreamObject() = default;
  StreamObject(const StreamObject&) = delete;
  ~StreamObject() {}  // NOLINT: must not be trivial
};

// RunOpApiV2's name with the ABI of std::string that torch has: the old one in x86_64's torch 2.6.
#if _GLIBCXX_USE_CXX11_ABI
#define TRIANGLE_RUN                                                                               \
  "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE" \
  "RKSt8functionIFivEEb"
#else
#define TRIANGLE_RUN "_ZN6at_npu6native9OpCommand10RunOpApiV2ERKSsRKSt8functionIFivEEb"
#endif

// Demangled in the comments; every name as GCC mangles it.
struct Functions {
  // c10_npu::NPUStream c10_npu::getCurrentNPUStream(c10::DeviceIndex)
  StreamObject (*current)(signed char) = nullptr;
  // c10_npu::NPUStream c10_npu::getDefaultNPUStream(c10::DeviceIndex)
  StreamObject (*usual)(signed char) = nullptr;
  // aclrtStream c10_npu::NPUStream::stream(bool need_empty) const
  void* (*handle)(const StreamObject*, bool) = nullptr;
  // static void at_npu::native::OpCommand::RunOpApiV2(const std::string&, const std::function<int()>&, bool sync)
  void (*run)(const std::string&, const std::function<int()>&, bool) = nullptr;
  // int64_t at_npu::native::get_npu_format(const at::Tensor&)
  int64_t (*format)(const void*) = nullptr;
  // The C function that gives the stream, drained.
  AOTITorchError (*drained)(int32_t, void**) = nullptr;

  bool streams() const { return current != nullptr && handle != nullptr; }
};

template <class Function>
void look_up(Function*& function, const char* symbol) {
  function = find<Function>("libtorch_npu.so", symbol);
}

const Functions& functions() {
  static const Functions found = [] {  // where this throws, the next call tries again
    Functions f;
    look_up(f.current, "_ZN7c10_npu19getCurrentNPUStreamEa");
    look_up(f.usual, "_ZN7c10_npu19getDefaultNPUStreamEa");
    look_up(f.handle, "_ZNK7c10_npu9NPUStream6streamEb");
    look_up(f.run, TRIANGLE_RUN);
    look_up(f.format, "_ZN6at_npu6native14get_npu_formatERKN2at6TensorE");
    look_up(f.drained, "aoti_torch_get_current_npu_stream");
    check(f.streams() || f.drained != nullptr,
          "npu: expected torch_npu in this process (import torch_npu), found no libtorch_npu.so with "
          "c10_npu::getCurrentNPUStream or aoti_torch_get_current_npu_stream");
    return f;
  }();
  return found;
}

const char* format_name(int64_t format) {
  switch (format) {
    case 3:
      return "NC1HWC0";
    case 4:
      return "FRACTAL_Z";
    case 29:
      return "FRACTAL_NZ";
    case 32:
      return "NDC1HWC0";
    case 33:
      return "FRACTAL_Z_3D";
    default:
      return "a private format";
  }
}

}  // namespace

void check_torch_npu() { functions(); }

bool has_host_queue() { return functions().streams() && functions().run != nullptr; }

void* current_stream(int32_t device_index, bool drained) {
  const Functions& npu = functions();
  void* stream = nullptr;
  bool failed = false;
  if (npu.streams()) {
    const StreamObject object = npu.current(static_cast<signed char>(device_index));
    stream = npu.handle(&object, drained);
    failed = stream == nullptr && drained && npu.handle(&object, false) != nullptr;
    // torch_npu 2.10 to 2.13 drain nothing for an external stream, whose operators wait in the same queue.
    if (drained && !failed && npu.usual != nullptr) {
      const StreamObject usual = npu.usual(static_cast<signed char>(device_index));
      failed = npu.handle(&usual, true) == nullptr && npu.handle(&usual, false) != nullptr;
    }
  } else {
    if (npu.drained(device_index, &stream) != AOTI_TORCH_SUCCESS)
      throw_torch_error("npu: torch_npu gives no current stream", std::runtime_error(""));
    failed = stream == nullptr;  // torch_npu makes all its streams itself
  }
  check(!failed, "npu: torch_npu gives no stream of npu:", device_index,
        ", because its host queue has stopped; an earlier error says why");
  return stream;
}

void run_in_host_queue(const std::string& name, const std::function<int()>& launch) {
  functions().run(name, launch, false);
}

std::string private_format(const Tensor& t) {
  const Functions& npu = functions();
  if (npu.format == nullptr) return "";
  const int64_t format = npu.format(torch_api::address_of(t));
  // Undefined, NCHW, NHWC, ND, NDHWC, NCDHW: torch_npu's base formats, memory as the strides have it.
  for (const int64_t plain : {-1, 0, 1, 2, 27, 30})
    if (format == plain) return "";
  return std::string(format_name(format)) + " (" + std::to_string(format) + ")";
}

}  // namespace triangle::npu
