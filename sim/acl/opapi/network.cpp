// Layers and losses: softmax, embedding, negative log likelihood, RMS and layer norm, with their derivatives. Sums over
// a row are in double.
#include <algorithm>

#include "acl/opapi/arithmetic.h"
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

// out = f(rows...) row by row along dim; f(inputs' rows, output row, length).
template <class F>
void AlongDim(Call& call, const std::vector<View>& in, int64_t dim, const View& out, F f) {
  for (const View& view : in) call.Expect(view, out.sizes, "operands");
  const int64_t axis = call.Dim(dim, out, "dim"), length = out.Rank() == 0 ? 1 : out.sizes[axis];
  DType type = in[0].type;
  std::vector<View> from;
  for (const View& view : in) {
    from.push_back(DimLast(view, axis));
    type = Promote(type, view.type);
  }
  const View to = DimLast(out, axis);
  call.Do([=] {
    WithFloating(type, [&](auto compute) {
      using C = decltype(compute);
      std::vector<std::vector<C>> values;
      for (const View& view : from) values.push_back(Load<C>(view));
      std::vector<C> results(values[0].size());
      std::vector<const C*> rows(values.size());
      for (size_t start = 0; start < results.size(); start += static_cast<size_t>(length)) {
        for (size_t v = 0; v < rows.size(); ++v) rows[v] = values[v].data() + start;
        f(rows, results.data() + start, length);
      }
      Store(to, results);
    });
  });
}

template <bool kLog>
struct SoftmaxRow {
  template <class C>
  void operator()(const std::vector<const C*>& rows, C* out, int64_t n) const {
    const C* x = rows[0];
    C top = x[0];
    for (int64_t i = 1; i < n; ++i) top = Maximum(top, x[i]);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[i] - top));
    for (int64_t i = 0; i < n; ++i) {
      const double shifted = static_cast<double>(x[i] - top);
      out[i] = static_cast<C>(kLog ? shifted - std::log(sum) : std::exp(shifted) / sum);
    }
  }
};
// rows: grad_output, output
template <bool kLog>
struct SoftmaxBackwardRow {
  template <class C>
  void operator()(const std::vector<const C*>& rows, C* out, int64_t n) const {
    const C *grad = rows[0], *y = rows[1];
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(grad[i]) * (kLog ? 1.0 : static_cast<double>(y[i]));
    for (int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<C>(kLog ? grad[i] - std::exp(static_cast<double>(y[i])) * sum : y[i] * (grad[i] - sum));
    }
  }
};
ACLNN(Softmax, const aclTensor* self, int64_t dim, const aclTensor* out) {
  return PLAN { AlongDim(call, {call.In(self, "self")}, dim, call.Out(out, "out"), SoftmaxRow<false>{}); };
}
ACLNN(LogSoftmax, const aclTensor* self, int64_t dim, const aclTensor* out) {
  return PLAN { AlongDim(call, {call.In(self, "self")}, dim, call.Out(out, "out"), SoftmaxRow<true>{}); };
}
ACLNN(SoftmaxBackward, const aclTensor* gradOutput, const aclTensor* output, int64_t dim, const aclTensor* out) {
  return PLAN {
    AlongDim(call, {call.In(gradOutput, "gradOutput"), call.In(output, "output")}, dim, call.Out(out, "out"),
             SoftmaxBackwardRow<false>{});
  };
}
ACLNN(LogSoftmaxBackward, const aclTensor* gradOutput, const aclTensor* output, int64_t dim, const aclTensor* out) {
  return PLAN {
    AlongDim(call, {call.In(gradOutput, "gradOutput"), call.In(output, "output")}, dim, call.Out(out, "out"),
             SoftmaxBackwardRow<true>{});
  };
}

// ---- embedding -------------------------------------------------------------------------------------------------

