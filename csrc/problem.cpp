#include "problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace triangle {
void check_options(const Options& options, ScalarType dtype) {
  // As the kernels use it: in fp32, and divided by.
  const double softcap = options.softcap.value_or(0.0);
  check(softcap == 0.0 || (softcap >= std::numeric_limits<float>::min() && std::isfinite(static_cast<float>(softcap))),
        "softcap: expected None, 0.0 (none) or a positive number within float32, got ", softcap);
  check(options.alignment == "bottom_right" || options.alignment == "top_left",
        "alignment: expected \"bottom_right\" or \"top_left\", got \"", options.alignment, "\"");
  check(!options.diagonal.has_value() || options.alignment == "bottom_right",
        "diagonal: expected None with alignment \"top_left\", which it replaces, got ", options.diagonal.value_or(0));
  check(options.window_size_left.value_or(0) >= 0, "window_size_left: expected None or >= 0, got ",
        options.window_size_left.value_or(0));
  check(options.dropout_p >= 0.0 && options.dropout_p < 1.0, "dropout_p: expected 0 <= p < 1, got ", options.dropout_p);
  const double scale = options.scale.value_or(1.0);
  check(std::isfinite(scale), "scale: expected a finite number, got ", scale);
  // Scores are float32 for any other dtype. 2^128 - 2^103 is the first number that rounds to infinity.
  check(dtype == ScalarType::Double || std::abs(scale) < 0x1.ffffffp127,
        "scale: expected a finite number in float32, in which scores are computed, got ", scale);
  for (const auto& [name, longest] :
       {std::pair<const char*, int64_t>{"max_q", options.max_q.value_or(0)}, {"max_k", options.max_k.value_or(0)}})
    check(longest >= 0, name, ": expected an upper bound of a document's length, >= 0, got ", longest);
}

namespace {
std::string device_text(const Tensor& t) {
  const auto device = t.device();
  const std::string type = device.type() == DeviceType::CPU           ? "cpu"
                           : device.type() == DeviceType::PrivateUse1 ? "npu"
                                                                      : "another kind";
  return device.type() == DeviceType::CPU ? type : type + ":" + std::to_string(device.index());
}

}  // namespace

void check_device(const char* name, const Tensor& t, const Tensor& q) {
  if (t.device() == q.device()) return;  // the usual case makes no strings
  check(false, name, ": expected q's device ", device_text(q), ", got ", device_text(t));
}

// Of tensors whose elements are read one by one.
void check_aligned(const char* name, const Tensor& t, size_t bytes) {
  check(reinterpret_cast<uintptr_t>(t.data_ptr()) % bytes == 0, name, ": expected an address that is a multiple of ",
        bytes, " bytes");
}

void check_cu_seq(const char* name, const Tensor& t, const Tensor& q) {
  check(t.dim() == 1 && t.size(0) >= 1 && t.scalar_type() == ScalarType::Int, name,
        ": expected int32 [documents + 1], got ", dtype_text(t.scalar_type()), " ", shape_text(t));
  check(t.is_contiguous(), name, ": expected a contiguous tensor, got stride ", t.stride(0));
  check_device(name, t, q);
  check_aligned(name, t, sizeof(int32_t));
}

void check_slopes(const Tensor& slopes, const Tensor& q, const Sizes& s) {
  const int64_t rank = slopes.dim();
  check(slopes.scalar_type() == ScalarType::Float && (rank == 1 || rank == 2) && slopes.size(rank - 1) == s.heads_q &&
            (rank == 1 || slopes.size(0) == s.batch),
        "alibi_slopes: expected torch.float32 [", s.heads_q, "] or [", s.batch, ", ", s.heads_q, "], got ",
        dtype_text(slopes.scalar_type()), " ", shape_text(slopes));
  check_device("alibi_slopes", slopes, q);
  check_aligned("alibi_slopes", slopes, sizeof(float));
}

