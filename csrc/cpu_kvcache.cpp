// `triangle::attn_kvcache` on the CPU: k and v are appended where they belong, then rows attend to keys and values in
// place.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "calls.h"
#include "cpu/attention.h"
#include "cpu/tasks.h"
#include "cpu_tensors.h"
#include "kvcache.h"

namespace triangle {
namespace {

// [B, S, H, D] or packed [T, H, D].
cpu::Tensor rows_view(const Tensor& t) {
  if (t.dim() == 4) return {t.data_ptr(), t.stride(0), t.stride(2), t.stride(1)};
  return {t.data_ptr(), 0, t.stride(1), t.stride(0)};
}

int64_t entry_of(const CacheArguments& a, int64_t sequence) {
  if (!a.cache_batch_idx.has_value()) return sequence;
  const Tensor& entries = *a.cache_batch_idx;
  return static_cast<const int32_t*>(entries.data_ptr())[sequence * entries.stride(0)];
}

// Rows of k or v into their places in the cache. Every place was checked: nothing here can fail.
void append(const CacheArguments& a, const std::vector<CacheSequence>& sequences, const Tensor& fresh,
            const Tensor& cache) {
  const cpu::Tensor from = rows_view(fresh), to = rows_view(cache);
  const int64_t heads = cache.size(2), bytes = cpu::storage_bytes(dtype_of(cache, "k_cache"));
  const int64_t columns = cache.size(3);
  const bool whole = from.head == columns && to.head == columns;  // a row's heads follow each other in both
  for (size_t b = 0; b < sequences.size(); ++b) {
    const CacheSequence& s = sequences[b];
    for (int64_t i = 0; i < s.new_keys; ++i) {
      int64_t key = s.before + i, entry = 0;
      if (a.paged()) {
        const Tensor& table = *a.block_table;
        const int32_t* pages =
            static_cast<const int32_t*>(table.data_ptr()) + static_cast<int64_t>(b) * table.stride(0);
        entry = pages[key / a.page_size()];
        key %= a.page_size();
      } else {
        entry = entry_of(a, static_cast<int64_t>(b));
      }
      const int64_t row = fresh.dim() == 4 ? i : s.first_new + i;
      const char* source =
          static_cast<const char*>(from.data) + (static_cast<int64_t>(b) * from.batch + row * from.row) * bytes;
      char* target = static_cast<char*>(to.data) + (entry * to.batch + key * to.row) * bytes;
      // k may be a view of the very place.
      if (whole) {
        std::memmove(target, source, heads * columns * bytes);
        continue;
      }
      for (int64_t head = 0; head < heads; ++head)
        std::memmove(target + head * to.head * bytes, source + head * from.head * bytes, columns * bytes);
    }
  }
}

OutLse attend(CacheArguments a) {
  const Sizes& s = a.sizes;
  const std::vector<CacheSequence> sequences = check_cache_values(a);
  const std::vector<double> sinks = sinks_of(a.sinks);
  cpu::Problem problem = problem_of(s, a.options, a.q, a.alibi_slopes, sinks);
  std::vector<int64_t> lengths(sequences.size());
  std::vector<int32_t> entries(sequences.size());
  for (size_t b = 0; b < sequences.size(); ++b) {
    lengths[b] = sequences[b].length();
    entries[b] = static_cast<int32_t>(a.paged() ? 0 : entry_of(a, static_cast<int64_t>(b)));
  }
  problem.cache.lengths = lengths.data();
  problem.cache.entries = entries.data();
  if (a.paged()) {
    problem.cache.pages = static_cast<const int32_t*>(a.block_table->data_ptr());
    problem.cache.table_row = a.block_table->stride(0);
    problem.cache.page_size = a.page_size();
  }
  if (s.packed) problem.cu_seq_q = static_cast<const int32_t*>(a.cu_seq_q->data_ptr());

  const std::vector<int64_t> out_sizes = sizes_with_last(a.q, s.dim_v);
  std::vector<int64_t> strides(out_sizes.size(), 1);
  for (size_t i = out_sizes.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * std::max<int64_t>(out_sizes[i + 1], 1);
  Tensor out = empty_strided(out_sizes, strides, a.q.scalar_type(), a.q);
  Tensor lse = empty_lse(s, a.q);
  const std::string backend = std::string("cpu/") + cpu::isa();
  a.q = at_least_one_column(a.q);
  if (a.k.has_value()) {
    a.k = with_unit_last_stride(*a.k);
    a.v = with_unit_last_stride(*a.v);
  }
  const auto append_all = [&] {
    if (!a.k.has_value()) return;
    append(a, sequences, *a.k, a.k_cache);
    append(a, sequences, *a.v, a.v_cache);
  };
  record_call(backend, "attn_kvcache");
  if (lse.numel() == 0) {
    append_all();
    return {out, lse};
  }
  // A cache without columns has nothing to append.
  Tensor k_cache = at_least_one_column(a.k_cache), v_cache = at_least_one_column(a.v_cache);
  Tensor target = s.dim_v > 0 ? out : at_least_one_column(out);
  cpu::forward({problem, rows_view(a.q), rows_view(k_cache), rows_view(v_cache), rows_view(target), lse_view(lse)},
               append_all);
  return {out, lse};
}

}  // namespace

TRIANGLE_LIBRARY_IMPL(triangle, CPU, m) { m.impl("attn_kvcache", TRIANGLE_KERNEL((&attn_kvcache<&attend>))); }

}  // namespace triangle
