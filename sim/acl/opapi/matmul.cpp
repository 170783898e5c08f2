// Matrix products with batches and strides: fp32, fp16 and bf16 multiply and accumulate in fp32 and round once (the
// cube does the same; cubeMathType, which lets it take fp32 operands in HF32, has no effect here), fp64 in double.
#include "acl/opapi/elementwise.h"

namespace ascend_sim {
namespace opapi {
namespace {

// c [m, n] += a [m, k] * b [k, n], all contiguous.
template <class C>
void Multiply(const C* a, const C* b, C* c, int64_t m, int64_t k, int64_t n) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t l = 0; l < k; ++l) {
      const C factor = a[i * k + l];
      const C* row = b + l * n;
      C* to = c + i * n;
      for (int64_t j = 0; j < n; ++j) to[j] += factor * row[j];
    }
  }
}

// out = alpha * a @ b + beta * self, for a [..., m, k], b [..., k, n] with broadcast batches; self may be absent.
struct Product {
  View a, b, out, self;
  bool has_self = false;
  Number alpha{DType::kF64, 1, 1}, beta{DType::kF64, 0, 0};
};

// Where batch number `batch` starts in a view [..., rows, columns] that is expanded to all batches.
int64_t BatchOffset(const View& view, int64_t batch) {
  int64_t offset = 0;
  for (int64_t d = view.Rank() - 3; d >= 0; --d) {
    offset += batch % view.sizes[d] * view.strides[d];
    batch /= view.sizes[d];
  }
  return offset;
}
View Matrix(const View& view, int64_t batch) {
  View matrix = view;
  matrix.data = view.At(BatchOffset(view, batch));
  matrix.sizes.erase(matrix.sizes.begin(), matrix.sizes.end() - 2);
  matrix.strides.erase(matrix.strides.begin(), matrix.strides.end() - 2);
  return matrix;
}

template <class C>
void Run(const Product& p) {
  const int64_t rank = p.out.Rank();
  const int64_t m = p.out.sizes[rank - 2], n = p.out.sizes[rank - 1], k = p.a.sizes[rank - 1];
  if (p.out.Count() == 0) return;
  const int64_t batches = p.out.Count() / (m * n);
  const C alpha = p.alpha.As<C>(), beta = p.beta.As<C>();
  for (int64_t batch = 0; batch < batches; ++batch) {
    std::vector<C> product(static_cast<size_t>(m * n), C(0));
    const std::vector<C> a = Load<C>(Matrix(p.a, batch)), b = Load<C>(Matrix(p.b, batch));
    Multiply(a.data(), b.data(), product.data(), m, k, n);
    if (alpha != C(1)) {
      for (C& value : product) value *= alpha;
    }
    if (p.has_self && beta != C(0)) {  // beta 0 ignores even NaN, as in PyTorch
      const std::vector<C> self = Load<C>(Matrix(p.self, batch));
      for (size_t i = 0; i < product.size(); ++i) product[i] += beta * self[i];
    }
    Store(Matrix(p.out, batch), product);
  }
}

