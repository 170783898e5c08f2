// The two phases of an aclnn function. aclnnXGetWorkspaceSize checks the arguments and makes an executor that holds the
// work; aclnnX queues that work on a stream and deletes the executor. An operator is written as
//
//   ACLNN(Neg, const aclTensor* self, aclTensor* out) {
//     return PLAN { Unary<false>(call, self, out, [](auto x) { return -x; }); };
//   }
//
// where the body takes its views from call.In and call.Out, refuses what it does not cover, and leaves work in call.Do.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "acl/acl_base.h"
#include "acl/opapi/element.h"
#include "acl/opapi/types.h"
#include "acl/opapi/view.h"

namespace ascend_sim {
namespace opapi {

// A scalar argument.
struct Number {
  DType type = DType::kF64;
  double real = 0;
  int64_t integer = 0;
  template <class C>
  C As() const {
    if constexpr (std::is_floating_point_v<C>) {
      return static_cast<C>(real);
    } else {
      return IsFloating(type) ? Convert<C>(real) : static_cast<C>(integer);
    }
  }
};
// The dtype in which a tensor meets a scalar: the tensor's, unless the scalar is of a higher kind.
DType Promote(DType tensor, const Number& scalar);

// What the second phase runs and which memory it touches.
struct Work {
  struct Memory {
    std::string argument;
    char* start;
    size_t bytes;
    bool written;
  };
  std::string name;
  std::vector<std::function<void()>> steps;
  std::vector<Memory> memory;
};

// What the work throws for values it cannot take (an index out of range); the stream reports it.
struct ValueError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The first phase of one call.
class Call {
 public:
  explicit Call(Work* work) : work_(work) {}

  // The view of a tensor that will be read (written), after its dtype, format and bounds are checked.
  View In(const aclTensor* tensor, const char* argument) { return Take(tensor, argument, false); }
  View Out(const aclTensor* tensor, const char* argument) { return Take(tensor, argument, true); }
  Number Scalar(const aclScalar* scalar, const char* argument);
  const aclScalar* Required(const aclScalar* scalar, const char* argument);
  // Views of a list's tensors; argument "x" gives x[0], x[1]... in messages.
  std::vector<View> List(const aclTensorList* list, const char* argument, bool written);
  // A dimension between 0 and rank - 1.
  int64_t Dim(int64_t dim, const View& view, const char* argument);
  // Distinct dimensions in rising order; null or empty gives all.
  Dims DimList(const aclIntArray* dims, const View& view, const char* argument);

  Dims Broadcast(const View& a, const View& b, const char* argument);
  void Expect(const View& view, const Dims& sizes, const char* argument);
  void ExpectType(const View& view, std::initializer_list<DType> types, const char* argument);
  void Check(bool holds, const char* argument, const std::string& complaint);

  void Do(std::function<void()> step) { work_->steps.push_back(std::move(step)); }

  struct Refused {
    int code;
    std::string text;
  };

 private:
  View Take(const aclTensor* tensor, const char* argument, bool written);
  [[noreturn]] void Refuse(int code, const char* argument, const std::string& complaint);
  Work* work_;
};

struct Planner {
  const char* function;  // aclnnXGetWorkspaceSize
  uint64_t* workspace_size;
  aclOpExecutor** executor;
  int operator=(const std::function<void(Call&)>& plan) const;  // NOLINT: reads as `return PLAN { ... };`
};

int Execute(const char* name, aclOpExecutor* executor, aclrtStream stream);

}  // namespace opapi
}  // namespace ascend_sim

struct aclOpExecutor {
  ascend_sim::opapi::Work work;
};

#define ACLNN(name, ...)                                                                     \
  extern "C" int aclnn##name(void*, uint64_t, aclOpExecutor* executor, aclrtStream stream) { \
    return ascend_sim::opapi::Execute("aclnn" #name, executor, stream);                      \
  }                                                                                          \
  extern "C" int aclnn##name##GetWorkspaceSize(__VA_ARGS__, uint64_t* workspace_size, aclOpExecutor** executor)

#define PLAN ascend_sim::opapi::Planner{__func__, workspace_size, executor} = [=](ascend_sim::opapi::Call & call)
