#include "core/scalar_cache.h"

#include <algorithm>

namespace ascend_sim {

namespace {

// Bits of the bytes of `line` that lie in [begin, begin + bytes).
uint64_t Bits(uint64_t line, uint64_t begin, uint64_t bytes) {
  const uint64_t base = line * ScalarCaches::kLineBytes;
  const uint64_t low = begin > base ? begin - base : 0;
  const uint64_t high = std::min(begin + bytes - base, ScalarCaches::kLineBytes);
  const uint64_t upto = high == 64 ? ~0ull : (1ull << high) - 1;
  return upto & ~((1ull << low) - 1);
}

}  // namespace

ScalarCaches::Copy& ScalarCaches::CopyOf(int core, uint64_t line) {
  Line& copies = lines_[line];
  for (Copy& copy : copies) {
    if (copy.core == core) return copy;
  }
  copies.push_back(Copy{});
  copies.back().core = core;
  return copies.back();
}

// Only lines that some cache holds: through the range or through the map, whichever is shorter.
template <class Body>
void ScalarCaches::ForEachLine(uint64_t begin, uint64_t bytes, Body body) {
  const uint64_t first = begin / kLineBytes, last = (begin + bytes - 1) / kLineBytes;
  if (last - first < lines_.size()) {
    for (uint64_t line = first; line <= last; ++line) {
      auto at = lines_.find(line);
      if (at != lines_.end()) body(line, at->second);
    }
    return;
  }
  for (auto& entry : lines_) {
    if (entry.first >= first && entry.first <= last) body(entry.first, entry.second);
  }
}

ScalarCaches::Stale ScalarCaches::Load(int core, uint64_t begin, uint64_t bytes) {
  Stale result;
  for (uint64_t line = begin / kLineBytes; line <= (begin + bytes - 1) / kLineBytes; ++line) {
    Copy& copy = CopyOf(core, line);
    const uint64_t hit = copy.stale & Bits(line, begin, bytes);
    if (hit != 0 && !result.found) {
      result = Stale{true, line * kLineBytes + static_cast<uint64_t>(__builtin_ctzll(hit)), copy.writer, copy.written};
    }
  }
  return result;
}

void ScalarCaches::Store(int core, uint64_t begin, uint64_t bytes, Site site) {
  for (uint64_t line = begin / kLineBytes; line <= (begin + bytes - 1) / kLineBytes; ++line) {
    Copy& copy = CopyOf(core, line);
    const uint64_t bits = Bits(line, begin, bytes);
    copy.dirty |= bits;
    copy.stale &= ~bits;
    copy.stored = site;
  }
}

ScalarCaches::Stale ScalarCaches::Other(int scalar_core, int core, uint64_t begin, uint64_t bytes, bool write,
                                        Site site) {
  Stale result;
  ForEachLine(begin, bytes, [&](uint64_t line, Line& copies) {
    const uint64_t bits = Bits(line, begin, bytes);
    for (Copy& copy : copies) {
      if (copy.core == scalar_core) continue;
      const uint64_t hit = copy.dirty & bits;
      if (hit != 0 && !result.found) {
        result = Stale{true, line * kLineBytes + static_cast<uint64_t>(__builtin_ctzll(hit)), copy.core, copy.stored};
      }
      if (write) {
        copy.stale |= bits;
        copy.dirty &= ~bits;  // reported once
        copy.writer = core;
        copy.written = site;
      }
    }
  });
  return result;
}

bool ScalarCaches::Holds(int core, uint64_t line) const {
  const auto at = lines_.find(line);
  if (at == lines_.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const Copy& copy) { return copy.core == core; });
}

std::vector<uint64_t> ScalarCaches::Dirty(int core, uint64_t address) const {
  std::vector<uint64_t> result;
  for (const auto& [line, copies] : lines_) {
    if (address != 0 && line != address / kLineBytes) continue;
    for (const Copy& copy : copies) {
      if (copy.core == core && copy.dirty != 0) result.push_back(line);
    }
  }
  return result;
}

void ScalarCaches::CleanAndInvalidate(int core, uint64_t address) {
  for (auto at = lines_.begin(); at != lines_.end();) {
    Line& copies = at->second;
    if (address == 0 || at->first == address / kLineBytes) {
      copies.erase(std::remove_if(copies.begin(), copies.end(), [&](const Copy& copy) { return copy.core == core; }),
                   copies.end());
    }
    at = copies.empty() ? lines_.erase(at) : std::next(at);
  }
}

}  // namespace ascend_sim