int64_t CheckedIndex(int64_t index, int64_t size, const char* name) {
  if (index < 0 || index >= size) {
    throw ValueError(std::string(name) + ": " + std::to_string(index) + " is not in [0, " + std::to_string(size) + ")");
  }
  return index;
}
Dims WithLast(Dims sizes, int64_t last) {
  sizes.push_back(last);
  return sizes;
}

// weight [rows, width], indices [...], out [..., width]
ACLNN(Embedding, const aclTensor* weight, const aclTensor* indices, const aclTensor* out) {
  return PLAN {
    const View table = call.In(weight, "weight"), index = call.In(indices, "indices"), result = call.Out(out, "out");
    call.Check(table.Rank() == 2, "weight", "expected two dimensions, got sizes " + ToString(table.sizes));
    call.ExpectType(index, {DType::kI32, DType::kI64}, "indices");
    call.Expect(result, WithLast(index.sizes, table.sizes[1]), "out");
    call.Do([=] {
      WithCompute(table.type, [&](auto compute) {
        using C = decltype(compute);
        const std::vector<C> rows = Load<C>(table);
        const size_t width = static_cast<size_t>(table.sizes[1]);
        std::vector<C> values;
        values.reserve(static_cast<size_t>(result.Count()));
        for (int64_t i : Load<int64_t>(index)) {
          const auto row = rows.begin() + CheckedIndex(i, table.sizes[0], "indices") * table.sizes[1];
          values.insert(values.end(), row, row + static_cast<int64_t>(width));
        }
        Store(result, values);
      });
    });
  };
}

// out [numWeights, width] = sums of grad's rows by index; paddingIdx (-1: none) gets none.
ACLNN(EmbeddingDenseBackward, const aclTensor* grad, const aclTensor* indices, uint64_t numWeights, uint64_t paddingIdx,
      bool scaleGradByFreq, const aclTensor* out) {
  return PLAN {
    const View from = call.In(grad, "grad"), index = call.In(indices, "indices"), result = call.Out(out, "out");
    call.ExpectType(index, {DType::kI32, DType::kI64}, "indices");
    call.Check(from.Rank() >= 1 && from.sizes == WithLast(index.sizes, from.sizes.back()), "grad",
               "expected the sizes of indices and one more, got " + ToString(from.sizes));
    const int64_t rows = static_cast<int64_t>(numWeights), width = from.sizes.back();
    const int64_t padding = static_cast<int64_t>(paddingIdx);
    call.Expect(result, {rows, width}, "out");
    call.Do([=] {
      const std::vector<double> gradients = Load<double>(from);
      const std::vector<int64_t> positions = Load<int64_t>(index);
      std::vector<double> sums(static_cast<size_t>(rows * width), 0);
      std::vector<int64_t> frequency(static_cast<size_t>(rows), 0);
      for (int64_t i : positions) ++frequency[static_cast<size_t>(CheckedIndex(i, rows, "indices"))];
      for (size_t p = 0; p < positions.size(); ++p) {
        const int64_t row = positions[p];
        if (row == padding) continue;
        const double scale = scaleGradByFreq ? 1.0 / static_cast<double>(frequency[static_cast<size_t>(row)]) : 1.0;
        for (int64_t i = 0; i < width; ++i) {
          sums[static_cast<size_t>(row * width + i)] += scale * gradients[p * static_cast<size_t>(width) + i];
        }
      }
      Store(result, sums);
    });
  };
}

// ---- negative log likelihood -----------------------------------------------------------------------------------

