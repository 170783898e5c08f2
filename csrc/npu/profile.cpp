#include "profile.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "process.h"

namespace triangle::npu {
namespace {

constexpr const char* kProfiler = "libmsprofiler.so";

// The structures of acl/acl_prof.h, version 1, whose layout CANN promises to keep.
struct ProfTensor {
  uint32_t output = 0, format = 2, type = 0, dims = 0;  // 2: ACL_FORMAT_ND
  uint32_t sizes[8] = {};
};
struct ProfTensorInfo {
  uint64_t name = 0, type = 0;
  uint32_t reserved = 0, tensor_count = 0;
  uint32_t kernel = 4;  // MSPROF_GE_TASK_TYPE_MIX_AIC: cube and vector cores
  uint32_t blocks = 0;
  void* stream = nullptr;
  ProfTensor* tensors = nullptr;
};
struct ProfEvent {
  uint16_t version = 1, size = sizeof(void*);
  uint32_t message = 0;  // ACL_PROF_MESSAGE_TYPE_TENSOR_INFO
  ProfTensorInfo* info = nullptr;
};

struct Functions {
  uint64_t (*id)(const char*) = nullptr;
  int32_t (*push)(ProfEvent*) = nullptr;
  int32_t (*pop)() = nullptr;
};

// Null where nobody profiles, or with a CANN that cannot be told. A profiler may come with any call, none goes.
const Functions* profiler() {
  static std::mutex mutex;
  static std::unique_ptr<const Functions> found;
  const std::lock_guard<std::mutex> lock(mutex);
  if (found != nullptr) return found.get();
  static const bool under_msprof = [] {  // the variable by which msprof tells the process that it starts
    const char* config = std::getenv("PROFILER_SAMPLECONFIG");
    return config != nullptr && *config != '\0' && dlopen(kProfiler, RTLD_LAZY) != nullptr;
  }();
  static_cast<void>(under_msprof);
  Functions f;
  f.push = find<int32_t(ProfEvent*)>(kProfiler, "aclprofRangePushEx");
  if (f.push == nullptr) return nullptr;
  f.pop = find<int32_t()>(kProfiler, "aclprofRangePop");
  f.id = find<uint64_t(const char*)>(kProfiler, "aclprofStr2Id");
  if (f.pop == nullptr || f.id == nullptr) return nullptr;
  found = std::make_unique<const Functions>(f);
  return found.get();
}

uint32_t acl_type(ScalarType type) {
  switch (type) {
    case ScalarType::Half:
      return 1;
    case ScalarType::BFloat16:
      return 27;
    case ScalarType::Int:
      return 3;
    case ScalarType::Long:
      return 9;
    case ScalarType::Bool:
      return 12;
    default:
      return 0;  // fp32
  }
}

void add(std::vector<ProfTensor>* all, std::initializer_list<const Tensor*> tensors, bool outputs) {
  for (const Tensor* t : tensors) {
    if (t == nullptr) continue;
    ProfTensor& told = all->emplace_back();
    told.output = outputs;
    told.type = acl_type(t->scalar_type());
    told.dims = static_cast<uint32_t>(std::min<int64_t>(t->dim(), 8));
    for (uint32_t i = 0; i < told.dims; ++i) told.sizes[i] = static_cast<uint32_t>(t->size(i));
  }
}

}  // namespace

Launch profiled(const char* kind, int64_t blocks, std::initializer_list<const Tensor*> inputs,
                std::initializer_list<const Tensor*> outputs, Launch launch) {
  const Functions* prof = profiler();
  if (prof == nullptr) return launch;
  std::vector<ProfTensor> tensors;
  add(&tensors, inputs, false);
  add(&tensors, outputs, true);
  const std::string name = std::string("triangle_attn_") + kind;
  return [=, launch = std::move(launch)](void* stream) mutable {
    ProfTensorInfo info;
    info.name = prof->id(name.c_str());
    info.type = info.name;
    info.tensor_count = static_cast<uint32_t>(tensors.size());
    info.blocks = static_cast<uint32_t>(blocks);
    info.stream = stream;
    info.tensors = tensors.data();
    ProfEvent event;
    event.info = &info;
    // CANN keeps one range for the process, not one a thread, and reads what it points to when it is popped.
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    prof->push(&event);
    const int32_t code = launch(stream);
    prof->pop();
    return code;
  };
}

}  // namespace triangle::npu
