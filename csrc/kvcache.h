// `triangle::attn_kvcache`: its argument list in the schema's order (schema.cpp) and its checks, once for every
// backend. A backend writes attend(CacheArguments) and registers TRIANGLE_KERNEL(&attn_kvcache<&attend>).
#pragma once
#include <tuple>
#include <utility>
#include <vector>

#include "operators.h"
#include "problem.h"

namespace triangle {

// Checked but for what only the values of the int32 tensors say.
struct CacheArguments {
  Tensor q, k_cache, v_cache, cache_seqlens;
  OptTensor k, v, block_table, cu_seq_q, cache_batch_idx, alibi_slopes, sinks;
  Options options;
  Sizes sizes;           // batch: sequences; seq_q: rows of each, or packed T; seq_k: keys that a sequence has room for
  int64_t new_keys = 0;  // of each sequence, or packed T; 0 without k

  bool paged() const { return block_table.has_value(); }
  int64_t page_size() const { return k_cache.size(1); }
};

// Rows and keys of one sequence in a call.
struct CacheSequence {
  int64_t first_row = 0, rows = 0;      // in q
  int64_t first_new = 0, new_keys = 0;  // in k and v
  int64_t before = 0;                   // keys in the cache before the call
  int64_t length() const { return before + new_keys; }
};

CacheArguments check_cache_inputs(Tensor q, Tensor k_cache, Tensor v_cache, Tensor cache_seqlens, OptTensor k,
                                  OptTensor v, OptTensor block_table, OptTensor cu_seq_q, OptTensor cache_batch_idx,
                                  OptTensor alibi_slopes, OptTensor sinks, Options options);

// The values too, where the tensors are in host memory: lengths, page numbers and entries that the call will use, and
// that no two sequences append to one place.
std::vector<CacheSequence> check_cache_values(const CacheArguments& a);

template <OutLse (*attend)(CacheArguments)>
OutLse attn_kvcache(Tensor q, Tensor k_cache, Tensor v_cache, Tensor cache_seqlens, OptTensor k, OptTensor v,
                    OptTensor block_table, OptTensor cu_seq_q, OptTensor cache_batch_idx, OptTensor alibi_slopes,
                    OptTensor sinks, std::optional<int64_t> max_q, std::optional<double> scale,
                    std::optional<int64_t> window_size_left, std::optional<double> softcap) {
  Options options{max_q, std::nullopt, scale, "bottom_right", std::nullopt, window_size_left, 0.0, softcap, false};
  return attend(check_cache_inputs(q, k_cache, v_cache, cache_seqlens, k, v, block_table, cu_seq_q, cache_batch_idx,
                                   alibi_slopes, sinks, std::move(options)));
}

}  // namespace triangle
