// LocalTensor and GlobalTensor: typed names for parts of on-chip buffers and of global memory.
#pragma once

#include <cstring>
#include <deque>
#include <type_traits>

#include "core/device.h"
#include "core/findings.h"
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

using int4b_t = ascend_sim::Int4;
// Bytes of `count` elements.
template <typename T>
constexpr uint64_t SimBytesOf(uint64_t count) {
  return std::is_same<T, int4b_t>::value ? count / 2 : count * sizeof(T);
}

// Beyond every buffer, where an offset ends that 32 bits of bytes would bring back into it.
constexpr int32_t kSimBeyond = 1 << 30;

// The memories of a core, CANN's numbering.
enum class Hardware : uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF, MAX };

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

constexpr Hardware GetPhyType(TPosition position) {
  constexpr Hardware rows[] = {Hardware::GM,  Hardware::L1, Hardware::L0A,  Hardware::L0B,
                               Hardware::L0C, Hardware::UB, Hardware::BIAS, Hardware::FIXBUF};
  return rows[static_cast<int>(BufferOf(position))];  // in the order of ascend_sim::Buffer
}
constexpr TPosition GetDefaultPosition(Hardware hard) {
  constexpr TPosition rows[] = {TPosition::MAX, TPosition::VECCALC, TPosition::A1, TPosition::A2,
                                TPosition::B2,  TPosition::CO1,     TPosition::C2, TPosition::C2PIPE2GM};
  return hard < Hardware::MAX ? rows[static_cast<int>(hard)] : TPosition::MAX;
}
constexpr const char* SimPositionName(TPosition position) {
  constexpr const char* names[] = {"GM",  "A1",    "A2",     "B1",      "B2",  "C1",   "C2",        "CO1",
                                   "CO2", "VECIN", "VECOUT", "VECCALC", "SPM", "TSCM", "C2PIPE2GM", "C2PIPE2LOCAL"};
  return position < TPosition::MAX ? names[static_cast<int>(position)] : "MAX";
}

// t(i): reads as GetValue(i), assigns as SetValue(i, value).
template <typename Tensor, typename T>
class SimElement {
 public:
  SimElement(const Tensor& tensor, uint64_t index, ascend_sim::Site site)
      : tensor_(tensor), index_(index), site_(site) {}
  operator T() const { return tensor_.GetValue(index_, site_); }  // NOLINT: implicit as a reference is
  const SimElement& operator=(const T& value) const {
    tensor_.SetValue(index_, value, site_);
    return *this;
  }
  const SimElement& operator=(const SimElement& other) const { return *this = static_cast<T>(other); }

 private:
  Tensor tensor_;
  uint64_t index_;
  ascend_sim::Site site_;
};

enum class DataFormat : uint8_t { ND = 0, NZ, NCHW, NC1HWC0, NHWC, NCDHW, NDC1HWC0, FRACTAL_Z_3D, FRACTAL_Z };
constexpr int K_MAX_SHAPE_DIM = 8;

// The shape that a kernel notes at a tensor; nothing here reads it.
struct ShapeInfo {
  ShapeInfo() = default;
  ShapeInfo(const uint8_t dim, const uint32_t extent[], const uint8_t originalDim, const uint32_t originalExtent[],
            const DataFormat format)
      : shapeDim(dim), originalShapeDim(originalDim), dataFormat(format) {
    for (int i = 0; i < dim && i < K_MAX_SHAPE_DIM; ++i) shape[i] = extent[i];
    for (int i = 0; i < originalDim && i < K_MAX_SHAPE_DIM; ++i) originalShape[i] = originalExtent[i];
  }
  ShapeInfo(const uint8_t dim, const uint32_t extent[], const DataFormat format = DataFormat::ND)
      : ShapeInfo(dim, extent, dim, extent, format) {}
  uint8_t shapeDim = 0, originalShapeDim = 0;
  uint32_t shape[K_MAX_SHAPE_DIM] = {}, originalShape[K_MAX_SHAPE_DIM] = {};
  DataFormat dataFormat = DataFormat::ND;
};
__aicore__ inline uint64_t GetShapeSize(const ShapeInfo& shapeInfo) {
  uint64_t size = 1;
  for (int i = 0; i < shapeInfo.shapeDim; ++i) size *= shapeInfo.shape[i];
  return size;
}
// Tensors are copied at every offset, so they carry the number of a shape.
inline std::deque<ShapeInfo>& SimShapes() {
  static std::deque<ShapeInfo> shapes(1);
  return shapes;
}
inline uint32_t SimShapeNumber(const ShapeInfo& shape) {
  std::deque<ShapeInfo>& shapes = SimShapes();
  for (uint32_t i = 0; i < shapes.size(); ++i) {
    if (std::memcmp(&shapes[i], &shape, sizeof(ShapeInfo)) == 0) return i;
  }
  shapes.push_back(shape);
  return static_cast<uint32_t>(shapes.size() - 1);
}

