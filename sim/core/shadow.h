// Race and initialisation state of a stretch of memory: per 32-byte granule the accesses that a later access could
// still race with, each with the exact bytes it touched, and which bytes were ever written.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/footprint.h"

namespace ascend_sim {

// A pipe of a core as one number: core * kClocksPerCore + pipe.
using Who = uint16_t;

struct AccessId {
  uint32_t seq;  // position in the program order of its pipe
  Who who;
  Access kind;
};

class Shadow {
 public:
  static constexpr uint32_t kGranule = 32;

  Shadow() = default;
  Shadow(Shadow&& other) noexcept { *this = std::move(other); }
  Shadow& operator=(Shadow&& other) noexcept {
    std::swap(cells_, other.cells_);
    std::swap(cell_count_, other.cell_count_);
    overflow_.swap(other.overflow_);
    return *this;
  }
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;
  ~Shadow() { std::free(cells_); }

  // Pages come zeroed and lazily, so a large GM region costs what is touched of it.
  void Reset(uint64_t bytes);
  bool ready() const { return cells_ != nullptr; }

  // A conflict as Access() found it: `bytes` (bit per byte of granule) shared with `earlier`.
  struct Conflict {
    AccessId earlier;
    uint64_t begin, end;
  };
  // Why an access is checked: ordered(who, seq) == clock[who] >= seq.
  struct Context {
    const uint32_t* clock;
    AccessId self;
    bool same_pipe_ordered;  // program order suffices within self.who
    bool report_atomics;     // determinism mode: concurrent atomics of different cores conflict
  };

  // Records the access to bytes [begin, begin + length) and appends what it races with (at most a few per call).
  void Touch(uint64_t begin, uint64_t length, const Context& context, std::vector<Conflict>* conflicts);
  // First byte in the range never written, or end.
  uint64_t FirstUndefined(uint64_t begin, uint64_t length) const;
  void Define(uint64_t begin, uint64_t length);
  void Undefine(uint64_t begin, uint64_t length);

 private:
  struct Entry {
    uint32_t seq;
    uint32_t mask;
    Who who;
    Access kind;
    uint8_t unused;
  };
  static constexpr int kInline = 3;
  struct Cell {
    uint32_t defined;
    uint16_t count;      // entries in use, inline ones first
    uint16_t overflown;  // whether overflow_ holds more
    Entry entries[kInline];
    uint32_t unused;  // a multiple of 8 bytes, compared as words
  };

  void TouchCell(uint64_t index, uint32_t mask, const Context& context, std::vector<Conflict>* conflicts);
  static bool Same(const Cell& a, const Cell& b);
  void TouchSlow(uint64_t index, uint32_t mask, const Context& context, std::vector<Conflict>* conflicts);

  Cell* cells_ = nullptr;
  uint64_t cell_count_ = 0;
  std::unordered_map<uint64_t, std::vector<Entry>> overflow_;
  std::vector<Entry> live_;  // scratch of TouchSlow
  uint64_t conflicts_found_ = 0;
};

}  // namespace ascend_sim
