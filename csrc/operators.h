// The argument lists of the raw operators in their schema's order (schema.cpp), once for every backend. A backend
// writes forward(Arguments) and backward(Arguments, Saved) and registers TRIANGLE_KERNEL(&attn_lse<&forward>) and so
// on.
#pragma once
#include <tuple>
#include <utility>

#include "problem.h"

namespace triangle {

// What both operators take, checked.
struct Arguments {
  Tensor q, k, v;
  OptTensor attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks, startend_row_indices;
  Options options;
  Sizes sizes;
};

// What the backward takes besides, checked.
struct Saved {
  Tensor dout;
  OptTensor dlse;
  Tensor out, lse;
};

using OutLse = std::tuple<Tensor, Tensor>;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor>;  // dq, dk, dv, dsinks

template <OutLse (*forward)(Arguments)>
OutLse attn_lse(Tensor q, Tensor k, Tensor v, OptTensor attn_mask, OptTensor cu_seq_q, OptTensor cu_seq_k,
                OptTensor rng_state, OptTensor alibi_slopes, OptTensor sinks, OptTensor startend_row_indices,
                std::optional<int64_t> max_q, std::optional<int64_t> max_k, std::optional<double> scale,
                std::string alignment, std::optional<int64_t> diagonal, std::optional<int64_t> window_size_left,
                double dropout_p, std::optional<double> softcap, bool mask_hides) {
  Options options{max_q,     max_k,   scale,     std::move(alignment), diagonal, window_size_left,
                  dropout_p, softcap, mask_hides};
  const Sizes s = check_inputs(q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks,
                               startend_row_indices, options);
  return forward({q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks, startend_row_indices,
                  std::move(options), s});
}

template <Gradients (*backward)(Arguments, Saved)>
Gradients attn_backward(Tensor dout, OptTensor dlse, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse,
                        OptTensor attn_mask, OptTensor cu_seq_q, OptTensor cu_seq_k, OptTensor rng_state,
                        OptTensor alibi_slopes, OptTensor sinks, OptTensor startend_row_indices,
                        std::optional<int64_t> max_q, std::optional<int64_t> max_k, std::optional<double> scale,
                        std::string alignment, std::optional<int64_t> diagonal, std::optional<int64_t> window_size_left,
                        double dropout_p, std::optional<double> softcap, bool mask_hides) {
  Options options{max_q,     max_k,   scale,     std::move(alignment), diagonal, window_size_left,
                  dropout_p, softcap, mask_hides};
  const Sizes s = check_inputs(q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks,
                               startend_row_indices, options);
  check_saved(s, q, dout, dlse, out, lse);
  return backward({q, k, v, attn_mask, cu_seq_q, cu_seq_k, rng_state, alibi_slopes, sinks, startend_row_indices,
                   std::move(options), s},
                  {dout, dlse, out, lse});
}

// Fresh, not yet written, in their inputs' layouts; dsinks [Hq] in lse's dtype, [0] where there are no sinks.
Gradients empty_gradients(const Arguments& a);

// Of a problem without a single pair.
Gradients zeros(const Gradients& gradients);

}  // namespace triangle
