// The raw operators on an NPU (PrivateUse1): arguments to a tiling, then one kernel launch on the current stream.
//
// Nothing here waits for the device and nothing is copied to it but the kernel's arguments. Results and workspace come
// from torch's allocator while the current stream is the one that the kernel runs on, so memory that is freed here is
// handed out again only to work behind the kernel.
//
//   TRIANGLE_ATTN_CHECK_CU_SEQ=1   reads cu_seq_q and cu_seq_k back and checks them, which waits for the device; else
//                                  the kernel clamps them to [0, T], so that wrong ones give wrong results only
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <tuple>

#include "calls.h"
#include "loader.h"
#include "op_host/tiling_backward.h"
#include "problem.h"
#include "queue.h"
#include "supported.h"

namespace triangle::npu {
namespace {

using torch::stable::accelerator::DeviceGuard;

// As in check_inputs(): before anything runs.
void check_supported(const Tensor& q, const Sizes& s, const OptTensor& attn_mask, const Options& options) {
  const std::string why =
      unsupported(dtype_text(q.scalar_type()), std::max<int64_t>(s.dim, 1), std::max<int64_t>(s.dim_v, 1),
                  attn_mask.has_value() ? dtype_text(attn_mask->scalar_type()) : "", options.dropout_p);
  check(why.empty(), why);
}

void check_cu_seq_on_request(const Sizes& s, const OptTensor& cu_seq_q, const OptTensor& cu_seq_k,
                             const Options& options) {
  const char* wanted = std::getenv("TRIANGLE_ATTN_CHECK_CU_SEQ");
  if (!s.packed || wanted == nullptr || std::string(wanted) != "1") return;
  const auto to_host = [](const Tensor& t) {
    return through_torch("reading cu_seq back", [&] {
      return torch::stable::to(t, torch::stable::Device(torch::headeronly::DeviceType::CPU));
    });
  };
  check_cu_seq_values("cu_seq_q", to_host(*cu_seq_q), s.seq_q, options.max_q, "max_q");
  check_cu_seq_values("cu_seq_k", to_host(*cu_seq_k), s.seq_k, options.max_k, "max_k");
}

// [B, H, S, D], or packed [T, H, D].
triangle::Strides strides_of(const Tensor& t) {
  if (t.dim() == 4) return {t.stride(0), t.stride(1), t.stride(2)};
  return {0, t.stride(1), t.stride(0)};
}

// [B, Hq, Sq], or packed [T, Hq].
triangle::Strides lse_strides_of(const Tensor& t) {
  if (t.dim() == 3) return {t.stride(0), t.stride(1), t.stride(2)};
  return {0, t.stride(1), t.stride(0)};
}

// The mask with whole rows of Sk columns; the kernel broadcasts the other dimensions by strides of 0.
Tensor with_whole_rows(const Tensor& mask, const Sizes& s) {
  const int64_t last = mask.dim() - 1;
  if (last >= 0 && mask.size(last) == s.seq_k && (mask.stride(last) == 1 || s.seq_k == 1)) return mask;
  std::vector<int64_t> sizes(mask.sizes().begin(), mask.sizes().end());
  if (sizes.empty()) sizes.push_back(1);
  sizes.back() = s.seq_k;
  return through_torch("copying attn_mask", [&] {
    Tensor rows = torch::stable::new_empty(mask, torch::headeronly::IntHeaderOnlyArrayRef(sizes.data(), sizes.size()));
    return torch::stable::copy_(rows, mask);
  });
}

triangle::Strides mask_strides_of(const Tensor& mask) {
  triangle::Strides strides;
  int64_t* by_dimension[3] = {&strides.batch, &strides.head, &strides.row};
  for (int64_t i = 0; i + 1 < mask.dim(); ++i)
    if (mask.size(i) != 1) *by_dimension[4 - mask.dim() + i] = mask.stride(i);
  return strides;
}

Tensor contiguous_rows(const Tensor& t) {
  return t.is_contiguous() ? t : through_torch("copying lse", [&] { return torch::stable::contiguous(t); });
}

const void* data_or_null(const OptTensor& t) { return t.has_value() ? t->data_ptr() : nullptr; }

ForwardProblem make_problem(const Sizes& s, const Options& options, bool has_mask, int64_t cores) {
  ForwardProblem p;
  p.batch = s.packed ? 1 : s.batch;
  p.heads_q = s.heads_q;
  p.heads_kv = s.heads_kv;
  p.sq = s.seq_q;
  p.sk = s.seq_k;
  p.d = std::max<int64_t>(s.dim, 1);
  p.dv = std::max<int64_t>(s.dim_v, 1);
  p.scale = static_cast<float>(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(p.d))));
  p.bottom_right = !options.diagonal.has_value() && options.alignment == "bottom_right";
  p.diagonal = p.bottom_right ? s.seq_k - s.seq_q : options.diagonal.value_or(0);
  p.window_left = options.window_size_left.value_or(kNoWindow);
  p.packed = s.packed;
  p.documents = s.packed ? s.batch : 0;
  p.has_mask = has_mask;
  p.cores = cores;
  return p;
}

