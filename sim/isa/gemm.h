// The arithmetic of the cube on plain row-major panels, separate from its buffers.
#pragma once

#include <cstdint>

namespace ascend_sim {

// acc [m, 16] += a [m, k] * b [k, 16]: k ascending, product and sum rounded separately, so that results are the same on
// every host. Row strides of 16 for b and acc, lda for a.
void GemmPanelF32(float* acc, const float* a, const float* b, uint32_t m, uint32_t k, uint32_t lda);
void GemmPanelI32(int32_t* acc, const int32_t* a, const int32_t* b, uint32_t m, uint32_t k, uint32_t lda);

// Exact conversions of whole rows.
void HalfToFloatRow(float* out, const uint16_t* in, uint32_t count);
void Bf16ToFloatRow(float* out, const uint16_t* in, uint32_t count);

}  // namespace ascend_sim
