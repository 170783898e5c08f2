#include "isa/vec_cast.h"

#include "isa/vec_banks.h"
#include "isa/vec_math.h"

namespace ascend_sim {

namespace {

constexpr uint8_t Bit(Rounding r) { return static_cast<uint8_t>(1u << static_cast<int>(r)); }
constexpr uint8_t kExact = Bit(Rounding::kNone);
constexpr uint8_t kFive =
    Bit(Rounding::kRint) | Bit(Rounding::kFloor) | Bit(Rounding::kCeil) | Bit(Rounding::kRound) | Bit(Rounding::kTrunc);
constexpr uint8_t kAny = 0x7f;

struct Pair {
  DType src, dst;
  uint8_t roundings;
};
constexpr Pair kPairs[] = {
    {DType::kI8, DType::kF16, kExact},          {DType::kU8, DType::kF16, kExact},
    {DType::kI16, DType::kF16, kFive | kExact}, {DType::kI16, DType::kF32, kExact},
    {DType::kF16, DType::kI8, kFive | kExact},  {DType::kF16, DType::kU8, kFive | kExact},
    {DType::kF16, DType::kI16, kFive},          {DType::kF16, DType::kI32, kFive},
    {DType::kF16, DType::kF32, kExact},         {DType::kBf16, DType::kI32, kFive},
    {DType::kBf16, DType::kF32, kExact},        {DType::kI32, DType::kI16, kExact},
    {DType::kI32, DType::kF16, kAny},           {DType::kI32, DType::kF32, kFive | kExact},
    {DType::kI32, DType::kI64, kExact},         {DType::kF32, DType::kI16, kFive},
    {DType::kF32, DType::kF16, kAny},           {DType::kF32, DType::kBf16, kFive},
    {DType::kF32, DType::kI32, kFive},          {DType::kF32, DType::kF32, kFive},
    {DType::kF32, DType::kI64, kFive},          {DType::kI64, DType::kI32, kExact},
    {DType::kI64, DType::kF32, kFive},          {DType::kI4, DType::kF16, kExact},
    {DType::kF16, DType::kI4, kFive | kExact},
};

const char* RoundingName(Rounding r) {
  static const char* names[] = {"CAST_NONE",  "CAST_RINT",  "CAST_FLOOR", "CAST_CEIL",
                                "CAST_ROUND", "CAST_TRUNC", "CAST_ODD"};
  return names[static_cast<int>(r)];
}

// Whether the magnitude `low`, truncated, goes up by one unit: rest is what was cut off, half its midpoint.
template <Rounding kMode, class R>
bool RoundsUp(bool negative, bool odd, R rest, R half) {
  switch (kMode) {
    case Rounding::kFloor:
      return negative && rest != 0;
    case Rounding::kCeil:
      return !negative && rest != 0;
    case Rounding::kRound:
      return rest >= half;
    case Rounding::kTrunc:
      return false;
    case Rounding::kOdd:
      return rest != 0 && !odd;
    default:
      return rest > half || (rest == half && odd);
  }
}

template <Rounding kMode>
uint16_t NarrowToHalf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return magnitude > 0x7f800000u ? sign | 0x7e00u : sign | 0x7c00u;
  float x;
  std::memcpy(&x, &magnitude, 4);
  // The half below x, and x itself, in units of that half's last place.
  uint32_t low;
  float unit;
  if (magnitude < 0x38800000u) {
    unit = 0x1p-24f;
    low = static_cast<uint32_t>(x * 0x1p24f);
  } else if (magnitude >= 0x47800000u) {  // 65536 and above round from the largest half
    low = 0x7bffu;
    unit = 32.0f;
  } else {
    low = (magnitude >> 13) - (112u << 10);
    unit = std::ldexp(1.0f, static_cast<int>(magnitude >> 23) - 127 - 10);
  }
  const float rest = x - HalfToFloat(static_cast<uint16_t>(low));
  return static_cast<uint16_t>(sign | (low + RoundsUp<kMode, float>(sign != 0, low & 1, rest, unit * 0.5f)));
}

template <Rounding kMode>
uint16_t NarrowToBf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  const uint32_t low = bits >> 16;
  return static_cast<uint16_t>(low + RoundsUp<kMode, uint32_t>(bits >> 31, low & 1, bits & 0xffffu, 0x8000u));
}

template <Rounding kMode>
float RoundToInteger(float x) {
  switch (kMode) {
    case Rounding::kFloor:
      return std::floor(x);
    case Rounding::kCeil:
      return std::ceil(x);
    case Rounding::kRound:
      return std::trunc(x) + (std::fabs(x - std::trunc(x)) >= 0.5f ? std::copysign(1.0f, x) : 0.0f);
    case Rounding::kTrunc:
      return std::trunc(x);
    default:
      return std::nearbyint(x);
  }
}