// The tiling's refusals with the operator's name before them, as every other message has it.
template <class Make>
auto planned(Make make) {
  try {
    return make();
  } catch (const std::invalid_argument& error) {
    check(false, error.what());
    throw;
  }
}

Tensor workspace_of(const Tensor& like, int64_t bytes) { return empty_strided({bytes}, {1}, ScalarType::Byte, like); }

std::tuple<Tensor, Tensor> attn_lse(Tensor q, Tensor k, Tensor v, OptTensor attn_mask, OptTensor cu_seq_q,
                                    OptTensor cu_seq_k, OptTensor rng_state, OptTensor alibi_slopes, OptTensor sinks,
                                    std::optional<int64_t> max_q, std::optional<int64_t> max_k,
                                    std::optional<double> scale, std::string alignment, std::optional<int64_t> diagonal,
                                    std::optional<int64_t> window_size_left, double dropout_p,
                                    std::optional<double> softcap) {
  const Options options{max_q, max_k, scale, std::move(alignment), diagonal, window_size_left, dropout_p, softcap};
  const Sizes s = check_inputs(q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks, options);
  check_supported(q, s, attn_mask, options);
  const Runtime& npu = runtime();
  const DeviceGuard guard(q.get_device_index());
  check_cu_seq_on_request(s, cu_seq_q, cu_seq_k, options);

  Tensor out = empty_like_layout(q, sizes_with_last(q, s.dim_v));
  Tensor lse = empty_lse(s, q);
  if (lse.numel() == 0) {
    record_call(npu.backend, "forward");
    return {out, lse};
  }
  q = at_least_one_column(q);
  k = at_least_one_column(k);
  v = at_least_one_column(v);
  Tensor target = s.dim_v > 0 ? out : at_least_one_column(out);
  if (attn_mask.has_value()) attn_mask = with_whole_rows(*attn_mask, s);

  ForwardProblem problem = make_problem(s, options, attn_mask.has_value(), npu.cores);
  problem.q = strides_of(q);
  problem.k = strides_of(k);
  problem.v = strides_of(v);
  problem.out = strides_of(target);
  problem.lse = lse_strides_of(lse);
  if (attn_mask.has_value()) problem.mask = mask_strides_of(*attn_mask);
  const ForwardPlan plan = planned([&] { return make_forward_plan(problem); });
  const Tensor workspace = workspace_of(q, plan.workspace_bytes);
  const TriangleForwardPointers pointers{
      q.data_ptr(),           k.data_ptr(),      v.data_ptr(),   data_or_null(attn_mask), data_or_null(cu_seq_q),
      data_or_null(cu_seq_k), target.data_ptr(), lse.data_ptr(), workspace.data_ptr()};
  const int32_t bf16 = q.scalar_type() == ScalarType::BFloat16;
  const int32_t wide = std::max(problem.d, problem.dv) > NarrowTile::kWidth;
  const uint32_t cores = static_cast<uint32_t>(npu.cores);
  queue("forward", q.get_device_index(), [=, forward = npu.forward, tiling = plan.tiling](void* stream) {
    return forward(bf16, wide, cores, &pointers, &tiling, stream);
  });
  record_call(npu.backend, "forward");
  return {out, lse};
}

