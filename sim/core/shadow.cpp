#include "core/shadow.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace ascend_sim {

void Shadow::Reset(uint64_t bytes) {
  std::free(cells_);
  cell_count_ = (bytes + kGranule - 1) / kGranule;
  cells_ = static_cast<Cell*>(std::calloc(std::max<uint64_t>(cell_count_, 1), sizeof(Cell)));
  if (cells_ == nullptr) throw std::bad_alloc();
  overflow_.clear();
}

namespace {

uint32_t MaskOf(uint64_t granule, uint64_t begin, uint64_t end) {
  const uint64_t base = granule * Shadow::kGranule;
  const uint32_t low = begin > base ? static_cast<uint32_t>(begin - base) : 0;
  const uint32_t high = end < base + Shadow::kGranule ? static_cast<uint32_t>(end - base) : Shadow::kGranule;
  const uint32_t upto = high == 32 ? ~0u : (1u << high) - 1;
  return upto & ~((1u << low) - 1);
}

// Whether an earlier access is known complete: by the clock, as part of the same instruction, or by the pipe's order.
inline bool Ordered(Who who, uint32_t seq, const Shadow::Context& context) {
  return context.clock[who] >= seq ||
         (who == context.self.who && (context.same_pipe_ordered || seq == context.self.seq));
}

}  // namespace

// Tiles are written and read whole, so neighbouring cells mostly hold the same state: what happened to the cell before
// happens to the next one that was equal to it.
void Shadow::Touch(uint64_t begin, uint64_t length, const Context& context, std::vector<Conflict>* conflicts) {
  const uint64_t end = begin + length;
  const uint64_t last = (end - 1) / kGranule;
  Cell before{}, after{};
  bool repeatable = false;
  for (uint64_t g = begin / kGranule; g <= last; ++g) {
    Cell& cell = cells_[g];
    const uint32_t mask = MaskOf(g, begin, end);
    if (mask != ~0u) {
      TouchCell(g, mask, context, conflicts);
    } else if (repeatable && Same(cell, before)) {
      cell = after;
    } else {
      const uint64_t found = conflicts_found_;
      before = cell;
      TouchCell(g, mask, context, conflicts);
      after = cell;
      repeatable = conflicts_found_ == found && before.overflown == 0 && after.overflown == 0;
    }
  }
}

bool Shadow::Same(const Cell& a, const Cell& b) {
  static_assert(sizeof(Cell) % 8 == 0, "compared as words");
  uint64_t x[sizeof(Cell) / 8], y[sizeof(Cell) / 8], different = 0;
  std::memcpy(x, &a, sizeof(Cell));
  std::memcpy(y, &b, sizeof(Cell));
  for (size_t i = 0; i < sizeof(Cell) / 8; ++i) different |= x[i] ^ y[i];
  return different == 0;
}

// The states nearly every access meets, without races: untouched, wholly overwritten, read again by the same pipe, or
// read by one more. Everything else goes through TouchSlow.
void Shadow::TouchCell(uint64_t index, uint32_t mask, const Context& context, std::vector<Conflict>* conflicts) {
  Cell& cell = cells_[index];
  const AccessId& self = context.self;
  const Entry entry{self.seq, mask, self.who, self.kind, 0};
  if (self.kind != Access::kRead) cell.defined |= mask;
  if (cell.overflown != 0) return TouchSlow(index, mask, context, conflicts);
  const int count = cell.count;
  if (self.kind == Access::kWrite) {
    bool replaces = true;
    for (int i = 0; i < count; ++i) {
      const Entry& e = cell.entries[i];
      replaces &= (e.mask & ~mask) == 0 && Ordered(e.who, e.seq, context);
    }
    if (!replaces) return TouchSlow(index, mask, context, conflicts);
    cell.entries[0] = entry;
    for (int i = 1; i < count; ++i) cell.entries[i] = Entry{};  // equal states must be equal bytes
    cell.count = 1;
    return;
  }
  // A read meets earlier reads without conflict, an atomic earlier atomics.
  int own = count;
  for (int i = 0; i < count; ++i) {
    const Entry& e = cell.entries[i];
    if (e.kind == self.kind) {
      if (e.who == self.who && (e.mask & ~mask) == 0) own = i;
      if (self.kind == Access::kAtomic && context.report_atomics) return TouchSlow(index, mask, context, conflicts);
    } else if (!Ordered(e.who, e.seq, context)) {
      return TouchSlow(index, mask, context, conflicts);
    }
  }
  if (own == kInline) return TouchSlow(index, mask, context, conflicts);
  cell.entries[own] = entry;
  if (own == count) ++cell.count;
}

