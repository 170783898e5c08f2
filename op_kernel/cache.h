// Keys and values in a cache, and rows of a key/value head's group in one task: CacheOperands takes the place of
// TensorOperands in the forward.
//
// A sequence's keys lie in pages, whose numbers are read here, run by run of keys; a cache of entries is one of long
// pages. Rows of a task are those of its sequence one by one, and of each all heads of the group: keys and values are
// loaded once for the group, in a decode step as in a chunk of a prompt. Values that a host would check (lengths, page
// numbers, offsets) are clamped: wrong ones give wrong results and no access outside.
#pragma once
#include "read_ahead.h"

namespace triangle {

struct CacheArguments {
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR table;     // int32: page numbers by sequence, or its entry; null: sequence b has entry b
  GM_ADDR cu_seq_q;  // may be null, as the tiling says
  GM_ADDR lengths;   // int32: keys in the cache before the call
  GM_ADDR slopes;
  GM_ADDR sinks;
  GM_ADDR out;
  GM_ADDR lse;
  GM_ADDR workspace;
};

class CacheSequences {
 public:
  static constexpr bool kIntervals = false;
  __aicore__ inline CacheSequences() {}
  __aicore__ inline CacheSequences(const TriangleCacheTiling* tiling, GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths)
      : tiling_(tiling),
        has_table_(table != nullptr),
        cut_(tiling->forward.line.chunk != 0),
        table_(global<int32_t>(table)),
        cu_seq_q_(global<int32_t>(cu_seq_q)),
        lengths_(global<int32_t>(lengths)) {}

  __aicore__ inline int64_t count() const { return tiling_->forward.documents; }
  __aicore__ inline Band band(int64_t sequence) const {
    const int64_t rows = rows_q(sequence).size();
    const int64_t keys = min64(before(sequence) + added(sequence), tiling_->room);
    return make_band(rows, keys, bottom_right_diagonal(rows, keys), tiling_->forward.window_left);
  }
  __aicore__ inline Range rows_q(int64_t sequence) const {
    Range range;
    if (tiling_->packed_q == 0) {
      range.end = tiling_->rows;
      return range;
    }
    range.begin = clamp64(cu_seq_q_.GetValue(sequence), 0, tiling_->forward.total_q);
    const int64_t most = min64(range.begin + tiling_->rows, tiling_->forward.total_q);
    range.end = clamp64(cu_seq_q_.GetValue(sequence + 1), range.begin, most);
    return range;
  }
  __aicore__ inline Range rows_k(int64_t) const { return Range(); }
  __aicore__ inline int64_t batch(int64_t sequence) const { return tiling_->packed_q != 0 ? 0 : sequence; }
  __aicore__ inline int32_t heads_of_task() const { return tiling_->heads_of_task; }

  // Keys in the cache before the call, and those that it appends.
  __aicore__ inline int64_t before(int64_t sequence) const {
    return clamp64(lengths_.GetValue(sequence * tiling_->length_step), 0, tiling_->room);
  }
  __aicore__ inline int64_t added(int64_t sequence) const {
    return tiling_->packed_q != 0 ? tiling_->new_keys * rows_q(sequence).size() : tiling_->new_keys;
  }
  // A sequence's page number `index`, or its entry.
  __aicore__ inline int64_t page(int64_t sequence, int64_t index) const {
    if (!has_table_) return sequence;
    return clamp64(table_.GetValue(sequence * tiling_->table_row + index), 0, tiling_->pages - 1);
  }

  __aicore__ inline TaskLine line() const {
    TaskLine line = tiling_->forward.line;
    if (!cut_) line.chunk = 0;
    return line;
  }
  __aicore__ inline bool cuts() const { return cut_; }
  __aicore__ inline void cut_nothing() { cut_ = false; }

 private:
  const TriangleCacheTiling* tiling_ = nullptr;
  bool has_table_ = false, cut_ = false;
  AscendC::GlobalTensor<int32_t> table_, cu_seq_q_, lengths_;
};

// Where each core begins, as Partition says it of dense problems.
class CachePlaces {
 public:
  // Found by every core from the lengths; may decide that no task is cut.
  __aicore__ inline CachePlaces(const TriangleCacheTiling& tiling, CacheSequences* sequences) {
    TaskLine line = sequences->line();
    count_tasks_if_all_empty(*sequences, &line);
    while (!divide_up(line, *sequences, tiling.forward.cores, sequences->cuts() ? tiling.most_cut : INT64_MAX)) {
      sequences->cut_nothing();
      line.chunk = 0;
    }
  }

  __aicore__ inline Start start(int64_t core) const { return starts_[core]; }
  __aicore__ inline bool is_inside(int64_t core, const Start& place) const {
    const Start& start = starts_[core];
    return start.sequence == place.sequence && start.task == place.task && start.unit > 0;
  }

