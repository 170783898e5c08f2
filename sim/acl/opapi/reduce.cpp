// Reductions over dimensions, and scans along one. Floating sums are accumulated in double and rounded once.
#include <algorithm>

#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

template <class C>
using Wide = std::conditional_t<std::is_integral_v<C>, int64_t, double>;

// self as [kept..., reduced...], and how many elements a reduced row has.
struct Rows {
  View view;
  int64_t length = 1;
};
Rows RowsOf(const View& self, const Dims& dims) {
  Dims order;
  Rows rows;
  for (int64_t d = 0; d < self.Rank(); ++d) {
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) order.push_back(d);
  }
  for (int64_t d : dims) {
    order.push_back(d);
    rows.length *= self.sizes[d];
  }
  rows.view = Permute(self, order);
  return rows;
}

// Checks the sizes of out, which has the reduced dimensions as 1 or not at all.
void ExpectReduced(Call& call, const View& self, const Dims& dims, bool keepdim, const View& out,
                   const char* name = "out") {
  Dims sizes;
  for (int64_t d = 0; d < self.Rank(); ++d) {
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) {
      sizes.push_back(self.sizes[d]);
    } else if (keepdim) {
      sizes.push_back(1);
    }
  }
  call.Expect(out, sizes, name);
}

// out[k] = f(row k, its length), computed in `type`.
template <bool kFloating, class F>
void ReduceRows(Call& call, const View& self, const Dims& dims, const View& out, DType type, F f) {
  const Rows rows = RowsOf(self, dims);
  call.Do([=] {
    With<kFloating>(type, [&](auto compute) {
      using C = decltype(compute);
      const std::vector<C> values = Load<C>(rows.view);
      using R = decltype(f(values.data(), rows.length));
      std::vector<std::conditional_t<std::is_same_v<R, bool>, int64_t, R>> results;
      results.reserve(static_cast<size_t>(out.Count()));
      for (int64_t k = 0; k < out.Count(); ++k) results.push_back(f(values.data() + k * rows.length, rows.length));
      Store(out, results);
    });
  });
}
template <bool kFloating, class F>
void Reduce(Call& call, const aclTensor* self, const aclIntArray* dim, bool keepdim, const aclTensor* out, F f) {
  const View in = call.In(self, "self"), result = call.Out(out, "out");
  const Dims dims = call.DimList(dim, in, "dim");
  ExpectReduced(call, in, dims, keepdim, result);
  ReduceRows<kFloating>(call, in, dims, result, in.type, f);
}

template <class C>
Wide<C> SumOf(const C* row, int64_t n) {
  Wide<C> sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += row[i];
  return sum;
}

// The first element that no other beats; a NaN beats everything.
template <bool kMax, class C>
int64_t Best(const C* row, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i) {
    if (IsNan(row[best])) break;
    if (IsNan(row[i]) || (kMax ? row[i] > row[best] : row[i] < row[best])) best = i;
  }
  return best;
}

void ExpectSomething(Call& call, const View& self, const Dims& dims) {
  for (int64_t d : dims) {
    call.Check(self.sizes[d] > 0, "self",
               "a dimension of size 0 has no maximum or minimum, sizes " + ToString(self.sizes));
  }
}

// ---- sums ------------------------------------------------------------------------------------------------------

