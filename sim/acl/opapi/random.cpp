// Random numbers: of the right distribution and the same for the same seed and offset, but not the numbers that CANN's
// operators give. Element i depends only on (seed, offset, i).
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

// SplitMix64's finalizer (Steele, Lea, Flood 2014): every bit of the input changes half of the result's.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}
struct Stream {
  uint64_t seed, offset;
  uint64_t Bits(uint64_t i) const {
    constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ull;
    return Mix(Mix(seed + kGolden) + Mix(offset + 2 * kGolden) + (i + 3) * kGolden);
  }
  double Uniform(uint64_t i) const { return static_cast<double>(Bits(i) >> 11) * 0x1p-53; }  // [0, 1)
  // Box and Muller: two uniform numbers give a normal one.
  double Normal(uint64_t i) const {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform(2 * i)));
    return radius * std::cos(6.283185307179586 * Uniform(2 * i + 1));
  }
};

// out[i] = f(i), computed as R.
template <class R, class F>
void Generate(Call& call, const View& out, F f) {
  call.Do([=] {
    uint64_t i = 0;
    Map<float>([&] { return static_cast<R>(f(i++)); }, out);
  });
}

void Normal(Call& call, const aclTensor* out, float mean, float std, int64_t seed, int64_t offset) {
  const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)};
  Generate<double>(call, call.Out(out, "out"), [=](uint64_t i) { return mean + std * stream.Normal(i); });
}
ACLNN(InplaceNormal, const aclTensor* self, float mean, float std, int64_t seed, int64_t offset) {
  return PLAN { Normal(call, self, mean, std, seed, offset); };
}
ACLNN(NormalFloatFloat, float mean, float std, int64_t seed, int64_t offset, const aclTensor* out) {
  return PLAN { Normal(call, out, mean, std, seed, offset); };
}
ACLNN(InplaceUniform, const aclTensor* self, double from, double to, uint64_t seed, uint64_t offset) {
  return PLAN {
    const Stream stream{seed, offset};
    const View out = call.Out(self, "self");
    // Rounding to fp16 or bf16 may reach `to`, which is not in the interval: fewer bits then.
    const double step = out.type == DType::kF64    ? 0x1p-53
                        : out.type == DType::kF32  ? 0x1p-24
                        : out.type == DType::kBf16 ? 0x1p-8
                                                   : 0x1p-11;
    Generate<double>(call, out,
                     [=](uint64_t i) { return from + (to - from) * std::floor(stream.Uniform(i) / step) * step; });
  };
}
// Integers in [from, to).
ACLNN(InplaceRandom, const aclTensor* self, int64_t from, int64_t to, int64_t seed, int64_t offset) {
  return PLAN {
    call.Check(from < to, "to", "is not greater than from");
    const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)};
    const uint64_t range = static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
    Generate<int64_t>(call, call.Out(self, "self"), [=](uint64_t i) {
      return static_cast<int64_t>(static_cast<uint64_t>(from) + stream.Bits(i) % range);
    });
  };
}
ACLNN(InplaceBernoulli, const aclTensor* self, const aclScalar* prob, int64_t seed, int64_t offset) {
  return PLAN {
    const double p = call.Scalar(prob, "prob").real;
    call.Check(p >= 0 && p <= 1, "prob", "is not in [0, 1]");
    const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)};
    Generate<int64_t>(call, call.Out(self, "self"), [=](uint64_t i) { return stream.Uniform(i) < p; });
  };
}
ACLNN(InplaceBernoulliTensor, const aclTensor* self, const aclTensor* prob, int64_t seed, int64_t offset) {
  return PLAN {
    const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)};
    const View out = call.Out(self, "self"), p = call.In(prob, "prob");
    Dims sizes;
    call.Check(Broadcast(p.sizes, out.sizes, &sizes) && sizes == out.sizes, "prob", "does not broadcast to self");
    const View expanded = Expand(p, out.sizes);
    call.Do([=] {
      uint64_t i = 0;
      Map<double>([&](double probability) { return stream.Uniform(i++) < probability; }, out, expanded);
    });
  };
}

// ---- dropout: a mask of one bit an element, lowest bit first ------------------------------------------------------

ACLNN(DropoutGenMaskV2, const aclIntArray* shape, double prob, int64_t seed, int64_t offset, int32_t,
      const aclTensor* out) {
  return PLAN {
    call.Check(shape != nullptr, "shape", "is null");
    call.Check(prob >= 0 && prob <= 1, "prob", "is not in [0, 1]");
    const Stream stream{static_cast<uint64_t>(seed), static_cast<uint64_t>(offset)};
    const View mask = call.Out(out, "out");
    call.ExpectType(mask, {DType::kU8}, "out");
    call.Check(mask.Count() * 8 >= Product(shape->values), "out", "has fewer bits than shape elements");
    Generate<int64_t>(call, mask, [=](uint64_t byte) {
      int64_t bits = 0;
      for (uint64_t bit = 0; bit < 8; ++bit) bits |= int64_t{stream.Uniform(byte * 8 + bit) >= prob} << bit;
      return bits;
    });
  };
}
ACLNN(DropoutDoMask, const aclTensor* self, const aclTensor* mask, double prob, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self"), bits = call.In(mask, "mask"), result = call.Out(out, "out");
    call.ExpectType(bits, {DType::kU8}, "mask");
    call.Check(bits.Count() * 8 >= in.Count(), "mask", "has fewer bits than self elements");
    call.Check(prob >= 0 && prob <= 1, "prob", "is not in [0, 1]");
    call.Expect(result, in.sizes, "out");
    call.Do([=] {
      const std::vector<int64_t> bytes = Load<int64_t>(bits);
      WithFloating(in.type, [&](auto compute) {
        using C = decltype(compute);
        const C scale = prob == 1 ? C(0) : static_cast<C>(1 / (1 - prob));
        size_t i = 0;
        Map<C>(
            [&](C x) {
              const bool kept = bytes[i / 8] >> (i % 8) & 1;
              ++i;
              return kept ? x * scale : C(0);
            },
            result, in);
      });
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
