// What the scheduling code (compiled once, for any CPU) asks of the arithmetic (compiled once per instruction set):
// a table of functions on plain pointers. Nothing here instantiates code, so no symbol can leak an instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

#include "csrc/cpu/attention.h"

namespace triangle::cpu {

// Of one interval of rows a key, over the keys of a block: the least and the greatest start and end. An interval that
// hides nothing has start INT32_MAX and end 0.
struct IntervalBlock {
  int32_t first_start = 0, last_start = 0, first_end = 0, last_end = 0;
};

// What startend_row_indices says of one row, where the problem has them: see intervals.h.
struct HiddenRows {
  const int32_t* bounds = nullptr;        // of key 0: its interval's start; every further bound interval_stride on
  const IntervalBlock* blocks = nullptr;  // [block][intervals]
  int32_t row = 0;                        // the row, as bounds count it
};

// One query row of a tile: where it lives and which keys [lo, hi) of its sequence it sees (lo == hi: none).
struct Row {
  const void* q = nullptr;     // [D]
  void* out = nullptr;         // [Dv]
  void* lse = nullptr;         // one element
  const char* mask = nullptr;  // element (row, key 0) of the mask, or null
  int64_t lo = 0, hi = 0;
  uint32_t philox_row = 0, philox_head = 0;
  double slope = 0, position = 0;  // alibi: see bend.h
  double sink = 0;                 // where the problem has sinks
  HiddenRows hidden;
};

// What is the same for every row of a problem.
struct Common {
  DType dtype = DType::kFloat32;
  int dim = 0, dim_v = 0;
  double scale = 1.0;
  DType mask_dtype = DType::kBool;
  int64_t mask_col = 0;
  bool mask_hides = false;
  bool dropout = false;
  uint32_t threshold = 0;  // a pair is kept iff its Philox word is at least this
  uint32_t offset = 0;     // Philox counter word 3
  uint32_t key[2] = {0, 0};
  double keep_scale = 1.0;  // 1 / (1 - p)
  double softcap = 0;       // 0: none
  bool alibi = false, sinks = false;
  int intervals = 0;  // of hidden rows, a key
  int64_t interval_stride = 0;

