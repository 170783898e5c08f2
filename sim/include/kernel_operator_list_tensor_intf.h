// ListTensorDesc: a list of tensors behind one GM pointer. The bytes: where the pointers begin (8 bytes, from the
// start), then for each tensor its index << 32 | dimensions and the dimensions (8 bytes each), then the pointers.
#pragma once

#include "isa/scalar.h"
#include "kernel_tensor.h"

namespace AscendC {

template <class T>
class TensorDesc {
 public:
  void SetShapeAddr(uint64_t* shape) { shape_ = shape; }
  uint64_t GetDim() const { return dim_; }
  uint64_t GetIndex() const { return index_; }
  uint64_t GetShape(uint32_t offset) const { return shape_ == nullptr ? 0 : shape_[offset]; }
  __gm__ T* GetDataPtr() const { return data_; }
  GlobalTensor<T> GetDataObj() const {
    GlobalTensor<T> tensor;
    tensor.SetGlobalBuffer(data_);
    return tensor;
  }

 private:
  friend class ListTensorDesc;
  uint64_t* shape_ = nullptr;
  uint64_t dim_ = 0, index_ = 0;
  __gm__ T* data_ = nullptr;
};

class ListTensorDesc {
 public:
  ListTensorDesc() = default;
  ListTensorDesc(__gm__ void* data, uint32_t length = 0xffffffff, uint32_t shapeSize = 0xffffffff) {
    Init(data, length, shapeSize);
  }
  void Init(__gm__ void* data, uint32_t = 0xffffffff, uint32_t = 0xffffffff,
            ascend_sim::Site site = ascend_sim::Site::Here()) {
    base_ = reinterpret_cast<uint64_t>(data);
    pointers_ = Word(0, site);
    size_ = 0;
    for (uint64_t at = 8; at < pointers_; ++size_) at += 8 + 8 * (Word(at, site) & 0xffffffffull);
  }
  template <class T>
  void GetDesc(TensorDesc<T>& desc, uint32_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    uint64_t at = 8;
    for (uint32_t i = 0; i < index; ++i) at += 8 + 8 * (Word(at, site) & 0xffffffffull);
    const uint64_t head = Word(at, site);
    desc.dim_ = head & 0xffffffffull;
    desc.index_ = head >> 32;
    for (uint64_t i = 0; desc.shape_ != nullptr && i < desc.dim_; ++i) desc.shape_[i] = Word(at + 8 + 8 * i, site);
    desc.data_ = GetDataPtr<T>(index, site);
  }
  template <class T>
  __gm__ T* GetDataPtr(uint32_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    return reinterpret_cast<__gm__ T*>(Word(pointers_ + 8ull * index, site));
  }
  uint32_t GetSize() const { return size_; }

 private:
  uint64_t Word(uint64_t offset, ascend_sim::Site site) const {
    uint64_t value;
    ascend_sim::ScalarLoad(ascend_sim::Global{base_, 0}, static_cast<int64_t>(offset), &value, 8, site);
    return value;
  }
  uint64_t base_ = 0, pointers_ = 0;
  uint32_t size_ = 0;
};

}  // namespace AscendC
