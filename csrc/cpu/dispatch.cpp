// Which instruction set runs: the best the CPU and its operating system support, unless TRIANGLE_ATTN_CPU_ISA names
// one.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "csrc/cpu/tasks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace triangle::cpu {

// Each exists where sources.cmake compiles it: on x86-64 the first three, on AArch64 NEON, the last everywhere.
namespace avx512_bf16 {
const Kernels& kernels(DType dtype);  // of bf16 only
}
namespace avx512 {
const Kernels& kernels(DType dtype);
}
namespace avx2 {
const Kernels& kernels(DType dtype);
}
namespace neon {
const Kernels& kernels(DType dtype);
}
namespace portable {
const Kernels& kernels(DType dtype);
}

namespace {

struct Isa {
  const char* name;
  bool (*supported)();                     // by the CPU and, for the registers to be saved, by the operating system
  const Kernels& (*kernels)(DType dtype);  // of the DType of q, k and v
};

#if defined(__x86_64__) && !defined(TRIANGLE_CPU_PORTABLE_ONLY)
// __builtin_cpu_supports knows the name "f16c" in GCC from 11 and in clang from 17 on.
bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

const Kernels& avx512_bf16_kernels(DType dtype) {
  return dtype == DType::kBFloat16 ? avx512_bf16::kernels(dtype) : avx512::kernels(dtype);
}
#endif

// Best first.
const Isa kAll[] = {
#if defined(TRIANGLE_CPU_PORTABLE_ONLY)
#elif defined(__x86_64__)
    {"avx512_bf16", has_avx512_bf16, avx512_bf16_kernels},
    {"avx512", has_avx512, avx512::kernels},
    {"avx2", has_avx2, avx2::kernels},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, neon::kernels},
#endif
    {"portable", [] { return true; }, portable::kernels},
};

const Isa& choose() {
  const char* wanted = std::getenv("TRIANGLE_ATTN_CPU_ISA");
  std::string choices;
  for (const Isa& isa : kAll) {
    if (!isa.supported()) continue;
    if (!wanted || !*wanted || std::strcmp(wanted, isa.name) == 0) return isa;
    choices += (choices.empty() ? "" : ", ") + std::string(isa.name);
  }
  throw std::runtime_error("TRIANGLE_ATTN_CPU_ISA: expected one of " + choices + " on this CPU, got '" + wanted + "'");
}

const Isa& chosen() {
  static const Isa& isa = choose();
  return isa;
}

}  // namespace

const char* isa() { return chosen().name; }

const Kernels& kernels(DType dtype) { return chosen().kernels(dtype); }

}  // namespace triangle::cpu
