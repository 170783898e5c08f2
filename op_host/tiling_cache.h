// What the kernels over a cache are told (op_kernel/forward_cache.cpp): the forward's tiling for packed sequences, and
// how keys and values lie in pages. Made from shapes alone: lengths, page numbers and offsets are read on the device,
// so that the same tiling serves every step of a generation.
#pragma once
#include "tiling.h"

// In the global namespace because the C interface of op_kernel/launch.h passes it.
struct TriangleCacheTiling {
  // packed, bottom-right; k, v: the caches, whose `batch` leads from page to page; documents: sequences.
  TriangleForwardTiling forward;
  int32_t heads_of_task = 1;  // query heads of one key/value head whose rows share a task: row by row, head by head
  int32_t heads_kv = 1;
  int32_t packed_q = 0;     // 1: rows by cu_seq_q, at most `rows` of each sequence; 0: `rows` of each
  int32_t reads_ahead = 0;  // 1: the vector cores read keys and values ahead of the cube (op_kernel/read_ahead.h)
  int64_t rows = 0;
  int64_t new_keys = 0;   // appended to each sequence; packed: 1 where each row of q brings its own, else 0
  int64_t pages = 0;      // in the cache
  int64_t page_size = 0;  // keys; a cache of entries is one of long pages, a sequence having one
  int64_t room = 0;       // keys that a sequence has room for: page_size times the columns of the table
  int64_t table_row = 0;  // elements from a sequence's page numbers to the next one's
  int64_t length_step = 0;
  // The busiest core's blocks up to which the chunk partials of cut tasks fit their place. Where there are more, no
  // task is cut.
  int64_t most_cut = 0;
  triangle::Strides new_k, new_v;
};

namespace triangle {

#if !defined(TRIANGLE_DEVICE)  // the rest is for the host

struct CacheProblem {
  // sq: rows of each sequence, or packed their number T; batch: sequences. sk, diagonal, documents are not looked at.
  ForwardProblem forward;
  int64_t most_rows = 0;  // of one sequence
  int64_t new_keys = 0;   // as TriangleCacheTiling's
  int64_t pages = 0, page_size = 0, room = 0, table_row = 0, length_step = 1;
  Strides new_k, new_v;
};

struct CachePlan {
  TriangleCacheTiling tiling;
  int64_t workspace_bytes = 0;
};

// Throws std::invalid_argument naming the argument.
CachePlan make_cache_plan(const CacheProblem& problem);

constexpr int32_t kMostRowsReadAhead = 64;  // of a task: more use what is read into (op_kernel/buffers_aiv.h)
constexpr int64_t kMostCutBytes = int64_t{256} << 20;  // of workspace, for the chunk partials of cut tasks

#endif

}  // namespace triangle
