#include "tensors.h"

#include <limits>

#include "torch_npu.h"

namespace triangle::npu {

void check_format(const char* name, const OptTensor& t) {
  if (!t.has_value()) return;
  const std::string format = private_format(*t);
  check(format.empty(), name, ": expected a tensor in a plain format (ND), got ", format,
        "; torch_npu.npu_format_cast(", name, ", 2) makes one");
}

Tensor contiguous_floats(const Tensor& t, const char* what) {
  if (t.scalar_type() == ScalarType::Float && t.is_contiguous()) return t;
  const std::vector<int64_t> sizes(t.sizes().begin(), t.sizes().end());
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  return through_torch(what, [&] {
    Tensor floats = empty_strided(sizes, strides, ScalarType::Float, t);
    return torch_api::copy_(floats, t);
  });
}

Tensor workspace_of(const Tensor& like, int64_t bytes) { return empty_strided({bytes}, {1}, ScalarType::Byte, like); }

void fill_rows_of_no_document(Tensor out, Tensor lse) {
  through_torch("filling results", [&] {
    torch_api::zero_(out);
    torch_api::fill_(lse, -std::numeric_limits<double>::infinity());
  });
}

}  // namespace triangle::npu
