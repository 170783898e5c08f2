// Memory that ends, or begins, at a page nobody may touch: the kernels read and write what the shapes say and nothing
// beside it, also where a user's tensor begins at an odd byte. Made for -fsanitize=address,undefined; runs without too.
// Exits with 0, or dies of what it finds.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "csrc/cpu/attention.h"
#include "csrc/cpu/tasks.h"
#include "tests/cpp/thread_pool.h"

using namespace triangle::cpu;

namespace {

enum class Place { kEnd, kStart, kOddEnd };

// `bytes` between pages without access: up to the second one (kOddEnd: but for one byte), or from the first one on.
class Guarded {
 public:
  Guarded(size_t bytes, Place place) {
    const size_t page = sysconf(_SC_PAGESIZE), inner = (bytes + 1 + page - 1) / page * page;
    size_ = inner + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_, page, PROT_NONE) || mprotect(base_ + page + inner, page, PROT_NONE))
      std::abort();
    data = place == Place::kStart ? base_ + page : base_ + page + inner - bytes - (place == Place::kOddEnd);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, size_); }

  char* data;

 private:
  char* base_;
  size_t size_;
};

struct Case {
  DType dtype;
  int64_t sq, sk, d, dv;
  bool packed = false;
  int mask = 0;  // 1: bool, 2: float32
  double scale = 0.3, dropout = 0.0;
  int64_t diagonal = 0, window = -1;
  bool bottom_right = true;
  // What bends a score; slopes, sinks and the bounds of hidden rows lie between guard pages too.
  double softcap = 0.0;
  bool hides = false, alibi = false, sinks = false;
  int64_t startend_heads = 1, startend_bounds = 0;
};

uint64_t state = 1;
double uniform() {  // in [-1, 1)
  state = state * 6364136223846793005u + 1442695040888963407u;
  return double(state >> 11) * 0x1p-52 - 1;
}

void put(char* p, DType dtype, double x) {
  const float f = static_cast<float>(x);
  uint32_t u;
  std::memcpy(&u, &f, 4);
  // Of fp16 the numbers 0.5 to 1 and their negatives are enough.
  const uint16_t bf16 = static_cast<uint16_t>(u >> 16), fp16 = static_cast<uint16_t>(0x3800 | (u >> 16 & 0x83FF));
  if (dtype == DType::kFloat64) std::memcpy(p, &x, 8);
  if (dtype == DType::kFloat32) std::memcpy(p, &f, 4);
  if (dtype == DType::kBFloat16) std::memcpy(p, &bf16, 2);
  if (dtype == DType::kFloat16) std::memcpy(p, &fp16, 2);
  if (dtype == DType::kBool) *p = x > -0.5;
}