// What forward and backward share: self [N, C] or [C], target [N] or [], weight [C]; reduction 0 none, 1 mean, 2 sum.
struct Nll {
  View self, target, weight;
  bool has_weight;
  int64_t reduction, ignore, classes;
  std::vector<int64_t> Targets() const {
    std::vector<int64_t> targets = Load<int64_t>(target);
    for (int64_t t : targets) {
      if (t != ignore) CheckedIndex(t, classes, "target");
    }
    return targets;
  }
  std::vector<double> Weights() const {
    return has_weight ? Load<double>(weight) : std::vector<double>(static_cast<size_t>(classes), 1.0);
  }
};
Nll PlanNll(Call& call, const aclTensor* self, const aclTensor* target, const aclTensor* weight, int64_t reduction,
            int64_t ignore) {
  Nll nll;
  nll.self = call.In(self, "self");
  nll.target = call.In(target, "target");
  call.ExpectType(nll.target, {DType::kI64, DType::kI32, DType::kU8}, "target");
  call.Check(nll.self.Rank() == 1 || nll.self.Rank() == 2, "self",
             "expected [N, C] or [C], got sizes " + ToString(nll.self.sizes));
  nll.classes = nll.self.sizes.back();
  const int64_t rows = nll.self.Rank() == 2 ? nll.self.sizes[0] : 1;
  call.Check(nll.target.Count() == rows, "target",
             "expected " + std::to_string(rows) + " classes, got sizes " + ToString(nll.target.sizes));
  nll.has_weight = weight != nullptr;
  if (nll.has_weight) {
    nll.weight = call.In(weight, "weight");
    call.Expect(nll.weight, {nll.classes}, "weight");
  }
  call.Check(reduction >= 0 && reduction <= 2, "reduction", "expected 0, 1 or 2, got " + std::to_string(reduction));
  nll.reduction = reduction;
  nll.ignore = ignore;
  return nll;
}

ACLNN(NLLLoss, const aclTensor* self, const aclTensor* target, const aclTensor* weight, int64_t reduction,
      int64_t ignoreIndex, const aclTensor* out, const aclTensor* totalWeightOut) {
  return PLAN {
    const Nll nll = PlanNll(call, self, target, weight, reduction, ignoreIndex);
    const View result = call.Out(out, "out"), total = call.Out(totalWeightOut, "totalWeightOut");
    call.Check(result.Count() == (reduction == 0 ? nll.target.Count() : 1), "out", "expected sizes of the loss");
    call.Check(total.Count() == 1, "totalWeightOut", "expected one element");
    call.Do([=] {
      const std::vector<double> scores = Load<double>(nll.self), weights = nll.Weights();
      const std::vector<int64_t> targets = nll.Targets();
      std::vector<double> losses;
      double sum = 0, weight_sum = 0;
      for (size_t n = 0; n < targets.size(); ++n) {
        const bool ignored = targets[n] == nll.ignore;
        const size_t t = ignored ? 0 : static_cast<size_t>(targets[n]);
        losses.push_back(ignored ? 0 : -weights[t] * scores[n * static_cast<size_t>(nll.classes) + t]);
        sum += losses.back();
        weight_sum += ignored ? 0 : weights[t];
      }
      Store(total, std::vector<double>{nll.reduction == 0 ? 0 : weight_sum});
      if (nll.reduction == 0) return Store(result, losses);
      Store(result, std::vector<double>{nll.reduction == 1 ? sum / weight_sum : sum});
    });
  };
}
ACLNN(NLLLossBackward, const aclTensor* gradOutput, const aclTensor* self, const aclTensor* target,
      const aclTensor* weight, int64_t reduction, int64_t ignoreIndex, const aclTensor* totalWeight,
      const aclTensor* out) {
  return PLAN {
    const Nll nll = PlanNll(call, self, target, weight, reduction, ignoreIndex);
    const View grad = call.In(gradOutput, "gradOutput"), total = call.In(totalWeight, "totalWeight");
    const View result = call.Out(out, "out");
    call.Expect(result, nll.self.sizes, "out");
    call.Check(grad.Count() == (reduction == 0 ? nll.target.Count() : 1), "gradOutput", "expected sizes of the loss");
    call.Check(total.Count() == 1, "totalWeight", "expected one element");
    call.Do([=] {
      const std::vector<double> grads = Load<double>(grad), weights = nll.Weights();
      const std::vector<int64_t> targets = nll.Targets();
      const double divisor = nll.reduction == 1 ? Load<double>(total)[0] : 1.0;
      std::vector<double> values(static_cast<size_t>(nll.self.Count()), 0);
      for (size_t n = 0; n < targets.size(); ++n) {
        if (targets[n] == nll.ignore) continue;
        const size_t t = static_cast<size_t>(targets[n]);
        values[n * static_cast<size_t>(nll.classes) + t] = -weights[t] * grads[nll.reduction == 0 ? n : 0] / divisor;
      }
      Store(result, values);
    });
  };
}

