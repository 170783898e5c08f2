// Operators of two operands, the second a tensor or a scalar.
#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

#define TENSOR(name, floating, expression)                                                 \
  ACLNN(name, const aclTensor* self, const aclTensor* other, const aclTensor* out) {       \
    return PLAN {                                                                          \
      Binary<floating>(call, self, other, out, [](auto x, auto y) { return expression; }); \
    };                                                                                     \
  }
#define INPLACE_TENSOR(name, floating, expression)                                          \
  ACLNN(Inplace##name, const aclTensor* self, const aclTensor* other) {                     \
    return PLAN {                                                                           \
      Binary<floating>(call, self, other, self, [](auto x, auto y) { return expression; }); \
    };                                                                                      \
  }
#define SCALAR(name, floating, expression)                                                       \
  ACLNN(name, const aclTensor* self, const aclScalar* other, const aclTensor* out) {             \
    return PLAN {                                                                                \
      BinaryScalar<floating>(call, self, other, out, [](auto x, auto y) { return expression; }); \
    };                                                                                           \
  }
#define INPLACE_SCALAR(name, floating, expression)                                                \
  ACLNN(Inplace##name, const aclTensor* self, const aclScalar* other) {                           \
    return PLAN {                                                                                 \
      BinaryScalar<floating>(call, self, other, self, [](auto x, auto y) { return expression; }); \
    };                                                                                            \
  }
#define ALL_FOUR(tensor, scalar, floating, expression) \
  TENSOR(tensor, floating, expression)                 \
  INPLACE_TENSOR(tensor, floating, expression)         \
  SCALAR(scalar, floating, expression)                 \
  INPLACE_SCALAR(scalar, floating, expression)

// The third column: whether integers compute as fp32.
// clang-format off
ALL_FOUR(Mul,         Muls,         false, x * y)
ALL_FOUR(Div,         Divs,         true,  x / y)
ALL_FOUR(FloorDivide, FloorDivides, false, FloorDivide(x, y))
ALL_FOUR(EqTensor,    EqScalar,     false, x == y)
ALL_FOUR(NeTensor,    NeScalar,     false, x != y)
ALL_FOUR(LtTensor,    LtScalar,     false, x < y)
ALL_FOUR(LeTensor,    LeScalar,     false, x <= y)
ALL_FOUR(GtTensor,    GtScalar,     false, x > y)
ALL_FOUR(GeTensor,    GeScalar,     false, x >= y)
ALL_FOUR(PowTensorTensor,       PowTensorScalar,       false, Power(x, y))
ALL_FOUR(RemainderTensorTensor, RemainderTensorScalar, false, Remainder(x, y))
TENSOR(Maximum, false, Maximum(x, y))
TENSOR(Minimum, false, Minimum(x, y))
TENSOR(LogicalAnd,         false, x != 0 && y != 0)
TENSOR(LogicalOr,          false, x != 0 || y != 0)
TENSOR(LogicalXor,         false, (x != 0) != (y != 0))
INPLACE_TENSOR(LogicalAnd, false, x != 0 && y != 0)
INPLACE_TENSOR(LogicalOr,  false, x != 0 || y != 0)
// clang-format on

// out = self + alpha * other and its relatives; f(x, alpha, y).
template <class F>
void Scaled(Call& call, const aclTensor* self, const aclTensor* other, const aclScalar* alpha, const aclTensor* out,
            F f) {
  const Number scale = call.Scalar(alpha, "alpha");
  Binary<false>(call, self, other, out, [=](auto x, auto y) { return f(x, scale.As<decltype(x)>(), y); });
}
template <class F>
void Scaled(Call& call, const aclTensor* self, const aclScalar* other, const aclScalar* alpha, const aclTensor* out,
            F f) {
  const Number scale = call.Scalar(alpha, "alpha");
  BinaryScalar<false>(call, self, other, out, [=](auto x, auto y) { return f(x, scale.As<decltype(x)>(), y); });
}

