// The raw operators on an NPU (PrivateUse1): arguments to a tiling, then one kernel launch on the current stream.
//
// Nothing here waits for the device and nothing is copied to it but the kernel's arguments. Results and workspace come
// from torch's allocator while the current stream is the one that the kernel runs on, so memory that is freed here is
// handed out again only to work behind the kernel.
//
//   TRIANGLE_ATTN_CHECK_CU_SEQ=1   reads cu_seq_q and cu_seq_k back and checks them, which waits for the device; else
//                                  the kernel clamps them to [0, T], so that wrong ones give wrong results only
#include <cmath>
#include <cstdlib>
#include <string>

#include "calls.h"
#include "capture.h"
#include "cores.h"
#include "loader.h"
#include "op_host/tiling_backward.h"
#include "operators.h"
#include "profile.h"
#include "queue.h"
#include "supported.h"
#include "tensors.h"

namespace triangle::npu {
namespace {

// As in check_inputs(): before anything runs.
void check_supported(const Arguments& a) {
  const std::string why = unsupported(dtype_text(a.q.scalar_type()), std::max<int64_t>(a.sizes.dim, 1),
                                      std::max<int64_t>(a.sizes.dim_v, 1), a.options.dropout_p);
  check(why.empty(), why);
}

void check_formats(const Arguments& a) {
  check_format("q", a.q);
  check_format("k", a.k);
  check_format("v", a.v);
  check_format("attn_mask", a.attn_mask);
  check_format("cu_seq_q", a.cu_seq_q);
  check_format("cu_seq_k", a.cu_seq_k);
  check_format("alibi_slopes", a.alibi_slopes);
  check_format("sinks", a.sinks);
  check_format("startend_row_indices", a.startend_row_indices);
}

void check_cu_seq_on_request(const Arguments& a, void* stream) {
  const char* wanted = std::getenv("TRIANGLE_ATTN_CHECK_CU_SEQ");
  if (!a.sizes.packed || wanted == nullptr || std::string(wanted) != "1") return;
  check(!capturing(stream),
        "TRIANGLE_ATTN_CHECK_CU_SEQ=1 reads cu_seq_q and cu_seq_k back, which a capture into a graph ",
        "does not allow: unset it for the capture");
  const auto to_host = [](const Tensor& t) {
    return through_torch("reading cu_seq back", [&] { return torch_api::to_cpu(t); });
  };
  check_cu_seq_values("cu_seq_q", to_host(*a.cu_seq_q), a.sizes.seq_q, a.options.max_q, "max_q");
  check_cu_seq_values("cu_seq_k", to_host(*a.cu_seq_k), a.sizes.seq_k, a.options.max_k, "max_k");
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

bool is_bool(const Tensor& mask) { return mask.scalar_type() == ScalarType::Bool; }

// Whether a float mask has one value for all keys of a row, stored once: the kernel reads one.
bool is_by_row(const Tensor& mask) {
  if (is_bool(mask)) return false;
  const int64_t last = mask.dim() - 1;
  return last < 0 || mask.size(last) == 1 || mask.stride(last) == 0;
}

// The mask with whole rows of Sk columns, a float one also with one; the kernel broadcasts the other dimensions by
// strides of 0.
// One that says what is hidden is inverted for the call: the kernel knows one polarity. What expand() repeats is
// neither inverted nor copied more than once.
Tensor with_whole_rows(Tensor mask, const Sizes& s, bool hides) {
  for (int64_t i = 0; i < mask.dim(); ++i) {
    if (mask.stride(i) != 0 || mask.size(i) <= 1) continue;
    mask = through_torch("narrowing attn_mask", [&] { return torch_api::narrow(mask, i, 0, 1); });
  }
  if (hides) {
    mask = through_torch("inverting attn_mask", [&] { return torch_api::logical_not(mask); });
  }
  const int64_t last = mask.dim() - 1;
  if (is_by_row(mask)) return mask;
  if (last >= 0 && mask.size(last) == s.seq_k && (mask.stride(last) == 1 || s.seq_k == 1)) return mask;
  std::vector<int64_t> sizes(mask.sizes().begin(), mask.sizes().end());
  if (sizes.empty()) sizes.push_back(1);
  sizes.back() = s.seq_k;
  return through_torch("copying attn_mask", [&] {
    Tensor rows = torch_api::new_empty(mask, sizes);
    return torch_api::copy_(rows, mask);
  });
}

triangle::Strides mask_strides_of(const Tensor& mask) {
  triangle::Strides strides;
  int64_t* by_dimension[3] = {&strides.batch, &strides.head, &strides.row};
  for (int64_t i = 0; i + 1 < mask.dim(); ++i)
    if (mask.size(i) != 1) *by_dimension[4 - mask.dim() + i] = mask.stride(i);
  return strides;
}

// slopes, sinks and startend_row_indices as the kernels read them.
void prepare_bends(Arguments* a) {
  if (a->alibi_slopes.has_value()) a->alibi_slopes = contiguous_floats(*a->alibi_slopes, "copying alibi_slopes");
  if (a->sinks.has_value()) a->sinks = contiguous_floats(*a->sinks, "copying sinks");
  if (a->startend_row_indices.has_value() && !a->startend_row_indices->is_contiguous()) {
    const Tensor given = *a->startend_row_indices;
    a->startend_row_indices =
        through_torch("copying startend_row_indices", [&] { return torch_api::contiguous(given); });
  }
}

Tensor contiguous_rows(const Tensor& t) {
  return t.is_contiguous() ? t : through_torch("copying lse", [&] { return torch_api::contiguous(t); });
}

// q, k and v as the kernel reads them, the mask with whole rows.
ForwardProblem make_problem(const Arguments& a, int64_t cores) {
  const Sizes& s = a.sizes;
  const Options& options = a.options;
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
  p.has_mask = a.attn_mask.has_value() && is_bool(*a.attn_mask);
  p.bend.softcap = static_cast<float>(options.softcap.value_or(0.0));
  p.bend.alibi = a.alibi_slopes.has_value();
  if (a.alibi_slopes.has_value() && a.alibi_slopes->dim() == 2) p.bend.slope_batch = s.heads_q;
  p.bend.sinks = a.sinks.has_value();
  if (a.attn_mask.has_value() && !p.has_mask) {
    p.bend.mask_element = a.attn_mask->scalar_type() == ScalarType::Float ? 4 : 2;
    p.bend.mask_by_row = is_by_row(*a.attn_mask);
  }
  if (a.startend_row_indices.has_value()) {
    p.intervals.bounds = static_cast<int32_t>(a.startend_row_indices->size(3));
    p.intervals.heads = static_cast<int32_t>(std::max<int64_t>(a.startend_row_indices->size(1), 1));
  }
  p.cores = cores;
  p.q = strides_of(a.q);
  p.k = strides_of(a.k);
  p.v = strides_of(a.v);
  if (a.attn_mask.has_value()) p.mask = mask_strides_of(*a.attn_mask);
  return p;
}

OutLse forward(Arguments a) {
  const Sizes& s = a.sizes;
  check_supported(a);
  const Runtime& npu = runtime();
  check_formats(a);
  const DeviceGuard guard(torch_api::device_index(a.q));
  const LaunchQueue queue(torch_api::device_index(a.q));
  check_cu_seq_on_request(a, queue.stream());

  Tensor out = empty_like_layout(a.q, sizes_with_last(a.q, s.dim_v));
  Tensor lse = empty_lse(s, a.q);
  if (lse.numel() == 0) {
    record_call(npu.backend, "forward");
    return {out, lse};
  }
  for (Tensor* t : {&a.q, &a.k, &a.v}) *t = at_least_one_column(*t);
  Tensor target = s.dim_v > 0 ? out : at_least_one_column(out);
  if (a.attn_mask.has_value()) a.attn_mask = with_whole_rows(*a.attn_mask, s, a.options.mask_hides);
  prepare_bends(&a);

  if (s.packed) fill_rows_of_no_document(target, lse);
  const int64_t cores = ai_cores(torch_api::device_index(a.q), queue.stream());
  ForwardProblem problem = make_problem(a, cores);
  problem.out = strides_of(target);
  problem.lse = lse_strides_of(lse);
  const ForwardPlan plan = planned([&] { return make_forward_plan(problem); });
  const Tensor workspace = workspace_of(a.q, plan.workspace_bytes);
  const TriangleForwardPointers pointers{a.q.data_ptr(),
                                         a.k.data_ptr(),
                                         a.v.data_ptr(),
                                         data_or_null(a.attn_mask),
                                         data_or_null(a.cu_seq_q),
                                         data_or_null(a.cu_seq_k),
                                         data_or_null(a.alibi_slopes),
                                         data_or_null(a.sinks),
                                         data_or_null(a.startend_row_indices),
                                         target.data_ptr(),
                                         lse.data_ptr(),
                                         workspace.data_ptr()};
  const int32_t bf16 = a.q.scalar_type() == ScalarType::BFloat16;
  const int32_t wide = std::max(problem.d, problem.dv) > NarrowTile::kWidth;
  const auto launch = [=, forward = npu.forward, tiling = plan.tiling](void* stream) {
    return forward(bf16, wide, static_cast<uint32_t>(cores), &pointers, &tiling, stream);
  };
  queue.launch("forward", profiled("forward", cores,
                                   {&a.q, &a.k, &a.v, given(a.attn_mask), given(a.cu_seq_q), given(a.cu_seq_k),
                                    given(a.alibi_slopes), given(a.sinks), given(a.startend_row_indices)},
                                   {&target, &lse}, launch));
  record_call(npu.backend, "forward");
  return {out, lse};
}

Gradients backward(Arguments a, Saved saved) {
  const Sizes& s = a.sizes;
  check_supported(a);
  const Runtime& npu = runtime();
  check_formats(a);
  check_format("dout", saved.dout);
  check_format("dlse", saved.dlse);
  check_format("out", saved.out);
  check_format("lse", saved.lse);
  const DeviceGuard guard(torch_api::device_index(a.q));
  const LaunchQueue queue(torch_api::device_index(a.q));
  check_cu_seq_on_request(a, queue.stream());

  auto [dq, dk, dv, dsinks] = empty_gradients(a);
  if (saved.lse.numel() == 0 || (s.seq_k == 0 && !a.sinks.has_value())) {
    record_call(npu.backend, "backward");
    return zeros({dq, dk, dv, dsinks});
  }
  for (Tensor* t : {&a.q, &a.k, &a.v, &saved.out, &saved.dout}) *t = at_least_one_column(*t);
  Tensor dq_target = s.dim > 0 ? dq : at_least_one_column(dq);
  Tensor dk_target = s.dim > 0 ? dk : at_least_one_column(dk);
  Tensor dv_target = s.dim_v > 0 ? dv : at_least_one_column(dv);
  for (Tensor t : {dq_target, dk_target, dv_target})
    if (s.packed) through_torch("filling results", [&] { return torch_api::zero_(t); });
  saved.lse = contiguous_rows(saved.lse);
  if (saved.dlse.has_value()) saved.dlse = contiguous_rows(*saved.dlse);
  if (a.attn_mask.has_value()) a.attn_mask = with_whole_rows(*a.attn_mask, s, a.options.mask_hides);
  prepare_bends(&a);

  const int64_t cores = ai_cores(torch_api::device_index(a.q), queue.stream());
  BackwardProblem problem;
  problem.forward = make_problem(a, cores);
  problem.forward.out = strides_of(saved.out);
  problem.forward.lse = lse_strides_of(saved.lse);  // dlse's too
  problem.deterministic = deterministic_algorithms();
  problem.has_dlse = saved.dlse.has_value();
  problem.dout = strides_of(saved.dout);
  problem.dq = strides_of(dq_target);
  problem.dk = strides_of(dk_target);
  problem.dv = strides_of(dv_target);
  const BackwardPlan plan = planned([&] { return make_backward_plan(problem); });
  const Tensor workspace = workspace_of(a.q, plan.workspace_bytes);
  const TriangleBackwardPointers pointers{saved.dout.data_ptr(),
                                          a.q.data_ptr(),
                                          a.k.data_ptr(),
                                          a.v.data_ptr(),
                                          saved.out.data_ptr(),
                                          saved.lse.data_ptr(),
                                          data_or_null(saved.dlse),
                                          data_or_null(a.attn_mask),
                                          data_or_null(a.cu_seq_q),
                                          data_or_null(a.cu_seq_k),
                                          data_or_null(a.alibi_slopes),
                                          data_or_null(a.sinks),
                                          data_or_null(a.startend_row_indices),
                                          dq_target.data_ptr(),
                                          dk_target.data_ptr(),
                                          dv_target.data_ptr(),
                                          a.sinks.has_value() ? dsinks.data_ptr() : nullptr,
                                          workspace.data_ptr()};
  const int32_t bf16 = a.q.scalar_type() == ScalarType::BFloat16;
  const auto launch = [=, backward = npu.backward, tiling = plan.tiling](void* stream) {
    return backward(bf16, static_cast<uint32_t>(cores), &pointers, &tiling, stream);
  };
  queue.launch("backward", profiled("backward", cores,
                                    {&saved.dout, &a.q, &a.k, &a.v, &saved.out, &saved.lse, given(saved.dlse),
                                     given(a.attn_mask), given(a.cu_seq_q), given(a.cu_seq_k), given(a.alibi_slopes),
                                     given(a.sinks), given(a.startend_row_indices)},
                                    {&dq_target, &dk_target, &dv_target}, launch));
  record_call(npu.backend, "backward");
  return {dq, dk, dv, dsinks};
}

}  // namespace

TRIANGLE_LIBRARY_IMPL(triangle, PrivateUse1, m) {
  m.impl("attn_lse", TRIANGLE_KERNEL((&attn_lse<&forward>)));
  m.impl("attn_backward", TRIANGLE_KERNEL((&attn_backward<&backward>)));
}

}  // namespace triangle::npu