// ---- RMS norm --------------------------------------------------------------------------------------------------

// y = x * rstd * gamma over the last gamma.Rank() dimensions; rstd has 1 in their place.
ACLNN(RmsNorm, const aclTensor* x, const aclTensor* gamma, double epsilon, const aclTensor* yOut,
      const aclTensor* rstdOut) {
  return PLAN {
    const View in = call.In(x, "x"), scale = call.In(gamma, "gamma"), y = call.Out(yOut, "yOut");
    const View rstd = call.Out(rstdOut, "rstdOut");
    const int64_t width = scale.Count();
    call.Check(scale.Rank() <= in.Rank() && std::equal(scale.sizes.rbegin(), scale.sizes.rend(), in.sizes.rbegin()),
               "gamma", "sizes " + ToString(scale.sizes) + " are not the last ones of " + ToString(in.sizes));
    call.Expect(y, in.sizes, "yOut");
    call.Check(width > 0 && rstd.Count() * width == in.Count(), "rstdOut", "expected one element for each row");
    call.Do([=] {
      std::vector<double> values = Load<double>(in), roots;
      const std::vector<double> weights = Load<double>(scale);
      for (size_t start = 0; start < values.size(); start += weights.size()) {
        double sum = 0;
        for (size_t i = 0; i < weights.size(); ++i) sum += values[start + i] * values[start + i];
        roots.push_back(1 / std::sqrt(sum / static_cast<double>(width) + epsilon));
        for (size_t i = 0; i < weights.size(); ++i) values[start + i] *= roots.back() * weights[i];
      }
      Store(y, values);
      Store(rstd, roots);
    });
  };
}
ACLNN(RmsNormGrad, const aclTensor* dy, const aclTensor* x, const aclTensor* rstd, const aclTensor* gamma,
      const aclTensor* dxOut, const aclTensor* dgammaOut) {
  return PLAN {
    const View grad = call.In(dy, "dy"), in = call.In(x, "x"), roots_view = call.In(rstd, "rstd");
    const View scale = call.In(gamma, "gamma"), dx = call.Out(dxOut, "dxOut"),
               dgamma = call.Out(dgammaOut, "dgammaOut");
    call.Expect(grad, in.sizes, "dy");
    call.Expect(dx, in.sizes, "dxOut");
    call.Expect(dgamma, scale.sizes, "dgammaOut");
    call.Check(scale.Count() > 0 && roots_view.Count() * scale.Count() == in.Count(), "rstd",
               "expected one element for each row");
    call.Do([=] {
      const std::vector<double> g = Load<double>(grad), values = Load<double>(in), roots = Load<double>(roots_view);
      const std::vector<double> weights = Load<double>(scale);
      const size_t width = weights.size();
      std::vector<double> dvalues(values.size()), dweights(width, 0);
      for (size_t row = 0; row < roots.size(); ++row) {
        const double* gr = g.data() + row * width;
        const double* xr = values.data() + row * width;
        double dot = 0;
        for (size_t i = 0; i < width; ++i) dot += gr[i] * weights[i] * xr[i];
        const double shared = dot * roots[row] * roots[row] / static_cast<double>(width);
        for (size_t i = 0; i < width; ++i) {
          dvalues[row * width + i] = roots[row] * (gr[i] * weights[i] - xr[i] * shared);
          dweights[i] += gr[i] * xr[i] * roots[row];
        }
      }
      Store(dx, dvalues);
      Store(dgamma, dweights);
    });
  };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
