// The operators' schemas. They carry every argument of the specification from the first release, so that they never
// have to break.
//
// `attn_kvcache` appends k and v to the caches in place. It is for inference alone: python/triangle_attn_op/kvcache.py.
//
// `attn` and `attn_varlen` are composites: Python (python/triangle_attn_op/ops.py) checks, casts under autocast, draws
// the random state and calls `attn_lse`, which has one kernel per backend. Tensor arguments are positional because
// torch.library.register_autograd refuses keyword-only tensors.
#include "torch_api.h"

#define TRIANGLE_OPTIONS                                                                                      \
  "float? scale=None, str alignment=\"bottom_right\", SymInt? diagonal=None, SymInt? window_size_left=None, " \
  "float dropout_p=0.0, float? softcap=None"

// Megatron's polarity, TriangleAttention's: a bool attn_mask says what is hidden. A flag, so that nobody makes an
// inverted copy of a mask.
#define TRIANGLE_RAW_OPTIONS ", bool mask_hides=False"

TRIANGLE_LIBRARY(triangle, m) {
  m.def("attn(Tensor q, Tensor k, Tensor v, *, Tensor? attn_mask=None, " TRIANGLE_OPTIONS
        ", Tensor? alibi_slopes=None, Tensor? sinks=None, Tensor? startend_row_indices=None) -> Tensor");
  m.def(
      "attn_varlen(Tensor q, Tensor k, Tensor v, Tensor cu_seq_q, Tensor cu_seq_k, SymInt max_q, SymInt max_k, "
      "*, " TRIANGLE_OPTIONS
      ", Tensor? alibi_slopes=None, Tensor? sinks=None, Tensor? startend_row_indices=None) -> Tensor");
  m.def(
      "attn_lse(Tensor q, Tensor k, Tensor v, Tensor? attn_mask=None, Tensor? cu_seq_q=None, Tensor? cu_seq_k=None, "
      "Tensor? rng_state=None, Tensor? alibi_slopes=None, Tensor? sinks=None, Tensor? startend_row_indices=None, *, "
      "SymInt? max_q=None, SymInt? max_k=None, " TRIANGLE_OPTIONS TRIANGLE_RAW_OPTIONS ") -> (Tensor out, Tensor lse)");
  m.def(
      "attn_backward(Tensor dout, Tensor? dlse, Tensor q, Tensor k, Tensor v, Tensor out, Tensor lse, Tensor? "
      "attn_mask=None, "
      "Tensor? cu_seq_q=None, Tensor? cu_seq_k=None, Tensor? rng_state=None, Tensor? alibi_slopes=None, Tensor? "
      "sinks=None, Tensor? startend_row_indices=None, *, "
      "SymInt? max_q=None, SymInt? max_k=None, " TRIANGLE_OPTIONS TRIANGLE_RAW_OPTIONS
      ") -> (Tensor dq, Tensor dk, Tensor dv, Tensor "
      "dsinks)");
  m.def(
      "attn_kvcache(Tensor q, Tensor(a!) k_cache, Tensor(b!) v_cache, Tensor cache_seqlens, Tensor? k=None, Tensor? "
      "v=None, Tensor? block_table=None, Tensor? cu_seq_q=None, Tensor? cache_batch_idx=None, Tensor? "
      "alibi_slopes=None, Tensor? sinks=None, *, SymInt? max_q=None, float? scale=None, SymInt? window_size_left=None, "
      "float? softcap=None) -> (Tensor out, Tensor lse)");
}
