// A float mask in a tile of scores: loaded for computed tiles only, as it lies in memory, and added in fp32.
#pragma once
#include <type_traits>

#include "mask.h"

namespace triangle {

// Of kernels that have none.
struct NoFloatMask {
  static constexpr bool kEver = false;
  __aicore__ static inline constexpr bool given() { return false; }
  __aicore__ inline void add(const Floats&, int32_t, int32_t) const {}
};

// What was loaded of it, for a tile [rows, width] of at most kFloats scores. T: q's dtype.
template <class T>
struct LoadedMask {
  static constexpr bool kEver = true;
  static constexpr int32_t kFloats = 4096;  // of the area: fp32 values; 16-bit ones in its second half

  int32_t element = 0;  // bytes; 0: no mask
  bool by_row = false;  // one column: the scalar unit reads the rows' values one by one
  Floats area;
  GM_ADDR values = nullptr;
  int64_t pitch = 0;  // elements

  __aicore__ inline bool given() const { return element != 0; }

  // tile [rows, width] += mask; ends with a barrier.
  __aicore__ inline void add(const Floats& tile, int32_t rows, int32_t width) const {
    if (element == 0) return;
    if (by_row) {
      for (int32_t row = 0; row < rows; ++row) AscendC::Adds(tile[row * width], tile[row * width], value(row), width);
      barrier();
      return;
    }
    // 16 bits are widened by halves into the area's first half, where they are not.
    const int32_t at_once = element == 4 ? kFloats : kFloats / 2;
    for (int32_t at = 0; at < rows * width; at += at_once) {
      const int32_t now = smaller(at_once, rows * width - at);
      if (element == 2) {
        AscendC::Cast(area, narrow()[at], AscendC::RoundMode::CAST_NONE, static_cast<uint32_t>(now));
        barrier();
      }
      AscendC::Add(tile[at], tile[at], area, now);
      barrier();
    }
  }

  __aicore__ inline AscendC::LocalTensor<T> narrow() const { return area[kFloats / 2].template ReinterpretCast<T>(); }

 private:
  __aicore__ inline float value(int32_t row) const {
    const uint64_t at = static_cast<uint64_t>(row * pitch);
    if (element == 4) return global<float>(values).GetValue(at);
    if constexpr (std::is_same<T, half>::value) {
      return static_cast<float>(global<half>(values).GetValue(at));
    } else {
      const uint32_t bits = static_cast<uint32_t>(global<uint16_t>(values).GetValue(at)) << 16;
      return *reinterpret_cast<const float*>(&bits);
    }
  }
};

// Whether tiles of a float mask are loaded, and take half of their slot of scores.
__aicore__ inline bool loads_float_mask(const TriangleForwardTiling& tiling) {
  return tiling.bend.mask_element != 0 && tiling.bend.mask_by_row == 0;
}

// Rows row .. row + rows of a head of scores against `columns` keys from `key` on, for a tile `width` wide.
template <class T>
__aicore__ inline LoadedMask<T> load_float_mask(const TriangleForwardTiling& tiling, GM_ADDR mask, const Floats& area,
                                                int64_t batch, int64_t head, int64_t row, int64_t key, int32_t rows,
                                                int32_t columns, int32_t width) {
  LoadedMask<T> loaded;
  loaded.element = tiling.bend.mask_element;
  if (loaded.element == 0) return loaded;
  const int32_t element = loaded.element;
  const int64_t at = row_offset(tiling.mask, batch, head, row);
  loaded.by_row = tiling.bend.mask_by_row != 0;
  loaded.values = mask + at * element;
  loaded.pitch = tiling.mask.row;
  loaded.area = area;
  if (!loaded.by_row) {
    load_mask_rows(area[element == 4 ? 0 : LoadedMask<T>::kFloats / 2].template ReinterpretCast<uint8_t>(),
                   mask + (at + key) * element, rows, columns * element, tiling.mask.row * element, width * element);
  }
  return loaded;
}

}  // namespace triangle
