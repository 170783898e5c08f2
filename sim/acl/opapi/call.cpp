// Checks of arguments, the executor between the two phases, and the queueing of its work.
#include "acl/opapi/call.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "acl/work.h"

namespace ascend_sim {
namespace opapi {

namespace {

// CANN's codes of aclnn functions.
constexpr int kParamNull = 161001;
constexpr int kParamInvalid = 161002;

bool TypeOf(int32_t acl_type, DType* type) {
  switch (acl_type) {
    case kAclFloat:
      *type = DType::kF32;
      return true;
    case kAclFloat16:
      *type = DType::kF16;
      return true;
    case kAclBf16:
      *type = DType::kBf16;
      return true;
    case kAclDouble:
      *type = DType::kF64;
      return true;
    case kAclInt8:
      *type = DType::kI8;
      return true;
    case kAclUint8:
      *type = DType::kU8;
      return true;
    case kAclInt16:
      *type = DType::kI16;
      return true;
    case kAclInt32:
      *type = DType::kI32;
      return true;
    case kAclInt64:
      *type = DType::kI64;
      return true;
    case kAclBool:
      *type = DType::kBool;
      return true;
    default:
      return false;
  }
}

// torch_npu does not always look at what the first phase returns; the second, given no executor, then repeats it.
std::mutex last_refusal_mutex;
std::string last_refusal;

std::mutex queued_mutex;
std::map<std::string, uint64_t> queued;  // how often each function's second phase has been called

}  // namespace

DType Promote(DType tensor, const Number& scalar) {
  if (IsFloating(tensor)) return tensor;
  if (IsFloating(scalar.type)) return DType::kF32;
  return tensor == DType::kBool && scalar.type != DType::kBool ? DType::kI64 : tensor;
}

void Call::Refuse(int code, const char* argument, const std::string& complaint) {
  throw Refused{code, work_->name + ": " + argument + ": " + complaint};
}

void Call::Check(bool holds, const char* argument, const std::string& complaint) {
  if (!holds) Refuse(kParamInvalid, argument, complaint);
}

View Call::Take(const aclTensor* tensor, const char* argument, bool written) {
  if (tensor == nullptr) Refuse(kParamNull, argument, "is null");
  View view;
  if (!TypeOf(tensor->type, &view.type)) {
    Refuse(kParamInvalid, argument, std::string("dtype ") + AclTypeName(tensor->type) + " is not emulated");
  }
  if (!IsPlainFormat(tensor->format)) {
    Refuse(kParamInvalid, argument, "format " + std::to_string(tensor->format) + " is not emulated, only ND is");
  }
  view.sizes = tensor->sizes;
  view.strides = tensor->strides;
  if (view.Count() == 0) return view;

  view.data = static_cast<char*>(tensor->data);
  view.data = view.At(tensor->offset);
  int64_t last = 0;
  for (int64_t d = 0; d < view.Rank(); ++d) {
    Check(view.sizes[d] >= 0 && view.strides[d] >= 0, argument, "negative size or stride");
    last += (view.sizes[d] - 1) * view.strides[d];
  }
  const size_t bytes = static_cast<size_t>(last + 1) * BytesOf(view.type);
  Check(tensor->offset >= 0 && acl::Holds(view.data, bytes), argument,
        "sizes " + ToString(view.sizes) + ", strides " + ToString(view.strides) + ", offset " +
            std::to_string(tensor->offset) + " are not inside one allocation of device memory");
  work_->memory.push_back(Work::Memory{argument, view.data, bytes, written});
  return view;
}

Number Call::Scalar(const aclScalar* scalar, const char* argument) {
  if (scalar == nullptr) Refuse(kParamNull, argument, "is null");
  Number number;
  if (!TypeOf(scalar->type, &number.type)) {
    Refuse(kParamInvalid, argument, std::string("a scalar of dtype ") + AclTypeName(scalar->type) + " is not emulated");
  }
  number.real = scalar->real;
  number.integer = scalar->integer;
  return number;
}

std::vector<View> Call::List(const aclTensorList* list, const char* argument, bool written) {
  if (list == nullptr) Refuse(kParamNull, argument, "is null");
  std::vector<View> views;
  for (size_t i = 0; i < list->values.size(); ++i) {
    views.push_back(Take(list->values[i], (std::string(argument) + "[" + std::to_string(i) + "]").c_str(), written));
  }
  return views;
}

int64_t Call::Dim(int64_t dim, const View& view, const char* argument) {
  const int64_t wrapped = WrapDim(dim, view.Rank());
  Check(wrapped >= 0, argument, std::to_string(dim) + " is no dimension of a tensor of sizes " + ToString(view.sizes));
  return wrapped;
}

Dims Call::DimList(const aclIntArray* dims, const View& view, const char* argument) {
  Dims result;
  if (dims == nullptr || dims->values.empty()) {
    for (int64_t d = 0; d < view.Rank(); ++d) result.push_back(d);
    return result;
  }
  for (int64_t dim : dims->values) result.push_back(Dim(dim, view, argument));
  std::sort(result.begin(), result.end());
  Check(std::adjacent_find(result.begin(), result.end()) == result.end(), argument,
        "a dimension appears twice in " + ToString(dims->values));
  if (view.Rank() == 0) result.clear();
  return result;
}

Dims Call::Broadcast(const View& a, const View& b, const char* argument) {
  Dims sizes;
  Check(opapi::Broadcast(a.sizes, b.sizes, &sizes), argument,
        "sizes " + ToString(b.sizes) + " do not broadcast with " + ToString(a.sizes));
  return sizes;
}

void Call::Expect(const View& view, const Dims& sizes, const char* argument) {
  Check(view.sizes == sizes, argument, "expected sizes " + ToString(sizes) + ", got " + ToString(view.sizes));
}

void Call::ExpectType(const View& view, std::initializer_list<DType> types, const char* argument) {
  Check(std::find(types.begin(), types.end(), view.type) != types.end(), argument,
        std::string("dtype ") + DTypeName(view.type) + " is not emulated here");
}

int Planner::operator=(const std::function<void(Call&)>& plan) const {  // NOLINT
  auto made = std::make_unique<aclOpExecutor>();
  made->work.name = std::string(function, std::strlen(function) - std::strlen("GetWorkspaceSize"));
  const std::string& name = made->work.name;
  if (workspace_size == nullptr || executor == nullptr) {
    return acl::Fail(kParamNull, name + ": workspaceSize or executor is null");
  }
  *workspace_size = 0;
  *executor = nullptr;
  try {
    Call call(&made->work);
    plan(call);
  } catch (const Call::Refused& refused) {
    const std::lock_guard<std::mutex> lock(last_refusal_mutex);
    last_refusal = refused.text;
    return acl::Fail(refused.code, refused.text);
  }
  *executor = made.release();
  return 0;
}

int Execute(const char* name, aclOpExecutor* executor, aclrtStream stream) {
  if (executor == nullptr) {
    const std::lock_guard<std::mutex> lock(last_refusal_mutex);
    const bool same = last_refusal.compare(0, std::strlen(name) + 1, std::string(name) + ":") == 0;
    return acl::Fail(kParamNull, same ? last_refusal : std::string(name) + ": executor is null");
  }
  {
    const std::lock_guard<std::mutex> lock(queued_mutex);
    ++queued[name];
  }
  const auto work = std::make_shared<Work>(std::move(executor->work));
  delete executor;
  return acl::Enqueue(stream, name, [work]() -> std::string {
    for (const Work::Memory& memory : work->memory) {
      if (!acl::Holds(memory.start, memory.bytes)) {
        return memory.argument + ": its memory was freed before the operator ran";
      }
    }
    try {
      for (const auto& step : work->steps) step();
    } catch (const std::exception& error) {
      return error.what();
    }
    for (const Work::Memory& memory : work->memory) {
      if (memory.written) acl::MarkWritten(memory.start);
    }
    return "";
  });
}

}  // namespace opapi
}  // namespace ascend_sim

// How often an aclnn function has queued work in this process: tests see that torch_npu came here.
extern "C" uint64_t ascend_sim_opapi_calls(const char* name) {
  const std::lock_guard<std::mutex> lock(ascend_sim::opapi::queued_mutex);
  const auto found = ascend_sim::opapi::queued.find(name);
  return found == ascend_sim::opapi::queued.end() ? 0 : found->second;
}
