#include "csrc/cpu/large_lse.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/glibc.h"

#if defined(TRIANGLE_FIRST_GLIBC)
__asm__(".symver exp, exp@" TRIANGLE_FIRST_GLIBC);  // 2.29 has a second version of both
__asm__(".symver log, log@" TRIANGLE_FIRST_GLIBC);
#endif

namespace triangle::cpu {
namespace {

// Maximum and sum [rows] of the chunks of up to rows_forward rows, from forward tiles, whose scores have the
// backward's bits.
template <class T>
void reduce(const Kernels& kernels, const Common& common, const Keys& keys, const Row* row, int rows, double* max,
            double* sum) {
  int64_t first = std::numeric_limits<int64_t>::max(), past = 0;
  for (int r = 0; r < rows; ++r) {
    first = std::min(first, row[r].lo);
    past = std::max(past, row[r].hi);
  }
  const int64_t accumulators = rows * round_up(common.dim_v, kernels.nr);
  const Memory scratch(kernels.forward_scratch(common.dim, common.dim_v));
  const Memory state((accumulators + 2 * rows) * sizeof(T));
  std::fill_n(max, rows, -std::numeric_limits<double>::infinity());
  std::fill_n(sum, rows, 0.0);
  for (int64_t chunk = first / kernels.chunk; chunk * kernels.chunk < past; ++chunk) {
    ForwardTile tile;
    tile.common = &common;
    tile.row = row;
    tile.rows = rows;
    tile.keys = keys;
    tile.chunk_begin = chunk;
    tile.chunk_end = chunk + 1;
    tile.partial = state.data();
    tile.scratch = scratch.data();
    kernels.forward_tile(tile);
    const T* chunk_max = static_cast<const T*>(state.data()) + accumulators;
    const T* chunk_sum = chunk_max + rows;
    for (int r = 0; r < rows; ++r) {
      if (!(chunk_sum[r] > 0)) continue;
      const double top = std::max<double>(max[r], chunk_max[r]);
      sum[r] = sum[r] * std::exp(max[r] - top) + chunk_sum[r] * std::exp(chunk_max[r] - top);
      max[r] = top;
    }
  }
}

}  // namespace

void make_normalisers(const Kernels& kernels, const Common& common, const Keys& keys, const std::vector<Row>& rows,
                      std::vector<Normaliser>& normalisers) {
  const bool wide = kernels.element == 8;
  const double epsilon = wide ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  std::vector<double> max(kernels.rows_forward), sum(kernels.rows_forward);
  for (size_t begin = 0; begin < rows.size(); begin += kernels.rows_forward) {
    const int count = static_cast<int>(std::min<size_t>(kernels.rows_forward, rows.size() - begin));
    if (wide) {
      reduce<double>(kernels, common, keys, &rows[begin], count, max.data(), sum.data());
    } else {
      reduce<float>(kernels, common, keys, &rows[begin], count, max.data(), sum.data());
    }
    for (int r = 0; r < count; ++r) {
      if (common.sinks) {
        const double sink = rows[begin + r].sink, top = std::max(max[r], sink);
        if (top == -std::numeric_limits<double>::infinity()) continue;
        sum[r] = sum[r] * std::exp(max[r] - top) + std::exp(sink - top);
        max[r] = top;
      }
      Normaliser& n = normalisers[begin + r];
      const double lse = n.shift;
      // The forward's own rounding is at most epsilon / 2 of lse. What lies further off was merged over more keys, and
      // may still be close: with one key here and max 2^20, fp32, a third of the sum elsewhere is 4 epsilon of lse.
      if (!(sum[r] > 0) || std::abs(max[r] + std::log(sum[r]) - lse) > 0.75 * epsilon * std::abs(lse)) continue;
      n = {max[r], 1 / sum[r]};
    }
  }
}

}  // namespace triangle::cpu
