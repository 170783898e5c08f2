// The raw operators on the CPU: arguments to plain pointers, then csrc/cpu.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "calls.h"
#include "cpu/attention.h"
#include "cpu/parallel.h"
#include "cpu_tensors.h"
#include "operators.h"

namespace triangle {

namespace cpu {

int num_threads() { return torch_api::num_threads(); }

void run_workers(int workers, const std::function<void(int)>& f) {
  torch_api::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) f(static_cast<int>(worker));
  });
}

}  // namespace cpu

cpu::Problem problem_of(const Sizes& s, const Options& options, const Tensor& q, const OptTensor& alibi_slopes,
                        const std::vector<double>& sinks) {
  cpu::Problem p;
  p.batch = s.batch;
  p.heads_q = s.heads_q;
  p.heads_kv = s.heads_kv;
  p.seq_q = s.seq_q;
  p.seq_k = s.seq_k;
  p.dim = std::max<int64_t>(s.dim, 1);
  p.dim_v = std::max<int64_t>(s.dim_v, 1);
  p.dtype = dtype_of(q, "q");
  // The kernels count columns in 32 bits.
  check(std::max(p.dim, p.dim_v) <= int64_t{1} << 30, "q, v: expected last dimensions of at most 2^30, got ", p.dim,
        " and ", p.dim_v);
  check(p.dtype != cpu::DType::kBool, "q: expected float32, bfloat16, float16 or float64, got torch.bool");
  p.scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(p.dim)));
  p.window_left = options.window_size_left.value_or(-1);
  p.softcap = options.softcap.value_or(0.0);
  if (alibi_slopes.has_value()) {
    p.alibi_slopes = static_cast<const float*>(alibi_slopes->data_ptr());
    p.alibi_head = alibi_slopes->stride(alibi_slopes->dim() - 1);
    if (alibi_slopes->dim() == 2) p.alibi_batch = alibi_slopes->stride(0);
  }
  if (!sinks.empty()) p.sinks = sinks.data();
  return p;
}

