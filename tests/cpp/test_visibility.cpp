// op_host/visibility.h against the definition, pair by pair: every small shape, then sizes where 32 bits would
// overflow. Build and run: g++ -std=c++17 -O1 -I<root> tests/cpp/test_visibility.cpp && ./a.out
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include "op_host/visibility.h"

namespace {

using triangle::Band;
using triangle::BlockShape;
using triangle::BlockSpan;
using triangle::Range;

struct Case {
  int64_t sq, sk, diagonal, window;
  BlockShape block;

  // The definition.
  bool visible(int64_t i, int64_t j) const {
    const int64_t p = i + diagonal;
    return j <= p && (window < 0 || j >= p - window);
  }
};

void check(bool holds, const char* what, int line, const Case& c) {
  if (holds) return;
  std::fprintf(stderr, "test_visibility.cpp:%d: %s: sq %ld sk %ld diagonal %ld window %ld block %ld x %ld\n", line,
               what, long(c.sq), long(c.sk), long(c.diagonal), long(c.window), long(c.block.q), long(c.block.k));
  std::exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__, c)

// What the definition says of one block.
struct Block {
  bool any = false, diagonal = false, window = false, all = true;
};

Block look(const Case& c, int64_t row_block, int64_t key_block) {
  Block block;
  for (int64_t i = row_block * c.block.q; i < (row_block + 1) * c.block.q && i < c.sq; ++i) {
    for (int64_t j = key_block * c.block.k; j < (key_block + 1) * c.block.k && j < c.sk; ++j) {
      block.any |= c.visible(i, j);
      block.all &= c.visible(i, j);
      block.diagonal |= j > i + c.diagonal;
      block.window |= c.window >= 0 && j < i + c.diagonal - c.window;
    }
  }
  return block;
}

void check_rows(const Case& c, const Band& band) {
  int64_t pairs = 0, first_seeing = c.sq, past_seeing = 0;
  for (int64_t i = 0; i < c.sq; ++i) {
    const Range keys = triangle::visible_keys(band, i);
    CHECK(0 <= keys.begin && keys.begin <= keys.end && keys.end <= c.sk);
    for (int64_t j = 0; j < c.sk; ++j) {
      const Range rows = triangle::visible_rows(band, j);
      CHECK(c.visible(i, j) == (j >= keys.begin && j < keys.end));
      CHECK(c.visible(i, j) == (i >= rows.begin && i < rows.end));
      if (!c.visible(i, j)) continue;
      ++pairs;
      if (first_seeing == c.sq) first_seeing = i;
      past_seeing = i + 1;
    }
  }
  const Range seeing = triangle::seeing_rows(band);
  CHECK(pairs == 0 ? seeing.empty() : seeing.begin == first_seeing && seeing.end == past_seeing);
  CHECK(pairs == triangle::visible_pairs(band));
  CHECK(pairs == triangle::visible_pairs(triangle::transpose(band)));
}

void check_blocks(const Case& c, const Band& band) {
  int64_t blocks = 0, full_blocks = 0;
  for (int64_t row = 0; row < triangle::row_block_count(band, c.block); ++row) {
    CHECK(blocks == triangle::blocks_before(band, c.block, row));
    CHECK(full_blocks == triangle::full_blocks_before(band, c.block, row));
    const BlockSpan span = triangle::key_blocks(band, c.block, row);
    for (int64_t key = 0; key < triangle::key_block_count(band, c.block); ++key) {
      const Block block = look(c, row, key);
      const bool tail_q = (row + 1) * c.block.q > c.sq, tail_k = (key + 1) * c.block.k > c.sk;
      const BlockSpan column = triangle::row_blocks(band, c.block, key);
      CHECK(block.any == (key >= span.begin && key < span.end));
      CHECK(block.any == (row >= column.begin && row < column.end));
      CHECK((block.any && block.all && !tail_k) == span.is_full(key));
      CHECK((block.any && block.all && !tail_q) == column.is_full(row));
      blocks += block.any;
      full_blocks += span.is_full(key);
      if (!block.any) continue;
      const uint32_t edges = triangle::block_edges(band, c.block, row, key);
      CHECK(((edges & triangle::kDiagonalEdge) != 0) == block.diagonal);
      CHECK(((edges & triangle::kWindowEdge) != 0) == block.window);
      CHECK(((edges & triangle::kTailK) != 0) == tail_k);
      CHECK(((edges & triangle::kTailQ) != 0) == tail_q);
    }
  }
  CHECK(blocks == triangle::count_blocks(band, c.block));
  CHECK(blocks - full_blocks == triangle::count_edge_blocks(band, c.block));
  CHECK(blocks == triangle::count_blocks(triangle::transpose(band), triangle::transpose(c.block)));
}

void check_large() {
  constexpr int64_t kLong = triangle::kMaxLength;
  Case c{kLong, kLong, 0, triangle::kNoWindow, {1, 1}};
  Band band = triangle::make_band(kLong, kLong, 0, triangle::kNoWindow);
  CHECK(triangle::visible_pairs(band) == kLong / 2 * (kLong + 1));
  CHECK(triangle::count_blocks(band, {1, 1}) == kLong / 2 * (kLong + 1));
  CHECK(triangle::count_blocks(band, {128, 128}) == kLong / 256 * (kLong / 128 + 1));
  CHECK(triangle::count_edge_blocks(band, {128, 128}) == kLong / 128);
  CHECK(triangle::key_blocks(band, {128, 128}, kLong / 128 - 1).end == kLong / 128);

  band = triangle::make_band(kLong, kLong, INT64_MAX, triangle::kNoWindow);
  CHECK(triangle::visible_pairs(band) == kLong * kLong);
  CHECK(triangle::count_blocks(band, {1, 1}) == kLong * kLong);
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, INT64_MIN, triangle::kNoWindow)) == 0);
  // diagonal - window must not overflow: left = 0, i.e. keys from the own position on.
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, INT64_MAX, INT64_MAX)) == kLong / 2 * (kLong + 1));
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, INT64_MIN, INT64_MAX)) == 0);
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, INT64_MAX, 5)) == 0);
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, 0, INT64_MAX)) == kLong / 2 * (kLong + 1));
  CHECK(triangle::visible_pairs(triangle::make_band(kLong, kLong, 0, 0)) == kLong);

  // The sum behind the counts, at sizes brute force can still do.
  for (int64_t n = 0; n < 12; ++n) {
    for (int64_t m = 1; m < 9; ++m) {
      for (int64_t a = 0; a < 20; ++a) {
        for (int64_t b = 0; b < 20; ++b) {
          int64_t sum = 0;
          for (int64_t i = 0; i < n; ++i) sum += (a * i + b) / m;
          CHECK(sum == triangle::floor_sum(n, m, a, b));
        }
      }
    }
  }
}

}  // namespace

