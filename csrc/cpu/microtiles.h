// How a tile of rows is cut into micro-tiles, what keys each of them sees, and where a thread's scratch memory goes.
#pragma once
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// Hands out pieces of scratch memory, each on a cache line. With a null base it only counts.
struct Arena {
  void* base = nullptr;
  size_t used = 0;  // bytes

  template <class T>
  void take(T*& piece, size_t elements) {
    constexpr size_t line = 64;
    piece = base ? reinterpret_cast<T*>(static_cast<char*>(base) + used) : nullptr;
    used += (elements * sizeof(T) + line - 1) / line * line;
  }
};

struct MicroTile {
  int row = 0, rows = 0;
  int64_t lo = 0, hi = 0;  // union of its rows' visible keys; lo == hi: none

  // Its keys within the block [key0, key0 + size): begin is rounded down to a panel.
  template <class T>
  int begin(int64_t key0, int size) const {
    const int64_t b = lo - key0;
    return b <= 0 ? 0 : b >= size ? size : int(b) / Tiles<T>::kNr * Tiles<T>::kNr;
  }
  int end(int64_t key0, int size) const {
    const int64_t e = hi - key0;
    return e <= 0 ? 0 : e >= size ? size : int(e);
  }
};

struct MicroTiles {
  static constexpr int kMost = 64;
  MicroTile tile[kMost];
  int count = 0;
  int64_t lo = 0, hi = 0;  // union over all rows

  template <class T, class R>
  void cut(const R* row, int rows) {
    count = 0;
    lo = hi = 0;
    for (int r = 0; r < rows;) {
      MicroTile& t = tile[count++];
      t.row = r;
      t.rows = micro_rows<T>(rows - r);
      t.lo = t.hi = 0;
      for (const int past = r + t.rows; r < past; ++r) join(t.lo, t.hi, row[r].lo, row[r].hi);
      join(lo, hi, t.lo, t.hi);
    }
  }

  static void join(int64_t& lo, int64_t& hi, int64_t row_lo, int64_t row_hi) {
    if (row_lo >= row_hi) return;
    lo = lo < hi ? smaller(lo, row_lo) : row_lo;
    hi = larger(hi, row_hi);
  }
};

}  // namespace triangle::cpu::TRIANGLE_ISA