void check_sinks(const Tensor& sinks, const Tensor& q, const Sizes& s) {
  const ScalarType dtype = sinks.scalar_type();
  check((dtype == ScalarType::Float || dtype == q.scalar_type()) && sinks.dim() == 1 && sinks.size(0) == s.heads_q,
        "sinks: expected torch.float32 or q's dtype ", dtype_text(q.scalar_type()), " [", s.heads_q, "], got ",
        dtype_text(dtype), " ", shape_text(sinks));
  check_device("sinks", sinks, q);
  check_aligned("sinks", sinks, dtype == ScalarType::Double ? 8 : dtype == ScalarType::Float ? 4 : 2);
}

namespace {

void check_startend(const Tensor& t, const Tensor& q, const Sizes& s) {
  const int64_t batch = s.packed ? 1 : s.batch;
  check(t.scalar_type() == ScalarType::Int && t.dim() == 4 && t.size(0) == batch &&
            (t.size(1) == 1 || t.size(1) == s.heads_kv || t.size(1) == s.heads_q) && t.size(2) == s.seq_k &&
            (t.size(3) == 1 || t.size(3) == 2 || t.size(3) == 4),
        "startend_row_indices: expected torch.int32 [", batch, ", 1, ", s.heads_kv, " or ", s.heads_q, ", ", s.seq_k,
        ", 1, 2 or 4], got ", dtype_text(t.scalar_type()), " ", shape_text(t));
  check_device("startend_row_indices", t, q);
  check_aligned("startend_row_indices", t, sizeof(int32_t));
}

void check_mask(const Tensor& mask, const Tensor& q, const Sizes& s) {
  const ScalarType dtype = mask.scalar_type();
  check(dtype == ScalarType::Bool || dtype == ScalarType::Float || dtype == q.scalar_type(),
        "attn_mask: expected bool, float32 or q's dtype ", dtype_text(q.scalar_type()), ", got ", dtype_text(dtype));
  check_device("attn_mask", mask, q);
  check(mask.dim() <= 4, "attn_mask: expected at most 4 dimensions, got shape ", shape_text(mask));
  const int64_t full[4] = {s.batch, s.heads_q, s.seq_q, s.seq_k};
  for (int64_t i = 0; i < mask.dim(); ++i) {
    const int64_t size = mask.size(i), expected = full[4 - mask.dim() + i];
    check(size == 1 || size == expected, "attn_mask: expected a shape that broadcasts to [", full[0], ", ", full[1],
          ", ", full[2], ", ", full[3], "], got ", shape_text(mask));
  }
}

}  // namespace

std::string dtype_text(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return "torch.float32";
    case ScalarType::Double:
      return "torch.float64";
    case ScalarType::BFloat16:
      return "torch.bfloat16";
    case ScalarType::Half:
      return "torch.float16";
    case ScalarType::Bool:
      return "torch.bool";
    case ScalarType::Int:
      return "torch.int32";
    case ScalarType::Long:
      return "torch.int64";
    default:
      return torch_api::name_of(dtype);
  }
}

std::string shape_text(const Tensor& t) {
  std::ostringstream text;
  text << '[';
  for (int64_t i = 0; i < t.dim(); ++i) text << (i ? ", " : "") << t.size(i);
  text << ']';
  return text.str();
}

