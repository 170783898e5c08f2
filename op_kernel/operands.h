// Where a forward kernel finds its rows, keys and values, and where its results go: tensors by strides. Kernels over a
// cache take CacheOperands (cache.h) in its place.
#pragma once
#include "cube.h"
#include "merge.h"
#include "workspace.h"

namespace triangle {

struct ForwardArguments {
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR mask;
  GM_ADDR cu_seq_q;
  GM_ADDR cu_seq_k;
  GM_ADDR out;
  GM_ADDR lse;
  GM_ADDR workspace;
  GM_ADDR slopes = nullptr;  // fp32, of the kernels that bend scores, as sinks
  GM_ADDR sinks = nullptr;
};

// [rows, columns] of a tile whose rows are `width` apart (the 32 B multiple above `columns`) to GM rows `pitch` apart.
template <class U>
__aicore__ inline void store_rows(const AscendC::GlobalTensor<U>& dst, const AscendC::LocalTensor<U>& src, int32_t rows,
                                  int32_t columns, int32_t width, int64_t pitch) {
  const int64_t gap = (pitch - columns) * static_cast<int64_t>(sizeof(U));
  const uint32_t bytes = static_cast<uint32_t>(columns * sizeof(U));
  if (gap >= 0 && gap <= int64_t{0xffffffff}) {
    AscendC::DataCopyPad(dst, src, AscendC::DataCopyExtParams(to16(rows), bytes, 0, static_cast<uint32_t>(gap), 0));
    return;
  }
  for (int32_t row = 0; row < rows; ++row) {
    AscendC::DataCopyPad(dst[row * pitch], src[row * width], AscendC::DataCopyExtParams(1, bytes, 0, 0, 0));
  }
}

// In the place of what reads ahead of the cube (read_ahead.h).
struct NoReadAhead {
  template <class Sequences>
  __aicore__ inline void next(const Sequences&, AivChip&) const {}
};

class TensorOperands {
 public:
  using Sequences = ForwardSequences;
  using Edges = TileEdges;
  using Mask = TileMask;
  using Ahead = NoReadAhead;

  __aicore__ inline TensorOperands(const TriangleForwardTiling* tiling, const ForwardArguments& arguments)
      : tiling_(tiling), sequences_(tiling, arguments.cu_seq_q, arguments.cu_seq_k) {}

  __aicore__ inline const Sequences& sequences() const { return sequences_; }
  __aicore__ inline Share share(int64_t core) const {
    return share_of(*tiling_, tiling_->line, tiling_->partition, sequences_, core);
  }
  // Where the cores begin, if tasks may be cut.
  __aicore__ inline const Partition& places() const { return tiling_->partition; }

  __aicore__ static inline Ahead read_ahead(const ForwardArguments&, const Share&, int32_t) { return Ahead(); }

  // The columns of a stage that rows row .. row + rows of its task see.
  __aicore__ static inline Columns columns(const Stage& stage, int32_t row, int32_t rows) {
    return visible_columns(stage, row, rows);
  }
  __aicore__ static inline Edges edges(const Stage& stage, int32_t row, int32_t col0, int32_t width) {
    return tile_edges(stage, row, col0, width);
  }

  // A task's rows of q into L1.
  template <class T>
  __aicore__ inline void load_queries(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& q,
                                      const Stage& stage) const {
    const int64_t at = row_offset(tiling_->q, stage.batch, stage.head_q, stage.first_q + stage.row0);
    load_rows(dst, q[at], tiling_->q.row, stage.rows, tiling_->d);
  }
  // `keys` rows of k or v from the sequence's row `key` on, `columns` of them from `column` on, into a tile of L1.
  template <class T>
  __aicore__ inline void load_keys(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& tensor,
                                   const Strides& strides, const Stage& stage, int64_t key, int32_t keys,
                                   int32_t column, int32_t columns) const {
    const int64_t at = row_offset(strides, stage.batch, stage.head_kv, stage.first_k + key) + column;
    load_rows(dst, tensor[at], strides.row, keys, columns);
  }

  // Rows first .. first + rows of a task, from a tile whose rows are `width` apart.
  template <class U>
  __aicore__ inline void store(const AscendC::GlobalTensor<U>& dst, const Strides& strides, const Stage& stage,
                               int32_t first, const AscendC::LocalTensor<U>& src, int32_t rows, int32_t columns,
                               int32_t width) const {
    const int64_t at = row_offset(strides, stage.batch, stage.head_q, stage.first_q + stage.row0 + first);
    store_rows(dst[at], src, rows, columns, width, strides.row);
  }
  // Whether values of a task's rows, one a row, lie side by side in GM.
  __aicore__ static inline bool adjoins(const Strides& strides, const Stage&) { return strides.row == 1; }
  // A task's sink joins the sums of `rows` of its rows.
  __aicore__ static inline void join_sinks(AivChip& chip, const AscendC::GlobalTensor<float>& sinks, const Stage& stage,
                                           int32_t, int32_t rows) {
    join_sink(chip, sinks.GetValue(static_cast<uint64_t>(stage.head_q)), rows);
  }

 private:
  const TriangleForwardTiling* tiling_;
  ForwardSequences sequences_;
};

}  // namespace triangle
