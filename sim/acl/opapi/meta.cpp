// aclCreate*, aclDestroy* and the getters of libopapi.so.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <numeric>

#include "acl/opapi/types.h"
#include "acl/work.h"

using ascend_sim::acl::Fail;

namespace ascend_sim {
namespace opapi {

const char* AclTypeName(int32_t type) {
  static const char* const kNames[] = {"FLOAT",
                                       "FLOAT16",
                                       "INT8",
                                       "INT32",
                                       "UINT8",
                                       "5",
                                       "INT16",
                                       "UINT16",
                                       "UINT32",
                                       "INT64",
                                       "UINT64",
                                       "DOUBLE",
                                       "BOOL",
                                       "STRING",
                                       "14",
                                       "15",
                                       "COMPLEX64",
                                       "COMPLEX128",
                                       "18",
                                       "19",
                                       "20",
                                       "21",
                                       "22",
                                       "23",
                                       "24",
                                       "25",
                                       "26",
                                       "BF16",
                                       "28",
                                       "INT4",
                                       "UINT1",
                                       "31",
                                       "32",
                                       "COMPLEX32",
                                       "HIFLOAT8",
                                       "FLOAT8_E5M2",
                                       "FLOAT8_E4M3FN",
                                       "FLOAT8_E8M0"};
  return type >= 0 && type < static_cast<int32_t>(std::size(kNames)) ? kNames[type] : "of unknown code";
}

// ND, NCHW, NHWC, NCDHW, NDHWC, NCL: only names of axes. FRACTAL_NZ and friends reorder memory.
bool IsPlainFormat(int32_t format) {
  return format == 2 || format == 0 || format == 1 || format == 30 || format == 27 || format == 47;
}

namespace {

constexpr int kParamNull = 161001;
constexpr int kParamInvalid = 161002;

template <class Array, class T>
Array* CreateArray(const T* values, uint64_t size) {
  Array* array = new Array;
  array->values.assign(values, values + size);
  return array;
}

template <class Array>
int Destroy(const Array* array) {
  delete array;
  return 0;
}

template <class List>
int DestroyList(const List* list) {
  if (list != nullptr) {
    for (const auto* value : list->values) delete value;
  }
  delete list;
  return 0;
}

template <class Array>
int SizeOf(const char* name, const Array* array, uint64_t* size) {
  if (array == nullptr || size == nullptr) return Fail(kParamNull, std::string(name) + ": null argument");
  *size = array->values.size();
  return 0;
}

// Callers of the getters own what they get, and delete[] it.
int CopyDims(const char* name, const aclTensor* tensor, Dims aclTensor::* member, int64_t** values, uint64_t* count) {
  if (tensor == nullptr || values == nullptr || count == nullptr) {
    return Fail(kParamNull, std::string(name) + ": null argument");
  }
  const Dims& dims = tensor->*member;
  *values = new int64_t[dims.size()];
  std::copy(dims.begin(), dims.end(), *values);
  *count = dims.size();
  return 0;
}

template <class T>
T Read(const void* value) {
  T result;
  std::memcpy(&result, value, sizeof(T));
  return result;
}

// Sets real and integer of a scalar of a type there is; false for any other.
bool ReadScalar(const void* value, int32_t type, aclScalar* scalar) {
  const auto floating = [scalar](double x) {
    scalar->real = x;
    scalar->integer = 0;
    return true;
  };
  const auto integral = [scalar](int64_t x) {
    scalar->real = static_cast<double>(x);
    scalar->integer = x;
    return true;
  };
  switch (type) {
    case kAclFloat:
      return floating(Read<float>(value));
    case kAclDouble:
      return floating(Read<double>(value));
    case kAclFloat16:
      return floating(HalfToFloat(Read<uint16_t>(value)));
    case kAclBf16:
      return floating(Bf16ToFloat(Read<uint16_t>(value)));
    case kAclInt8:
      return integral(Read<int8_t>(value));
    case kAclUint8:
      return integral(Read<uint8_t>(value));
    case kAclInt16:
      return integral(Read<int16_t>(value));
    case kAclInt32:
      return integral(Read<int32_t>(value));
    case kAclInt64:
      return integral(Read<int64_t>(value));
    case kAclBool:
      return integral(Read<uint8_t>(value) != 0);
    default:
      return false;
  }
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim

using namespace ascend_sim::opapi;  // NOLINT: the C functions below are about these types only

extern "C" {

aclTensor* aclCreateTensor(const int64_t* view_dims, uint64_t view_dims_num, int32_t data_type, const int64_t* stride,
                           int64_t offset, int32_t format, const int64_t* storage_dims, uint64_t storage_dims_num,
                           void* tensor_data) {
  aclTensor* tensor = new aclTensor;
  tensor->sizes.assign(view_dims, view_dims + view_dims_num);
  if (stride != nullptr) {
    tensor->strides.assign(stride, stride + view_dims_num);
  } else {  // contiguous
    tensor->strides.assign(view_dims_num, 1);
    for (int64_t d = static_cast<int64_t>(view_dims_num) - 2; d >= 0; --d) {
      tensor->strides[d] = tensor->strides[d + 1] * tensor->sizes[d + 1];
    }
  }
  if (storage_dims != nullptr) tensor->storage.assign(storage_dims, storage_dims + storage_dims_num);
  tensor->offset = offset;
  tensor->type = data_type;
  tensor->format = format;
  tensor->data = tensor_data;
  return tensor;
}

aclScalar* aclCreateScalar(void* value, int32_t data_type) {
  if (value == nullptr) {
    Fail(kParamNull, "aclCreateScalar: value is null");
    return nullptr;
  }
  aclScalar* scalar = new aclScalar;
  scalar->type = data_type;
  // A scalar of another type is made all the same: the operator that gets it refuses it by the argument's name.
  ReadScalar(value, data_type, scalar);
  return scalar;
}

aclIntArray* aclCreateIntArray(const int64_t* value, uint64_t size) { return CreateArray<aclIntArray>(value, size); }
aclFloatArray* aclCreateFloatArray(const float* value, uint64_t size) {
  return CreateArray<aclFloatArray>(value, size);
}
aclBoolArray* aclCreateBoolArray(const bool* value, uint64_t size) { return CreateArray<aclBoolArray>(value, size); }
aclTensorList* aclCreateTensorList(const aclTensor* const* value, uint64_t size) {
  return CreateArray<aclTensorList>(value, size);
}
aclScalarList* aclCreateScalarList(const aclScalar* const* value, uint64_t size) {
  return CreateArray<aclScalarList>(value, size);
}

int aclDestroyTensor(const aclTensor* tensor) { return Destroy(tensor); }
int aclDestroyScalar(const aclScalar* scalar) { return Destroy(scalar); }
int aclDestroyIntArray(const aclIntArray* array) { return Destroy(array); }
int aclDestroyFloatArray(const aclFloatArray* array) { return Destroy(array); }
int aclDestroyBoolArray(const aclBoolArray* array) { return Destroy(array); }
int aclDestroyTensorList(const aclTensorList* list) { return DestroyList(list); }
int aclDestroyScalarList(const aclScalarList* list) { return DestroyList(list); }

int aclGetIntArraySize(const aclIntArray* array, uint64_t* size) { return SizeOf("aclGetIntArraySize", array, size); }
int aclGetFloatArraySize(const aclFloatArray* array, uint64_t* size) {
  return SizeOf("aclGetFloatArraySize", array, size);
}
int aclGetBoolArraySize(const aclBoolArray* array, uint64_t* size) {
  return SizeOf("aclGetBoolArraySize", array, size);
}
int aclGetTensorListSize(const aclTensorList* list, uint64_t* size) {
  return SizeOf("aclGetTensorListSize", list, size);
}
int aclGetScalarListSize(const aclScalarList* list, uint64_t* size) {
  return SizeOf("aclGetScalarListSize", list, size);
}

int aclGetViewShape(const aclTensor* tensor, int64_t** dims, uint64_t* count) {
  if (tensor != nullptr && tensor->computed_sizes != nullptr) {
    aclTensor computed;
    computed.sizes = *tensor->computed_sizes;
    return CopyDims("aclGetViewShape", &computed, &aclTensor::sizes, dims, count);
  }
  return CopyDims("aclGetViewShape", tensor, &aclTensor::sizes, dims, count);
}
int aclGetStorageShape(const aclTensor* tensor, int64_t** dims, uint64_t* count) {
  return CopyDims("aclGetStorageShape", tensor, &aclTensor::storage, dims, count);
}
int aclGetViewStrides(const aclTensor* tensor, int64_t** strides, uint64_t* count) {
  return CopyDims("aclGetViewStrides", tensor, &aclTensor::strides, strides, count);
}
int aclGetViewOffset(const aclTensor* tensor, int64_t* offset) {
  if (tensor == nullptr || offset == nullptr) return Fail(kParamNull, "aclGetViewOffset: null argument");
  *offset = tensor->offset;
  return 0;
}
int aclGetFormat(const aclTensor* tensor, int32_t* format) {
  if (tensor == nullptr || format == nullptr) return Fail(kParamNull, "aclGetFormat: null argument");
  *format = tensor->format;
  return 0;
}
int aclGetDataType(const aclTensor* tensor, int32_t* type) {
  if (tensor == nullptr || type == nullptr) return Fail(kParamNull, "aclGetDataType: null argument");
  *type = tensor->type;
  return 0;
}

}  // extern "C"