Sizes check_inputs(const Tensor& q, const Tensor& k, const Tensor& v, const OptTensor& attn_mask,
                   const OptTensor& cu_seq_q, const OptTensor& cu_seq_k, const OptTensor& rng_state,
                   const OptTensor& alibi_slopes, const OptTensor& sinks, const OptTensor& startend_row_indices,
                   const Options& options) {
  check_options(options, q.scalar_type());
  const bool packed = cu_seq_q.has_value();
  check(packed == cu_seq_k.has_value(), "cu_seq_q, cu_seq_k: expected both or neither");
  const int64_t rank = packed ? 3 : 4;
  const char* layout = packed ? "[T, H, D]" : "[B, H, S, D]";
  for (const auto& [name, t] : {std::pair<const char*, const Tensor&>{"q", q}, {"k", k}, {"v", v}}) {
    check(t.dim() == rank, name, ": expected ", layout, ", got shape ", shape_text(t));
    check(t.scalar_type() == q.scalar_type(), name, ": expected q's dtype ", dtype_text(q.scalar_type()), ", got ",
          dtype_text(t.scalar_type()));
    check_device(name, t, q);
  }
  if (packed) {  // their sizes are read below
    check_cu_seq("cu_seq_q", *cu_seq_q, q);
    check_cu_seq("cu_seq_k", *cu_seq_k, q);
  }
  const int64_t row = packed ? 0 : 2, head = 1;
  const Sizes s{packed,           packed ? cu_seq_q->size(0) - 1 : q.size(0),
                q.size(head),     k.size(head),
                q.size(row),      k.size(row),
                q.size(rank - 1), v.size(rank - 1)};
  check(k.size(rank - 1) == s.dim, "k: expected a last dimension of ", s.dim, ", got shape ", shape_text(k));
  check(v.size(row) == s.seq_k && v.size(head) == s.heads_kv, "v: expected k's sizes but the last, got shape ",
        shape_text(v));
  check(packed || (k.size(0) == s.batch && v.size(0) == s.batch), "k, v: expected q's batch ", s.batch, ", got shapes ",
        shape_text(k), " and ", shape_text(v));
  check(s.heads_kv > 0 ? s.heads_q % s.heads_kv == 0 : s.heads_q == 0,
        "k: expected Hq % Hkv == 0, got Hq = ", s.heads_q, ", Hkv = ", s.heads_kv);
  check(packed || (!options.max_q.has_value() && !options.max_k.has_value()),
        "max_q, max_k: expected None without cu_seq_q and cu_seq_k, got ", options.max_q.value_or(0), " and ",
        options.max_k.value_or(0));
  if (packed) {
    check(cu_seq_q->size(0) == cu_seq_k->size(0), "cu_seq_k: expected as many documents as cu_seq_q, got ",
          cu_seq_k->size(0), " and ", cu_seq_q->size(0), " entries");
    check(!attn_mask.has_value(), "attn_mask: not supported for packed sequences, expected None");
  }
  if (attn_mask.has_value()) check_mask(*attn_mask, q, s);
  if (alibi_slopes.has_value()) check_slopes(*alibi_slopes, q, s);
  if (sinks.has_value()) check_sinks(*sinks, q, s);
  check(!options.mask_hides || (attn_mask.has_value() && attn_mask->scalar_type() == ScalarType::Bool),
        "mask_hides: expected False without a bool attn_mask");
  if (startend_row_indices.has_value()) check_startend(*startend_row_indices, q, s);
  check((options.dropout_p > 0) <= rng_state.has_value(),
        "rng_state: expected an int64 [2] tensor with dropout_p > 0, got None");
  if (rng_state.has_value()) {
    check(rng_state->dim() == 1 && rng_state->size(0) == 2 && rng_state->scalar_type() == ScalarType::Long &&
              rng_state->is_contiguous() && rng_state->device() == q.device(),
          "rng_state: expected a contiguous int64 [2] tensor on q's device, got ", dtype_text(rng_state->scalar_type()),
          " ", shape_text(*rng_state));
    check_aligned("rng_state", *rng_state, sizeof(int64_t));
  }
  return s;
}

std::vector<int64_t> strides_like(const Tensor& like, const std::vector<int64_t>& sizes) {
  // Ties keep the order B, S, H (packed: T, H): dimensions of a tensor that says nothing about their order.
  std::vector<int> order = sizes.size() == 4 ? std::vector<int>{0, 2, 1} : std::vector<int>{0, 1};
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return like.stride(a) > like.stride(b); });
  std::vector<int64_t> strides(sizes.size(), 1);
  int64_t next = std::max<int64_t>(sizes.back(), 1);
  for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
    strides[*dim] = next;
    check(!__builtin_mul_overflow(next, std::max<int64_t>(sizes[*dim], 1), &next),
          "a result of more than 2^63 elements");
  }
  return strides;
}

Tensor empty_strided(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides, ScalarType dtype,
                     const Tensor& device_of) {
  return through_torch("out of memory allocating a result",
                       [&] { return torch_api::empty_strided(sizes, strides, dtype, device_of); });
}

