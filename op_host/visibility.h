// Which keys a query sees, and which blocks of the score matrix hold a visible pair: ranges, edges and exact counts.
// Plain C++17 without the standard library's containers, so that host code, CPU kernels and device code share it.
#pragma once
#include <cstdint>

// Device code defines TRIANGLE_FN as `__aicore__ inline` before the first include, and TRIANGLE_DEVICE, which leaves
// out what only the host needs.
#ifndef TRIANGLE_FN
#define TRIANGLE_FN inline
#endif
#ifndef TRIANGLE_SHARED_FN  // the device has one copy of it, as its code is bounded
#define TRIANGLE_SHARED_FN TRIANGLE_FN
#endif
#ifndef TRIANGLE_DIVIDE  // the device has one routine for it, to be called seldom (op_kernel/compat.h)
#define TRIANGLE_DIVIDE(a, b) ((a) / (b))
#endif

namespace triangle {

constexpr int64_t kNoWindow = -1;
// The longest sequence the counts are exact for: visible pairs of one sequence then stay below 2^62.
constexpr int64_t kMaxLength = int64_t{1} << 31;

// Half-open: begin, ..., end - 1. An empty range has begin == end.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;

  TRIANGLE_FN int64_t size() const { return end - begin; }
  TRIANGLE_FN bool empty() const { return begin >= end; }
};

// One sequence's visible region. Pair (i, j), 0 <= i < sq, 0 <= j < sk, is visible iff i + left <= j <= i + right.
// A causal sequence has right = its diagonal; a window of w keys behind the diagonal has left = right - w; without a
// window left is so small that it never binds. Make one with make_band(), which keeps both within [-sq, sk].
struct Band {
  int64_t sq = 0;
  int64_t sk = 0;
  int64_t left = 0;
  int64_t right = 0;
};

// A side of a block, or how many blocks a chunk has: what blocks and keys are divided by, everywhere. The kernels' are
// powers of two, because an AI Core's scalar unit shifts in one cycle and divides 64 bits by a long routine; on the
// host any number will do.
struct Divisor {
  int64_t value;
  int32_t shift;  // value == 1 << shift, or negative where it is no power of two

  TRIANGLE_FN constexpr Divisor(int64_t number) : value(number), shift(0) {  // NOLINT: numbers are divisors
    while (shift < 62 && (int64_t{1} << shift) < value) ++shift;
    if ((int64_t{1} << shift) != value) shift = -1;
  }
  TRIANGLE_FN constexpr operator int64_t() const { return value; }
  // x / value rounded down, for any sign of x.
  TRIANGLE_FN int64_t floor(int64_t x) const {
#if !defined(TRIANGLE_DEVICE)
    if (shift < 0) return x >= 0 ? x / value : -((-x + value - 1) / value);
#endif
    return x >> shift;
  }
  TRIANGLE_FN int64_t ceil(int64_t x) const { return -floor(-x); }
};

// Height (queries) and width (keys) of a block, both >= 1 and <= kMaxLength.
struct BlockShape {
  Divisor q = 128;
  Divisor k = 128;
};

// The blocks of one block row (or, for the transposed band, of one block column) that hold a visible pair: begin ..
// end - 1, without gaps. Those in [full_begin, full_end) need no mask: every row of the block row sees all block.k keys
// of them. The others are edge blocks. A block row that is itself ragged (fewer than block.q rows) does not make its
// blocks edge blocks: rows that do not exist have no result to spoil.
struct BlockSpan {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t full_begin = 0;
  int64_t full_end = 0;

  TRIANGLE_FN int64_t size() const { return end - begin; }
  TRIANGLE_FN int64_t full() const { return full_end - full_begin; }
  TRIANGLE_FN int64_t edges() const { return size() - full(); }
  TRIANGLE_FN bool is_full(int64_t block) const { return block >= full_begin && block < full_end; }
};

// Why a block needs care; a block has any combination of these, an inner block none.
enum BlockEdge : uint32_t {
  kInside = 0,
  kDiagonalEdge = 1,  // the diagonal hides some of its keys from some of its rows
  kWindowEdge = 2,    // the window does
  kTailK = 4,         // fewer than block.k keys exist
  kTailQ = 8,         // fewer than block.q rows exist
};

// ---- arithmetic
// ----------------------------------------------------------------------------------------------------------

