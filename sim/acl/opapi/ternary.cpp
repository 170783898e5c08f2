// Operators of three operands: where, masked_fill, clamp, lerp, addcmul, addcdiv.
#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

ACLNN(SWhere, const aclTensor* condition, const aclTensor* self, const aclTensor* other, const aclTensor* out) {
  return PLAN {
    const View test = call.In(condition, "condition"), a = call.In(self, "self"), b = call.In(other, "other");
    Ternary<false>(call, test, a, b, call.Out(out, "out"), Promote(a.type, b.type),
                   [](auto c, auto x, auto y) { return c != 0 ? x : y; });
  };
}

ACLNN(InplaceMaskedFillScalar, const aclTensor* self, const aclTensor* mask, const aclScalar* value) {
  return PLAN {
    const View in = call.In(self, "self"), test = call.In(mask, "mask");
    call.ExpectType(test, {DType::kBool, DType::kU8, DType::kI8}, "mask");
    const Number fill = call.Scalar(value, "value");
    call.Expect(in, call.Broadcast(in, test, "mask"), "self");
    const View out = call.Out(self, "self"), mask_view = Expand(test, in.sizes);
    call.Do([=] {
      WithCompute(in.type, [&](auto compute) {
        using C = decltype(compute);
        const C filled = fill.As<C>();
        Map<C>([=](C x, C m) { return m != 0 ? filled : x; }, out, in, mask_view);
      });
    });
  };
}
ACLNN(InplaceMaskedFillTensor, const aclTensor* self, const aclTensor* mask, const aclTensor* value) {
  return PLAN {
    const View in = call.In(self, "self"), test = call.In(mask, "mask"), fill = call.In(value, "value");
    call.ExpectType(test, {DType::kBool, DType::kU8, DType::kI8}, "mask");
    call.Check(fill.Count() == 1, "value", "expected one element, got sizes " + ToString(fill.sizes));
    Ternary<false>(call, in, test, fill, call.Out(self, "self"), in.type,
                   [](auto x, auto m, auto v) { return m != 0 ? v : x; });
  };
}

// NaN goes on; a null bound is none. Where low > high the result is high, as in PyTorch.
void ClampScalar(Call& call, const aclTensor* self, const aclScalar* low, const aclScalar* high, const aclTensor* out,
                 const char* low_name, const char* high_name) {
  call.Check(low != nullptr || high != nullptr, low_name, "no bound given");
  const Number lowest = low ? call.Scalar(low, low_name) : Number{};
  const Number highest = high ? call.Scalar(high, high_name) : Number{};
  const bool has_low = low != nullptr, has_high = high != nullptr;
  const View in = call.In(self, "self"), result = call.Out(out, "out");
  call.Expect(result, in.sizes, "out");
  DType type = in.type;
  if (has_low) type = Promote(type, lowest);
  if (has_high) type = Promote(type, highest);
  call.Do([=] {
    WithCompute(type, [&](auto compute) {
      using C = decltype(compute);
      const C floor = lowest.As<C>(), ceiling = highest.As<C>();
      Map<C>(
          [=](C x) {
            if (has_low && x < floor) x = floor;
            if (has_high && x > ceiling) x = ceiling;
            return x;
          },
          result, in);
    });
  });
}
ACLNN(Clamp, const aclTensor* self, const aclScalar* clipValueMin, const aclScalar* clipValueMax,
      const aclTensor* out) {
  return PLAN { ClampScalar(call, self, clipValueMin, clipValueMax, out, "clipValueMin", "clipValueMax"); };
}
ACLNN(ClampMin, const aclTensor* self, const aclScalar* clipValueMin, const aclTensor* out) {
  return PLAN { ClampScalar(call, self, clipValueMin, nullptr, out, "clipValueMin", ""); };
}
ACLNN(ClampMax, const aclTensor* self, const aclScalar* clipValueMax, const aclTensor* out) {
  return PLAN { ClampScalar(call, self, nullptr, clipValueMax, out, "clipValueMax", "clipValueMax"); };
}
ACLNN(InplaceClampMax, const aclTensor* self, const aclScalar* clipValueMax) {
  return PLAN { ClampScalar(call, self, nullptr, clipValueMax, self, "clipValueMax", "clipValueMax"); };
}

