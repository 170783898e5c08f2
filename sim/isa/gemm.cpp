#include "isa/gemm.h"

#include <cstring>

// The micro kernels are compiled for several instruction sets and chosen when the library is loaded.
#if defined(__x86_64__) && !defined(__AVX2__)
#define ASCEND_SIM_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ASCEND_SIM_CLONES
#endif

namespace ascend_sim {

namespace {

typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8 __attribute__((vector_size(32)));

template <class V, class T>
__attribute__((always_inline)) inline void LoadVector(V& value, const T* from) {
  std::memcpy(&value, from, sizeof value);
}

// kRows rows of acc stay in registers over all of k.
template <class V, class T, int kRows>
__attribute__((always_inline)) inline void Block(T* acc, const T* a, const T* b, uint32_t k, uint32_t lda) {
  V low[kRows], high[kRows];
  for (int r = 0; r < kRows; ++r) {
    LoadVector(low[r], acc + r * 16);
    LoadVector(high[r], acc + r * 16 + 8);
  }
  for (uint32_t i = 0; i < k; ++i) {
    V b_low, b_high;
    LoadVector(b_low, b + i * 16);
    LoadVector(b_high, b + i * 16 + 8);
    for (int r = 0; r < kRows; ++r) {
      const T scalar = a[r * lda + i];
      const V value = V{scalar, scalar, scalar, scalar, scalar, scalar, scalar, scalar};
      low[r] += value * b_low;
      high[r] += value * b_high;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(acc + r * 16, &low[r], sizeof low[r]);
    std::memcpy(acc + r * 16 + 8, &high[r], sizeof high[r]);
  }
}

template <class V, class T>
__attribute__((always_inline)) inline void Panel(T* acc, const T* a, const T* b, uint32_t m, uint32_t k, uint32_t lda) {
  uint32_t row = 0;
  for (; row + 4 <= m; row += 4) Block<V, T, 4>(acc + row * 16, a + row * lda, b, k, lda);
  for (; row < m; ++row) Block<V, T, 1>(acc + row * 16, a + row * lda, b, k, lda);
}

}  // namespace

ASCEND_SIM_CLONES
void GemmPanelF32(float* acc, const float* a, const float* b, uint32_t m, uint32_t k, uint32_t lda) {
  Panel<Float8, float>(acc, a, b, m, k, lda);
}

ASCEND_SIM_CLONES
void GemmPanelI32(int32_t* acc, const int32_t* a, const int32_t* b, uint32_t m, uint32_t k, uint32_t lda) {
  Panel<Int8, int32_t>(acc, a, b, m, k, lda);
}

ASCEND_SIM_CLONES
void HalfToFloatRow(float* out, const uint16_t* in, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    // Exponent and mantissa in the float's place, then times 2^112 to correct the bias: exact for subnormals too.
    const uint32_t magnitude = static_cast<uint32_t>(in[i] & 0x7fff) << 13;
    float scaled;
    std::memcpy(&scaled, &magnitude, 4);
    scaled *= 0x1p112f;
    uint32_t bits;
    std::memcpy(&bits, &scaled, 4);
    bits |= magnitude >= 0x0f800000u ? 0x7f800000u : 0u;  // infinities and NaNs
    bits |= static_cast<uint32_t>(in[i] & 0x8000) << 16;
    std::memcpy(out + i, &bits, 4);
  }
}

ASCEND_SIM_CLONES
void Bf16ToFloatRow(float* out, const uint16_t* in, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t bits = static_cast<uint32_t>(in[i]) << 16;
    std::memcpy(out + i, &bits, 4);
  }
}

}  // namespace ascend_sim
