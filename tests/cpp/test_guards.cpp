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

// A cache whose pages each lie between memory nobody may touch, evenly apart; 16 keys a page. Rows behind a sequence's
// last key are NaN. Without `paged` the same keys follow each other.
std::vector<char> run_cache(DType dtype, int64_t sq, int64_t d, int64_t window, bool paged, Place place) {
  constexpr int64_t kHeads = 4, kHeadsKv = 2, kPageSize = 16, kSequences = 2, kMost = 10;
  const int64_t lengths[kSequences] = {150, 61}, bytes = storage_bytes(dtype), row = kHeadsKv * d;
  const int64_t system_page = sysconf(_SC_PAGESIZE), page_bytes = kPageSize * row * bytes;
  const int64_t inner = (page_bytes + system_page - 1) / system_page * system_page, stride = inner + system_page;
  const int64_t area = kSequences * kMost * stride;
  state = 7;
  int32_t table[kSequences * kMost];
  for (int32_t i = 0; i < kSequences * kMost; ++i) table[i] = paged ? i * 7 % (kSequences * kMost) : i;
  char* memory[2];
  for (char*& base : memory) {
    base = static_cast<char*>(mmap(nullptr, area, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base == MAP_FAILED) std::abort();
    const int64_t step = paged ? stride : page_bytes, first = paged && place == Place::kEnd ? inner - page_bytes : 0;
    for (int64_t b = 0; b < kSequences; ++b)
      for (int64_t i = 0; i < kMost * kPageSize * row; ++i) {
        const int64_t page = i / (kPageSize * row), key = i / row;
        char* const to = base + table[b * kMost + page] * step + first + i % (kPageSize * row) * bytes;
        put(to, dtype, key < lengths[b] ? uniform() : std::numeric_limits<double>::quiet_NaN());
      }
    for (int64_t n = 0; paged && n < kSequences * kMost; ++n)
      if (mprotect(base + n * stride + inner, system_page, PROT_NONE)) std::abort();
    base += first;
  }
  std::vector<char> q(kSequences * kHeads * sq * d * bytes), out(q.size());
  std::vector<double> lse(kSequences * kHeads * sq);
  for (size_t i = 0; i < q.size(); i += bytes) put(q.data() + i, dtype, uniform());
  Problem p;
  p.batch = kSequences;
  p.heads_q = kHeads;
  p.heads_kv = kHeadsKv;
  p.seq_q = sq;
  p.dim = p.dim_v = d;
  p.dtype = dtype;
  p.scale = 0.3;
  p.window_left = window;
  p.cache.lengths = lengths;
  if (paged) {
    p.cache.pages = table;
    p.cache.table_row = kMost;
    p.cache.page_size = kPageSize;
  }
  const int64_t entry = paged ? stride / bytes : kMost * kPageSize * row;
  const Tensor rows{q.data(), kHeads * sq * d, sq * d, d}, k{memory[0], entry, d, row}, v{memory[1], entry, d, row};
  const Tensor target{out.data(), kHeads * sq * d, sq * d, d}, sums{lse.data(), kHeads * sq, sq, 1};
  forward({p, rows, k, v, target, sums});
  for (char* base : memory)
    munmap(reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(base) / system_page * system_page), area);
  out.insert(out.end(), reinterpret_cast<char*>(lse.data()), reinterpret_cast<char*>(lse.data() + lse.size()));
  return out;
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
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16})
    for (const int64_t sq : {1, 6, 50})  // streamed, in one tile, packed beforehand
      for (const int64_t d : {64, 33})
        for (const int64_t window : {-1, 50}) {
          const std::vector<char> want = run_cache(dtype, sq, d, window, false, Place::kEnd);
          for (const Place place : {Place::kStart, Place::kEnd}) {
            if (run_cache(dtype, sq, d, window, true, place) == want) continue;
            std::printf("FAILED: a cache in pages, %d rows, %d columns\n", int(sq), int(d));
            ++failures;
          }
        }
  std::printf("%zu cases, %d failures\n", cases.size(), failures);
  return failures > 0;
}
