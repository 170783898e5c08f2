// The words everything else is written in: pipes, buffers, element types, operands and the place of a call in the
// kernel's source. Shared by the engine and by the Ascend C headers a kernel includes, so it stays small.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace ascend_sim {

enum class CoreType : uint8_t { kAic, kAiv };

enum class Pipe : uint8_t { kS, kV, kM, kMte1, kMte2, kMte3, kFix, kAll };
constexpr int kPipeCount = 7;  // kAll is an argument of PipeBarrier, not a pipe
// Components of a vector clock per core: its pipes, and how many cross-core waits its scalar unit has passed.
constexpr int kClocksPerCore = 8;

// kBt: bias table; kFb: fixpipe parameter buffer; kIndex: the indices of a sparse right matrix, a quarter of L0B
enum class Buffer : uint8_t { kGm, kL1, kL0A, kL0B, kL0C, kUb, kBt, kFb, kIndex };
constexpr int kBufferCount = 9;

const char* PipeName(Pipe pipe);
const char* BufferName(Buffer buffer);

// Where the kernel called: every API function ends in `Site site = Site::Here()`, which leaves CANN's signatures
// compatible and gives findings the kernel's own file and line.
struct Site {
  const char* file = "";
  uint32_t line = 0;
  static constexpr Site Here(const char* file = __builtin_FILE(), uint32_t line = __builtin_LINE()) {
    return Site{file, line};
  }
};

// Part of an on-chip buffer, as a LocalTensor names it. bytes is what the tensor owns (0: not known); handle is the
// allocation it came from (0: none), see Allocations.
struct Local {
  Buffer buffer = Buffer::kUb;
  uint32_t offset = 0;
  uint32_t bytes = 0;
  uint32_t handle = 0;
};

// Part of global memory, as a GlobalTensor names it: a host address and what SetGlobalBuffer declared (0: no size).
struct Global {
  uint64_t address = 0;
  uint64_t bytes = 0;
};

// ---- 16-bit floating point ----------------------------------------------------------------------------------------

inline float HalfToFloat(uint16_t bits) {
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  uint32_t exponent = (bits >> 10) & 0x1f, mantissa = bits & 0x3ffu, out;
  if (exponent == 0x1f) {
    out = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    out = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    out = sign;
  } else {  // subnormal: shift the leading one up to the implicit bit
    int shift = 0;
    while (!(mantissa & 0x400u)) {
      mantissa <<= 1;
      ++shift;
    }
    out = sign | ((113u - shift) << 23) | ((mantissa & 0x3ffu) << 13);
  }
  float value;
  std::memcpy(&value, &out, 4);
  return value;
#endif
}

// Rounds to nearest even.
inline uint16_t FloatToHalf(float value) {
#if defined(__F16C__)
  return static_cast<uint16_t>(_cvtss_sh(value, 0));
#else
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((bits >> 13) & 0x3ffu));
  if (bits >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (bits < 0x38800000u) {  // becomes subnormal or zero: let the float adder round
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  bits += 0xc8000fffu + ((bits >> 13) & 1u);
  return static_cast<uint16_t>(sign | (bits >> 13));
#endif
}

inline float Bf16ToFloat(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// Rounds to nearest even; NaN stays NaN.
inline uint16_t FloatToBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The kernel's `half`: stored in 16 bits, computes as float rounded back to half (which is exact for + - * /).
struct Half {
  uint16_t bits;
  Half() = default;
  Half(float value) : bits(FloatToHalf(value)) {}  // NOLINT: implicit as on the device
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value && !std::is_same<T, float>::value>>
  Half(T value) : Half(static_cast<float>(value)) {}    // NOLINT
  operator float() const { return HalfToFloat(bits); }  // NOLINT
  Half& operator+=(float other) { return *this = Half(static_cast<float>(*this) + other); }
  Half& operator-=(float other) { return *this = Half(static_cast<float>(*this) - other); }
  Half& operator*=(float other) { return *this = Half(static_cast<float>(*this) * other); }
  Half& operator/=(float other) { return *this = Half(static_cast<float>(*this) / other); }
};

// bfloat16_t has no arithmetic on this chip: conversion is explicit, as in CANN's ToFloat and ToBfloat16.
struct Bf16 {
  uint16_t bits;
  Bf16() = default;
  explicit Bf16(float value) : bits(FloatToBf16(value)) {}
  explicit operator float() const { return Bf16ToFloat(bits); }
  bool operator==(const Bf16& other) const { return bits == other.bits; }
};

// The kernel's int4b_t: half a byte; a tensor of them is walked in pairs, the first one in the low bits.
struct Int4 {
  uint8_t bits;
  Int4() = default;
  Int4(int32_t value) : bits(static_cast<uint8_t>(value & 15)) {}  // NOLINT: implicit as on the device
  operator int8_t() const { return static_cast<int8_t>((bits & 15) - ((bits & 8) << 1)); }  // NOLINT
};

enum class DType : uint8_t { kF16, kBf16, kF32, kI8, kU8, kI16, kU16, kI32, kU32, kI64, kU64, kI4, kF64, kBool };

template <class T>
struct DTypeOf;  // a type without one does not compile
template <DType kType>
struct DTypeIs {
  static constexpr DType value = kType;
};
// clang-format off
template <> struct DTypeOf<Half> : DTypeIs<DType::kF16> {};
template <> struct DTypeOf<Bf16> : DTypeIs<DType::kBf16> {};
template <> struct DTypeOf<float> : DTypeIs<DType::kF32> {};
template <> struct DTypeOf<double> : DTypeIs<DType::kF64> {};
template <> struct DTypeOf<bool> : DTypeIs<DType::kBool> {};
template <> struct DTypeOf<int8_t> : DTypeIs<DType::kI8> {};
template <> struct DTypeOf<uint8_t> : DTypeIs<DType::kU8> {};
template <> struct DTypeOf<int16_t> : DTypeIs<DType::kI16> {};
template <> struct DTypeOf<uint16_t> : DTypeIs<DType::kU16> {};
template <> struct DTypeOf<int32_t> : DTypeIs<DType::kI32> {};
template <> struct DTypeOf<uint32_t> : DTypeIs<DType::kU32> {};
template <> struct DTypeOf<int64_t> : DTypeIs<DType::kI64> {};
template <> struct DTypeOf<uint64_t> : DTypeIs<DType::kU64> {};
template <> struct DTypeOf<Int4> : DTypeIs<DType::kI4> {};
// clang-format on
template <class T>
constexpr DType kDTypeOf = DTypeOf<std::remove_cv_t<T>>::value;

// Bytes of one element; kI4 counts half a byte and is not answered here.
constexpr uint32_t BytesOf(DType type) {
  switch (type) {
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
    case DType::kF16:
    case DType::kBf16:
    case DType::kI16:
    case DType::kU16:
      return 2;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32:
      return 4;
    case DType::kI64:
    case DType::kU64:
    case DType::kF64:
      return 8;
    case DType::kI4:
      return 0;
  }
  return 0;
}
const char* DTypeName(DType type);

constexpr uint32_t kBlockBytes = 32;    // the block of the vector unit and of DMA
constexpr uint32_t kRepeatBytes = 256;  // what the vector unit takes in one repeat
constexpr uint32_t kFractalBytes = 512;

}  // namespace ascend_sim
