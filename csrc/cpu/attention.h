// The CPU kernels' front door: plain pointers and strides in, results written in place. No torch here.
// Shapes are dense [B, H, S, D] or packed [T, H, D] (then `batch` counts documents and cu_seq_* delimit them).
#pragma once
#include <cstdint>
#include <functional>

namespace triangle::cpu {

enum class DType : int { kFloat32, kFloat64, kBFloat16, kFloat16, kBool };

// A tensor whose last dimension is contiguous. Strides count elements. In a packed tensor `batch` is 0 and
// a document's rows start at cu_seq[document].
struct Tensor {
  void* data = nullptr;
  int64_t batch = 0, head = 0, row = 0;
};

// Additive (float) or boolean (true = may attend, or where `hides` the opposite) mask over [B, Hq, Sq, Sk]; a broadcast
// dimension has stride 0.
struct Mask {
  const void* data = nullptr;
  DType dtype = DType::kBool;
  int64_t batch = 0, head = 0, row = 0, col = 0;
  bool hides = false;
};

// Keys and values in a cache, each sequence with a length of its own. Without pages k and v are [entries, S, Hkv, D];
// with them [pages, page_size, Hkv, D], and Tensor::batch leads from one page to the next. All numbers are checked.
struct Cache {
  const int64_t* lengths = nullptr;  // [batch], keys of each sequence; null: there is no cache
  const int32_t* entries = nullptr;  // [batch], the sequence's entry; null: its own number
  const int32_t* pages = nullptr;    // [batch][table_row], a sequence's pages in order; null: none
  int64_t table_row = 0, page_size = 0;
};

struct Problem {
  int64_t batch = 0, heads_q = 0, heads_kv = 0;
  int64_t seq_q = 0, seq_k = 0;  // packed: total rows T of q and of k
  int64_t dim = 0, dim_v = 0;
  DType dtype = DType::kFloat32;
  double scale = 1.0;
  // Query i of a sequence sits at diagonal position p = i + d and sees keys max(0, p - window_left) .. min(p, Sk - 1).
  // d = Sk - Sq of its own sequence when bottom_right, otherwise `diagonal`.
  bool bottom_right = true;
  int64_t diagonal = 0;
  int64_t window_left = -1;           // -1: none
  const int32_t* cu_seq_q = nullptr;  // [batch + 1], packed only; already checked; rows outside see nothing
  const int32_t* cu_seq_k = nullptr;  // null with a cache
  Cache cache;
  double softcap = 0;  // 0: none
  // Element (batch entry or document, q head) at [index * alibi_batch + head * alibi_head]; null: none.
  const float* alibi_slopes = nullptr;
  int64_t alibi_batch = 0, alibi_head = 0;
  // startend_row_indices, contiguous [B, startend_heads, Sk, startend_bounds] (packed: B = 1, rows and keys of the
  // whole pack), checked to lie within the rows; null: none.
  const int32_t* startend = nullptr;
  int64_t startend_heads = 1, startend_bounds = 0;
  const double* sinks = nullptr;  // [Hq], logits that join each row's sum; null: none
  Mask mask;                      // dense only
  double dropout_p = 0.0;
  uint64_t seed = 0, offset = 0;  // Philox key and counter, see op_host/philox.h
};

// lse is fp32 (fp64 for fp64 input), natural log, after scale and mask, before dropout; its row stride and head stride
// let [B, Hq, Sq] and packed [T, Hq] share one description.
struct Forward {
  Problem problem;
  Tensor q, k, v, out, lse;
};

struct Backward {
  Problem problem;
  Tensor q, k, v, out, lse;
  Tensor dout, dlse;         // dlse.data may be null: lse takes no gradient
  Tensor dq, dk, dv;         // written whole, padding rows of nothing included
  double* dsinks = nullptr;  // [Hq], written where there are sinks
};

// first: called once all memory that the call needs is there and before keys and values are read.
void forward(const Forward& args, const std::function<void()>& first = {});
void backward(const Backward& args);

// Which instruction set runs ("avx512_bf16", "avx512", "avx2", "neon", "portable"), chosen once from the CPU and
// TRIANGLE_ATTN_CPU_ISA. "avx512_bf16" is "avx512" with pairs of bf16 numbers multiplied as such.
const char* isa();

}  // namespace triangle::cpu
