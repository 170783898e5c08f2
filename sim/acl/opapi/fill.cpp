// Operators that make values: zeros, ones, fill, arange, linspace, eye, and the triangles of a matrix.
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

void Fill(Call& call, const View& out, const Number& value) {
  call.Do([=] {
    WithCompute(out.type, [&](auto compute) {
      using C = decltype(compute);
      const C filled = value.As<C>();
      Map<C>([=] { return filled; }, out);
    });
  });
}

ACLNN(InplaceZero, const aclTensor* self) {
  return PLAN { Fill(call, call.Out(self, "self"), Number{DType::kI64, 0, 0}); };
}
ACLNN(InplaceOne, const aclTensor* self) {
  return PLAN { Fill(call, call.Out(self, "self"), Number{DType::kI64, 1, 1}); };
}
ACLNN(InplaceFillScalar, const aclTensor* self, const aclScalar* value) {
  return PLAN { Fill(call, call.Out(self, "self"), call.Scalar(value, "value")); };
}
ACLNN(InplaceFillTensor, const aclTensor* self, const aclTensor* value) {
  return PLAN {
    const View out = call.Out(self, "self"), one = call.In(value, "value");
    call.Check(one.Count() == 1, "value", "expected one element, got sizes " + ToString(one.sizes));
    View repeated = one;
    repeated.sizes = out.sizes;
    repeated.strides.assign(out.sizes.size(), 0);
    call.Do([=] { Copy(out, repeated); });
  };
}

// out[i] = f(i) for a vector, computed in double for floating dtypes and rounded once.
template <class F>
void FromIndex(Call& call, const View& out, F f) {
  call.Check(out.Rank() == 1, "out", "expected one dimension, got sizes " + ToString(out.sizes));
  call.Do([=] {
    WithCompute(IsFloating(out.type) ? DType::kF64 : out.type, [&](auto compute) {
      using C = decltype(compute);
      int64_t i = 0;
      Map<C>([&] { return static_cast<C>(f(i++, C{})); }, out);
    });
  });
}

ACLNN(Arange, const aclScalar* start, const aclScalar* end, const aclScalar* step, const aclTensor* out) {
  return PLAN {
    const Number first = call.Scalar(start, "start"), last = call.Scalar(end, "end"),
                 stride = call.Scalar(step, "step");
    const View result = call.Out(out, "out");
    call.Check(stride.real != 0, "step", "is 0");
    const double steps = std::ceil((last.real - first.real) / stride.real);
    call.Check(steps >= 0 && static_cast<double>(result.Count()) <= steps + 1, "out",
               "has " + std::to_string(result.Count()) + " elements, more than the range");
    FromIndex(call, result, [=](int64_t i, auto zero) {
      using C = decltype(zero);
      return first.As<C>() + static_cast<C>(i) * stride.As<C>();
    });
  };
}

ACLNN(Linspace, const aclScalar* start, const aclScalar* end, int64_t steps, const aclTensor* out) {
  return PLAN {
    const Number first = call.Scalar(start, "start"), last = call.Scalar(end, "end");
    const View result = call.Out(out, "out");
    call.Check(result.Count() == steps, "out", "expected " + std::to_string(steps) + " elements");
    FromIndex(call, result, [=](int64_t i, auto) {  // from both ends, so that both are exact
      if (steps == 1) return first.real;
      const double step = (last.real - first.real) / static_cast<double>(steps - 1);
      return i < steps / 2 ? first.real + step * static_cast<double>(i)
                           : last.real - step * static_cast<double>(steps - 1 - i);
    });
  };
}

// Calls f(row, column) for every element of the last two dimensions, in order; result is what f returns.
template <class F>
void ByRowAndColumn(const View& out, const View& in, F f) {
  const int64_t rows = out.sizes[out.Rank() - 2], columns = out.sizes[out.Rank() - 1];
  WithCompute(out.type, [&](auto compute) {
    using C = decltype(compute);
    int64_t i = 0;
    Map<C>(
        [&](C x) {
          const int64_t row = (i / columns) % rows, column = i % columns;
          ++i;
          return static_cast<C>(f(x, row, column));
        },
        out, in);
  });
}

ACLNN(Eye, int64_t n, int64_t m, const aclTensor* out) {
  return PLAN {
    const View result = call.Out(out, "out");
    call.Expect(result, {n, m}, "out");
    call.Do([=] {
      ByRowAndColumn(result, result, [](auto, int64_t row, int64_t column) { return row == column ? 1 : 0; });
    });
  };
}

template <bool kLower>
void Triangle(Call& call, const aclTensor* self, int64_t diagonal, const aclTensor* out) {
  const View in = call.In(self, "self"), result = call.Out(out, "out");
  call.Check(in.Rank() >= 2, "self", "expected at least two dimensions, got sizes " + ToString(in.sizes));
  call.Expect(result, in.sizes, "out");
  call.Do([=] {
    ByRowAndColumn(result, in, [=](auto x, int64_t row, int64_t column) {
      const bool kept = kLower ? column - row <= diagonal : column - row >= diagonal;
      return kept ? x : decltype(x)(0);
    });
  });
}
ACLNN(Tril, const aclTensor* self, int64_t diagonal, const aclTensor* out) {
  return PLAN { Triangle<true>(call, self, diagonal, out); };
}
ACLNN(Triu, const aclTensor* self, int64_t diagonal, const aclTensor* out) {
  return PLAN { Triangle<false>(call, self, diagonal, out); };
}
ACLNN(InplaceTril, const aclTensor* self, int64_t diagonal) {
  return PLAN { Triangle<true>(call, self, diagonal, self); };
}
ACLNN(InplaceTriu, const aclTensor* self, int64_t diagonal) {
  return PLAN { Triangle<false>(call, self, diagonal, self); };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