TRIANGLE_FN int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
TRIANGLE_FN int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
TRIANGLE_FN int64_t clamp64(int64_t x, int64_t low, int64_t high) { return x < low ? low : (x > high ? high : x); }
// Rounding down and up for any sign of a; b > 0.
TRIANGLE_FN int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = TRIANGLE_DIVIDE(a >= 0 ? a : -a + b - 1, b);
  return a >= 0 ? quotient : -quotient;
}
TRIANGLE_FN int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

// n (n - 1) / 2: one of the two is even, and is halved before they are multiplied.
TRIANGLE_FN int64_t pairs_of(int64_t n) { return (n & 1) == 0 ? (n >> 1) * (n - 1) : ((n - 1) >> 1) * n; }

// sum of i >> shift over 0 <= i < n: whole steps of 1 << shift, and the last one's beginning.
TRIANGLE_FN int64_t stairs(int64_t n, int32_t shift) {
  const int64_t whole = n >> shift;
  return (pairs_of(whole) << shift) + whole * (n - (whole << shift));
}

#if !defined(TRIANGLE_DEVICE)
// sum of floor((a * i + b) / m) over 0 <= i < n, for a, b >= 0 and m >= 1, in O(log m) steps: count the lattice points
// under the line, swap the axes, repeat as in Euclid's algorithm.
TRIANGLE_FN int64_t euclid_floor_sum(int64_t n, int64_t m, int64_t a, int64_t b) {
  int64_t sum = 0;
  while (n > 0) {
    sum += pairs_of(n) * (a / m) + n * (b / m);
    a %= m;
    b %= m;
    const int64_t top = a * n + b;
    n = top / m;
    b = top % m;
    const int64_t swap = a;
    a = m;
    m = swap;
    if (m == 0) break;  // then n is 0 too
  }
  return sum;
}
#endif

// The same. Of powers of two: with a >= m each term is i * (a / m) + floor(b / m); with a < m it is
// floor((i + floor(b / a)) / (m / a)).
TRIANGLE_SHARED_FN int64_t floor_sum(int64_t n, const Divisor& m, const Divisor& a, int64_t b) {
#if !defined(TRIANGLE_DEVICE)
  if (m.shift < 0 || a.shift < 0) return euclid_floor_sum(n, m, a, b);
#endif
  if (n <= 0) return 0;
  if (a.shift >= m.shift) return (pairs_of(n) << (a.shift - m.shift)) + n * (b >> m.shift);
  const int64_t first = b >> a.shift;
  return stairs(first + n, m.shift - a.shift) - stairs(first, m.shift - a.shift);
}

// ---- rows and keys
// -------------------------------------------------------------------------------------------------------

// Query i sits at position i + diagonal and sees keys max(0, position - window_left) .. min(position, sk - 1);
// window_left == kNoWindow: no window. Any diagonal and any window_left >= 0 are exact, INT64_MAX included.
TRIANGLE_FN Band make_band(int64_t sq, int64_t sk, int64_t diagonal, int64_t window_left) {
  Band band;
  band.sq = sq;
  band.sk = sk;
  band.right = clamp64(diagonal, -sq, sk);
  band.left = -sq;
  if (window_left >= 0) {
    const bool underflows = diagonal < INT64_MIN + window_left;
    band.left = clamp64(underflows ? INT64_MIN : diagonal - window_left, -sq, sk);
  }
  return band;
}

// The diagonal that lets the last query see the last key.
TRIANGLE_FN int64_t bottom_right_diagonal(int64_t sq, int64_t sk) { return sk - sq; }

// Rows and keys swapped: block columns of a band are block rows of its transpose. Its own inverse.
TRIANGLE_FN Band transpose(const Band& band) {
  Band result;
  result.sq = band.sk;
  result.sk = band.sq;
  result.left = -band.right;
  result.right = -band.left;
  return result;
}

TRIANGLE_FN BlockShape transpose(const BlockShape& block) {
  BlockShape result;
  result.q = block.k;
  result.k = block.q;
  return result;
}

// The keys that row 0 <= row < sq sees.
TRIANGLE_FN Range visible_keys(const Band& band, int64_t row) {
  Range keys;
  keys.begin = clamp64(row + band.left, 0, band.sk);
  keys.end = clamp64(row + band.right + 1, keys.begin, band.sk);
  return keys;
}

// The rows that see key 0 <= key < sk.
TRIANGLE_FN Range visible_rows(const Band& band, int64_t key) { return visible_keys(transpose(band), key); }

