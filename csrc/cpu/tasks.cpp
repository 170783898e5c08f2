#include "csrc/cpu/tasks.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>

#include "csrc/cpu/parallel.h"
#include "op_host/philox.h"

namespace triangle::cpu {

Memory::Memory(size_t bytes) {
  constexpr size_t line = 64;
  void* p = std::aligned_alloc(line, (bytes + line - 1) / line * line);
  if (!p && bytes) throw std::bad_alloc();
  data_.reset(p);
}
void Memory::Free::operator()(void* p) const { std::free(p); }

void* thread_scratch(size_t bytes) {
  constexpr size_t kept = size_t{4} << 20;
  thread_local Memory memory;
  thread_local size_t size = 0;
  if (bytes > size || (size > kept && bytes <= kept)) {
    size = 0;
    memory = Memory();
    memory = Memory(bytes);
    size = bytes;
  }
  return memory.data();
}

void yield_thread() { std::this_thread::yield(); }

void run_tasks(int64_t count, int workers, size_t scratch_bytes, const std::function<void(int64_t, void*)>& task) {
  workers = static_cast<int>(std::min<int64_t>({count, workers, num_threads()}));
  if (workers <= 1) {
    void* scratch = thread_scratch(scratch_bytes);
    for (int64_t i = 0; i < count; ++i) task(i, scratch);
    return;
  }
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  run_workers(workers, [&](int) {
    try {
      void* scratch = thread_scratch(scratch_bytes);  // before the first claim: a claimed task always runs
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(i, scratch);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
    }
  });
  // A worker without memory leaves its share to the others; only when nobody was left is the work undone.
  if (error && next.load() < count) std::rethrow_exception(error);
}

int worth_workers(double products) {
  constexpr double worth_a_thread = 4e5;
  return static_cast<int>(std::max(1.0, std::min<double>(num_threads(), products / worth_a_thread)));
}

int64_t storage_bytes(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 1;
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kFloat64:
      return 8;
    default:
      return 4;
  }
}

namespace {

// Rows and keys before the first offset and after the last one, of no document: rows without keys and keys without
// rows, so that their results are written as those of what sees nothing.
void add_undocumented(const Problem& problem, std::vector<Sequence>& all) {
  const auto add = [&](int64_t q_row, int64_t sq, int64_t k_row, int64_t sk) {
    if (sq == 0 && sk == 0) return;
    Sequence s;
    s.q_row = q_row;
    s.k_row = k_row;
    s.outside = true;
    s.band = make_band(sq, sk, 0, problem.window_left);
    all.push_back(s);
  };
  const int64_t q_end = problem.cu_seq_q[problem.batch];
  add(0, problem.cu_seq_q[0], 0, 0);
  add(q_end, problem.seq_q - q_end, 0, 0);
  if (!problem.cu_seq_k) return;
  const int64_t k_end = problem.cu_seq_k[problem.batch];
  add(0, 0, 0, problem.cu_seq_k[0]);
  add(0, 0, k_end, problem.seq_k - k_end);
}

}  // namespace

std::vector<Sequence> sequences(const Problem& problem) {
  std::vector<Sequence> all(problem.batch);
  for (int64_t b = 0; b < problem.batch; ++b) {
    Sequence& s = all[b];
    s.index = b;
    s.entry = problem.cache.pages ? 0 : problem.cache.entries ? problem.cache.entries[b] : b;
    int64_t sq = problem.seq_q, sk = problem.seq_k;
    if (problem.cu_seq_q) {
      s.q_row = problem.cu_seq_q[b];
      sq = problem.cu_seq_q[b + 1] - s.q_row;
    }
    if (problem.cu_seq_k) {
      s.k_row = problem.cu_seq_k[b];
      sk = problem.cu_seq_k[b + 1] - s.k_row;
    }
    if (problem.cache.lengths) sk = problem.cache.lengths[b];
    const int64_t diagonal = problem.bottom_right ? bottom_right_diagonal(sq, sk) : problem.diagonal;
    s.band = make_band(sq, sk, diagonal, problem.window_left);
    s.diagonal = diagonal;
  }
  if (problem.cu_seq_q) add_undocumented(problem, all);
  return all;
}

Common common_of(const Problem& p, const Kernels& kernels) {
  Common c;
  c.dtype = p.dtype;
  c.dim = static_cast<int>(p.dim);
  c.dim_v = static_cast<int>(p.dim_v);
  c.scale = p.scale;
  c.mask_dtype = p.mask.dtype;
  c.mask_col = p.mask.col;
  c.mask_hides = p.mask.hides;
  c.dropout = p.dropout_p > 0;
  c.threshold = dropout_threshold(p.dropout_p);
  c.offset = static_cast<uint32_t>(p.offset);
  c.key[0] = static_cast<uint32_t>(p.seed);
  c.key[1] = static_cast<uint32_t>(p.seed >> 32) ^ static_cast<uint32_t>(p.offset >> 32);
  c.keep_scale = 1.0 / (1.0 - p.dropout_p);
  c.softcap = p.softcap;
  c.alibi = p.alibi_slopes != nullptr;
  c.sinks = p.sinks != nullptr;
  c.intervals = interval_count(p);
  c.interval_stride = interval_stride(p, kernels);
  return c;
}

}  // namespace triangle::cpu