Tensor empty_like_layout(const Tensor& like, const std::vector<int64_t>& sizes) {
  return empty_strided(sizes, strides_like(like, sizes), like.scalar_type(), like);
}

Tensor with_unit_last_stride(const Tensor& t) {
  const int64_t last = t.dim() - 1;
  if (t.size(last) <= 1 || t.stride(last) == 1) return t;
  return through_torch("copying an argument whose last dimension is not contiguous",
                       [&] { return torch_api::contiguous(t); });
}

Tensor at_least_one_column(const Tensor& t) {
  if (t.size(t.dim() - 1) > 0) return with_unit_last_stride(t);
  const std::vector<int64_t> sizes = sizes_with_last(t, 1);
  return through_torch("making zeros", [&] { return torch_api::new_zeros(t, sizes); });
}

std::vector<int64_t> sizes_with_last(const Tensor& t, int64_t last) {
  std::vector<int64_t> sizes(t.sizes().begin(), t.sizes().end());
  sizes.back() = last;
  return sizes;
}

std::vector<int64_t> lse_sizes(const Sizes& s) {
  if (s.packed) return {s.seq_q, s.heads_q};
  return {s.batch, s.heads_q, s.seq_q};
}

ScalarType lse_dtype(const Tensor& q) {
  return q.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

Tensor empty_lse(const Sizes& s, const Tensor& q) {
  const std::vector<int64_t> sizes = lse_sizes(s);
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size() - 1; i-- > 0;)
    check(!__builtin_mul_overflow(strides[i + 1], std::max<int64_t>(sizes[i + 1], 1), &strides[i]),
          "an lse of more than 2^63 elements");
  return empty_strided(sizes, strides, lse_dtype(q), q);
}

void check_saved(const Sizes& s, const Tensor& q, const Tensor& dout, const OptTensor& dlse, const Tensor& out,
                 const Tensor& lse) {
  const auto check_one = [&](const char* name, const Tensor& t, const std::vector<int64_t>& sizes, ScalarType dtype) {
    check(t.dim() == static_cast<int64_t>(sizes.size()) && std::equal(sizes.begin(), sizes.end(), t.sizes().begin()) &&
              t.scalar_type() == dtype && t.device() == q.device(),
          name, ": expected ", dtype_text(dtype), " on the forward's device in the forward's shape, got ",
          dtype_text(t.scalar_type()), " ", shape_text(t));
  };
  const std::vector<int64_t> out_sizes = sizes_with_last(q, s.dim_v);
  check_one("dout", dout, out_sizes, q.scalar_type());
  check_one("out", out, out_sizes, q.scalar_type());
  check_one("lse", lse, lse_sizes(s), lse_dtype(q));
  if (dlse.has_value()) check_one("dlse", *dlse, lse_sizes(s), lse_dtype(q));
}

void check_cu_seq_values(const char* name, const Tensor& cu_seq, int64_t total, const std::optional<int64_t>& max_len,
                         const char* max_name) {
  const int32_t* values = static_cast<const int32_t*>(cu_seq.data_ptr());
  const int64_t documents = cu_seq.size(0) - 1;
  check(values[0] >= 0, name, ": expected offsets from 0 on, got ", values[0]);
  for (int64_t i = 0; i < documents; ++i) {
    check(values[i + 1] >= values[i], name, ": expected non-decreasing offsets, got ", values[i + 1], " after ",
          values[i], " at index ", i + 1);
    check(!max_len.has_value() || values[i + 1] - values[i] <= *max_len, max_name,
          ": expected at least the longest document, ", values[i + 1] - values[i], " rows, got ", max_len.value_or(0));
  }
  check(values[documents] <= total, name, ": expected to end within ", total, " rows, got ", values[documents]);
}

void throw_torch_error(const char* what, const std::exception& error) {
  std::string text = std::string("triangle_attn_op: ") + what;
  const std::string why = torch_api::words_of(error);
  if (!why.empty()) text += ": " + why;
  throw std::runtime_error(text);
}

}  // namespace triangle
