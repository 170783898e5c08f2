// Operators of one operand: out = f(self), and in place where CANN has that.
#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

#define OUT_OF_PLACE(name, floating, expression)                           \
  ACLNN(name, const aclTensor* self, const aclTensor* out) {               \
    return PLAN {                                                          \
      Unary<floating>(call, self, out, [](auto x) { return expression; }); \
    };                                                                     \
  }
#define IN_PLACE(name, floating, expression)                                \
  ACLNN(Inplace##name, const aclTensor* self) {                             \
    return PLAN {                                                           \
      Unary<floating>(call, self, self, [](auto x) { return expression; }); \
    };                                                                      \
  }
#define BOTH(name, floating, expression)   \
  OUT_OF_PLACE(name, floating, expression) \
  IN_PLACE(name, floating, expression)

// The second column: whether integers compute as fp32.
// clang-format off
BOTH(Exp,           true,  std::exp(x))
BOTH(Expm1,         true,  std::expm1(x))
BOTH(Log,           true,  std::log(x))
BOTH(Log1p,         true,  std::log1p(x))
BOTH(Sqrt,          true,  std::sqrt(x))
BOTH(Rsqrt,         true,  decltype(x)(1) / std::sqrt(x))
BOTH(Reciprocal,    true,  decltype(x)(1) / x)
BOTH(Sin,           true,  std::sin(x))
BOTH(Cos,           true,  std::cos(x))
BOTH(Tanh,          true,  std::tanh(x))
BOTH(Erf,           true,  std::erf(x))
BOTH(Sigmoid,       true,  Sigmoid(x))
OUT_OF_PLACE(Silu,  true,  x * Sigmoid(x))
OUT_OF_PLACE(Neg,           false, -x)
OUT_OF_PLACE(Abs,   false, x < 0 ? -x : x == 0 ? decltype(x)(0) : x)
OUT_OF_PLACE(Sign,  false, Sign(x))
BOTH(Relu,          false, x != x || x > 0 ? x : decltype(x)(0))
BOTH(Ceil,          true,  std::ceil(x))
BOTH(Floor,         true,  std::floor(x))
OUT_OF_PLACE(Trunc,         true,  std::trunc(x))
OUT_OF_PLACE(Round,         true,  std::nearbyint(x))
BOTH(LogicalNot,    false, x == 0)
OUT_OF_PLACE(IsFinite, false, IsFinite(x))
OUT_OF_PLACE(IsPosInf, false, !IsFinite(x) && x > 0)
OUT_OF_PLACE(IsNegInf, false, !IsFinite(x) && x < 0)
// clang-format on

ACLNN(BitwiseNot, const aclTensor* self, const aclTensor* out) {
  return PLAN {
    const View in = call.In(self, "self");
    call.Check(!IsFloating(in.type), "self", "a floating dtype has no bitwise operators");
    const bool logical = in.type == DType::kBool;
    const View result = call.Out(out, "out");
    call.Expect(result, in.sizes, "out");
    call.Do([=] { Map<int64_t>([=](int64_t x) { return logical ? int64_t{x == 0} : ~x; }, result, in); });
  };
}

ACLNN(NanToNum, const aclTensor* self, float nan, float posinf, float neginf, const aclTensor* out) {
  return PLAN {
    Unary<false>(call, self, out, [=](auto x) {
      using C = decltype(x);
      if (IsNan(x)) return static_cast<C>(nan);
      if (IsFinite(x)) return x;
      return static_cast<C>(x > 0 ? posinf : neginf);
    });
  };
}

// The tanh form, which is what CANN computes here.
ACLNN(Gelu, const aclTensor* self, const aclTensor* out) {
  return PLAN {
    Unary<true>(call, self, out, [](auto x) {
      using C = decltype(x);
      return C(0.5) * x * (C(1) + std::tanh(C(0.7978845608028654) * (x + C(0.044715) * x * x * x)));
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