ACLNN(ReduceSum, const aclTensor* self, const aclIntArray* dims, bool keepDims, int32_t dtype, const aclTensor* out) {
  return PLAN {
    call.Check(out == nullptr || out->type == dtype, "dtype", "is not the dtype of out");
    const View in = call.In(self, "self"), result = call.Out(out, "out");
    const Dims list = call.DimList(dims, in, "dims");
    ExpectReduced(call, in, list, keepDims, result);
    ReduceRows<false>(call, in, list, result, Promote(in.type, result.type),
                      [](auto row, int64_t n) { return SumOf(row, n); });
  };
}
ACLNN(Mean, const aclTensor* self, const aclIntArray* dim, bool keepDim, int32_t dtype, const aclTensor* out) {
  return PLAN {
    call.Check(out == nullptr || out->type == dtype, "dtype", "is not the dtype of out");
    Reduce<true>(call, self, dim, keepDim, out,
                 [](auto row, int64_t n) { return SumOf(row, n) / static_cast<double>(n); });
  };
}
ACLNN(Prod, const aclTensor* self, int32_t dtype, const aclTensor* out) {
  return PLAN {
    call.Check(out == nullptr || out->type == dtype, "dtype", "is not the dtype of out");
    Reduce<false>(call, self, nullptr, false, out, [](auto row, int64_t n) {
      Wide<std::decay_t<decltype(*row)>> product = 1;
      for (int64_t i = 0; i < n; ++i) product *= row[i];
      return product;
    });
  };
}
ACLNN(LogSumExp, const aclTensor* self, const aclIntArray* dim, bool keepDim, const aclTensor* out) {
  return PLAN {
    Reduce<true>(call, self, dim, keepDim, out, [](auto row, int64_t n) -> double {
      if (n == 0) return -std::numeric_limits<double>::infinity();
      const double top = static_cast<double>(row[Best<true>(row, n)]);
      if (!IsFinite(top)) return top;
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(row[i]) - top);
      return top + std::log(sum);
    });
  };
}

// ---- norms and variances ---------------------------------------------------------------------------------------

void VectorNorm(Call& call, const aclTensor* self, const Number& ord, const aclIntArray* dims, bool keepdim,
                const aclTensor* out) {
  const double p = ord.real;
  Reduce<true>(call, self, dims, keepdim, out, [p](auto row, int64_t n) -> double {
    double result = p == -std::numeric_limits<double>::infinity() ? -p : 0;
    for (int64_t i = 0; i < n; ++i) {
      const double x = std::fabs(static_cast<double>(row[i]));
      if (std::isinf(p)) {
        result = p > 0 ? Maximum(result, x) : Minimum(result, x);
      } else if (p == 0) {
        result += x != 0;
      } else {
        result += p == 2 ? x * x : p == 1 ? x : std::pow(x, p);
      }
    }
    if (std::isinf(p) || p == 0 || p == 1) return result;
    return p == 2 ? std::sqrt(result) : std::pow(result, 1 / p);
  });
}
ACLNN(LinalgVectorNorm, const aclTensor* self, const aclScalar* ord, const aclIntArray* dims, bool keepDims,
      int32_t dtype, const aclTensor* out) {
  return PLAN {
    call.Check(out == nullptr || out->type == dtype, "dtype", "is not the dtype of out");
    VectorNorm(call, self, call.Scalar(ord, "ord"), dims, keepDims, out);
  };
}

