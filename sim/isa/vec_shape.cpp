#include "isa/vec_shape.h"

namespace ascend_sim {

void TouchWalk(Footprint& f, bool write, const char* name, const VecWalk& walk, const VecShape& shape, uint32_t bytes,
               uint32_t lanes) {
  // A repeat covers `lanes` elements of `bytes` each; narrower operands of a mixed-width instruction fill fewer blocks.
  const uint32_t per_block = kBlockBytes / bytes, blocks = lanes / per_block;
  auto add = [&](int64_t offset, uint32_t length, Dim d0, Dim d1 = {}) {
    if (write) {
      f.Write(name, walk.t, offset, length, d0, d1);
    } else {
      f.Read(name, walk.t, offset, length, d0, d1);
    }
  };
  const int64_t block_step = static_cast<int64_t>(walk.block_stride) * kBlockBytes;
  const int64_t repeat_step = static_cast<int64_t>(walk.repeat_stride) * kBlockBytes;
  // The first `full` repeats share one pattern; in counter mode a last partial one follows.
  auto add_prefix = [&](int64_t base, uint32_t active, uint32_t repeats) {
    const uint32_t whole = active / per_block, rest = active % per_block;
    if (whole != 0) add(base, kBlockBytes, Dim{whole, block_step}, Dim{repeats, repeat_step});
    if (rest != 0) add(base + whole * block_step, rest * bytes, Dim{repeats, repeat_step});
  };
  if (shape.counter) {
    const uint32_t full = static_cast<uint32_t>(shape.mask[0] / lanes),
                   rest = static_cast<uint32_t>(shape.mask[0] % lanes);
    if (full != 0) add_prefix(0, lanes, full);
    if (rest != 0) add_prefix(full * repeat_step, rest, 1);
    return;
  }
  if (shape.repeat == 0) return;
  const int prefix = shape.Prefix(lanes, 0);
  if (prefix >= 0) {
    if (prefix > 0) add_prefix(0, static_cast<uint32_t>(prefix), shape.repeat);
    return;
  }
  for (uint32_t block = 0; block < blocks; ++block) {
    for (uint32_t i = 0; i < per_block;) {
      if (!shape.Active(lanes, 0, block * per_block + i)) {
        ++i;
        continue;
      }
      uint32_t end = i + 1;
      while (end < per_block && shape.Active(lanes, 0, block * per_block + end)) ++end;
      add(block * block_step + i * bytes, (end - i) * bytes, Dim{shape.repeat, repeat_step});
      i = end;
    }
  }
}

}  // namespace ascend_sim
