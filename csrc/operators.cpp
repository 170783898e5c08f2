#include "operators.h"

namespace triangle {

Gradients empty_gradients(const Arguments& a) {
  const auto like = [](const Tensor& t) { return empty_like_layout(t, {t.sizes().begin(), t.sizes().end()}); };
  const int64_t sinks = a.sinks.has_value() ? a.sinks->size(0) : 0;
  return {like(a.q), like(a.k), like(a.v), empty_strided({sinks}, {1}, lse_dtype(a.q), a.q)};
}

Gradients zeros(const Gradients& gradients) {
  for (Tensor t : {std::get<0>(gradients), std::get<1>(gradients), std::get<2>(gradients), std::get<3>(gradients)})
    if (t.numel() > 0) through_torch("making zeros", [&] { return torch_api::zero_(t); });
  return gradients;
}

}  // namespace triangle
