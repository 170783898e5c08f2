// What happens to a score besides the product: visibility, the user's mask, dropout.
#pragma once
#include "csrc/cpu/exp.h"
#include "csrc/cpu/kernels.h"
#include "csrc/cpu/operands.h"
#include "csrc/cpu/tiles.h"

namespace triangle::cpu::TRIANGLE_ISA {

// exp to what operands E keep of it.
template <class E>
TRIANGLE_INLINE Vector<Sum<E>> exp_for_operands(Vector<Sum<E>> x) {
#if defined(__AVX512BF16__)
  if constexpr (kStep<E> > 1) return rough_exp(x);
#endif
  return exp(x);
}
template <class E>
TRIANGLE_INLINE Vector<Sum<E>> exp_for_operands_of_nonpositive(Vector<Sum<E>> x) {
#if defined(__AVX512BF16__)
  if constexpr (kStep<E> > 1) return rough_exp_of_nonpositive(x);
#endif
  return exp_of_nonpositive(x);
}

// s where begin <= column < end, -inf elsewhere; lane i is column first + i.
template <class T>
TRIANGLE_INLINE Vector<T> hide_outside(Vector<T> s, int first, int begin, int end) {
  using I = typename IntOf<T>::type;
  const IntVector<T> column = indices<T>(first);
  const auto inside = (column >= I(begin)) & (column < I(end));
  return inside ? s : splat(-kInfinity<T>);
}

// What the intervals of a block of keys hide from a row. Where two hide it only together, kSome.
enum class Hides { kNothing, kSome, kAll };
template <class R>
inline Hides hides(const Common& common, const R& row, int64_t block) {
  Hides result = Hides::kNothing;
  for (int n = 0; n < common.intervals; ++n) {
    const IntervalBlock& b = row.hidden.blocks[block * common.intervals + n];
    const int32_t r = row.hidden.row;
    if (r >= b.last_start && r < b.first_end) return Hides::kAll;
    if (r >= b.first_start && r < b.last_end) result = Hides::kSome;
  }
  return result;
}

template <class T>
TRIANGLE_INLINE IntVector<T> load_bounds(const int32_t* p) {
  if constexpr (sizeof(T) == 4) {
    return load(p);
  } else {
    IntVector<T> v{};
    for (int i = 0; i < kLanes<T>; ++i) v[i] = p[i];
    return v;
  }
}

// s, or -inf where an interval of keys key, key + 1, ... hides the row.
template <class T, class R>
inline Vector<T> hide_intervals(Vector<T> s, const Common& common, const R& row, int64_t key) {
  using I = typename IntOf<T>::type;
  for (int n = 0; n < common.intervals; ++n) {
    const int32_t* start = row.hidden.bounds + 2 * n * common.interval_stride + key;
    const I r = row.hidden.row;
    const auto inside = (load_bounds<T>(start) <= r) & (load_bounds<T>(start + common.interval_stride) > r);
    s = inside ? splat(-kInfinity<T>) : s;
  }
  return s;
}

template <class T, class S>
TRIANGLE_INLINE Vector<T> mask_lanes(const char* mask, int64_t key, int64_t stride, int begin, int end) {
  Vector<T> m{};
  const S* at = reinterpret_cast<const S*>(mask) + key * stride;
  for (int i = begin; i < end; ++i) {
    if constexpr (sizeof(S) == 2) {
      m[i] = T(load_part<float>(at + i * stride, 1)[0]);
    } else {
      m[i] = T(read(at + i * stride));
    }
  }
  return m;
}

// s plus the mask of keys key + [begin, end), or hidden where a boolean mask says so; no other element of it is
// read.
template <class T>
inline Vector<T> apply_mask(Vector<T> s, const Common& common, const char* mask, int64_t key, int begin, int end) {
  const int64_t stride = common.mask_col;
  switch (common.mask_dtype) {
    case DType::kBool: {
      const Vector<T> given = mask_lanes<T, uint8_t>(mask, key, stride, begin, end);
      const Vector<T> hidden = splat(-kInfinity<T>);
      if (common.mask_hides) return given != T(0) ? hidden : s;
      return given != T(0) ? s : hidden;
    }
    case DType::kBFloat16:
      return s + mask_lanes<T, BFloat16>(mask, key, stride, begin, end);
    case DType::kFloat16:
      return s + mask_lanes<T, Float16>(mask, key, stride, begin, end);
    case DType::kFloat64:
      return s + mask_lanes<T, double>(mask, key, stride, begin, end);
    default:
      if (stride == 1 && begin == 0 && end == kLanes<T> && sizeof(T) == 4)
        return s + load_as(reinterpret_cast<const T*>(mask) + key);
      return s + mask_lanes<T, float>(mask, key, stride, begin, end);
  }
}

// factor[i] = 0 or 1 / (1 - p) for columns first + i, i < count, of one row; see op_host/philox.h for the counter.
// Philox 4x32-10 is repeated here because code shared with other objects must not be compiled with this object's flags.
template <class T>
inline void dropout_factors(const Common& common, uint32_t row, uint32_t head, int64_t first, int count, T* factor) {
  const T keep = T(common.keep_scale);
  // Whole vectors are loaded from factor: what lies past count would be 0 * garbage, which may be NaN.
  const int loaded = (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  for (int i = count; i < loaded; ++i) factor[i] = T(0);
  for (int i = 0; i < count; i += 4) {
    uint32_t c0 = uint32_t((first + i) / 4), c1 = row, c2 = head, c3 = common.offset;
    uint32_t k0 = common.key[0], k1 = common.key[1];
    for (int round = 0; round < 10; ++round) {
      const uint64_t a = uint64_t(0xD2511F53u) * c0;
      const uint64_t b = uint64_t(0xCD9E8D57u) * c2;
      const uint32_t old1 = c1, old3 = c3;
      c0 = uint32_t(b >> 32) ^ old1 ^ k0;
      c1 = uint32_t(b);
      c2 = uint32_t(a >> 32) ^ old3 ^ k1;
      c3 = uint32_t(a);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    factor[i] = c0 >= common.threshold ? keep : T(0);
    factor[i + 1] = c1 >= common.threshold ? keep : T(0);
    factor[i + 2] = c2 >= common.threshold ? keep : T(0);
    factor[i + 3] = c3 >= common.threshold ? keep : T(0);
  }
}

}  // namespace triangle::cpu::TRIANGLE_ISA
