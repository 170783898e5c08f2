// Dropout's random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011),
// keyed by position, so every tiling and every backend draws the same mask.
#pragma once
#include <array>
#include <cstdint>

namespace triangle {

// counter = (column / 4, row, batch * heads_q + head, low offset), key = (low seed, high seed ^ high offset); the word
// that column % 4 names belongs to the pair. In packed sequences `batch` is the document and row, column count from its
// start.
inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
               uint32_t(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// A pair is kept iff its word is at least this: P(drop) = p to within 2^-32. p in [0, 1).
inline uint32_t dropout_threshold(double p) { return static_cast<uint32_t>(p * 4294967296.0); }

}  // namespace triangle
