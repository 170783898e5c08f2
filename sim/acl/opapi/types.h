// The objects a caller of libopapi.so makes with aclCreate*: tensors are views of device memory, the rest are values.
// Opaque to callers, so only their names are CANN's.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/types.h"

namespace ascend_sim {
namespace opapi {

using Dims = std::vector<int64_t>;

// CANN's aclDataType; the names of what is not emulated are kept for messages.
enum AclType : int32_t {
  kAclFloat = 0,
  kAclFloat16 = 1,
  kAclInt8 = 2,
  kAclInt32 = 3,
  kAclUint8 = 4,
  kAclInt16 = 6,
  kAclInt64 = 9,
  kAclDouble = 11,
  kAclBool = 12,
  kAclBf16 = 27,
};
// "FLOAT16", or "30" for a code without a name here.
const char* AclTypeName(int32_t type);

// CANN's aclFormat, those in which memory order is the order of the strides.
bool IsPlainFormat(int32_t format);

}  // namespace opapi
}  // namespace ascend_sim

struct aclOpExecutor;

struct aclTensor {
  ascend_sim::opapi::Dims sizes, strides;  // strides and offset in elements
  ascend_sim::opapi::Dims storage;         // sizes of the storage, usually one: its number of elements
  int64_t offset = 0;
  int32_t type = 0;
  int32_t format = 0;
  void* data = nullptr;  // start of the storage
  // Set by an operator whose output's sizes depend on values: sizes until its work has run, the real ones afterwards.
  std::shared_ptr<ascend_sim::opapi::Dims> computed_sizes;
};

struct aclScalar {
  int32_t type = 0;
  double real = 0;      // the value of a floating scalar; of an integral one rounded to double
  int64_t integer = 0;  // the value of an integral scalar
};

struct aclIntArray {
  std::vector<int64_t> values;
};
struct aclFloatArray {
  std::vector<float> values;
};
struct aclBoolArray {
  std::vector<uint8_t> values;
};
struct aclTensorList {
  std::vector<const aclTensor*> values;  // owned
};
struct aclScalarList {
  std::vector<const aclScalar*> values;  // owned
};
