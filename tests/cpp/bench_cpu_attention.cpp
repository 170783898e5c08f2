// Speed of the CPU kernels without torch: one line per case, forward and backward in GFLOP/s (visible pairs only) and
// as a share of the micro-kernel's own rate, measured in turns. Times are of the calling thread's CPU clock with one
// thread, so a shared machine does not show in them, and of the wall clock with more.
//   bench_cpu_attention [threads [substring of the case's name [seconds per measurement [forward]]]]
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "csrc/cpu/attention.h"
#include "csrc/cpu/tasks.h"
#include "tests/cpp/thread_pool.h"

using namespace triangle;
using namespace triangle::cpu;

namespace {

int threads = 1;
double seconds = 0.15;
bool forward_only = false;

double now() {
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

struct Case {
  const char* name;
  int64_t b, hq, hkv, sq, sk, d, dv;
  DType dtype;
  int64_t window = -1;
};

std::vector<char> random_bytes(int64_t elements, DType dtype) {
  std::vector<char> bytes(elements * storage_bytes(dtype));
  for (int64_t i = 0; i < elements; ++i) {
    const float x = float(rand() % 2001 - 1000) / 500;
    uint32_t u;
    std::memcpy(&u, &x, 4);
    const uint16_t bf16 = uint16_t(u >> 16), fp16 = uint16_t(rand() % 2 << 15 | (0x3000 + rand() % 0x0C00));
    const double wide = x;
    const void* from = dtype == DType::kFloat32    ? static_cast<const void*>(&x)
                       : dtype == DType::kFloat64  ? static_cast<const void*>(&wide)
                       : dtype == DType::kBFloat16 ? static_cast<const void*>(&bf16)
                                                   : static_cast<const void*>(&fp16);
    std::memcpy(bytes.data() + i * storage_bytes(dtype), from, storage_bytes(dtype));
  }
  return bytes;
}

Tensor dense(std::vector<char>& bytes, int64_t h, int64_t s, int64_t d) { return {bytes.data(), h * s * d, s * d, d}; }

double best_of(int rounds, double at_least, const std::function<void()>& f) {
  double best = 1e30, total = 0;
  for (int i = 0; i < rounds || total < at_least; ++i) {
    const double start = now();
    f();
    const double t = now() - start;
    best = std::min(best, t);
    total += t;
  }
  return best;
}

double micro_kernel_rate(DType dtype) {
  std::vector<char> scratch(65536 + 64);
  void* aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  double products = 0;
  const double t = best_of(5, 0.02, [&] { products = kernels(dtype).micro_kernel(5000, aligned); });
  return 2 * products / t * 1e-9;
}

void run(const Case& c) {
  const DType statistic = c.dtype == DType::kFloat64 ? c.dtype : DType::kFloat32;
  auto q = random_bytes(c.b * c.hq * c.sq * c.d, c.dtype), k = random_bytes(c.b * c.hkv * c.sk * c.d, c.dtype);
  auto v = random_bytes(c.b * c.hkv * c.sk * c.dv, c.dtype), out = random_bytes(c.b * c.hq * c.sq * c.dv, c.dtype);
  auto dout = random_bytes(c.b * c.hq * c.sq * c.dv, c.dtype), lse = random_bytes(c.b * c.hq * c.sq, statistic);
  auto dq = q, dk = k, dv = v;
  Problem p;
  p.batch = c.b, p.heads_q = c.hq, p.heads_kv = c.hkv, p.seq_q = c.sq, p.seq_k = c.sk, p.dim = c.d, p.dim_v = c.dv;
  p.dtype = c.dtype;
  p.scale = 1 / std::sqrt(double(c.d));
  p.window_left = c.window;
  const Tensor tq = dense(q, c.hq, c.sq, c.d), tk = dense(k, c.hkv, c.sk, c.d), tv = dense(v, c.hkv, c.sk, c.dv);
  const Tensor to = dense(out, c.hq, c.sq, c.dv), tdout = dense(dout, c.hq, c.sq, c.dv), tl = dense(lse, c.hq, c.sq, 1);
  const Forward f{p, tq, tk, tv, to, tl};
  const Backward b{p,
                   tq,
                   tk,
                   tv,
                   to,
                   tl,
                   tdout,
                   {},
                   dense(dq, c.hq, c.sq, c.d),
                   dense(dk, c.hkv, c.sk, c.d),
                   dense(dv, c.hkv, c.sk, c.dv)};
  const double pairs = double(visible_pairs(make_band(c.sq, c.sk, c.sk - c.sq, c.window))) * double(c.b * c.hq);
  const double peak = micro_kernel_rate(c.dtype) * threads;
  const double tf = best_of(3, seconds, [&] { forward(f); });
  const double forward_rate = 2 * pairs * double(c.d + c.dv) / tf * 1e-9;
  std::printf("%-34s peak %6.1f  forward %9.1f us %6.1f GFLOP/s %5.3f", c.name, peak, tf * 1e6, forward_rate,
              forward_rate / peak);
  if (c.sq < 32) {
    const double bytes = double(c.b * c.hkv * c.sk * (c.d + c.dv) * storage_bytes(c.dtype));
    std::printf("  %6.2f GB/s\n", bytes / tf * 1e-9);
    return;
  }
  if (forward_only) {
    std::printf("\n");
    return;
  }
  const double tb = best_of(3, seconds, [&] { backward(b); });
  const double backward_rate = 2 * pairs * double(3 * c.d + 2 * c.dv) / tb * 1e-9;
  std::printf("  backward %9.1f us %6.1f GFLOP/s %5.3f\n", tb * 1e6, backward_rate, backward_rate / peak);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  threads = argc > 1 ? std::atoi(argv[1]) : 1;
  set_num_threads(threads);
  const std::string only = argc > 2 ? argv[2] : "";
  if (argc > 3) seconds = std::atof(argv[3]);
  forward_only = argc > 4;
  std::printf("%s, %d thread(s)\n", isa(), threads);
  const DType f32 = DType::kFloat32, bf16 = DType::kBFloat16, f16 = DType::kFloat16, f64 = DType::kFloat64;
  const Case all[] = {
      {"small 64 fp32", 1, 8, 8, 64, 64, 64, 64, f32},
      {"small 128 fp32", 1, 8, 8, 128, 128, 64, 64, f32},
      {"small 256 fp32", 1, 8, 8, 256, 256, 64, 64, f32},
      {"512 64 fp32", 1, 8, 8, 512, 512, 64, 64, f32},
      {"2048 64 fp32", 1, 4, 4, 2048, 2048, 64, 64, f32},
      {"2048 64 bf16", 1, 4, 4, 2048, 2048, 64, 64, bf16},
      {"2048 128 fp32", 1, 4, 4, 2048, 2048, 128, 128, f32},
      {"2048 128 bf16", 1, 4, 4, 2048, 2048, 128, 128, bf16},
      {"2048 128 fp16", 1, 4, 4, 2048, 2048, 128, 128, f16},
      {"2048 128 fp64", 1, 1, 1, 2048, 2048, 128, 128, f64},
      {"2048 128 fp32 one head", 1, 1, 1, 2048, 2048, 128, 128, f32},
      {"2048 128 fp32 GQA 8/1", 1, 8, 1, 2048, 2048, 128, 128, f32},
      {"8192 128 fp32 one head", 1, 1, 1, 8192, 8192, 128, 128, f32},
      {"1000 64 fp32", 1, 4, 4, 1000, 1000, 64, 64, f32},
      {"1024 64 fp32", 1, 4, 4, 1024, 1024, 64, 64, f32},
      {"2048 80 fp32", 1, 4, 4, 2048, 2048, 80, 80, f32},
      {"2048 96 fp32", 1, 4, 4, 2048, 2048, 96, 96, f32},
      {"2048 112 fp32", 1, 4, 4, 2048, 2048, 112, 112, f32},
      {"2048 192/128 fp32", 1, 4, 4, 2048, 2048, 192, 128, f32},
      {"16384 128 fp32 window 1024", 1, 1, 1, 16384, 16384, 128, 128, f32, 1024},
      {"decode fp32", 1, 32, 8, 1, 8192, 128, 128, f32},
      {"decode bf16", 1, 32, 8, 1, 8192, 128, 128, bf16},
      {"decode fp16", 1, 32, 8, 1, 8192, 128, 128, f16},
      {"decode fp32 in cache", 1, 4, 1, 1, 512, 128, 128, f32},
      {"decode fp16 in cache", 1, 4, 1, 1, 1024, 128, 128, f16},
      {"decode bf16 in cache", 1, 4, 1, 1, 1024, 128, 128, bf16},
      {"decode bf16 in cache, one row", 1, 1, 1, 1, 1024, 128, 128, bf16},
      {"decode bf16 in cache, 8 rows", 1, 8, 1, 1, 1024, 128, 128, bf16},
  };
  for (const Case& c : all)
    if (std::string(c.name).find(only) != std::string::npos) run(c);
}
