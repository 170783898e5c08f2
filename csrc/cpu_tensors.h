// torch's tensors as the CPU kernels take them.
#pragma once
#include <vector>

#include "cpu/attention.h"
#include "problem.h"

namespace triangle {

inline cpu::DType dtype_of(const Tensor& t, const char* name) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return cpu::DType::kFloat32;
    case ScalarType::Double:
      return cpu::DType::kFloat64;
    case ScalarType::BFloat16:
      return cpu::DType::kBFloat16;
    case ScalarType::Half:
      return cpu::DType::kFloat16;
    case ScalarType::Bool:
      return cpu::DType::kBool;
    default:
      check(false, name, ": expected float32, bfloat16, float16 or float64, got ", dtype_text(t.scalar_type()));
      return cpu::DType::kFloat32;
  }
}

// [B, H, S, D], or [T, H, D] with rows in dimension 0.
inline cpu::Tensor view(const Tensor& t) {
  if (t.dim() == 4) return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
  return {t.data_ptr(), 0, t.stride(1), t.stride(0)};
}

// lse is [B, Hq, Sq], or packed [T, Hq].
inline cpu::Tensor lse_view(const Tensor& t) {
  if (t.dim() == 3) return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2)};
  return {t.data_ptr(), 0, t.stride(1), t.stride(0)};
}

inline double number(const void* data, int64_t index, ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Double:
      return static_cast<const double*>(data)[index];
    case ScalarType::BFloat16:
      return static_cast<float>(static_cast<const BFloat16*>(data)[index]);
    case ScalarType::Half:
      return static_cast<float>(static_cast<const Half*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

// [Hq] as doubles, whatever their dtype: few numbers.
inline std::vector<double> sinks_of(const OptTensor& sinks) {
  std::vector<double> values(sinks.has_value() ? sinks->size(0) : 0);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = number(sinks->data_ptr(), static_cast<int64_t>(i) * sinks->stride(0), sinks->scalar_type());
  return values;
}

// Sizes, scale and what bends scores, of any operator. `sinks` outlives the problem.
cpu::Problem problem_of(const Sizes& s, const Options& options, const Tensor& q, const OptTensor& alibi_slopes,
                        const std::vector<double>& sinks);

}  // namespace triangle