 private:
  // Shares under smallest_limit(), found as there, with one place that calls advance(), a long routine. Whether the
  // limit is at most `most`.
  __aicore__ inline bool divide_up(const TaskLine& line, const CacheSequences& sequences, int32_t cores, int64_t most) {
    int64_t low = ceil_div(total_cost(line, sequences), cores);
    int64_t high = low + unit_cost_bound(line, sequences);
    for (bool last = false; !last;) {
      last = low >= high;
      const int64_t limit = low + ((high - low) >> 1);
      Start place;
      for (int32_t core = 0; core <= cores; ++core) {
        starts_[core] = place;
        if (core < cores) advance(line, sequences, kMain, limit, &place);
      }
      if (last) break;
      if (place.sequence == sequences.count()) {
        high = limit;
      } else {
        low = limit + 1;
      }
    }
    return low <= most;
  }

  Start starts_[kMaxCores + 1];
};

// The row of its sequence that a task's row belongs to, counted from the task's first one.
__aicore__ inline int32_t row_in_sequence(int32_t row, int32_t heads) {
  return static_cast<int32_t>(static_cast<uint32_t>(row) / static_cast<uint32_t>(heads));
}

// Edges of a tile whose rows are those of a sequence, `heads` times each.
struct GroupEdges {
  TileEdges of_rows;  // of the first row's row
  int32_t heads = 1, offset = 0;

  __aicore__ inline int32_t row_of(int32_t row) const { return row_in_sequence(offset + row, heads); }
  __aicore__ inline bool hides(int32_t rows) const { return of_rows.hides(row_of(rows - 1) + 1); }
  __aicore__ inline int64_t end(int32_t row) const { return of_rows.end(row_of(row)); }
  __aicore__ inline int64_t begin(int32_t row) const { return of_rows.begin(row_of(row)); }
  __aicore__ inline int32_t columns() const { return of_rows.width; }
};

// rows x columns of GM, `pitch` elements apart, into rows 0, step, 2 step .. of an NZ tile of tile_rows16 rows.
template <class T>
__aicore__ inline void load_rows_apart(const AscendC::LocalTensor<T>& dst, int32_t tile_rows16, int32_t step,
                                       const AscendC::GlobalTensor<T>& src, int64_t pitch, int32_t rows,
                                       int32_t columns) {
  AscendC::Nd2NzParams params;
  params.ndNum = 1;
  params.dValue = to16(columns);
  params.srcNdMatrixStride = 0;
  params.dstNzC0Stride = to16(tile_rows16);
  params.dstNzNStride = to16(step);
  params.dstNzMatrixStride = 0;
  const bool at_once = pitch >= 1 && pitch <= kMostNdPitch;
  params.nValue = to16(at_once ? rows : 1);
  params.srcDValue = static_cast<uint16_t>(at_once ? pitch : columns);
  for (int32_t row = 0; row < (at_once ? 1 : rows); ++row)
    AscendC::DataCopy(dst[row * step * 16], src[row * pitch], params);
}

// Rows first .. first + rows of an NZ tile of tile_rows16 rows become 0.
template <class T>
__aicore__ inline void clear_rows(const AscendC::LocalTensor<T>& tile, int32_t tile_rows16, int32_t first, int32_t rows,
                                  int32_t columns) {
  AscendC::InitConstValue(tile[first * 16].template ReinterpretCast<half>(),
                          AscendC::InitConstValueParams<half>(to16(round_up(columns, 16) / 16), to16(rows),
                                                              to16(tile_rows16 - rows), half(0.0f)));
}

class CacheOperands {
 public:
  using Sequences = CacheSequences;
  using Edges = GroupEdges;
  using Mask = NoTileMask;
  using Ahead = ReadAhead<CacheSequences>;

  __aicore__ inline CacheOperands(const TriangleCacheTiling* tiling, const CacheSequences& sequences,
                                  const CachePlaces* places)
      : tiling_(tiling), sequences_(sequences), places_(places) {}

  __aicore__ inline const Sequences& sequences() const { return sequences_; }
  __aicore__ inline const CachePlaces& places() const { return *places_; }
  __aicore__ inline Share share(int64_t core) const {
    Share share;
    share.begin.part[kMain] = places_->start(core);
    share.end.part[kMain] = places_->start(core + 1);
    return share;
  }

  __aicore__ inline Ahead read_ahead(const ForwardArguments& arguments, const Share& share, int32_t half) const {
    return Ahead(tiling_, sequences_, share, arguments.k, arguments.v, half);
  }

  __aicore__ static inline Columns columns(const Stage& stage, int32_t row, int32_t rows) {
    if (rows <= 0) return Columns();
    return visible_columns_between(stage, row_in_sequence(row, stage.heads),
                                   row_in_sequence(row + rows - 1, stage.heads));
  }
  __aicore__ static inline Edges edges(const Stage& stage, int32_t row, int32_t col0, int32_t width) {
    GroupEdges edges;
    const int32_t first = row_in_sequence(row, stage.heads);
    edges.of_rows = tile_edges(stage, first, col0, width);
    edges.heads = stage.heads;
    edges.offset = row - first * stage.heads;
    return edges;
  }