template <typename T>
class LocalTensor {
 public:
  using PrimType = T;
  LocalTensor() = default;
  // 9.x: a tensor of tileSize elements at byte `addr` of the position's buffer.
  LocalTensor(TPosition position, uint32_t addr, uint32_t tileSize)
      : local_{BufferOf(position), addr, static_cast<uint32_t>(SimBytesOf<T>(tileSize)), 0}, position_(position) {}
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
    const int64_t elements = static_cast<int32_t>(offset);
    const int64_t far = elements < 0 ? -static_cast<int64_t>(SimBytesOf<T>(static_cast<uint64_t>(-elements)))
                                     : static_cast<int64_t>(SimBytesOf<T>(static_cast<uint64_t>(elements)));
    const uint32_t bytes = far < kSimBeyond && -far < kSimBeyond ? static_cast<uint32_t>(far) : kSimBeyond;
    part.local_.offset += bytes;
    part.local_.bytes = local_.bytes > bytes ? local_.bytes - bytes : (local_.bytes == 0 ? 0 : 1);
    return part;
  }
  template <typename U>
  LocalTensor<U> ReinterpretCast() const {
    return LocalTensor<U>::FromSim(local_, position_);
  }
  // address: a byte of the position's buffer.
  void SetAddr(const uint32_t address) {
    local_.offset = address;
    local_.bytes = 0;
  }
  // offset in bytes, size in elements
  void InitBuffer(const uint32_t bufferOffset, const uint32_t bufferSize) {
    local_.offset = bufferOffset;
    local_.bytes = static_cast<uint32_t>(SimBytesOf<T>(bufferSize));
  }
  void SetShapeInfo(const ShapeInfo& shapeInfo) { shape_ = SimShapeNumber(shapeInfo); }
  ShapeInfo GetShapeInfo() const { return SimShapes()[shape_]; }
  // offset in elements of this tensor's type
  template <typename S>
  void SetAddrWithOffset(LocalTensor<S>& src, uint32_t offset) {
    *this = FromSim(src.sim(), position_)[offset];
  }
  SimElement<LocalTensor, T> operator()(uint32_t offset, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    return {*this, offset, site};
  }

  T GetValue(uint32_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    static_assert(!std::is_same<T, int4b_t>::value, "single elements of int4b_t have no address");
    T value;
    ascend_sim::ScalarLoad(local_, static_cast<int64_t>(index) * sizeof(T), &value, sizeof(T), site);
    return value;
  }
  template <typename U>
  void SetValue(uint32_t index, U value, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    static_assert(!std::is_same<T, int4b_t>::value, "single elements of int4b_t have no address");
    const T converted = static_cast<T>(value);
    ascend_sim::ScalarStore(local_, static_cast<int64_t>(index) * sizeof(T), &converted, sizeof(T), site);
  }

  uint32_t GetSize() const { return std::is_same<T, int4b_t>::value ? local_.bytes * 2 : local_.bytes / sizeof(T); }
  void SetSize(uint32_t size) { local_.bytes = static_cast<uint32_t>(SimBytesOf<T>(size)); }
  uint32_t GetLength() const { return local_.bytes; }
  void SetBufferLen(uint32_t dataLen) { local_.bytes = static_cast<uint32_t>(SimBytesOf<T>(dataLen)); }
  int32_t GetPosition() const { return static_cast<int32_t>(position_); }
  // The byte address within the position's buffer, as on the device: no host pointer.
  uint64_t GetPhyAddr() const { return local_.offset; }
  uint64_t GetPhyAddr(uint32_t offset) const { return local_.offset + SimBytesOf<T>(offset); }
  void SetUserTag(int32_t tag) { tag_ = tag; }
  int32_t GetUserTag() const { return tag_; }

 private:
  ascend_sim::Local local_;
  TPosition position_ = TPosition::VECCALC;
  int32_t tag_ = 0;
  uint32_t shape_ = 0;
};