#define SCALED(tensor, scalar, expression)                                                                     \
  ACLNN(tensor, const aclTensor* self, const aclTensor* other, const aclScalar* alpha, const aclTensor* out) { \
    return PLAN {                                                                                              \
      Scaled(call, self, other, alpha, out, [](auto x, auto a, auto y) { return expression; });                \
    };                                                                                                         \
  }                                                                                                            \
  ACLNN(scalar, const aclTensor* self, const aclScalar* other, const aclScalar* alpha, const aclTensor* out) { \
    return PLAN {                                                                                              \
      Scaled(call, self, other, alpha, out, [](auto x, auto a, auto y) { return expression; });                \
    };                                                                                                         \
  }
#define SCALED_INPLACE(tensor, scalar, expression)                                                \
  ACLNN(Inplace##tensor, const aclTensor* self, const aclTensor* other, const aclScalar* alpha) { \
    return PLAN {                                                                                 \
      Scaled(call, self, other, alpha, self, [](auto x, auto a, auto y) { return expression; });  \
    };                                                                                            \
  }                                                                                               \
  ACLNN(Inplace##scalar, const aclTensor* self, const aclScalar* other, const aclScalar* alpha) { \
    return PLAN {                                                                                 \
      Scaled(call, self, other, alpha, self, [](auto x, auto a, auto y) { return expression; });  \
    };                                                                                            \
  }
SCALED(Add, Adds, x + a * y)
SCALED_INPLACE(Add, Adds, x + a * y)
SCALED(Sub, Subs, x - a * y)
SCALED_INPLACE(Sub, Subs, x - a * y)
SCALED(Rsub, Rsubs, y - a * x)

// Division rounded by mode: 0 not at all, 1 towards zero, 2 down.
template <class Other>
void DivideMode(Call& call, const aclTensor* self, const Other* other, int mode, const aclTensor* out) {
  const auto divide = [&](auto floating, auto f) {
    if constexpr (std::is_same_v<Other, aclTensor>) {
      Binary<floating.value>(call, self, other, out, f);
    } else {
      BinaryScalar<floating.value>(call, self, other, out, f);
    }
  };
  if (mode == 0) {
    divide(std::true_type{}, [](auto x, auto y) { return x / y; });
  } else if (mode == 1) {
    divide(std::false_type{}, [](auto x, auto y) { return TruncDivide(x, y); });
  } else {
    call.Check(mode == 2, "mode", "expected 0, 1 (trunc) or 2 (floor), got " + std::to_string(mode));
    divide(std::false_type{}, [](auto x, auto y) { return FloorDivide(x, y); });
  }
}
ACLNN(DivMod, const aclTensor* self, const aclTensor* other, int mode, const aclTensor* out) {
  return PLAN { DivideMode(call, self, other, mode, out); };
}
ACLNN(DivMods, const aclTensor* self, const aclScalar* other, int mode, const aclTensor* out) {
  return PLAN { DivideMode(call, self, other, mode, out); };
}
ACLNN(InplaceDivMod, const aclTensor* self, const aclTensor* other, int mode) {
  return PLAN { DivideMode(call, self, other, mode, self); };
}
ACLNN(InplaceDivMods, const aclTensor* self, const aclScalar* other, int mode) {
  return PLAN { DivideMode(call, self, other, mode, self); };
}

// The scalar is the first operand.
ACLNN(PowScalarTensor, const aclScalar* self, const aclTensor* exponent, const aclTensor* out) {
  return PLAN {
    BinaryScalar<false>(call, exponent, self, out, [](auto x, auto y) { return Power(y, x); }, "self");
  };
}
ACLNN(RemainderScalarTensor, const aclScalar* self, const aclTensor* other, const aclTensor* out) {
  return PLAN {
    BinaryScalar<false>(call, other, self, out, [](auto x, auto y) { return Remainder(y, x); }, "self");
  };
}