namespace {

cpu::Mask mask_view(const Tensor& mask) {
  cpu::Mask view{mask.data_ptr(), dtype_of(mask, "attn_mask")};
  int64_t* strides[4] = {&view.batch, &view.head, &view.row, &view.col};
  for (int64_t i = 0; i < mask.dim(); ++i)
    if (mask.size(i) != 1) *strides[4 - mask.dim() + i] = mask.stride(i);
  return view;
}

cpu::Problem make_problem(const Arguments& a, const std::vector<double>& sinks) {
  const Sizes& s = a.sizes;
  const Options& options = a.options;
  cpu::Problem p = problem_of(s, options, a.q, a.alibi_slopes, sinks);
  p.bottom_right = !options.diagonal.has_value() && options.alignment == "bottom_right";
  // Not clamped: the window hangs from the diagonal, and make_band() takes any of them.
  p.diagonal = options.diagonal.value_or(0);
  if (s.packed) {
    // They are at hand here, and a wrong one would read out of bounds.
    check_cu_seq_values("cu_seq_q", *a.cu_seq_q, s.seq_q, options.max_q, "max_q");
    check_cu_seq_values("cu_seq_k", *a.cu_seq_k, s.seq_k, options.max_k, "max_k");
    p.cu_seq_q = static_cast<const int32_t*>(a.cu_seq_q->data_ptr());
    p.cu_seq_k = static_cast<const int32_t*>(a.cu_seq_k->data_ptr());
  }
  if (a.attn_mask.has_value()) p.mask = mask_view(*a.attn_mask);
  p.mask.hides = options.mask_hides;
  if (a.startend_row_indices.has_value()) {
    const Tensor& bounds = *a.startend_row_indices;
    p.startend = static_cast<const int32_t*>(bounds.data_ptr());
    p.startend_heads = std::max<int64_t>(bounds.size(1), 1);
    p.startend_bounds = bounds.size(3);
    for (int64_t i = 0; i < bounds.numel(); ++i)
      check(p.startend[i] >= 0 && p.startend[i] <= s.seq_q, "startend_row_indices: expected rows 0 .. ", s.seq_q,
            ", got ", p.startend[i], " at element ", i);
  }
  p.dropout_p = options.dropout_p;
  if (a.rng_state.has_value()) {
    const int64_t* state = static_cast<const int64_t*>(a.rng_state->data_ptr());
    p.seed = static_cast<uint64_t>(state[0]);
    p.offset = static_cast<uint64_t>(state[1]);
  }
  return p;
}

Tensor contiguous_bounds(const Tensor& t) {
  if (t.is_contiguous()) return t;
  return through_torch("copying startend_row_indices", [&] { return torch_api::contiguous(t); });
}

std::string backend_name() { return std::string("cpu/") + cpu::isa(); }

OutLse forward(Arguments a) {
  const Sizes& s = a.sizes;
  if (a.startend_row_indices.has_value()) a.startend_row_indices = contiguous_bounds(*a.startend_row_indices);
  const std::vector<double> sinks = sinks_of(a.sinks);
  const cpu::Problem problem = make_problem(a, sinks);
  Tensor out = empty_like_layout(a.q, sizes_with_last(a.q, s.dim_v));
  Tensor lse = empty_lse(s, a.q);
  record_call(backend_name(), "forward");
  if (lse.numel() == 0) return {out, lse};

  for (Tensor* t : {&a.q, &a.k, &a.v}) *t = at_least_one_column(*t);
  Tensor target = s.dim_v > 0 ? out : at_least_one_column(out);
  cpu::forward({problem, view(a.q), view(a.k), view(a.v), view(target), lse_view(lse)});
  return {out, lse};
}

Gradients backward(Arguments a, Saved saved) {
  const Sizes& s = a.sizes;
  if (a.startend_row_indices.has_value()) a.startend_row_indices = contiguous_bounds(*a.startend_row_indices);
  const std::vector<double> sinks = sinks_of(a.sinks);
  const cpu::Problem problem = make_problem(a, sinks);
  auto [dq, dk, dv, dsinks] = empty_gradients(a);
  record_call(backend_name(), "backward");
  // Without keys lse is the sink, whose gradient is then dlse.
  if (saved.lse.numel() == 0 || (s.seq_k == 0 && !a.sinks.has_value())) return zeros({dq, dk, dv, dsinks});

  for (Tensor* t : {&a.q, &a.k, &a.v, &saved.out, &saved.dout}) *t = at_least_one_column(*t);
  Tensor dq_target = s.dim > 0 ? dq : at_least_one_column(dq);
  Tensor dk_target = s.dim > 0 ? dk : at_least_one_column(dk);
  Tensor dv_target = s.dim_v > 0 ? dv : at_least_one_column(dv);
  std::vector<double> dsink_values(sinks.size());
  const cpu::Tensor dlse = saved.dlse.has_value() ? lse_view(*saved.dlse) : cpu::Tensor{};
  cpu::backward({problem, view(a.q), view(a.k), view(a.v), view(saved.out), lse_view(saved.lse), view(saved.dout), dlse,
                 view(dq_target), view(dk_target), view(dv_target), dsink_values.data()});
  for (int64_t head = 0; head < dsinks.numel(); ++head) {
    if (dsinks.scalar_type() == ScalarType::Double) {
      static_cast<double*>(dsinks.data_ptr())[head] = dsink_values[head];
    } else {
      static_cast<float*>(dsinks.data_ptr())[head] = static_cast<float>(dsink_values[head]);
    }
  }
  return {dq, dk, dv, dsinks};
}

}  // namespace

TRIANGLE_LIBRARY_IMPL(triangle, CPU, m) {
  m.impl("attn_lse", TRIANGLE_KERNEL((&attn_lse<&forward>)));
  m.impl("attn_backward", TRIANGLE_KERNEL((&attn_backward<&backward>)));
}

}  // namespace triangle

// For triangle_attn_op.env: the instruction set the CPU kernels run on, or an error in TRIANGLE_ATTN_CPU_ISA ("error:
// ...").
extern "C" __attribute__((visibility("default"))) int triangle_cpu_isa(char* buffer, int size) {
  std::string text;
  try {
    text = triangle::cpu::isa();
  } catch (const std::exception& e) {
    text = std::string("error: ") + e.what();
  }
  if (buffer != nullptr && size > 0) {
    const size_t n = std::min(text.size(), static_cast<size_t>(size) - 1);
    std::copy_n(text.begin(), n, buffer);
    buffer[n] = '\0';
  }
  return static_cast<int>(text.size());
}
