// From an operator's arguments to sizes and options every backend shares. The checks here keep a direct call of the raw
// operators from reading out of bounds; the full checks with ValueError and TypeError are Python's
// (python/triangle_attn_op/_checks.py), which also run under a compiler.
#pragma once
#include <cstdint>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "torch_api.h"

namespace triangle {

using OptTensor = std::optional<Tensor>;

// The message only: a reader has no use for the path of the file that the library was built from.
template <typename... Args>
void check(bool ok, const Args&... args) {
  if (ok) return;
  std::ostringstream message;
  message << "triangle_attn_op: ";
  (message << ... << args);
  throw std::runtime_error(message.str());
}

std::string shape_text(const Tensor& t);   // "[2, 4, 40, 16]"
std::string dtype_text(ScalarType dtype);  // "torch.bfloat16" for those the operators take

// Every option of the raw operators, in their schema's order.
struct Options {
  std::optional<int64_t> max_q, max_k;
  std::optional<double> scale;
  std::string alignment;
  std::optional<int64_t> diagonal, window_size_left;
  double dropout_p;
  std::optional<double> softcap;
  bool mask_hides;  // a bool attn_mask is true where a pair is hidden
};

// Sizes of [B, H, S, D] tensors, or of packed [T, H, D] ones with batch = documents and seq_* = T.
struct Sizes {
  bool packed;
  int64_t batch, heads_q, heads_kv, seq_q, seq_k, dim, dim_v;
};

Sizes check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const OptTensor& attn_mask,
                   const OptTensor& cu_seq_q, const OptTensor& cu_seq_k, const OptTensor& rng_state,
                   const OptTensor& alibi_slopes, const OptTensor& sinks, const OptTensor& startend_row_indices,
                   const Options& options);

// Parts of it, for operators with other arguments. `dtype`: q's. `s` needs its batch and heads_q only.
void check_options(const Options& options, ScalarType dtype);
void check_device(const char* name, const Tensor& t, const Tensor& q);
void check_aligned(const char* name, const Tensor& t, size_t bytes);  // of tensors whose elements are read one by one
void check_cu_seq(const char* name, const Tensor& t, const Tensor& q);
void check_slopes(const Tensor& slopes, const Tensor& q, const Sizes& s);
void check_sinks(const Tensor& sinks, const Tensor& q, const Sizes& s);

// Strides of a fresh tensor of `sizes` whose B, H, S (or T, H) dimensions are ordered in memory as `like`'s are; last
// dimension innermost.
std::vector<int64_t> strides_like(const Tensor& like, const std::vector<int64_t>& sizes);

// A fresh tensor with those strides, `like`'s dtype and device.
Tensor empty_like_layout(const Tensor& like, const std::vector<int64_t>& sizes);
Tensor empty_strided(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, ScalarType dtype,
                     const Tensor& device_of);

// The tensor itself where its last dimension is contiguous, else a contiguous copy.
Tensor with_unit_last_stride(const Tensor& t);

// The same, and where that dimension is 0 a column of zeros, which changes neither scores nor sums: kernels want D and
// Dv of at least 1.
Tensor at_least_one_column(const Tensor& t);

std::vector<int64_t> sizes_with_last(const Tensor& t, int64_t last);
std::vector<int64_t> lse_sizes(const Sizes& s);  // [B, Hq, Sq], or packed [T, Hq]
ScalarType lse_dtype(const Tensor& q);
Tensor empty_lse(const Sizes& s, const Tensor& q);  // contiguous

// What the backward gets of the forward: shapes, dtypes and device as the forward left them.
void check_saved(const Sizes& s, const Tensor& q, const Tensor& dout, const OptTensor& dlse, const Tensor& out,
                 const Tensor& lse);

// Offsets of packed sequences, which must be in host memory: from 0 up to `total`, no document longer than max_len.
void check_cu_seq_values(const char* name, const Tensor& cu_seq, int64_t total, const std::optional<int64_t>& max_len,
                         const char* max_name);

// Calls of torch: `call` is run, and an exception of it becomes one with torch's own words, where this torch hands them
// out, after "triangle_attn_op: <what>: ".
[[noreturn]] void throw_torch_error(const char* what, const std::exception& error);
template <class Call>
auto through_torch(const char* what, Call call) {
  try {
    return call();
  } catch (const std::exception& error) {
    throw_torch_error(what, error);
  }
}

}  // namespace triangle