template <typename T>
class GlobalTensor {
 public:
  using PrimType = T;
  GlobalTensor() = default;

  void SetGlobalBuffer(__gm__ T* buffer, uint64_t bufferSize) {
    global_ = {reinterpret_cast<uint64_t>(buffer), SimBytesOf<T>(bufferSize)};
    size_ = bufferSize;
  }
  void SetGlobalBuffer(__gm__ T* buffer) { SetGlobalBuffer(buffer, 0); }

  const ascend_sim::Global& sim() const { return global_; }

  GlobalTensor operator[](uint64_t offset) const {
    GlobalTensor part = *this;
    const uint64_t bytes = SimBytesOf<T>(offset);
    part.global_.address += bytes;
    part.global_.bytes = global_.bytes > bytes ? global_.bytes - bytes : 0;
    return part;
  }
  const __gm__ T* GetPhyAddr() const { return reinterpret_cast<const T*>(global_.address); }
  __gm__ T* GetPhyAddr(uint64_t offset) const { return reinterpret_cast<T*>(global_.address) + offset; }
  // As declared by SetGlobalBuffer: an offset does not change it.
  uint64_t GetSize() const { return size_; }
  SimElement<GlobalTensor, T> operator()(uint64_t offset, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    return {*this, offset, site};
  }

  T GetValue(uint64_t index, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    T value;
    ascend_sim::ScalarLoad(global_, static_cast<int64_t>(index * sizeof(T)), &value, sizeof(T), site);
    return value;
  }
  void SetValue(uint64_t index, T value, ascend_sim::Site site = ascend_sim::Site::Here()) const {
    ascend_sim::ScalarStore(global_, static_cast<int64_t>(index * sizeof(T)), &value, sizeof(T), site);
  }
  void SetShapeInfo(const ShapeInfo& shapeInfo) { shape_ = SimShapeNumber(shapeInfo); }
  ShapeInfo GetShapeInfo() const { return SimShapes()[shape_]; }
  // A hint for the L2 cache: no effect on values or on modelled time.
  template <CacheRwMode kMode = CacheRwMode::RW>
  void SetL2CacheHint(CacheMode) {}

 private:
  ascend_sim::Global global_;
  uint64_t size_ = 0;
  uint32_t shape_ = 0;
};

// 9.x: hands out one buffer from its bottom, without freeing. Tensors are checked against their own extents.
template <Hardware hard = Hardware::UB>
class LocalMemAllocator {
 public:
  static_assert(hard != Hardware::GM && hard != Hardware::MAX, "illegal hardware position GM or MAX");

  uint32_t GetCurAddr() const { return head_; }
  template <TPosition pos, class DataType, uint32_t tileSize>
  LocalTensor<DataType> Alloc(ascend_sim::Site site = ascend_sim::Site::Here()) {
    return Alloc<pos, DataType>(tileSize, site);
  }
  template <TPosition pos, class DataType>
  LocalTensor<DataType> Alloc(uint32_t tileSize, ascend_sim::Site site = ascend_sim::Site::Here()) {
    static_assert(GetPhyType(pos) == hard, "logic pos and hardware pos not matched.");
    const uint64_t end = head_ + static_cast<uint64_t>(tileSize) * sizeof(DataType);
    const uint64_t capacity = ascend_sim::device::Capacity(BufferOf(pos));
    if (end > capacity) {
      ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kCapacity), site, "Alloc",
                                 "Alloc: bytes [%u, %llu) of %s, which has %llu bytes", head_,
                                 static_cast<unsigned long long>(end), ascend_sim::BufferName(BufferOf(pos)),
                                 static_cast<unsigned long long>(capacity));
    }
    LocalTensor<DataType> output(pos, head_, tileSize);
    head_ = static_cast<uint32_t>(end);
    return output;
  }
  template <class DataType, uint32_t tileSize>
  LocalTensor<DataType> Alloc(ascend_sim::Site site = ascend_sim::Site::Here()) {
    return Alloc<GetDefaultPosition(hard), DataType>(tileSize, site);
  }
  template <class DataType>
  LocalTensor<DataType> Alloc(uint32_t tileSize, ascend_sim::Site site = ascend_sim::Site::Here()) {
    return Alloc<GetDefaultPosition(hard), DataType>(tileSize, site);
  }

 private:
  uint32_t head_ = 0;
};

}  // namespace AscendC