// The rows that see any key: all rows before begin and from end on are empty rows.
TRIANGLE_FN Range seeing_rows(const Band& band) {
  Range rows;
  if (band.sk == 0) return rows;
  rows.begin = clamp64(-band.right, 0, band.sq);
  rows.end = clamp64(band.sk - band.left, rows.begin, band.sq);
  return rows;
}

// Pairs (i, j) with j <= i + right: the band without its left side.
TRIANGLE_FN int64_t pairs_below(int64_t sq, int64_t sk, int64_t right) {
  const int64_t first = clamp64(-right, 0, sq);                // the first row that sees key 0
  const int64_t whole = clamp64(sk - 1 - right, first, sq);    // the first row that sees every key
  const int64_t rows = whole - first;                          // rows that see first + right + 1, one more each
  const int64_t ends = (first + right + 1) + (whole + right);  // twice their mean
  const int64_t slope = rows % 2 == 0 ? rows / 2 * ends : ends / 2 * rows;  // an odd count has an even sum of ends
  return slope + (sq - whole) * sk;
}

TRIANGLE_FN int64_t visible_pairs(const Band& band) {
  if (band.left > band.right) return 0;
  return pairs_below(band.sq, band.sk, band.right) - pairs_below(band.sq, band.sk, band.left - 1);
}

// ---- blocks
// --------------------------------------------------------------------------------------------------------------

TRIANGLE_FN int64_t row_block_count(const Band& band, const BlockShape& block) { return block.q.ceil(band.sq); }
TRIANGLE_FN int64_t key_block_count(const Band& band, const BlockShape& block) { return block.k.ceil(band.sk); }

// The block rows that hold a visible pair; those outside have only empty rows.
TRIANGLE_FN Range seeing_row_blocks(const Band& band, const BlockShape& block) {
  const Range rows = seeing_rows(band);
  Range blocks;
  if (rows.empty()) return blocks;
  blocks.begin = block.q.floor(rows.begin);
  blocks.end = block.q.floor(rows.end - 1) + 1;
  return blocks;
}

// The key blocks of block row 0 <= row_block < row_block_count().
TRIANGLE_SHARED_FN BlockSpan key_blocks(const Band& band, const BlockShape& block, int64_t row_block) {
  BlockSpan span;
  const Range seeing = seeing_row_blocks(band, block);
  if (row_block < seeing.begin || row_block >= seeing.end) return span;
  const int64_t first_row = row_block * block.q;
  const int64_t last_row = min64(first_row + block.q, band.sq) - 1;
  // What some row sees. Consecutive rows' ranges touch, so the union has no gap; and the first row's left end, clipped
  // to key 0, is right even where the first row itself is empty.
  span.begin = block.k.floor(max64(first_row + band.left, 0));
  span.end = block.k.floor(min64(last_row + band.right, band.sk - 1)) + 1;
  // What every row sees, in whole blocks.
  const Range common = {max64(last_row + band.left, 0), min64(first_row + band.right + 1, band.sk)};
  span.full_begin = clamp64(block.k.ceil(common.begin), span.begin, span.end);
  span.full_end = clamp64(block.k.floor(common.end), span.full_begin, span.end);
  return span;
}

// The row blocks of block column 0 <= key_block < key_block_count(), for the backward. Full and edge as seen from the
// column: a full block has all block.q rows, and each sees every existing key of the column.
TRIANGLE_FN BlockSpan row_blocks(const Band& band, const BlockShape& block, int64_t key_block) {
  return key_blocks(transpose(band), transpose(block), key_block);
}

// Bits of BlockEdge for a block that holds a visible pair.
TRIANGLE_FN uint32_t block_edges(const Band& band, const BlockShape& block, int64_t row_block, int64_t key_block) {
  const int64_t first_row = row_block * block.q, past_row = first_row + block.q;
  const int64_t first_key = key_block * block.k, past_key = first_key + block.k;
  uint32_t edges = kInside;
  if (min64(past_key, band.sk) - 1 > first_row + band.right) edges |= kDiagonalEdge;
  if (first_key < min64(past_row, band.sq) - 1 + band.left) edges |= kWindowEdge;
  if (past_key > band.sk) edges |= kTailK;
  if (past_row > band.sq) edges |= kTailQ;
  return edges;
}

