// Tensors, the pipe object and its buffers. The members are as many and as wide as CANN's, for the stack's sake.
#pragma once
#include "language.h"

namespace AscendC {

enum class TPosition : uint8_t {
  GM,
  A1,
  A2,
  B1,
  B2,
  C1,
  C2,
  CO1,
  CO2,
  VECIN,
  VECOUT,
  VECCALC,
  LCM = VECCALC,
  SPM,
  SHM = SPM,
  TSCM,
  C2PIPE2GM,
  C2PIPE2LOCAL,
  MAX,
};
using QuePosition = TPosition;

enum class CacheMode : uint8_t { CACHE_MODE_DISABLE, CACHE_MODE_NORMAL, CACHE_MODE_LAST, CACHE_MODE_PERSISTENT };

template <typename T>
class LocalTensor {
 public:
  using PrimType = T;
  __aicore__ inline LocalTensor() {}
  __aicore__ inline LocalTensor(uint32_t offset, uint32_t bytes, TPosition position)
      : bytes_(bytes), offset_(offset), position_(position) {}
  __aicore__ inline LocalTensor operator[](uint32_t offset) const {
    LocalTensor part = *this;
    part.offset_ += static_cast<uint32_t>(offset * sizeof(T));
    part.bytes_ -= static_cast<uint32_t>(offset * sizeof(T));
    return part;
  }
  template <typename U>
  __aicore__ inline LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>(offset_, bytes_, position_);
  }
  __aicore__ T GetValue(uint32_t index) const;
  __aicore__ void SetValue(uint32_t index, T value) const;
  __aicore__ inline uint32_t GetSize() const { return bytes_ / static_cast<uint32_t>(sizeof(T)); }
  __aicore__ inline uint64_t GetPhyAddr() const { return offset_; }
  __aicore__ inline int32_t GetPosition() const { return static_cast<int32_t>(position_); }

 private:
  uint32_t bytes_ = 0;
  uint32_t offset_ = 0;
  __ubuf__ uint8_t* handle_ = nullptr;
  TPosition position_ = TPosition::VECCALC;
};

template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;
  __aicore__ inline GlobalTensor() {}
  __aicore__ inline void SetGlobalBuffer(__gm__ T* buffer, uint64_t size) {
    address_ = buffer;
    size_ = size;
  }
  __aicore__ inline void SetGlobalBuffer(__gm__ T* buffer) { address_ = buffer; }
  __aicore__ inline GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor part = *this;
    part.address_ = address_ + offset;
    return part;
  }
  __aicore__ inline __gm__ T* GetPhyAddr() const { return address_; }
  __aicore__ inline __gm__ T* GetPhyAddr(uint64_t offset) const { return address_ + offset; }
  __aicore__ inline uint64_t GetSize() const { return size_; }
  __aicore__ inline T GetValue(uint64_t index) const { return address_[index]; }
  __aicore__ inline void SetValue(uint64_t index, T value) const { address_[index] = value; }
  __aicore__ inline void SetL2CacheHint(CacheMode mode) { cache_ = mode; }

 private:
  __gm__ T* address_ = nullptr;
  uint64_t size_ = 0;
  CacheMode cache_ = CacheMode::CACHE_MODE_NORMAL;
};

template <TPosition pos = TPosition::LCM>
class TBuf {
 public:
  __aicore__ inline TBuf() {}
  template <typename T>
  __aicore__ inline LocalTensor<T> Get() {
    return LocalTensor<T>(offset_, bytes_, pos);
  }
  template <typename T>
  __aicore__ inline LocalTensor<T> Get(uint32_t len) {
    return LocalTensor<T>(offset_, static_cast<uint32_t>(len * sizeof(T)), pos);
  }
  template <typename T>
  __aicore__ inline LocalTensor<T> GetWithOffset(uint32_t size, uint32_t bufOffset) {
    return LocalTensor<T>(offset_ + bufOffset, static_cast<uint32_t>(size * sizeof(T)), pos);
  }

 private:
  friend class TPipe;
  __ubuf__ uint8_t* first_ = nullptr;
  uint32_t offset_ = 0;
  uint32_t bytes_ = 0;
  uint64_t state_ = 0;
};

class TPipe {
 public:
  __aicore__ TPipe();
  __aicore__ ~TPipe();
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;
  __aicore__ void Init();
  __aicore__ void Destroy();
  __aicore__ void Reset();
  template <TPosition pos>
  __aicore__ inline bool InitBuffer(TBuf<pos>& buf, uint32_t len) {
    buf.bytes_ = len;
    buf.offset_ = Place(pos, len);
    return true;
  }

 private:
  __aicore__ uint32_t Place(TPosition position, uint32_t bytes);
  uint8_t state_[2048];  // CANN's is of this order: 64 buffers of 24 bytes, the events and the pools
};

}  // namespace AscendC