// The integer with `mantissa` significant bits next to x, as a float.
template <Rounding kMode>
float RoundInteger(int64_t x, int mantissa) {
  const bool negative = x < 0;
  const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x);
  const int bits = magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude);
  const int shift = bits > mantissa ? bits - mantissa : 0;
  uint64_t low = magnitude >> shift;
  if (shift > 0) {
    const uint64_t rest = magnitude & ((1ull << shift) - 1);
    low += RoundsUp<kMode, uint64_t>(negative, low & 1, rest, 1ull << (shift - 1));
  }
  const float result = std::ldexp(static_cast<float>(low), shift);
  return negative ? -result : result;
}

template <class To>
To Saturate(float x) {
  if (x != x) return 0;
  // The bounds as floats: the upper one may round up to a value outside, so >= there.
  if (x >= static_cast<float>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  if (x <= static_cast<float>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return static_cast<To>(x);
}

template <class To, class From, class F>
void Apply(const VecCast& i, const Exec& exec, F f) {
  const VecWalk* const walks[2] = {&i.dst, &i.src};
  const uint32_t bytes[2] = {sizeof(To), sizeof(From)};
  ForEachRun(i.shape, i.Lanes(), walks, bytes, [&](const VecRun<2>& run) {
    f(exec.At<To>(i.dst.t, run.offset[0]), exec.At<const From>(i.src.t, run.offset[1]), run.count);
  });
}

// to[k] = f(from[k]), lowest first: a narrower destination may start where its source does.
template <class To, class From, class F>
void ApplyEach(const VecCast& i, const Exec& exec, F f) {
  Apply<To, From>(i, exec, [&](To* to, const From* from, uint32_t n) {
    if constexpr (sizeof(To) == sizeof(From)) {
#pragma GCC ivdep
      for (uint32_t k = 0; k < n; ++k) to[k] = f(from[k]);
    } else {
      for (uint32_t k = 0; k < n; ++k) to[k] = f(from[k]);
    }
  });
}

Bf16 FromBits(uint16_t bits) {
  Bf16 value;
  value.bits = bits;
  return value;
}

struct HalfPair {
  Half low, high;
};

template <Rounding kMode>
void ApplyRounded(const VecCast& i, const Exec& exec) {
  const bool saturate = i.shape.saturate;
  const auto half = [saturate](uint16_t bits) {
    Half value;
    value.bits = saturate ? SaturateHalf(bits) : bits;
    return value;
  };
  switch (i.src_type) {
    case DType::kF32:
      switch (i.dst_type) {
        case DType::kF16:
          if constexpr (kMode == Rounding::kRint) {
            return Apply<Half, float>(i, exec, [&](Half* to, const float* from, uint32_t n) {
              float block[kChunk];  // the source may be the destination
              for (uint32_t k = 0; k < n; k += kChunk) {
                const uint32_t m = std::min(kChunk, n - k);
                std::copy(from + k, from + k + m, block);
                StoreHalf(block, to + k, m, saturate);
              }
            });
          }
          return ApplyEach<Half, float>(i, exec, [&](float x) { return half(NarrowToHalf<kMode>(x)); });
        case DType::kBf16:
          return ApplyEach<Bf16, float>(i, exec, [saturate](float x) {
            uint16_t bits = NarrowToBf16<kMode>(x);
            if (saturate && (bits & 0x7f80u) == 0x7f80u) {
              bits = (bits & 0x7fu) != 0 ? 0 : static_cast<uint16_t>((bits & 0x8000u) | 0x7f7fu);
            }
            return FromBits(bits);
          });
        case DType::kI16:
          return ApplyEach<int16_t, float>(i, exec,
                                           [](float x) { return Saturate<int16_t>(RoundToInteger<kMode>(x)); });
        case DType::kI32:
          return ApplyEach<int32_t, float>(i, exec,
                                           [](float x) { return Saturate<int32_t>(RoundToInteger<kMode>(x)); });
        case DType::kI64:
          return ApplyEach<int64_t, float>(i, exec,
                                           [](float x) { return Saturate<int64_t>(RoundToInteger<kMode>(x)); });
        default:
          return ApplyEach<float, float>(i, exec, [](float x) { return RoundToInteger<kMode>(x); });
      }
    case DType::kI4:
      return ApplyEach<HalfPair, uint8_t>(i, exec, [](uint8_t x) {
        const auto value = [](int bits) { return Half(static_cast<float>(bits - ((bits & 8) << 1))); };
        return HalfPair{value(x & 15), value(x >> 4)};
      });
    case DType::kF16: {
      const auto rounded = [](Half x) { return RoundToInteger<kMode>(HalfToFloat(x.bits)); };
      switch (i.dst_type) {
        case DType::kI8:
          return ApplyEach<int8_t, Half>(i, exec, [&](Half x) { return Saturate<int8_t>(rounded(x)); });
        case DType::kU8:
          return ApplyEach<uint8_t, Half>(i, exec, [&](Half x) { return Saturate<uint8_t>(rounded(x)); });
        case DType::kI4:
          return ApplyEach<uint8_t, HalfPair>(i, exec, [&](HalfPair x) {
            const auto bits = [&](Half h) { return std::min(std::max<int>(Saturate<int8_t>(rounded(h)), -8), 7) & 15; };
            return static_cast<uint8_t>(bits(x.low) | bits(x.high) << 4);
          });
        case DType::kI16:
          return ApplyEach<int16_t, Half>(i, exec, [&](Half x) { return Saturate<int16_t>(rounded(x)); });
        case DType::kI32:
          return ApplyEach<int32_t, Half>(i, exec, [&](Half x) { return Saturate<int32_t>(rounded(x)); });
        default:
          return Apply<float, Half>(i, exec, [](float* to, const Half* from, uint32_t n) { LoadHalf(from, to, n); });
      }
    }
    case DType::kBf16:
      if (i.dst_type == DType::kF32) {
        return ApplyEach<float, Bf16>(i, exec, [](Bf16 x) { return Bf16ToFloat(x.bits); });
      }
      return ApplyEach<int32_t, Bf16>(
          i, exec, [](Bf16 x) { return Saturate<int32_t>(RoundToInteger<kMode>(Bf16ToFloat(x.bits))); });
    case DType::kI8:
      return ApplyEach<Half, int8_t>(i, exec, [](int8_t x) { return Half(static_cast<float>(x)); });
    case DType::kU8:
      return ApplyEach<Half, uint8_t>(i, exec, [](uint8_t x) { return Half(static_cast<float>(x)); });
    case DType::kI16:
      if (i.dst_type == DType::kF32) {
        return ApplyEach<float, int16_t>(i, exec, [](int16_t x) { return static_cast<float>(x); });
      }
      return ApplyEach<Half, int16_t>(i, exec, [](int16_t x) { return Half(RoundInteger<kMode>(x, 11)); });
    case DType::kI32:
      switch (i.dst_type) {
        case DType::kI16:
          return ApplyEach<int16_t, int32_t>(
              i, exec, [](int32_t x) { return static_cast<int16_t>(std::min(std::max(x, -32768), 32767)); });
        case DType::kI64:
          return ApplyEach<int64_t, int32_t>(i, exec, [](int32_t x) { return static_cast<int64_t>(x); });
        case DType::kF16: {
          const float scale = HalfToFloat(i.deq_scale);
          return ApplyEach<Half, int32_t>(i, exec,
                                          [&](int32_t x) { return half(FloatToHalf(static_cast<float>(x) * scale)); });
        }
        default:
          return ApplyEach<float, int32_t>(i, exec, [](int32_t x) { return RoundInteger<kMode>(x, 24); });
      }
    default:
      if (i.dst_type == DType::kF32) {
        return ApplyEach<float, int64_t>(i, exec, [](int64_t x) { return RoundInteger<kMode>(x, 24); });
      }
      return ApplyEach<int32_t, int64_t>(i, exec, [](int64_t x) {
        return static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(x, INT32_MIN), INT32_MAX));
      });
  }
}

}  // namespace

