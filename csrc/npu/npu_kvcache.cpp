// `triangle::attn_kvcache` on an NPU: k and v are appended where they belong by one launch, then rows attend to keys
// and values in place by another. The tiling comes from shapes alone; lengths, page numbers and offsets stay on the
// device, so nothing waits and the values are not checked: the kernels clamp them.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "calls.h"
#include "cores.h"
#include "kvcache.h"
#include "loader.h"
#include "op_host/tiling_cache.h"
#include "profile.h"
#include "queue.h"
#include "supported.h"
#include "tensors.h"
#include "torch_npu.h"

namespace triangle::npu {
namespace {

// [B, S, H, D], a cache's pages too, or packed [T, H, D].
triangle::Strides strides_of(const Tensor& t) {
  if (t.dim() == 4) return {t.stride(0), t.stride(2), t.stride(1)};
  return {0, t.stride(1), t.stride(0)};
}

// [B, Hq, Sq], or packed [T, Hq].
triangle::Strides lse_strides_of(const Tensor& t) {
  if (t.dim() == 3) return {t.stride(0), t.stride(1), t.stride(2)};
  return {0, t.stride(1), t.stride(0)};
}

void check_formats(const CacheArguments& a) {
  check_format("q", a.q);
  check_format("k_cache", a.k_cache);
  check_format("v_cache", a.v_cache);
  check_format("cache_seqlens", a.cache_seqlens);
  check_format("k", a.k);
  check_format("v", a.v);
  check_format("block_table", a.block_table);
  check_format("cu_seq_q", a.cu_seq_q);
  check_format("cache_batch_idx", a.cache_batch_idx);
  check_format("alibi_slopes", a.alibi_slopes);
  check_format("sinks", a.sinks);
}

CacheProblem make_problem(const CacheArguments& a, const Tensor& out, const Tensor& lse, int64_t cores) {
  const Sizes& s = a.sizes;
  const OptTensor& table = a.paged() ? a.block_table : a.cache_batch_idx;
  CacheProblem p;
  p.forward.batch = s.batch;
  p.forward.heads_q = s.heads_q;
  p.forward.heads_kv = s.heads_kv;
  p.forward.sq = s.seq_q;
  p.forward.d = std::max<int64_t>(s.dim, 1);
  p.forward.dv = std::max<int64_t>(s.dim_v, 1);
  p.forward.scale = static_cast<float>(a.options.scale.value_or(1.0 / std::sqrt(static_cast<double>(p.forward.d))));
  p.forward.window_left = a.options.window_size_left.value_or(kNoWindow);
  p.forward.packed = s.packed;
  p.forward.bend.softcap = static_cast<float>(a.options.softcap.value_or(0.0));
  p.forward.bend.alibi = a.alibi_slopes.has_value();
  if (a.alibi_slopes.has_value() && a.alibi_slopes->dim() == 2) p.forward.bend.slope_batch = s.heads_q;
  p.forward.bend.sinks = a.sinks.has_value();
  p.forward.cores = cores;
  p.forward.q = strides_of(a.q);
  p.forward.k = strides_of(a.k_cache);
  p.forward.v = strides_of(a.v_cache);
  p.forward.out = strides_of(out);
  p.forward.lse = lse_strides_of(lse);
  p.most_rows = std::min(s.seq_q, a.options.max_q.value_or(s.seq_q));
  p.new_keys = !a.k.has_value() ? 0 : s.packed ? 1 : a.new_keys;
  p.pages = a.k_cache.size(0);
  p.page_size = std::max<int64_t>(a.page_size(), 1);
  p.room = p.pages > 0 ? s.seq_k : 0;
  if (table.has_value()) p.table_row = table->stride(0);
  p.length_step = a.cache_seqlens.stride(0);
  if (a.k.has_value()) {
    p.new_k = strides_of(*a.k);
    p.new_v = strides_of(*a.v);
  }
  return p;
}

OutLse attend(CacheArguments a) {
  const Sizes& s = a.sizes;
  const std::string why =
      unsupported(dtype_text(a.q.scalar_type()), std::max<int64_t>(s.dim, 1), std::max<int64_t>(s.dim_v, 1), 0.0);
  check(why.empty(), why);
  const Runtime& npu = runtime();
  check_formats(a);
  const DeviceGuard guard(torch_api::device_index(a.q));
  const LaunchQueue queue(torch_api::device_index(a.q));

  const std::vector<int64_t> sizes = sizes_with_last(a.q, s.dim_v);
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * std::max<int64_t>(sizes[i + 1], 1);
  Tensor out = empty_strided(sizes, strides, a.q.scalar_type(), a.q);
  Tensor lse = empty_lse(s, a.q);
  // Without columns there is nothing to append, and with them something even where no row asks.
  const bool appends = a.k.has_value() && (a.k->numel() > 0 || a.v->numel() > 0) && s.seq_k > 0;
  if (lse.numel() == 0 && !appends) {
    record_call(npu.backend, "attn_kvcache");
    return {out, lse};
  }
  Tensor target = s.dim_v > 0 ? out : at_least_one_column(out);
  if (s.packed && lse.numel() > 0) fill_rows_of_no_document(target, lse);
  a.q = at_least_one_column(a.q);
  if (s.dim == 0) a.k_cache = at_least_one_column(a.k_cache);
  if (s.dim_v == 0) a.v_cache = at_least_one_column(a.v_cache);
  if (a.k.has_value()) {
    a.k = at_least_one_column(*a.k);
    a.v = at_least_one_column(*a.v);
  }
  if (a.alibi_slopes.has_value()) a.alibi_slopes = contiguous_floats(*a.alibi_slopes, "copying alibi_slopes");
  if (a.sinks.has_value()) a.sinks = contiguous_floats(*a.sinks, "copying sinks");

  const int64_t cores = ai_cores(torch_api::device_index(a.q), queue.stream());
  const CacheProblem problem = make_problem(a, target, lse, cores);
  const CachePlan plan = planned([&] { return make_cache_plan(problem); });
  const Tensor workspace = workspace_of(a.q, plan.workspace_bytes);
  const TriangleCachePointers pointers{a.q.data_ptr(),
                                       appends ? a.k->data_ptr() : nullptr,
                                       appends ? a.v->data_ptr() : nullptr,
                                       data_or_null(a.paged() ? a.block_table : a.cache_batch_idx),
                                       data_or_null(a.cu_seq_q),
                                       a.cache_seqlens.data_ptr(),
                                       data_or_null(a.alibi_slopes),
                                       data_or_null(a.sinks),
                                       a.k_cache.data_ptr(),
                                       a.v_cache.data_ptr(),
                                       target.data_ptr(),
                                       lse.data_ptr(),
                                       workspace.data_ptr()};
  const int32_t bf16 = a.q.scalar_type() == ScalarType::BFloat16;
  const int32_t wide = std::max(problem.forward.d, problem.forward.dv) > NarrowTile::kWidth;
  const auto launch = [=, cache = npu.cache, tiling = plan.tiling](void* stream) {
    return cache(bf16, wide, static_cast<uint32_t>(cores), &pointers, &tiling, stream);
  };
  queue.launch("kvcache",
               profiled("kvcache", cores,
                        {&a.q, &a.k_cache, &a.v_cache, &a.cache_seqlens, given(a.k), given(a.v), given(a.block_table),
                         given(a.cu_seq_q), given(a.cache_batch_idx), given(a.alibi_slopes), given(a.sinks)},
                        {&target, &lse}, launch));
  record_call(npu.backend, "attn_kvcache");
  return {out, lse};
}

}  // namespace

TRIANGLE_LIBRARY_IMPL(triangle, PrivateUse1, m) { m.impl("attn_kvcache", TRIANGLE_KERNEL((&attn_kvcache<&attend>))); }

}  // namespace triangle::npu
