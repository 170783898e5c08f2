// The same operator for each tensor of a list: what PyTorch's optimizers and gradient clipping call.
#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

struct Lists {
  std::vector<std::vector<View>> in;
  std::vector<View> out;
};
Lists Take(Call& call, std::initializer_list<const aclTensorList*> inputs, const aclTensorList* out) {
  static const char* const kNames[] = {"x1", "x2", "x3"};
  Lists lists;
  lists.out = call.List(out, "out", true);
  for (const aclTensorList* input : inputs) {
    const char* name = kNames[lists.in.size()];
    lists.in.push_back(call.List(input, name, false));
    call.Check(lists.in.back().size() == lists.out.size(), name, "expected as many tensors as out has");
  }
  return lists;
}
std::vector<Number> Scalars(Call& call, const aclScalarList* list, size_t count) {
  call.Check(list != nullptr && list->values.size() == count, "scalars", "expected one for each tensor");
  std::vector<Number> numbers;
  for (const aclScalar* scalar : list->values) numbers.push_back(call.Scalar(scalar, "scalars"));
  return numbers;
}

#define UNARY(name, floating, expression)                                                       \
  ACLNN(Foreach##name, const aclTensorList* x, const aclTensorList* out) {                      \
    return PLAN {                                                                               \
      const Lists lists = Take(call, {x}, out);                                                 \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                           \
        Unary<floating>(call, lists.in[0][i], lists.out[i], [](auto x) { return expression; }); \
      }                                                                                         \
    };                                                                                          \
  }
#define LIST(name, floating, expression)                                                                   \
  ACLNN(Foreach##name##List, const aclTensorList* x1, const aclTensorList* x2, const aclTensorList* out) { \
    return PLAN {                                                                                          \
      const Lists lists = Take(call, {x1, x2}, out);                                                       \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                                      \
        Binary<floating>(call, lists.in[0][i], lists.in[1][i], lists.out[i],                               \
                         [](auto x, auto y) { return expression; });                                       \
      }                                                                                                    \
    };                                                                                                     \
  }
#define SCALAR(name, floating, expression)                                                                             \
  ACLNN(Foreach##name##ScalarV2, const aclTensorList* x, const aclScalar* scalar, const aclTensorList* out) {          \
    return PLAN {                                                                                                      \
      const Lists lists = Take(call, {x}, out);                                                                        \
      const Number number = call.Scalar(scalar, "scalar");                                                             \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                                                  \
        BinaryScalar<floating>(call, lists.in[0][i], number, lists.out[i], [](auto x, auto y) { return expression; }); \
      }                                                                                                                \
    };                                                                                                                 \
  }                                                                                                                    \
  ACLNN(Foreach##name##ScalarList, const aclTensorList* x, const aclScalarList* scalars, const aclTensorList* out) {   \
    return PLAN {                                                                                                      \
      const Lists lists = Take(call, {x}, out);                                                                        \
      const std::vector<Number> numbers = Scalars(call, scalars, lists.out.size());                                    \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                                                  \
        BinaryScalar<floating>(call, lists.in[0][i], numbers[i], lists.out[i],                                         \
                               [](auto x, auto y) { return expression; });                                             \
      }                                                                                                                \
    };                                                                                                                 \
  }
// x1 + alpha * x2
#define SCALED_LIST(name, expression)                                                                    \
  ACLNN(Foreach##name##ListV2, const aclTensorList* x1, const aclTensorList* x2, const aclScalar* alpha, \
        const aclTensorList* out) {                                                                      \
    return PLAN {                                                                                        \
      const Lists lists = Take(call, {x1, x2}, out);                                                     \
      const Number scale = call.Scalar(alpha, "alpha");                                                  \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                                    \
        Binary<false>(call, lists.in[0][i], lists.in[1][i], lists.out[i], [=](auto x, auto y) {          \
          const auto a = scale.As<decltype(x)>();                                                        \
          return expression;                                                                             \
        });                                                                                              \
      }                                                                                                  \
    };                                                                                                   \
  }
// x1 + value * f(x2, x3)
#define COMBINED(name, floating, expression)                                                                       \
  ACLNN(Foreach##name##ScalarV2, const aclTensorList* x1, const aclTensorList* x2, const aclTensorList* x3,        \
        const aclScalar* scalar, const aclTensorList* out) {                                                       \
    return PLAN {                                                                                                  \
      const Lists lists = Take(call, {x1, x2, x3}, out);                                                           \
      const Number value = call.Scalar(scalar, "scalar");                                                          \
      for (size_t i = 0; i < lists.out.size(); ++i) {                                                              \
        Ternary<floating>(call, lists.in[0][i], lists.in[1][i], lists.in[2][i], lists.out[i], lists.in[0][i].type, \
                          [=](auto x, auto y, auto z) {                                                            \
                            const auto s = value.As<decltype(x)>();                                                \
                            return expression;                                                                     \
                          });                                                                                      \
      }                                                                                                            \
    };                                                                                                             \
  }

