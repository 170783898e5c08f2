// Where the keys of a block lie in user memory: one after another, or in pages of a cache.
#pragma once
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// Keys that follow each other at one stride: a page holds a multiple of them, and kernels take at most so many at once.
constexpr int kRun = 16;

template <class T>
struct KeyRows {
  static constexpr int kRuns = Tiles<T>::kKeyBlock / kRun;
  static_assert(kRun % kLanes<T> == 0 && Tiles<T>::kKeyBlock % kRun == 0);
  const char* run[kRuns] = {};
  int present = 0;        // of keys before it, in pages, nothing may be read but through a stand-in
  int64_t row = 0;        // elements from one key to the next within a run
  int64_t row_bytes = 0;  // the same in bytes
  bool paged = false;

  // Keys [key0, key0 + count) of a block, of k or of v. Runs that end before keys.first stand for others, since their
  // pages may be anybody's: they repeat the run that holds keys.first. In v a key that counts 0 still has to be finite,
  // and that run may end in rows that nobody wrote: there kernels begin at `present`, or take its row.
  template <class S>
  static KeyRows of(const S* base, int64_t row, int64_t page, const Keys& keys, int64_t key0, int count) {
    KeyRows rows;
    rows.row = row;
    rows.row_bytes = row * int64_t(sizeof(S));
    rows.paged = keys.pages != nullptr;
    if (!rows.paged) {
      const char* at = reinterpret_cast<const char*>(base + key0 * row);
      for (int i = 0; i * kRun < count; ++i) rows.run[i] = at + i * kRun * rows.row_bytes;
      return rows;
    }
    const int skipped = key0 < keys.first ? int(keys.first - key0) / kRun : 0;
    const int64_t from = key0 + skipped * kRun;
    int64_t number = from / keys.page_size, offset = from % keys.page_size;
    for (int i = skipped; i * kRun < count; ++i, offset += kRun) {
      if (offset == keys.page_size) {
        ++number;
        offset = 0;
      }
      rows.run[i] = reinterpret_cast<const char*>(base + keys.pages[number] * page + offset * row);
    }
    for (int i = 0; i < skipped; ++i) rows.run[i] = rows.run[skipped];
    rows.present = skipped * kRun;
    return rows;
  }

  template <class S>
  TRIANGLE_INLINE const S* at(int key) const {
    return reinterpret_cast<const S*>(run[key / kRun]) + key % kRun * row;
  }
};

template <class T, class S>
KeyRows<T> rows_of_k(const Keys& keys, int64_t key0, int count) {
  return KeyRows<T>::of(static_cast<const S*>(keys.k), keys.k_row, keys.k_page, keys, key0, count);
}
template <class T, class S>
KeyRows<T> rows_of_v(const Keys& keys, int64_t key0, int count) {
  return KeyRows<T>::of(static_cast<const S*>(keys.v), keys.v_row, keys.v_page, keys, key0, count);
}

}  // namespace triangle::cpu::TRIANGLE_ISA