template <bool kRoot>
void Variance(Call& call, const aclTensor* self, const aclIntArray* dim, int64_t correction, bool keepdim,
              const aclTensor* out) {
  Reduce<true>(call, self, dim, keepdim, out, [correction](auto row, int64_t n) -> double {
    const double mean = static_cast<double>(SumOf(row, n)) / static_cast<double>(n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (row[i] - mean) * (row[i] - mean);
    const double variance = sum / static_cast<double>(std::max<int64_t>(n - correction, 0));
    return kRoot ? std::sqrt(variance) : variance;
  });
}
ACLNN(VarCorrection, const aclTensor* self, const aclIntArray* dim, int64_t correction, bool keepdim,
      const aclTensor* out) {
  return PLAN { Variance<false>(call, self, dim, correction, keepdim, out); };
}
ACLNN(Std, const aclTensor* self, const aclIntArray* dim, int64_t correction, bool keepdim, const aclTensor* out) {
  return PLAN { Variance<true>(call, self, dim, correction, keepdim, out); };
}

// ---- any and all -----------------------------------------------------------------------------------------------

ACLNN(Any, const aclTensor* self, const aclIntArray* dim, bool keepdim, const aclTensor* out) {
  return PLAN {
    Reduce<false>(call, self, dim, keepdim, out,
                  [](auto row, int64_t n) { return std::any_of(row, row + n, [](auto x) { return x != 0; }); });
  };
}
ACLNN(All, const aclTensor* self, const aclIntArray* dim, bool keepdim, const aclTensor* out) {
  return PLAN {
    Reduce<false>(call, self, dim, keepdim, out,
                  [](auto row, int64_t n) { return std::all_of(row, row + n, [](auto x) { return x != 0; }); });
  };
}
// One bool: same sizes and same values.
ACLNN(Equal, const aclTensor* self, const aclTensor* other, const aclTensor* out) {
  return PLAN {
    const View a = call.In(self, "self"), b = call.In(other, "other"), result = call.Out(out, "out");
    call.Check(result.Count() == 1, "out", "expected one element");
    call.Do([=] {
      WithCompute(Promote(a.type, b.type), [&](auto compute) {
        using C = decltype(compute);
        Store(result, std::vector<int64_t>{a.sizes == b.sizes && Load<C>(a) == Load<C>(b)});
      });
    });
  };
}

// ---- maxima and minima -----------------------------------------------------------------------------------------

template <bool kMax>
void Extremum(Call& call, const aclTensor* self, const aclIntArray* dim, bool keepdim, const aclTensor* out) {
  const View in = call.In(self, "self");
  ExpectSomething(call, in, call.DimList(dim, in, "dim"));
  Reduce<false>(call, self, dim, keepdim, out, [](auto row, int64_t n) { return row[Best<kMax>(row, n)]; });
}
template <bool kMax>
void ExtremumIndex(Call& call, const aclTensor* self, int64_t dim, bool keepdim, const aclTensor* out,
                   const char* name = "out") {
  const View in = call.In(self, "self"), result = call.Out(out, name);
  const Dims dims = in.Rank() == 0 ? Dims{} : Dims{call.Dim(dim, in, "dim")};
  ExpectSomething(call, in, dims);
  ExpectReduced(call, in, dims, keepdim, result, name);
  ReduceRows<false>(call, in, dims, result, in.type, [](auto row, int64_t n) { return Best<kMax>(row, n); });
}
template <bool kMax>
void ExtremumWithIndex(Call& call, const aclTensor* self, int64_t dim, bool keepdim, const aclTensor* out,
                       const aclTensor* indices) {
  aclIntArray dims{{dim}};
  Extremum<kMax>(call, self, &dims, keepdim, out);
  ExtremumIndex<kMax>(call, self, dim, keepdim, indices, "indices");
}

#define EXTREMUM(Name, A, Arg, kMax)                                                                                   \
  ACLNN(Name, const aclTensor* self, const aclTensor* out) {                                                           \
    return PLAN { Extremum<kMax>(call, self, nullptr, false, out); };                                                  \
  }                                                                                                                    \
  ACLNN(A, const aclTensor* self, const aclIntArray* dim, bool keepDim, const aclTensor* out) {                        \
    return PLAN { Extremum<kMax>(call, self, dim, keepDim, out); };                                                    \
  }                                                                                                                    \
  ACLNN(Arg, const aclTensor* self, int64_t dim, bool keepdim, const aclTensor* out) {                                 \
    return PLAN { ExtremumIndex<kMax>(call, self, dim, keepdim, out); };                                               \
  }                                                                                                                    \
  ACLNN(Name##Dim, const aclTensor* self, int64_t dim, bool keepdim, const aclTensor* out, const aclTensor* indices) { \
    return PLAN { ExtremumWithIndex<kMax>(call, self, dim, keepdim, out, indices); };                                  \
  }
EXTREMUM(Max, Amax, ArgMax, true)
EXTREMUM(Min, Amin, ArgMin, false)

// ---- along one dimension, keeping it ---------------------------------------------------------------------------

int64_t LengthOf(const View& view, int64_t dim) { return view.Rank() == 0 ? 1 : view.sizes[dim]; }

ACLNN(Cumsum, const aclTensor* self, int64_t dim, int32_t dtype, const aclTensor* out) {
  return PLAN {
    call.Check(out == nullptr || out->type == dtype, "dtype", "is not the dtype of out");
    const View in = call.In(self, "self"), result = call.Out(out, "out");
    call.Expect(result, in.sizes, "out");
    const int64_t axis = call.Dim(dim, in, "dim"), length = LengthOf(in, axis);
    const View from = DimLast(in, axis), to = DimLast(result, axis);
    call.Do([=] {
      WithCompute(Promote(in.type, result.type), [&](auto compute) {
        using C = decltype(compute);
        std::vector<C> values = Load<C>(from);
        for (size_t start = 0; start < values.size(); start += static_cast<size_t>(length)) {
          Wide<C> sum = 0;
          for (int64_t i = 0; i < length; ++i) {
            C& value = values[start + static_cast<size_t>(i)];
            sum += value;
            value = static_cast<C>(sum);
          }
        }
        Store(to, values);
      });
    });
  };
}

// The k first elements of every row in sorted order; all of them for k = length. Equal elements keep their order.
void SortRows(Call& call, const View& in, int64_t axis, int64_t k, bool descending, const View& values,
              const View& indices) {
  const int64_t length = LengthOf(in, axis);
  const View from = DimLast(in, axis), to = DimLast(values, axis), to_indices = DimLast(indices, axis);
  call.Do([=] {
    WithCompute(in.type, [&](auto compute) {
      using C = decltype(compute);
      const std::vector<C> all = Load<C>(from);
      std::vector<C> sorted;
      std::vector<int64_t> positions, order(static_cast<size_t>(length));
      for (size_t start = 0; start < all.size(); start += static_cast<size_t>(length)) {
        const C* row = all.data() + start;
        for (int64_t i = 0; i < length; ++i) order[static_cast<size_t>(i)] = i;
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {  // NaN is the greatest
          const C x = descending ? row[b] : row[a], y = descending ? row[a] : row[b];
          return IsNan(x) ? false : IsNan(y) ? true : x < y;
        });
        for (int64_t i = 0; i < k; ++i) {
          positions.push_back(order[static_cast<size_t>(i)]);
          sorted.push_back(row[positions.back()]);
        }
      }
      Store(to, sorted);
      Store(to_indices, positions);
    });
  });
}
ACLNN(Sort, const aclTensor* self, bool, int64_t dim, bool descending, const aclTensor* values,
      const aclTensor* indices) {
  return PLAN {
    const View in = call.In(self, "self"), out = call.Out(values, "values"), places = call.Out(indices, "indices");
    const int64_t axis = call.Dim(dim, in, "dim");
    call.Expect(out, in.sizes, "values");
    call.Expect(places, in.sizes, "indices");
    SortRows(call, in, axis, LengthOf(in, axis), descending, out, places);
  };
}
ACLNN(Topk, const aclTensor* self, int64_t k, int64_t dim, bool largest, bool, const aclTensor* values,
      const aclTensor* indices) {
  return PLAN {
    const View in = call.In(self, "self"), out = call.Out(values, "values"), places = call.Out(indices, "indices");
    const int64_t axis = call.Dim(dim, in, "dim");
    call.Check(k >= 0 && k <= LengthOf(in, axis), "k", std::to_string(k) + " is more than the dimension has");
    Dims sizes = in.sizes;
    if (!sizes.empty()) sizes[static_cast<size_t>(axis)] = k;
    call.Expect(out, sizes, "values");
    call.Expect(places, sizes, "indices");
    SortRows(call, in, axis, k, largest, out, places);
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