#define CLAMP_TENSOR(name, bound, expression)                                            \
  ACLNN(name, const aclTensor* self, const aclTensor* bound, const aclTensor* out) {     \
    return PLAN {                                                                        \
      Binary<false>(call, self, bound, out, [](auto x, auto y) { return expression; });  \
    };                                                                                   \
  }                                                                                      \
  ACLNN(Inplace##name, const aclTensor* self, const aclTensor* bound) {                  \
    return PLAN {                                                                        \
      Binary<false>(call, self, bound, self, [](auto x, auto y) { return expression; }); \
    };                                                                                   \
  }
CLAMP_TENSOR(ClampMinTensor, clipValueMin, Maximum(x, y))
CLAMP_TENSOR(ClampMaxTensor, clipValueMax, Minimum(x, y))
ACLNN(ClampTensor, const aclTensor* self, const aclTensor* clipValueMin, const aclTensor* clipValueMax,
      const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self");
    const View low = call.In(clipValueMin, "clipValueMin"), high = call.In(clipValueMax, "clipValueMax");
    Ternary<false>(call, in, low, high, call.Out(out, "out"), Promote(Promote(in.type, low.type), high.type),
                   [](auto x, auto l, auto h) { return Minimum(Maximum(x, l), h); });
  };
}

void LerpScalar(Call& call, const View& start, const View& end, const Number& weight, const View& out) {
  Binary<true>(call, start, end, out, [=](auto x, auto y) { return Interpolate(x, y, weight.As<decltype(x)>()); });
}
void LerpTensor(Call& call, const aclTensor* self, const aclTensor* end, const aclTensor* weight,
                const aclTensor* out) {
  const View a = call.In(self, "self"), b = call.In(end, "end"), w = call.In(weight, "weight");
  Ternary<true>(call, a, b, w, call.Out(out, "out"), Promote(a.type, b.type),
                [](auto x, auto y, auto t) { return Interpolate(x, y, t); });
}
ACLNN(Lerps, const aclTensor* self, const aclTensor* end, const aclScalar* weight, const aclTensor* out) {
  return PLAN {
    LerpScalar(call, call.In(self, "self"), call.In(end, "end"), call.Scalar(weight, "weight"), call.Out(out, "out"));
  };
}
ACLNN(InplaceLerps, const aclTensor* self, const aclTensor* end, const aclScalar* weight) {
  return PLAN {
    LerpScalar(call, call.In(self, "self"), call.In(end, "end"), call.Scalar(weight, "weight"), call.Out(self, "self"));
  };
}
ACLNN(Lerp, const aclTensor* self, const aclTensor* end, const aclTensor* weight, const aclTensor* out) {
  return PLAN { LerpTensor(call, self, end, weight, out); };
}
ACLNN(InplaceLerp, const aclTensor* self, const aclTensor* end, const aclTensor* weight) {
  return PLAN { LerpTensor(call, self, end, weight, self); };
}

// out = self + value * f(tensor1, tensor2)
template <bool kDivide>
void AddCombined(Call& call, const aclTensor* self, const aclTensor* tensor1, const aclTensor* tensor2,
                 const aclScalar* value, const aclTensor* out) {
  const View a = call.In(self, "self"), b = call.In(tensor1, "tensor1"), c = call.In(tensor2, "tensor2");
  const Number scale = call.Scalar(value, "value");
  Ternary<kDivide>(call, a, b, c, call.Out(out, "out"), Promote(Promote(a.type, b.type), c.type),
                   [=](auto x, auto y, auto z) {
                     const auto s = scale.As<decltype(x)>();
                     if constexpr (kDivide) {
                       return x + s * (y / z);
                     } else {
                       return x + s * y * z;
                     }
                   });
}
ACLNN(Addcmul, const aclTensor* self, const aclTensor* tensor1, const aclTensor* tensor2, const aclScalar* value,
      const aclTensor* out) {
  return PLAN { AddCombined<false>(call, self, tensor1, tensor2, value, out); };
}
ACLNN(InplaceAddcmul, const aclTensor* self, const aclTensor* tensor1, const aclTensor* tensor2,
      const aclScalar* value) {
  return PLAN { AddCombined<false>(call, self, tensor1, tensor2, value, self); };
}
ACLNN(Addcdiv, const aclTensor* self, const aclTensor* tensor1, const aclTensor* tensor2, const aclScalar* value,
      const aclTensor* out) {
  return PLAN { AddCombined<true>(call, self, tensor1, tensor2, value, out); };
}
ACLNN(InplaceAddcdiv, const aclTensor* self, const aclTensor* tensor1, const aclTensor* tensor2,
      const aclScalar* value) {
  return PLAN { AddCombined<true>(call, self, tensor1, tensor2, value, self); };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
