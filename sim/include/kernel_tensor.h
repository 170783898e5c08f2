// LocalTensor and GlobalTensor: typed names for parts of on-chip buffers and of global memory.
#pragma once

#include "core/device.h"
#include "core/types.h"
#include "isa/scalar.h"
#include "kernel_macros.h"

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

enum class CacheMode : uint8_t { CACHE_MODE_DISABLE = 0, CACHE_MODE_NORMAL, CACHE_MODE_LAST, CACHE_MODE_PERSISTENT };
enum class CacheRwMode : uint8_t { READ = 1, WRITE, RW };

constexpr ascend_sim::Buffer BufferOf(TPosition position) {
  switch (position) {
    case TPosition::A1:
    case TPosition::B1:
    case TPosition::C1:
    case TPosition::TSCM:
    case TPosition::SPM:
      return ascend_sim::Buffer::kL1;
    case TPosition::A2:
      return ascend_sim::Buffer::kL0A;
    case TPosition::B2:
      return ascend_sim::Buffer::kL0B;
    case TPosition::C2:
      return ascend_sim::Buffer::kBt;
    case TPosition::CO1:
      return ascend_sim::Buffer::kL0C;
    case TPosition::C2PIPE2GM:
    case TPosition::C2PIPE2LOCAL:
      return ascend_sim::Buffer::kFb;
    case TPosition::GM:
    case TPosition::CO2:
      return ascend_sim::Buffer::kGm;
    default:
      return ascend_sim::Buffer::kUb;
  }
}

template <typename T>
class LocalTensor {
 public:
  using PrimType = T;
  LocalTensor() = default;
  // 9.x: a tensor of tileSize elements at byte `addr` of the position's buffer.
  LocalTensor(TPosition position, uint32_t addr, uint32_t tileSize)
      : local_{BufferOf(position), addr, static_cast<uint32_t>(tileSize * sizeof(T)), 0}, position_(position) {}
  explicit LocalTensor(uint32_t addr) : LocalTensor(TPosition::VECCALC, addr, 0) {}

  // ---- what the engine sees ----
  const ascend_sim::Local& sim() const { return local_; }
  static LocalTensor FromSim(const ascend_sim::Local& local, TPosition position) {
    LocalTensor tensor;
    tensor.local_ = local;
    tensor.position_ = position;
    return tensor;
  }

  // offset in elements; the result owns what is left of this tensor.
  LocalTensor operator[](uint32_t offset) const {
    LocalTensor part = *this;
    const uint32_t bytes = static_cast<uint32_t>(offset * sizeof(T));
    part.local_.offset += bytes;
    part.local_.bytes = local_.bytes > bytes ? local_.bytes - bytes : (local_.bytes == 0 ? 0 : 1);
    return part;
  }
  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>::FromSim(local_, position_);
  }
  void SetAddrWithOffset(LocalTensor& src, uint32_t offset) { *this = src[offset]; }

  T GetValue(uint32_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    T value;
    ascend_sim::ScalarLoad(local_, static_cast<int64_t>(index) * sizeof(T), &value, sizeof(T), site);
    return value;
  }
  template <typename U>
  void SetValue(uint32_t index, U value, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    const T converted = static_cast<T>(value);
    ascend_sim::ScalarStore(local_, static_cast<int64_t>(index) * sizeof(T), &converted, sizeof(T), site);
  }

  uint32_t GetSize() const { return static_cast<uint32_t>(local_.bytes / sizeof(T)); }
  void SetSize(uint32_t size) { local_.bytes = static_cast<uint32_t>(size * sizeof(T)); }
  uint32_t GetLength() const { return local_.bytes; }
  TPosition GetPosition() const { return position_; }
  // The bytes themselves: reads through it are neither ordered nor checked.
  T* GetPhyAddr(uint32_t offset = 0) const {
    return reinterpret_cast<T*>(ascend_sim::device::HostAddress(local_)) + offset;
  }
  void SetUserTag(uint32_t tag) { tag_ = tag; }
  uint32_t GetUserTag() const { return tag_; }

 private:
  ascend_sim::Local local_;
  TPosition position_ = TPosition::VECCALC;
  uint32_t tag_ = 0;
};

template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;
  GlobalTensor() = default;

  void SetGlobalBuffer(__gm__ T* buffer, uint64_t bufferSize) {
    global_ = {reinterpret_cast<uint64_t>(buffer), bufferSize * sizeof(T)};
  }
  void SetGlobalBuffer(__gm__ T* buffer) { SetGlobalBuffer(buffer, 0); }

  const ascend_sim::Global& sim() const { return global_; }

  GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor part = *this;
    part.global_.address += offset * sizeof(T);
    const uint64_t bytes = offset * sizeof(T);
    part.global_.bytes = global_.bytes > bytes ? global_.bytes - bytes : 0;
    return part;
  }
  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(global_.address); }
  __gm__ T* GetPhyAddr(uint64_t offset) const { return reinterpret_cast<T*>(global_.address) + offset; }
  uint64_t GetSize() const { return global_.bytes / sizeof(T); }

  T GetValue(uint64_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    T value;
    ascend_sim::ScalarLoad(global_, static_cast<int64_t>(index * sizeof(T)), &value, sizeof(T), site);
    return value;
  }
  void SetValue(uint64_t index, T value, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    ascend_sim::ScalarStore(global_, static_cast<int64_t>(index * sizeof(T)), &value, sizeof(T), site);
  }
  // A hint for the L2 cache: no effect on values or on modelled time.
  template <CacheRwMode kMode = CacheRwMode::RW>
  void SetL2CacheHint(CacheMode) {}

 private:
  ascend_sim::Global global_;
};

}  // namespace AscendC