  bool bends() const { return softcap != 0 || alibi; }
};

// The keys and values of one (sequence, kv head): in place, and in micro-panel order when `packed_k` is set:
//   packed_k [Sk / nr][D / step][nr][step], packed_v [Sk / key_block][Dv / nr][key_block / step][nr][step], padded up.
struct Keys {
  const void* k = nullptr;  // row j at k + j * k_row elements
  const void* v = nullptr;
  int64_t k_row = 0, v_row = 0;
  int64_t count = 0;  // Sk
  int64_t first = 0;  // keys before this one are seen by no row, and their pages are not read
  // With pages: key j is row j % page_size of page pages[j / page_size], pages k_page and v_page elements apart.
  const int32_t* pages = nullptr;
  int64_t page_size = 0, k_page = 0, v_page = 0;
  const void* packed_k = nullptr;
  const void* packed_v = nullptr;
};

// Softmax state of `rows` rows over one chunk: accumulator [Dv / nr][rows][nr], then max [rows], sum [rows].
struct ForwardTile {
  const Common* common = nullptr;
  const Row* row = nullptr;
  int rows = 0;
  Keys keys;
  int64_t chunk_begin = 0, chunk_end = 0;  // chunks of `chunk` keys, anchored at key 0
  void* partial = nullptr;                 // set: write the state of the (single) chunk here; null: finish the rows
  void* scratch = nullptr;
};

struct MergeTile {
  const Common* common = nullptr;
  const Row* row = nullptr;
  int rows = 0;
  const void* partials = nullptr;  // one state per chunk, partial_elements(rows, dim_v) elements apart
  int64_t chunks = 0;
  void* scratch = nullptr;
};

struct BackwardRow {
  const void* q = nullptr;     // [D]
  const void* dout = nullptr;  // [Dv]
  const char* mask = nullptr;
  int64_t lo = 0, hi = 0;
  double lse = 0, delta = 0;
  double factor = 1;  // P = exp(score - lse) * factor, see large_lse.h
  uint32_t philox_row = 0, philox_head = 0;
  double slope = 0, position = 0;  // alibi: see bend.h
  HiddenRows hidden;
};

// One block of key_block_backward keys: its keys and values as operands, dk and dv accumulate in `panels` from
// begin_column to end_column; in scratch, where that is null and the thread works on no other column meanwhile.
struct BackwardColumn {
  const Common* common = nullptr;
  Keys keys;
  int64_t key0 = 0;
  int count = 0;  // keys in this column
  void* dk = nullptr;
  void* dv = nullptr;
  int64_t dk_row = 0, dv_row = 0;
  void* scratch = nullptr;
  void* panels = nullptr;  // column_panels() bytes on a cache line
  bool seen = true;        // some tile will follow
};

// One block of rows against one column. `dq` is the fp32 (fp64) accumulator [D / nr][rows][nr].
struct BackwardTile {
  const BackwardRow* row = nullptr;
  int rows = 0;
  void* dq = nullptr;
  bool first = false;           // dq holds nothing yet
  const char* ahead = nullptr;  // memory that will be needed next, brought to the second-level cache meanwhile
  int64_t ahead_bytes = 0;
  bool first_of_column = false;  // dk and dv hold nothing yet
  // Where the rows' operands are, row_panels() bytes on a cache line; in scratch, where that is null.
  void* panels = nullptr;
  bool packed = false;  // they are there already
};

constexpr int kDeltaRows = 16;

struct Kernels {
  int nr = 0;             // lanes of a micro-panel
  int key_block = 0;      // keys between two rescalings of the accumulator
  int chunk = 0;          // keys that share one softmax state
  int rows_forward = 0;   // most rows in a forward tile
  int rows_backward = 0;  // rows in a backward block
  int keys_backward = 0;  // keys in a backward column
  int step = 0;           // elements of the inner dimension that one lane multiplies at a time: see operands.h
  size_t element = 0;     // bytes of an accumulator element
  size_t operand = 0;     // bytes of a packed element

  size_t (*forward_scratch)(int dim, int dim_v);                       // bytes a thread needs
  size_t (*backward_scratch)(int dim, int dim_v);                      // bytes a thread needs
  size_t (*row_panels)(int dim, int dim_v);                            // bytes of BackwardTile::panels
  size_t (*column_panels)(int dim, int dim_v);                         // bytes of BackwardColumn::panels
  void (*pack_k)(const Common&, const Keys&, int64_t k0, int64_t k1);  // keys [k0, k1), k0 a multiple of key_block
  void (*pack_v)(const Common&, const Keys&, int64_t k0, int64_t k1);
  void (*forward_tile)(const ForwardTile&);
  void (*merge_tile)(const MergeTile&);

  // rowsum(dout * out) of up to kDeltaRows rows.
  void (*deltas)(const Common&, int rows, const void* const* dout, const void* const* out, double* delta);
  void (*begin_column)(const BackwardColumn&);
  void (*column_rows)(const BackwardColumn&, const BackwardTile&);  // P, dP, dS; dv += P^T dout; dk += dS^T q
  void (*column_dq)(const BackwardColumn&, const BackwardTile&);    // dq += dS k, of the latest column_rows
  void (*end_column)(const BackwardColumn&);
  // dq = scale * accumulator; row r of the block goes to dq[r] (a null accumulator writes zeros).
  void (*write_dq)(const Common&, const void* accumulator, int rows, void* const* dq);
  // Runs the full-height micro-kernel `repeats` times on operands in the first-level cache, the yardstick of
  // benchmarks; returns its multiply-adds. `scratch` holds 64 KiB.
  double (*micro_kernel)(int repeats, void* scratch);
  // y = exp(x) as the softmax computes it, and y = tanh(x) as softcap does; for tests of their errors.
  void (*exp)(const void* x, void* y, int64_t n);
  void (*tanh)(const void* x, void* y, int64_t n);
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace triangle::cpu