void Shadow::TouchSlow(uint64_t index, uint32_t mask, const Context& context, std::vector<Conflict>* conflicts) {
  Cell& cell = cells_[index];
  const AccessId& self = context.self;
  std::vector<Entry>& live = live_;
  live.clear();
  for (int i = 0; i < cell.count && i < kInline; ++i) live.push_back(cell.entries[i]);
  if (cell.overflown != 0) {
    std::vector<Entry>& more = overflow_[index];
    live.insert(live.end(), more.begin(), more.end());
    more.clear();
  }
  size_t kept = 0;
  for (size_t i = 0; i < live.size(); ++i) {
    Entry e = live[i];
    const uint32_t shared = e.mask & mask;
    if (shared != 0) {
      const bool both_read = e.kind == Access::kRead && self.kind == Access::kRead;
      const bool both_atomic = e.kind == Access::kAtomic && self.kind == Access::kAtomic;
      const bool ordered = Ordered(e.who, e.seq, context);
      bool conflict = !ordered && !both_read && !both_atomic;
      if (both_atomic && !ordered && context.report_atomics && e.who / kClocksPerCore != self.who / kClocksPerCore) {
        conflict = true;
      }
      if (conflict) {
        ++conflicts_found_;
        const uint64_t base = index * kGranule;
        const uint64_t begin = base + static_cast<uint64_t>(__builtin_ctz(shared));
        const uint64_t end = base + 32 - static_cast<uint64_t>(__builtin_clz(shared));
        // One finding for a stretch that conflicts with the same access.
        auto same = std::find_if(conflicts->begin(), conflicts->end(), [&](const Conflict& c) {
          return c.end == begin && c.earlier.seq == e.seq && c.earlier.who == e.who && c.earlier.kind == e.kind;
        });
        if (same != conflicts->end()) {
          same->end = end;
        } else if (conflicts->size() < 8) {
          conflicts->push_back(Conflict{AccessId{e.seq, e.who, e.kind}, begin, end});
        }
      }
      // Forget what can no longer be the earlier side of an unreported race: anything ordered before a later write
      // (or already reported against it), and an earlier read or atomic of this same pipe.
      const bool superseded = (self.kind == Access::kWrite) || (e.who == self.who && e.kind == self.kind);
      if (superseded) e.mask &= ~mask;
    }
    if (e.mask != 0) live[kept++] = e;
  }
  live.resize(kept);
  live.push_back(Entry{self.seq, mask, self.who, self.kind, 0});
  cell.count = static_cast<uint16_t>(std::min<size_t>(live.size(), kInline));
  for (int i = 0; i < kInline; ++i) cell.entries[i] = i < cell.count ? live[i] : Entry{};
  cell.overflown = 0;
  if (live.size() > kInline) {
    cell.overflown = 1;
    overflow_[index].assign(live.begin() + kInline, live.end());
  }
}

uint64_t Shadow::FirstUndefined(uint64_t begin, uint64_t length) const {
  const uint64_t end = begin + length;
  for (uint64_t g = begin / kGranule; g * kGranule < end; ++g) {
    const uint32_t mask = MaskOf(g, begin, end);
    const uint32_t missing = mask & ~cells_[g].defined;
    if (missing != 0) return g * kGranule + static_cast<uint64_t>(__builtin_ctz(missing));
  }
  return end;
}

void Shadow::Define(uint64_t begin, uint64_t length) {
  const uint64_t end = begin + length;
  for (uint64_t g = begin / kGranule; g * kGranule < end; ++g) cells_[g].defined |= MaskOf(g, begin, end);
}

void Shadow::Undefine(uint64_t begin, uint64_t length) {
  const uint64_t end = begin + length;
  for (uint64_t g = begin / kGranule; g * kGranule < end; ++g) cells_[g].defined &= ~MaskOf(g, begin, end);
}

}  // namespace ascend_sim