void VecCast::Validate(Check& check) const {
  const Pair* pair = nullptr;
  for (const Pair& p : kPairs) {
    if (p.src == src_type && p.dst == dst_type) pair = &p;
  }
  if (pair == nullptr) {
    check.Fail(Rule::kArgument, "%s -> %s is not supported", DTypeName(src_type), DTypeName(dst_type));
    return;
  }
  if (static_cast<uint8_t>(rounding) > 6 || !(pair->roundings & Bit(rounding))) {
    check.Fail(Rule::kArgument, "%s -> %s has no %s", DTypeName(src_type), DTypeName(dst_type),
               static_cast<uint8_t>(rounding) > 6 ? "such RoundMode" : RoundingName(rounding));
    return;
  }
  CheckShape(check, shape, Lanes());
  CheckOperand(check, "dst", dst, true);
  CheckOperand(check, "src", src, false);
  CheckOverlap(check, shape, {Lanes(), dst, DstBytes(), "src", src, SrcBytes()});
}

void VecCast::Touch(Footprint& f) const {
  TouchWalk(f, false, "src", src, shape, SrcBytes(), Lanes());
  TouchWalk(f, true, "dst", dst, shape, DstBytes(), Lanes());
}

void VecCast::Execute(const Exec& exec) const {
  switch (rounding) {
    case Rounding::kNone:  // exact, or to nearest where something is lost
    case Rounding::kRint:
      return ApplyRounded<Rounding::kRint>(*this, exec);
    case Rounding::kFloor:
      return ApplyRounded<Rounding::kFloor>(*this, exec);
    case Rounding::kCeil:
      return ApplyRounded<Rounding::kCeil>(*this, exec);
    case Rounding::kRound:
      return ApplyRounded<Rounding::kRound>(*this, exec);
    case Rounding::kTrunc:
      return ApplyRounded<Rounding::kTrunc>(*this, exec);
    case Rounding::kOdd:
      return ApplyRounded<Rounding::kOdd>(*this, exec);
  }
}

Cost VecCast::GetCost() const {
  return WithBanks(Cost::Vector(VectorClass::kHeavy, shape.Repeats(Lanes()), shape.counter),
                   {dst, Lanes() * DstBytes() / kBlockBytes}, {{src, Lanes() * SrcBytes() / kBlockBytes}});
}
ASCEND_SIM_INSTRUCTION(VecCast)

}  // namespace ascend_sim
