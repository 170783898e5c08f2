// Work shared between threads: tasks claimed in order from one counter, waiting for lower-numbered tasks only.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "csrc/cpu/attention.h"
#include "csrc/cpu/kernels.h"
#include "op_host/visibility.h"

namespace triangle::cpu {

// The kernels of the chosen instruction set.
const Kernels& kernels(DType dtype);

int64_t storage_bytes(DType dtype);

// Memory on a cache line, not initialised; freed with its owner.
class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes);
  void* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> data_;
};

// This thread's scratch memory, kept between calls up to 4 MiB; valid until its next use in this thread.
void* thread_scratch(size_t bytes);

void yield_thread();

// Spins, then yields, until done() holds. Only for what a lower-numbered claimed task will do: it is running, or has
// run.
template <class Done>
void wait_until(Done done) {
  for (int spins = 0; !done(); ++spins) {
    if (spins < 2000) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      yield_thread();
    }
  }
}
// Calls task(number, scratch) for number 0 .. count - 1, claimed in ascending order by up to `workers` threads. Tasks
// do not throw; memory that cannot be had for any worker is an exception.
void run_tasks(int64_t count, int workers, size_t scratch_bytes, const std::function<void(int64_t, void*)>& task);

// How many workers `products` multiply-adds are worth: starting a thread costs about as much as a few 100 000 of them.
int worth_workers(double products);

// One document (or one batch entry) of a problem.
struct Sequence {
  int64_t index = 0;             // batch entry or document
  int64_t q_row = 0, k_row = 0;  // first row in q and in k
  int64_t entry = 0;             // of k and v: the batch entry; 0 where pages say where keys are
  bool outside = false;          // of no document: rows or keys, which see nothing, a sink neither
  Band band;
  int64_t diagonal = 0;  // as it was given: the band's may be clamped
};
std::vector<Sequence> sequences(const Problem& problem);

Common common_of(const Problem& problem, const Kernels& kernels);

// Address of row `row` of head `head` of a sequence.
inline char* address(const Tensor& t, const Sequence& s, int64_t head, int64_t first_row, int64_t row, int64_t bytes) {
  return static_cast<char*>(t.data) + (s.index * t.batch + head * t.head + (first_row + row) * t.row) * bytes;
}
// Of its first key; in pages, of the first key of page 0.
inline char* key_address(const Tensor& t, const Sequence& s, int64_t head, int64_t bytes) {
  return static_cast<char*>(t.data) + (s.entry * t.batch + head * t.head + s.k_row * t.row) * bytes;
}
// Intervals of hidden rows a key, and elements from one of their bounds to the next: see intervals.h.
inline int interval_count(const Problem& p) { return p.startend == nullptr ? 0 : p.startend_bounds == 4 ? 2 : 1; }
inline int64_t interval_stride(const Problem& p, const Kernels& kernels) {
  return (p.cu_seq_q != nullptr ? 1 : p.batch) * p.startend_heads * p.seq_k + kernels.key_block;
}
inline double slope_of(const Problem& p, const Sequence& s, int64_t head) {
  if (s.outside) return 0;
  return p.alibi_slopes[s.index * p.alibi_batch + head * p.alibi_head];
}
inline double position_of(const Sequence& s, int64_t row) {
  return static_cast<double>(s.diagonal) + static_cast<double>(row);
}
inline const char* mask_address(const Mask& m, int64_t batch, int64_t head, int64_t row, int64_t bytes) {
  return m.data ? static_cast<const char*>(m.data) + (batch * m.batch + head * m.head + row * m.row) * bytes : nullptr;
}

}  // namespace triangle::cpu