  template <class T>
  __aicore__ inline void load_queries(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& q,
                                      const Stage& stage) const {
    const Strides& strides = tiling_->forward.q;
    const int32_t rows16 = round_up(stage.rows, 16), columns = tiling_->forward.d;
    for (int32_t head = 0; head < stage.heads; ++head) {
      const int64_t at =
          row_offset(strides, stage.batch, stage.head_q * stage.heads + head, stage.first_q + stage.row0);
      load_rows_apart(dst[head * 16], rows16, stage.heads, q[at], strides.row, row_in_sequence(stage.rows, stage.heads),
                      columns);
    }
    if (stage.rows < rows16) clear_rows(dst, rows16, stage.rows, rows16 - stage.rows, columns);
  }

  // Pages left of the window are not read: they may have been given back.
  template <class T>
  __aicore__ inline void load_keys(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& tensor,
                                   const Strides& strides, const Stage& stage, int64_t key, int32_t keys,
                                   int32_t column, int32_t columns) const {
    const int32_t rows16 = round_up(keys, 16);
    const int64_t first_seen = stage.row0 + stage.band.left;
    const uint32_t page_size = static_cast<uint32_t>(tiling_->page_size);
    uint32_t index = static_cast<uint32_t>(key) / page_size;
    int64_t offset = key - int64_t{index} * page_size;
    for (int32_t at = 0; at < keys; ++index) {
      const int32_t run = static_cast<int32_t>(min64(tiling_->page_size - offset, keys - at));
      if (key + at + run <= first_seen) {
        clear_rows(dst, rows16, at, run, columns);
      } else {
        const int64_t from = row_offset(strides, sequences_.page(stage.sequence, index), stage.head_kv, offset);
        load_rows_apart(dst[at * 16], rows16, 1, tensor[from + column], strides.row, run, columns);
      }
      at += run;
      offset = 0;
    }
    if (keys < rows16) clear_rows(dst, rows16, keys, rows16 - keys, columns);
  }

  // Head by head: its rows are `heads` apart in the tile.
  template <class U>
  __aicore__ inline void store(const AscendC::GlobalTensor<U>& dst, const Strides& strides, const Stage& stage,
                               int32_t first, const AscendC::LocalTensor<U>& src, int32_t rows, int32_t columns,
                               int32_t width) const {
    const int32_t heads = stage.heads, bytes = columns * static_cast<int32_t>(sizeof(U));
    for (int32_t i = 0; i < heads && i < rows; ++i) {
      const int32_t row = row_in_sequence(first + i, heads);
      const int64_t at = row_offset(strides, stage.batch, stage.head_q * heads + first + i - row * heads,
                                    stage.first_q + stage.row0 + row);
      AscendC::DataCopyPad(
          dst[at], src[i * width],
          AscendC::DataCopyExtParams(to16(row_in_sequence(rows - i + heads - 1, heads)), static_cast<uint32_t>(bytes),
                                     static_cast<uint32_t>((heads - 1) * width * static_cast<int32_t>(sizeof(U)) / 32),
                                     static_cast<uint32_t>(strides.row * static_cast<int64_t>(sizeof(U)) - bytes), 0));
    }
  }
  __aicore__ static inline bool adjoins(const Strides& strides, const Stage& stage) {
    return strides.row == 1 && stage.heads == 1;
  }

  // The sinks of the heads, by row, join the rows' sums.
  __aicore__ inline void join_sinks(AivChip& chip, const AscendC::GlobalTensor<float>& sinks, const Stage& stage,
                                    int32_t first, int32_t rows) const {
    const Floats values = chip.distances();  // no tile of scores is at work
    const int32_t heads = stage.heads;
    for (int32_t i = 0; i < heads && i < rows; ++i) {
      const int32_t head = first + i - row_in_sequence(first + i, heads) * heads;
      const float sink = sinks.GetValue(static_cast<uint64_t>(stage.head_q * heads + head));
      uint64_t lanes[2][2] = {};
      for (int32_t row = i; row < rows; row += heads) lanes[row >> 6][0] |= uint64_t{1} << (row & 63);
      for (int32_t part = 0; part < 2; ++part) {
        if (lanes[part][0] != 0)
          AscendC::Duplicate(values[part * AivBuffers::kLanes], sink, lanes[part], uint8_t{1}, uint16_t{1}, uint8_t{8});
      }
    }
    join_sink_rows(chip, values, rows);
  }

 private:
  const TriangleCacheTiling* tiling_;
  CacheSequences sequences_;
  const CachePlaces* places_;
};

}  // namespace triangle