std::vector<char> run(const Case& c, Place place) {
  constexpr int64_t kHeads = 4, kHeadsKv = 2;
  const int64_t batch = c.packed ? 1 : 2, bytes = storage_bytes(c.dtype);
  const DType sums = c.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  const int64_t sum_bytes = storage_bytes(sums);
  state = 1;
  const auto input = [&](int64_t count, DType dtype) {
    auto* memory = new Guarded(count * storage_bytes(dtype), place);
    for (int64_t i = 0; i < count; ++i) put(memory->data + i * storage_bytes(dtype), dtype, uniform());
    return std::unique_ptr<Guarded>(memory);
  };
  const Place fresh = place == Place::kOddEnd ? Place::kEnd : place;  // results are aligned
  const auto output = [&](int64_t size) { return std::make_unique<Guarded>(size, fresh); };
  const auto q = input(batch * kHeads * c.sq * c.d, c.dtype), k = input(batch * kHeadsKv * c.sk * c.d, c.dtype),
             v = input(batch * kHeadsKv * c.sk * c.dv, c.dtype), dout = input(batch * kHeads * c.sq * c.dv, c.dtype),
             dlse = input(batch * kHeads * c.sq, sums);
  const auto mask = input(c.mask ? c.sq * c.sk : 0, c.mask == 1 ? DType::kBool : DType::kFloat32);
  // These are aligned; the kernels read sinks as doubles whatever the dtype.
  const auto aligned_input = [&](int64_t count, int64_t element, const auto& fill) {
    auto memory = output(count * element);
    for (int64_t i = 0; i < count; ++i) fill(memory->data + i * element);
    return memory;
  };
  const auto slopes =
      aligned_input(c.alibi ? 2 * kHeads : 0, 4, [](char* p) { put(p, DType::kFloat32, uniform() / 16); });
  const auto sinks = aligned_input(c.sinks ? kHeads : 0, 8, [](char* p) { put(p, DType::kFloat64, uniform()); });
  const auto startend = aligned_input(batch * c.startend_heads * c.sk * c.startend_bounds, 4, [&](char* p) {
    const auto bound = static_cast<int32_t>((uniform() + 1) / 2 * static_cast<double>(c.sq + 1));  // 0 .. Sq
    std::memcpy(p, &bound, 4);
  });
  const int64_t q_bytes = batch * kHeads * c.sq * c.d * bytes, k_bytes = batch * kHeadsKv * c.sk * c.d * bytes,
                v_bytes = batch * kHeadsKv * c.sk * c.dv * bytes, out_bytes = batch * kHeads * c.sq * c.dv * bytes,
                lse_bytes = batch * kHeads * c.sq * sum_bytes;
  const auto out = output(out_bytes), lse = output(lse_bytes), dq = output(q_bytes), dk = output(k_bytes),
             dv = output(v_bytes), dsinks = output(c.sinks ? kHeads * 8 : 0);
  // Two documents, with rows and keys before, between and after that belong to none.
  const int32_t cu_q[3] = {1, int32_t(c.sq / 2), int32_t(c.sq - 1)}, cu_k[3] = {2, int32_t(c.sk / 3), int32_t(c.sk)};

  Problem p;
  p.batch = c.packed ? 2 : batch;
  p.heads_q = kHeads;
  p.heads_kv = kHeadsKv;
  p.seq_q = c.sq;
  p.seq_k = c.sk;
  p.dim = c.d;
  p.dim_v = c.dv;
  p.dtype = c.dtype;
  p.scale = c.scale;
  p.bottom_right = c.bottom_right;
  p.diagonal = c.diagonal;
  p.window_left = c.window;
  p.dropout_p = c.dropout;
  p.seed = 0x123456789ABCDEFu;
  p.offset = ~uint64_t{0};
  if (c.packed) {
    p.cu_seq_q = cu_q;
    p.cu_seq_k = cu_k;
  }
  if (c.mask) p.mask = {mask->data, c.mask == 1 ? DType::kBool : DType::kFloat32, 0, 0, c.sk, 1, c.hides};
  p.softcap = c.softcap;
  if (c.alibi) {
    p.alibi_slopes = reinterpret_cast<const float*>(slopes->data);
    p.alibi_batch = kHeads;
    p.alibi_head = 1;
  }
  if (c.startend_bounds) {
    p.startend = reinterpret_cast<const int32_t*>(startend->data);
    p.startend_heads = c.startend_heads;
    p.startend_bounds = c.startend_bounds;
  }
  if (c.sinks) p.sinks = reinterpret_cast<const double*>(sinks->data);
  const auto view = [&](const Guarded& memory, int64_t heads, int64_t rows, int64_t columns) -> Tensor {
    if (c.packed) return {memory.data, 0, columns, heads * columns};
    return {memory.data, heads * rows * columns, rows * columns, columns};
  };
  forward({p, view(*q, kHeads, c.sq, c.d), view(*k, kHeadsKv, c.sk, c.d), view(*v, kHeadsKv, c.sk, c.dv),
           view(*out, kHeads, c.sq, c.dv), view(*lse, kHeads, c.sq, 1)});
  // What the backward gets of the forward may lie anywhere again.
  Guarded out_again(out_bytes, place), lse_again(lse_bytes, place);
  std::memcpy(out_again.data, out->data, out_bytes);
  std::memcpy(lse_again.data, lse->data, lse_bytes);
  backward({p, view(*q, kHeads, c.sq, c.d), view(*k, kHeadsKv, c.sk, c.d), view(*v, kHeadsKv, c.sk, c.dv),
            view(out_again, kHeads, c.sq, c.dv), view(lse_again, kHeads, c.sq, 1), view(*dout, kHeads, c.sq, c.dv),
            view(*dlse, kHeads, c.sq, 1), view(*dq, kHeads, c.sq, c.d), view(*dk, kHeadsKv, c.sk, c.d),
            view(*dv, kHeadsKv, c.sk, c.dv), c.sinks ? reinterpret_cast<double*>(dsinks->data) : nullptr});
  std::vector<char> results;
  const auto append = [&](const Guarded& memory, int64_t size) {
    results.insert(results.end(), memory.data, memory.data + size);
  };
  append(*out, out_bytes);
  append(*lse, lse_bytes);
  append(*dq, q_bytes);
  append(*dk, k_bytes);
  append(*dv, v_bytes);
  append(*dsinks, c.sinks ? kHeads * 8 : 0);
  return results;
}

}  // namespace

int main() {
  std::vector<Case> cases;
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16}) {
    cases.push_back({dtype, 67, 71, 5, 19});
    cases.push_back({dtype, 1, 150, 33, 3});  // decoding
    cases.push_back({dtype, 40, 37, 16, 16, true});
    cases.push_back({dtype, 19, 23, 7, 9, false, 1, 0.3, 0.4, 3, 8, false});
    cases.push_back({dtype, 19, 23, 7, 9, false, 2});
    // Scores far out: the exponential's clamps, and an lse that is too large to subtract.
    cases.push_back({dtype, 20, 20, 8, 8, false, 0, 1e30});
    cases.push_back({dtype, 20, 20, 8, 8, false, 0, 1.0, 0.0, std::numeric_limits<int64_t>::max(),
                     std::numeric_limits<int64_t>::max(), false});
    cases.push_back({dtype, 20, 20, 8, 8, false, 0, 1.0, 0.0, std::numeric_limits<int64_t>::min(), 0, false});
    Case bent{dtype, 67, 71, 5, 19};
    bent.softcap = 0.5;
    bent.alibi = bent.sinks = true;
    bent.startend_heads = 4;
    bent.startend_bounds = 4;
    cases.push_back(bent);
    bent.packed = true;
    bent.startend_heads = 1;
    bent.startend_bounds = 2;
    cases.push_back(bent);
    Case hidden{dtype, 35, 37, 7, 9, false, 1};
    hidden.hides = hidden.sinks = true;
    cases.push_back(hidden);
    Case cut{dtype, 1, 149, 33, 3};  // decoding
    cut.startend_heads = 2;
    cut.startend_bounds = 1;
    cut.alibi = true;
    cases.push_back(cut);
  }
  set_num_threads(2);
  int failures = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<char> want = run(cases[i], Place::kEnd);
    for (const Place place : {Place::kStart, Place::kOddEnd}) {
      if (run(cases[i], place) == want) continue;
      std::printf("FAILED: case %zu depends on where its tensors lie\n", i);
      ++failures;
    }
  }
  std::printf("%zu cases, %d failures\n", cases.size(), failures);
  return failures > 0;
}
