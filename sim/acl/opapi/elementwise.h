// Elementwise operators of one, two and three operands. kFloating: the operator only exists for floating point, and
// integers compute as fp32; otherwise integers stay integers.
#pragma once

#include "acl/opapi/call.h"

namespace ascend_sim {
namespace opapi {

template <bool kFloating, class F>
void With(DType type, F f) {
  if constexpr (kFloating) {
    WithFloating(type, f);
  } else {
    WithCompute(type, f);
  }
}

// out = f(self)
template <bool kFloating, class F>
void Unary(Call& call, const View& self, const View& out, F f, const char* out_name = "out") {
  call.Expect(out, self.sizes, out_name);
  call.Do([=] {
    With<kFloating>(self.type, [&](auto compute) {
      using C = decltype(compute);
      Map<C>([&](C x) { return f(x); }, out, self);
    });
  });
}
template <bool kFloating, class F>
void Unary(Call& call, const aclTensor* self, const aclTensor* out, F f) {
  Unary<kFloating>(call, call.In(self, "self"), call.Out(out, "out"), f);
}

// out = f(self, other), computed in the dtype where the two meet, after broadcasting.
template <bool kFloating, class F>
void Binary(Call& call, const View& self, const View& other, const View& out, F f) {
  const Dims sizes = call.Broadcast(self, other, "other");
  call.Expect(out, sizes, "out");
  const View a = Expand(self, sizes), b = Expand(other, sizes);
  call.Do([=] {
    With<kFloating>(Promote(a.type, b.type), [&](auto compute) {
      using C = decltype(compute);
      Map<C>([&](C x, C y) { return f(x, y); }, out, a, b);
    });
  });
}
template <bool kFloating, class F>
void Binary(Call& call, const aclTensor* self, const aclTensor* other, const aclTensor* out, F f) {
  Binary<kFloating>(call, call.In(self, "self"), call.In(other, "other"), call.Out(out, "out"), f);
}

// out = f(self, scalar)
template <bool kFloating, class F>
void BinaryScalar(Call& call, const View& self, const Number& scalar, const View& out, F f) {
  call.Expect(out, self.sizes, "out");
  call.Do([=] {
    With<kFloating>(Promote(self.type, scalar), [&](auto compute) {
      using C = decltype(compute);
      const C y = scalar.As<C>();
      Map<C>([&](C x) { return f(x, y); }, out, self);
    });
  });
}
template <bool kFloating, class F>
void BinaryScalar(Call& call, const aclTensor* self, const aclScalar* other, const aclTensor* out, F f,
                  const char* scalar_name = "other") {
  BinaryScalar<kFloating>(call, call.In(self, "self"), call.Scalar(other, scalar_name), call.Out(out, "out"), f);
}

// out = f(a, b, c), computed in `type`, after broadcasting.
template <bool kFloating, class F>
void Ternary(Call& call, const View& a, const View& b, const View& c, const View& out, DType type, F f) {
  View ab = a;
  ab.sizes = call.Broadcast(a, b, "second operand");
  const Dims sizes = call.Broadcast(ab, c, "third operand");
  call.Expect(out, sizes, "out");
  const View x = Expand(a, sizes), y = Expand(b, sizes), z = Expand(c, sizes);
  call.Do([=] {
    With<kFloating>(type, [&](auto compute) {
      using C = decltype(compute);
      Map<C>([&](C p, C q, C r) { return f(p, q, r); }, out, x, y, z);
    });
  });
}

}  // namespace opapi
}  // namespace ascend_sim
