// The machine's own limits, for the benchmark (python/triangle_attn_op/bench): the rate of the kernels' micro-kernel
// with its operands in cache, and the bandwidth of reading memory. Plain C functions for ctypes, run on torch's
// threads, so that torch.set_num_threads holds for them as it does for the kernels.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/tasks.h"

#define TRIANGLE_EXPORT extern "C" __attribute__((visibility("default")))

// Every thread runs `repeats` times the micro-kernel that q, k and v of bf16 (or, of any other 16- or 32-bit type) are
// multiplied by; returns the multiply-adds of all of them, -1 on an error.
TRIANGLE_EXPORT double triangle_cpu_micro_kernel(int bf16, int repeats) {
  using namespace triangle::cpu;
  try {
    const Kernels& table = kernels(bf16 ? DType::kBFloat16 : DType::kFloat32);
    const int workers = num_threads();
    std::vector<double> products(workers);
    run_workers(workers, [&](int worker) { products[worker] = table.micro_kernel(repeats, thread_scratch(65536)); });
    double sum = 0;
    for (const double p : products) sum += p;
    return sum;
  } catch (const std::exception&) {
    return -1;
  }
}

// Reads `bytes` bytes (whole 128-byte blocks of them) once, each thread one contiguous part, and returns the sum of
// their 64-bit words, so that no read can be left out; all ones on an error.
TRIANGLE_EXPORT uint64_t triangle_cpu_read(const void* data, int64_t bytes) {
  using namespace triangle::cpu;
  typedef uint64_t Words __attribute__((vector_size(16), aligned(8), may_alias));
  constexpr int kSums = 8;
  try {
    const int64_t blocks = bytes / int64_t(kSums * sizeof(Words));
    const int workers = num_threads();
    std::vector<uint64_t> sums(workers);
    run_workers(workers, [&](int worker) {
      const Words* p = static_cast<const Words*>(data) + blocks * worker / workers * kSums;
      const Words* const end = static_cast<const Words*>(data) + blocks * (worker + 1) / workers * kSums;
      Words sum[kSums] = {};
      for (; p < end; p += kSums)
        for (int i = 0; i < kSums; ++i) sum[i] += p[i];
      for (int i = 1; i < kSums; ++i) sum[0] += sum[i];
      sums[worker] = sum[0][0] + sum[0][1];
    });
    uint64_t sum = 0;
    for (const uint64_t s : sums) sum += s;
    return sum;
  } catch (const std::exception&) {
    return static_cast<uint64_t>(-1);
  }
}