// Bitwise operators work on integers; bool's bits are its value.
template <class Other, class F>
void Bitwise(Call& call, const aclTensor* self, const Other* other, const aclTensor* out, F f) {
  const View a = call.In(self, "self");
  call.Check(!IsFloating(a.type), "self", "a floating dtype has no bitwise operators");
  const auto bits = [f](auto x, auto y) -> int64_t {
    if constexpr (std::is_integral_v<decltype(x)>) {
      return f(x, y);
    } else {
      return 0;  // not reached: floating operands are refused
    }
  };
  if constexpr (std::is_same_v<Other, aclTensor>) {
    const View b = call.In(other, "other");
    call.Check(!IsFloating(b.type), "other", "a floating dtype has no bitwise operators");
    Binary<false>(call, a, b, call.Out(out, "out"), bits);
  } else {
    const Number b = call.Scalar(other, "other");
    call.Check(!IsFloating(b.type), "other", "a floating scalar has no bitwise operators");
    BinaryScalar<false>(call, a, b, call.Out(out, "out"), bits);
  }
}
#define BITWISE(name, expression)                                                            \
  ACLNN(name##Tensor, const aclTensor* self, const aclTensor* other, const aclTensor* out) { \
    return PLAN {                                                                            \
      Bitwise(call, self, other, out, [](int64_t x, int64_t y) { return expression; });      \
    };                                                                                       \
  }                                                                                          \
  ACLNN(name##Scalar, const aclTensor* self, const aclScalar* other, const aclTensor* out) { \
    return PLAN {                                                                            \
      Bitwise(call, self, other, out, [](int64_t x, int64_t y) { return expression; });      \
    };                                                                                       \
  }
#define BITWISE_INPLACE(name, expression)                                                \
  ACLNN(Inplace##name##Tensor, const aclTensor* self, const aclTensor* other) {          \
    return PLAN {                                                                        \
      Bitwise(call, self, other, self, [](int64_t x, int64_t y) { return expression; }); \
    };                                                                                   \
  }                                                                                      \
  ACLNN(Inplace##name##Scalar, const aclTensor* self, const aclScalar* other) {          \
    return PLAN {                                                                        \
      Bitwise(call, self, other, self, [](int64_t x, int64_t y) { return expression; }); \
    };                                                                                   \
  }
// clang-format off: takes & for a reference
BITWISE(BitwiseAnd, x & y)
BITWISE(BitwiseOr, x | y)
BITWISE(BitwiseXor, x ^ y)
BITWISE_INPLACE(BitwiseAnd, x & y)
BITWISE_INPLACE(BitwiseXor, x ^ y)
// clang-format on

// Derivatives of activations: f(grad_output, self).
ACLNN(SiluBackward, const aclTensor* gradOutput, const aclTensor* self, const aclTensor* gradInput) {
  return PLAN {
    Binary<true>(call, gradOutput, self, gradInput, [](auto g, auto x) {
      const auto s = Sigmoid(x);
      return g * s * (decltype(x)(1) + x * (decltype(x)(1) - s));
    });
  };
}
ACLNN(SigmoidBackward, const aclTensor* gradOutput, const aclTensor* output, const aclTensor* gradInput) {
  return PLAN {
    Binary<true>(call, gradOutput, output, gradInput, [](auto g, auto y) { return g * y * (decltype(y)(1) - y); });
  };
}
ACLNN(TanhBackward, const aclTensor* gradOutput, const aclTensor* output, const aclTensor* gradInput) {
  return PLAN {
    Binary<true>(call, gradOutput, output, gradInput, [](auto g, auto y) { return g * (decltype(y)(1) - y * y); });
  };
}
ACLNN(ThresholdBackward, const aclTensor* gradOutput, const aclTensor* self, const aclScalar* threshold,
      const aclTensor* out) {
  return PLAN {
    const Number limit = call.Scalar(threshold, "threshold");
    Binary<false>(call, gradOutput, self, out, [=](auto g, auto x) {
      using C = decltype(x);
      return x <= limit.As<C>() ? C(0) : g;
    });
  };
}

ACLNN(IsClose, const aclTensor* self, const aclTensor* other, double rtol, double atol, bool equalNan,
      const aclTensor* out) {
  return PLAN {
    Binary<false>(call, self, other, out, [=](auto x, auto y) {
      if (x == y) return true;
      if (IsNan(x) && IsNan(y)) return equalNan;
      if (!IsFinite(x) || !IsFinite(y)) return false;
      return std::fabs(static_cast<double>(x) - static_cast<double>(y)) <=
             atol + rtol * std::fabs(static_cast<double>(y));
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
