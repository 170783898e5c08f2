// ACL: descriptions of tensors, buffers and attributes that a host program makes for CANN's operator compiler. They
// hold what they are given; the compiler is where such a call ends with an error (op_compiler.cpp).
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "acl/acl_base.h"
#include "acl/api.h"

using ascend_sim::acl::Fail;

struct aclTensorDesc {
  int type = -1, format = -1, placement = 0;
  std::vector<int64_t> dims;
  std::string name;
};
struct aclDataBuffer {
  void* data;
  size_t bytes;
};
struct aclopAttr {
  std::map<std::string, std::string> values;  // by name; the bytes as given
};

namespace {

aclError SetAttribute(aclopAttr* attr, const char* name, const void* value, size_t bytes) {
  if (attr == nullptr || name == nullptr || (value == nullptr && bytes != 0)) {
    return Fail(ACL_ERROR_INVALID_PARAM, "aclopSetAttr: a null pointer");
  }
  attr->values[name].assign(static_cast<const char*>(value), bytes);
  return ACL_SUCCESS;
}

template <class T>
aclError SetList(aclopAttr* attr, const char* name, int count, const T* values) {
  return SetAttribute(attr, name, values, static_cast<size_t>(count) * sizeof(T));
}

}  // namespace

extern "C" {

aclTensorDesc* aclCreateTensorDesc(int dataType, int numDims, const int64_t* dims, int format) {
  if (numDims < 0 || (numDims > 0 && dims == nullptr)) {
    Fail(ACL_ERROR_INVALID_PARAM, "aclCreateTensorDesc: expected numDims dimensions");
    return nullptr;
  }
  auto* desc = new aclTensorDesc;
  desc->type = dataType;
  desc->format = format;
  desc->dims.assign(dims, dims + numDims);
  return desc;
}
void aclDestroyTensorDesc(const aclTensorDesc* desc) { delete desc; }

aclError aclSetTensorShape(aclTensorDesc* desc, int numDims, const int64_t* dims) {
  ACL_REQUIRE_POINTER(aclSetTensorShape, desc);
  desc->dims.assign(dims, dims + numDims);
  return ACL_SUCCESS;
}
aclError aclSetTensorFormat(aclTensorDesc* desc, int format) {
  ACL_REQUIRE_POINTER(aclSetTensorFormat, desc);
  desc->format = format;
  return ACL_SUCCESS;
}
aclError aclSetTensorPlaceMent(aclTensorDesc* desc, int memType) {
  ACL_REQUIRE_POINTER(aclSetTensorPlaceMent, desc);
  desc->placement = memType;
  return ACL_SUCCESS;
}
void aclSetTensorDescName(aclTensorDesc* desc, const char* name) {
  if (desc != nullptr && name != nullptr) desc->name = name;
}
int aclGetTensorDescType(const aclTensorDesc* desc) { return desc != nullptr ? desc->type : -1; }
int aclGetTensorDescFormat(const aclTensorDesc* desc) { return desc != nullptr ? desc->format : -1; }
size_t aclGetTensorDescNumDims(const aclTensorDesc* desc) { return desc != nullptr ? desc->dims.size() : 0; }
aclError aclGetTensorDescDimV2(const aclTensorDesc* desc, size_t index, int64_t* dimSize) {
  ACL_REQUIRE_POINTER(aclGetTensorDescDimV2, desc);
  ACL_REQUIRE_POINTER(aclGetTensorDescDimV2, dimSize);
  if (index >= desc->dims.size()) return Fail(ACL_ERROR_INVALID_PARAM, "aclGetTensorDescDimV2: no such dimension");
  *dimSize = desc->dims[index];
  return ACL_SUCCESS;
}

aclDataBuffer* aclCreateDataBuffer(void* data, size_t size) { return new aclDataBuffer{data, size}; }
aclError aclDestroyDataBuffer(const aclDataBuffer* dataBuffer) {
  ACL_REQUIRE_POINTER(aclDestroyDataBuffer, dataBuffer);
  delete dataBuffer;
  return ACL_SUCCESS;
}

aclopAttr* aclopCreateAttr() { return new aclopAttr; }
void aclopDestroyAttr(const aclopAttr* attr) { delete attr; }
aclError aclopSetAttrBool(aclopAttr* attr, const char* name, uint8_t value) { return SetList(attr, name, 1, &value); }
aclError aclopSetAttrInt(aclopAttr* attr, const char* name, int64_t value) { return SetList(attr, name, 1, &value); }
aclError aclopSetAttrFloat(aclopAttr* attr, const char* name, float value) { return SetList(attr, name, 1, &value); }
aclError aclopSetAttrDataType(aclopAttr* attr, const char* name, int value) { return SetList(attr, name, 1, &value); }
aclError aclopSetAttrString(aclopAttr* attr, const char* name, const char* value) {
  ACL_REQUIRE_POINTER(aclopSetAttrString, value);
  return SetAttribute(attr, name, value, std::char_traits<char>::length(value));
}
aclError aclopSetAttrListBool(aclopAttr* attr, const char* name, int count, const uint8_t* values) {
  return SetList(attr, name, count, values);
}
aclError aclopSetAttrListInt(aclopAttr* attr, const char* name, int count, const int64_t* values) {
  return SetList(attr, name, count, values);
}
aclError aclopSetAttrListFloat(aclopAttr* attr, const char* name, int count, const float* values) {
  return SetList(attr, name, count, values);
}
aclError aclopSetAttrListListInt(aclopAttr* attr, const char* name, int count, const int* lengths,
                                 const int64_t* const values[]) {
  std::vector<int64_t> all;
  for (int i = 0; i < count; ++i) all.insert(all.end(), values[i], values[i] + lengths[i]);
  return SetAttribute(attr, name, all.data(), all.size() * sizeof(int64_t));
}

}  // extern "C"