// clang-format off
UNARY(Sqrt,       true,  std::sqrt(x))
UNARY(Exp,        true,  std::exp(x))
UNARY(Neg,        false, -x)
UNARY(Abs,        false, x < 0 ? -x : x)
UNARY(Reciprocal, true,  decltype(x)(1) / x)
UNARY(Copy,       false, x)
LIST(Mul,     false, x * y)
LIST(Div,     true,  x / y)
LIST(Maximum, false, Maximum(x, y))
LIST(Minimum, false, Minimum(x, y))
SCALAR(Add, false, x + y)
SCALAR(Sub, false, x - y)
SCALAR(Mul, false, x * y)
SCALAR(Div, true,  x / y)
SCALAR(Pow, false, Power(x, y))
SCALAR(Maximum, false, Maximum(x, y))
SCALAR(Minimum, false, Minimum(x, y))
SCALED_LIST(Add, x + a * y)
SCALED_LIST(Sub, x - a * y)
COMBINED(Addcmul, false, x + s * y * z)
COMBINED(Addcdiv, true,  x + s * (y / z))
// clang-format on

ACLNN(ForeachPowScalarAndTensor, const aclScalar* scalar, const aclTensorList* x, const aclTensorList* out) {
  return PLAN {
    const Lists lists = Take(call, {x}, out);
    const Number base = call.Scalar(scalar, "scalar");
    for (size_t i = 0; i < lists.out.size(); ++i) {
      BinaryScalar<false>(call, lists.in[0][i], base, lists.out[i], [](auto x, auto y) { return Power(y, x); });
    }
  };
}

ACLNN(ForeachLerpScalar, const aclTensorList* x1, const aclTensorList* x2, const aclScalar* weight,
      const aclTensorList* out) {
  return PLAN {
    const Lists lists = Take(call, {x1, x2}, out);
    const Number number = call.Scalar(weight, "weight");
    for (size_t i = 0; i < lists.out.size(); ++i) {
      Binary<true>(call, lists.in[0][i], lists.in[1][i], lists.out[i],
                   [=](auto x, auto y) { return Interpolate(x, y, number.As<decltype(x)>()); });
    }
  };
}

ACLNN(ForeachZeroInplace, const aclTensorList* x) {
  return PLAN {
    for (const View& view : call.List(x, "x", true)) {
      call.Do([=] { Map<float>([] { return int64_t{0}; }, view); });
    }
  };
}

// out[i] = p-norm of x[i], a scalar; p is 1, 2 or infinity.
ACLNN(ForeachNorm, const aclTensorList* x, const aclScalar* scalar, const aclTensorList* out) {
  return PLAN {
    const Lists lists = Take(call, {x}, out);
    const double p = call.Scalar(scalar, "scalar").real;
    call.Check(p == 1 || p == 2 || p == std::numeric_limits<double>::infinity(), "scalar",
               "norm " + std::to_string(p) + " is not emulated, only 1, 2 and infinity are");
    for (size_t i = 0; i < lists.out.size(); ++i) {
      const View in = lists.in[0][i], result = lists.out[i];
      call.Check(result.Count() == 1, "out", "expected one element");
      call.Do([=] {
        double norm = 0;
        for (double value : Load<double>(in)) {
          const double magnitude = std::fabs(value);
          norm = std::isinf(p) ? Maximum(norm, magnitude) : norm + (p == 2 ? value * value : magnitude);
        }
        Store(result, std::vector<double>{p == 2 ? std::sqrt(norm) : norm});
      });
    }
  };
}

// One AdamW step of one parameter; step, a tensor of one element, counts the steps before this one. The parameter may
// be of lower precision than its moments.
ACLNN(ApplyAdamWV2, const aclTensor* var, const aclTensor* m, const aclTensor* v, const aclTensor* maxGradNorm,
      const aclTensor* grad, const aclTensor* step, float lr, float beta1, float beta2, float weightDecay, float eps,
      bool amsgrad, bool maximize) {
  return PLAN {
    const View p = call.Out(var, "var"), first = call.Out(m, "m"), second = call.Out(v, "v");
    const View g = call.In(grad, "grad"), steps = call.In(step, "step");
    View largest;
    if (amsgrad) {
      largest = call.Out(maxGradNorm, "maxGradNorm");
      call.Expect(largest, p.sizes, "maxGradNorm");
    }
    call.Expect(first, p.sizes, "m");
    call.Expect(second, p.sizes, "v");
    call.Expect(g, p.sizes, "grad");
    call.Check(steps.Count() == 1, "step", "expected one element");
    call.Do([=] {
      const double t = Load<double>(steps)[0] + 1;
      const double correction1 = 1 - std::pow(static_cast<double>(beta1), t);
      const double correction2 = std::sqrt(1 - std::pow(static_cast<double>(beta2), t));
      std::vector<double> params = Load<double>(p), ms = Load<double>(first), vs = Load<double>(second);
      std::vector<double> tops = amsgrad ? Load<double>(largest) : std::vector<double>{};
      const std::vector<double> gs = Load<double>(g);
      for (size_t i = 0; i < params.size(); ++i) {
        const double gradient = maximize ? -gs[i] : gs[i];
        params[i] *= 1 - static_cast<double>(lr) * weightDecay;
        ms[i] += (gradient - ms[i]) * (1 - static_cast<double>(beta1));
        vs[i] = vs[i] * beta2 + gradient * gradient * (1 - static_cast<double>(beta2));
        if (amsgrad) tops[i] = Maximum(tops[i], vs[i]);
        const double root = std::sqrt(amsgrad ? tops[i] : vs[i]) / correction2 + eps;
        params[i] -= lr / correction1 * ms[i] / root;
      }
      Store(p, params);
      Store(first, ms);
      Store(second, vs);
      if (amsgrad) Store(largest, tops);
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
