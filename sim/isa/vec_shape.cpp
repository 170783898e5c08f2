#include "isa/vec_shape.h"

#include <vector>

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
  if (shape.repeat <= 0) return;
  const uint32_t repeats = static_cast<uint32_t>(shape.repeat);
  const int prefix = shape.Prefix(lanes, 0);
  if (prefix >= 0) {
    if (prefix > 0) add_prefix(0, static_cast<uint32_t>(prefix), repeats);
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
      add(block * block_step + i * bytes, (end - i) * bytes, Dim{repeats, repeat_step});
      i = end;
    }
  }
}

void CheckShape(Check& check, const VecShape& shape, uint32_t lanes) {
  if (shape.counter) {
    // More than the largest buffer holds: a negative count as unsigned, or an uninitialised register.
    check.Range("count", static_cast<int64_t>(shape.mask[0]), 0, 192 * 1024);
    return;
  }
  check.Range("repeat", shape.repeat, 0, 255);
  check.Range("mask", shape.contiguous, 0, lanes);
}

void CheckOperand(Check& check, const char* name, const VecWalk& walk, bool write) {
  check.In(name, walk.t, Buffer::kUb);
  check.Aligned(name, walk.t, kBlockBytes, write);
  if (write && walk.block_stride == 0) {
    check.Fail(Rule::kArgument, "%s: a block stride of 0 is undefined for a destination", name);
  }
}

namespace {

struct Blocks {  // the blocks a walk touches, in units of 32 B from the start of the buffer
  const VecWalk& walk;
  uint32_t per_repeat, per_block;
  Blocks(const VecWalk& w, uint32_t lanes, uint32_t bytes)
      : walk(w), per_repeat(lanes * bytes / kBlockBytes), per_block(kBlockBytes / bytes) {}
  int64_t At(uint32_t repeat, uint32_t block) const {
    return walk.t.offset / kBlockBytes + static_cast<int64_t>(repeat) * walk.repeat_stride +
           static_cast<int64_t>(block) * walk.block_stride;
  }
  int64_t Reach() const { return 1 + static_cast<int64_t>(per_repeat - 1) * walk.block_stride; }
  bool Active(const VecShape& shape, uint32_t lanes, uint32_t repeat, uint32_t block) const {
    for (uint32_t i = 0; i < per_block; ++i) {
      if (shape.Active(lanes, repeat, block * per_block + i)) return true;
    }
    return false;
  }
};

}  // namespace

void CheckOverlap(Check& check, const VecShape& shape, const VecOverlap& o) {
  const uint32_t repeats = shape.Repeats(o.lanes);
  if (check.failed() || repeats == 0 || o.dst.t.buffer != o.src.t.buffer) return;
  const Blocks dst(o.dst, o.lanes, o.dst_bytes), src(o.src, o.lanes, o.src_bytes);
  const int64_t dst_end = dst.At(repeats - 1, 0) + dst.Reach(), src_end = src.At(repeats - 1, 0) + src.Reach();
  if (dst_end <= src.At(0, 0) || src_end <= dst.At(0, 0)) return;
  const bool same = o.dst.t.offset == o.src.t.offset && o.dst_bytes == o.src_bytes &&
                    o.dst.block_stride == o.src.block_stride && o.dst.repeat_stride == o.src.repeat_stride;
  if (same && o.dst.block_stride != 0 && (repeats == 1 || o.dst.repeat_stride >= dst.Reach())) return;
  if (dst_end > 6144 || src_end > 6144) return;  // out of bounds, reported by the engine

  // The general case, block by block: who wrote it (repeat + 1) and, in this repeat, which source block it is.
  struct Mark {
    uint32_t written = 0, read = 0;
    uint32_t block = 0;
  };
  std::vector<Mark> marks(static_cast<size_t>(std::max(dst_end, src_end)));
  // Widening over one's own source is done in the field: with the source in the last half it is right.
  const auto report = [&](Rule rule, const char* format, auto... values) {
    o.dst_bytes > o.src_bytes ? check.FailLenient(rule, format, values...) : check.Fail(rule, format, values...);
  };
  const bool running = o.accumulates && (o.dst.repeat_stride == 0 || o.src.repeat_stride == 0);
  for (uint32_t r = 0; r < repeats; ++r) {
    for (uint32_t b = 0; b < src.per_repeat; ++b) {
      if (!src.Active(shape, o.lanes, r, b)) continue;
      Mark& mark = marks[static_cast<size_t>(src.At(r, b))];
      if (mark.written != 0 && !running) {
        report(Rule::kArgument, "dst and %s overlap: repeat %u reads the block at byte %lld that repeat %u wrote",
               o.name, r, static_cast<long long>(src.At(r, b)) * kBlockBytes, mark.written - 1);
        return;
      }
      mark.block = mark.read == r + 1 && mark.block != b ? ~0u : b;
      mark.read = r + 1;
    }
    for (uint32_t b = 0; b < dst.per_repeat; ++b) {
      if (!dst.Active(shape, o.lanes, r, b)) continue;
      Mark& mark = marks[static_cast<size_t>(dst.At(r, b))];
      // Wide to narrow in place is the one overlap of different widths that keeps its sources.
      if (mark.read == r + 1 && (o.dst_bytes > o.src_bytes || (o.dst_bytes == o.src_bytes && mark.block != b))) {
        report(Rule::kArgument,
               "dst and %s overlap in part: within repeat %u the block at byte %lld is block %u of dst", o.name, r,
               static_cast<long long>(dst.At(r, b)) * kBlockBytes, b);
        return;
      }
      mark.written = r + 1;
    }
  }
}

}  // namespace ascend_sim