// A vector becomes a matrix with one row (column); the batches of both are broadcast.
void PlanProduct(Call& call, View a, View b, View out, Product p, const char* a_name, const char* b_name) {
  call.Check(a.Rank() >= 1, a_name, "is a scalar");
  call.Check(b.Rank() >= 1, b_name, "is a scalar");
  const bool row = a.Rank() == 1, column = b.Rank() == 1;
  if (row) a = Unsqueeze(a, 0);
  if (column) b = Unsqueeze(b, 1);
  if (row && column) {
    out = Unsqueeze(Unsqueeze(out, 0), 0);
  } else if (row) {
    call.Check(out.Rank() >= 1, "out", "is a scalar");
    out = Unsqueeze(out, out.Rank() - 1);
  } else if (column) {
    out = Unsqueeze(out, out.Rank());
  }
  call.Check(a.sizes.back() == b.sizes[b.sizes.size() - 2], b_name,
             "sizes " + ToString(b.sizes) + " do not multiply with " + ToString(a.sizes));
  Dims batch_a(a.sizes.begin(), a.sizes.end() - 2), batch_b(b.sizes.begin(), b.sizes.end() - 2), batches;
  call.Check(Broadcast(batch_a, batch_b, &batches), b_name,
             "batches of " + ToString(b.sizes) + " and " + ToString(a.sizes) + " do not broadcast");
  const auto with = [&](int64_t rows, int64_t columns) {
    Dims sizes = batches;
    sizes.push_back(rows);
    sizes.push_back(columns);
    return sizes;
  };
  const int64_t m = a.sizes[a.sizes.size() - 2], k = a.sizes.back(), n = b.sizes.back();
  call.Expect(out, with(m, n), "out");
  if (p.has_self) {
    Dims sizes;
    call.Check(Broadcast(p.self.sizes, out.sizes, &sizes) && sizes == out.sizes, "self",
               "sizes " + ToString(p.self.sizes) + " do not broadcast to " + ToString(out.sizes));
    p.self = Expand(p.self, out.sizes);
  }
  p.a = Expand(a, with(m, k));
  p.b = Expand(b, with(k, n));
  p.out = out;
  DType type = Promote(a.type, b.type);
  if (p.has_self) type = Promote(type, p.self.type);
  call.Do([=] { WithCompute(type, [&](auto compute) { Run<decltype(compute)>(p); }); });
}
void PlanProduct(Call& call, const aclTensor* a, const aclTensor* b, const aclTensor* out, const char* b_name) {
  PlanProduct(call, call.In(a, "self"), call.In(b, b_name), call.Out(out, "out"), Product{}, "self", b_name);
}
void PlanSum(Call& call, const aclTensor* self, const aclTensor* a, const aclTensor* b, const aclScalar* beta,
             const aclScalar* alpha, const aclTensor* out, const char* a_name, const char* b_name) {
  Product p;
  p.has_self = true;
  p.self = call.In(self, "self");
  p.alpha = call.Scalar(alpha, "alpha");
  p.beta = call.Scalar(beta, "beta");
  PlanProduct(call, call.In(a, a_name), call.In(b, b_name), call.Out(out, "out"), p, a_name, b_name);
}

ACLNN(Matmul, const aclTensor* self, const aclTensor* mat2, const aclTensor* out, int8_t) {
  return PLAN { PlanProduct(call, self, mat2, out, "mat2"); };
}
ACLNN(Mm, const aclTensor* self, const aclTensor* mat2, const aclTensor* out, int8_t) {
  return PLAN { PlanProduct(call, self, mat2, out, "mat2"); };
}
ACLNN(BatchMatMul, const aclTensor* self, const aclTensor* mat2, const aclTensor* out, int8_t) {
  return PLAN { PlanProduct(call, self, mat2, out, "mat2"); };
}
ACLNN(Mv, const aclTensor* self, const aclTensor* vec, const aclTensor* out, int8_t) {
  return PLAN { PlanProduct(call, self, vec, out, "vec"); };
}
ACLNN(Dot, const aclTensor* self, const aclTensor* tensor, const aclTensor* out) {
  return PLAN { PlanProduct(call, self, tensor, out, "tensor"); };
}
ACLNN(Addmm, const aclTensor* self, const aclTensor* mat1, const aclTensor* mat2, const aclScalar* beta,
      const aclScalar* alpha, const aclTensor* out, int8_t) {
  return PLAN { PlanSum(call, self, mat1, mat2, beta, alpha, out, "mat1", "mat2"); };
}
ACLNN(InplaceAddmm, const aclTensor* self, const aclTensor* mat1, const aclTensor* mat2, const aclScalar* beta,
      const aclScalar* alpha, int8_t) {
  return PLAN { PlanSum(call, self, mat1, mat2, beta, alpha, self, "mat1", "mat2"); };
}
ACLNN(Baddbmm, const aclTensor* self, const aclTensor* batch1, const aclTensor* batch2, const aclScalar* beta,
      const aclScalar* alpha, const aclTensor* out, int8_t) {
  return PLAN { PlanSum(call, self, batch1, batch2, beta, alpha, out, "batch1", "batch2"); };
}

}  // namespace
}  // namespace opapi
}  // namespace ascend_sim