std::tuple<Tensor, Tensor, Tensor> attn_backward(Tensor dout, OptTensor dlse, Tensor q, Tensor k, Tensor v, Tensor out,
                                                 Tensor lse, OptTensor attn_mask, OptTensor cu_seq_q,
                                                 OptTensor cu_seq_k, OptTensor rng_state, OptTensor alibi_slopes,
                                                 OptTensor sinks, std::optional<int64_t> max_q,
                                                 std::optional<int64_t> max_k, std::optional<double> scale,
                                                 std::string alignment, std::optional<int64_t> diagonal,
                                                 std::optional<int64_t> window_size_left, double dropout_p,
                                                 std::optional<double> softcap) {
  const Options options{max_q, max_k, scale, std::move(alignment), diagonal, window_size_left, dropout_p, softcap};
  const Sizes s = check_inputs(q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks, options);
  check_saved(s, q, dout, dlse, out, lse);
  check_supported(q, s, attn_mask, options);
  const Runtime& npu = runtime();
  const DeviceGuard guard(q.get_device_index());
  check_cu_seq_on_request(s, cu_seq_q, cu_seq_k, options);

  Tensor dq = empty_like_layout(q, {q.sizes().begin(), q.sizes().end()});
  Tensor dk = empty_like_layout(k, {k.sizes().begin(), k.sizes().end()});
  Tensor dv = empty_like_layout(v, {v.sizes().begin(), v.sizes().end()});
  if (lse.numel() == 0 || s.seq_k == 0) {
    for (Tensor* t : {&dq, &dk, &dv})
      if (t->numel() > 0) through_torch("making zeros", [&] { return torch::stable::zero_(*t); });
    record_call(npu.backend, "backward");
    return {dq, dk, dv};
  }
  for (Tensor* t : {&q, &k, &v, &out, &dout}) *t = at_least_one_column(*t);
  Tensor dq_target = s.dim > 0 ? dq : at_least_one_column(dq);
  Tensor dk_target = s.dim > 0 ? dk : at_least_one_column(dk);
  Tensor dv_target = s.dim_v > 0 ? dv : at_least_one_column(dv);
  lse = contiguous_rows(lse);
  if (dlse.has_value()) dlse = contiguous_rows(*dlse);
  if (attn_mask.has_value()) attn_mask = with_whole_rows(*attn_mask, s);

  BackwardProblem problem;
  problem.forward = make_problem(s, options, attn_mask.has_value(), npu.cores);
  problem.forward.q = strides_of(q);
  problem.forward.k = strides_of(k);
  problem.forward.v = strides_of(v);
  problem.forward.out = strides_of(out);
  problem.forward.lse = lse_strides_of(lse);  // dlse's too
  if (attn_mask.has_value()) problem.forward.mask = mask_strides_of(*attn_mask);
  problem.deterministic = deterministic_algorithms();
  problem.has_dlse = dlse.has_value();
  problem.dout = strides_of(dout);
  problem.dq = strides_of(dq_target);
  problem.dk = strides_of(dk_target);
  problem.dv = strides_of(dv_target);
  const BackwardPlan plan = planned([&] { return make_backward_plan(problem); });
  const Tensor workspace = workspace_of(q, plan.workspace_bytes);
  const TriangleBackwardPointers pointers{
      dout.data_ptr(),        q.data_ptr(),           k.data_ptr(),         v.data_ptr(),
      out.data_ptr(),         lse.data_ptr(),         data_or_null(dlse),   data_or_null(attn_mask),
      data_or_null(cu_seq_q), data_or_null(cu_seq_k), dq_target.data_ptr(), dk_target.data_ptr(),
      dv_target.data_ptr(),   workspace.data_ptr()};
  const int32_t bf16 = q.scalar_type() == ScalarType::BFloat16;
  const uint32_t cores = static_cast<uint32_t>(npu.cores);
  queue("backward", q.get_device_index(), [=, backward = npu.backward, tiling = plan.tiling](void* stream) {
    return backward(bf16, cores, &pointers, &tiling, stream);
  });
  record_call(npu.backend, "backward");
  return {dq, dk, dv};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(triangle, PrivateUse1, m) {
  m.impl("attn_lse", TORCH_BOX(&attn_lse));
  m.impl("attn_backward", TORCH_BOX(&attn_backward));
}

}  // namespace triangle::npu