int main() {
  long cases = 0;
  for (int64_t sq = 0; sq <= 7; ++sq) {
    for (int64_t sk = 0; sk <= 7; ++sk) {
      for (int64_t diagonal = -9; diagonal <= 10; ++diagonal) {
        for (int64_t window = -1; window <= 9; ++window) {
          const Band band = triangle::make_band(sq, sk, diagonal, window);
          check_rows({sq, sk, diagonal, window, {1, 1}}, band);
          for (int64_t q = 1; q <= 4; ++q) {
            for (int64_t k = 1; k <= 4; ++k, ++cases) check_blocks({sq, sk, diagonal, window, {q, k}}, band);
          }
        }
      }
    }
  }
  // A few longer bands, where windows pass whole blocks on both sides.
  for (int64_t sq : {23, 40}) {
    for (int64_t sk : {17, 40, 61}) {
      for (int64_t diagonal = -sq - 1; diagonal <= sk + 20; ++diagonal) {
        for (int64_t window : {-1, 0, 1, 5, 8, 13, 30, 90}) {
          const Band band = triangle::make_band(sq, sk, diagonal, window);
          for (int64_t q : {3, 5, 8}) {
            for (int64_t k : {2, 4, 7}) {
              check_blocks({sq, sk, diagonal, window, {q, k}}, band);
              ++cases;
            }
          }
        }
      }
    }
  }
  check_large();
  std::printf("%ld cases\n", cases);
}
