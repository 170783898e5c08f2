// What the operators on an NPU have in common before a launch: formats, small tensors as the kernels read them, the
// workspace, the refusals of a tiling.
#pragma once
#include <stdexcept>

#include "problem.h"

namespace triangle::npu {

// torch_npu's private formats (FRACTAL_NZ of npu_format_cast, say) lay memory out otherwise than the strides say, and
// the kernels read by strides.
void check_format(const char* name, const OptTensor& t);

// fp32 and contiguous: a few numbers by head. `what`: said where copying them fails.
Tensor contiguous_floats(const Tensor& t, const char* what);

Tensor workspace_of(const Tensor& like, int64_t bytes);

// The kernels write sequences. Which rows belong to none is known on the device only, so all of them are filled first.
void fill_rows_of_no_document(Tensor out, Tensor lse);

inline const void* data_or_null(const OptTensor& t) { return t.has_value() ? t->data_ptr() : nullptr; }

// The tiling's refusals with the operator's name before them, as every other message has it.
template <class Make>
auto planned(Make make) {
  try {
    return make();
  } catch (const std::invalid_argument& error) {
    check(false, error.what());
    throw;
  }
}

}  // namespace triangle::npu