// Blocks that hold a visible pair in block rows 0 .. row_block - 1, in O(log) steps; row_block <= row_block_count().
TRIANGLE_FN int64_t blocks_before(const Band& band, const BlockShape& block, int64_t row_block) {
  const Range seeing = seeing_row_blocks(band, block);
  const int64_t first = seeing.begin;
  const int64_t past = min64(row_block, seeing.end);
  if (past <= first) return 0;
  // Sum of the spans' ends, less 1 each: floor((last row + right) / block.k), capped where the last key is reached.
  // Only the sequence's last block row can be ragged; it is added by itself.
  const bool ragged = past * block.q > band.sq;
  const int64_t even = ragged ? past - 1 : past;
  const int64_t last_block = block.k.floor(band.sk - 1);
  const int64_t capped = clamp64(block.q.ceil(band.sk - band.right) - 1, first, max64(first, even));
  int64_t ends = floor_sum(capped - first, block.k, block.q, (first + 1) * block.q - 1 + band.right);
  if (even > capped) ends += (even - capped) * last_block;
  if (ragged) ends += block.k.floor(min64(band.sq - 1 + band.right, band.sk - 1));
  // Sum of the spans' begins: floor((first row + left) / block.k), 0 until the window leaves key 0.
  const int64_t moving = clamp64(block.q.ceil(-band.left), first, past);
  const int64_t begins = floor_sum(past - moving, block.k, block.q, moving * block.q + band.left);
  return ends + (past - first) - begins;
}

// Blocks that hold a visible pair: what is computed.
TRIANGLE_FN int64_t count_blocks(const Band& band, const BlockShape& block) {
  return blocks_before(band, block, row_block_count(band, block));
}

// Those of them that need no mask, as counted by BlockSpan::full(), in O(log) steps. A row block has
// max(0, floor(common end / block.k) - ceil(common begin / block.k)) of them; the sum is taken piece by piece between
// the row blocks where the begin leaves key 0 and where the end reaches the last key.
TRIANGLE_FN int64_t full_blocks_before(const Band& band, const BlockShape& block, int64_t row_block) {
  const Range seeing = seeing_row_blocks(band, block);
  const int64_t past = min64(row_block, seeing.end);
  if (past <= seeing.begin) return 0;
  const bool ragged = past * block.q > band.sq;
  const int64_t n = ragged ? past - 1 : past;
  int64_t sum = ragged ? key_blocks(band, block, n).full() : 0;

  const int64_t end0 = band.right + 1;             // common end of row block 0 before it is capped
  const int64_t begin0 = block.q - 1 + band.left;  // common begin of row block 0 before it is capped
  const int64_t whole = block.k.floor(band.sk);    // full blocks of a row that sees every key
  const int64_t first = clamp64(block.q.ceil(-end0), seeing.begin, max64(n, seeing.begin));  // end >= 0 from here
  const int64_t last = max64(n, first);
  const int64_t sated = clamp64(block.q.ceil(band.sk - end0), first, last);  // every row sees the last key from here
  const int64_t moving = clamp64(block.q.floor(-begin0) + 1, first, last);   // begin > 0 from here
  const int64_t both = max64(sated, moving);
  // Begin at key 0: end alone moves, then nothing does.
  const int64_t grown = min64(sated, moving);
  sum += floor_sum(grown - first, block.k, block.q, first * block.q + end0);
  if (sated < moving) sum += (moving - sated) * whole;
  // Both move: the common range keeps its length, and a length below block.k never holds a block.
  if (moving < sated && end0 - begin0 >= block.k) {
    sum += floor_sum(sated - moving, block.k, block.q, moving * block.q + end0);
    sum -= floor_sum(sated - moving, block.k, block.q, moving * block.q + begin0 + block.k - 1);
  }
  // Begin alone moves, until no whole block is left.
  const int64_t gone = clamp64(block.q.floor((whole - 1) * block.k - begin0) + 1, both, last);
  if (whole > 0 && gone > both) {
    sum += (gone - both) * whole - floor_sum(gone - both, block.k, block.q, both * block.q + begin0 + block.k - 1);
  }
  return sum;
}

// Computed blocks that need a mask, as seen from block rows.
TRIANGLE_FN int64_t count_edge_blocks(const Band& band, const BlockShape& block) {
  return count_blocks(band, block) - full_blocks_before(band, block, row_block_count(band, block));
}

}  // namespace triangle
