// Rows whose lse is so large that its rounding is not small beside log(sum): exp(score - lse) would not sum to 1 in the
// backward. Their maximum and their sum are made again from the scores and kept apart.
#pragma once
#include <vector>

#include "csrc/cpu/tasks.h"

namespace triangle::cpu {

// P = exp(score - shift) * factor. Otherwise shift is lse and factor 1.
struct Normaliser {
  double shift = 0, factor = 1;
};

// The rounding of such an lse changes P by 2^-13 and more in fp32, by 2^-23 in fp64.
inline bool is_large_lse(double lse, size_t element) {
  const double limit = element == 8 ? 0x1p30 : 0x1p11;
  return (lse > limit || lse < -limit) && lse - lse == 0;
}

// Of `rows` (q, mask, lo, hi and what bends a score are read), whose lse is given, in place. An lse that was merged
// over more keys than these stays: only a sum over all of them could replace it. It is told by its distance from
// theirs, above 3/4 epsilon of lse; one that is nearer is theirs but for rounding.
void make_normalisers(const Kernels& kernels, const Common& common, const Keys& keys, const std::vector<Row>& rows,
                      std::vector<Normaliser>& normalisers);

}  // namespace triangle::cpu
