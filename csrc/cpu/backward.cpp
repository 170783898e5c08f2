// Backward: which column of keys runs where and when. A column accumulates its dk and dv privately and adds to dq block
// by block, column j after column j - 1: the order, and so every bit, is the same for any number of threads. Pairs of
// (sequence, kv head) are whole tasks while there are enough of them; of the others each column is a task, and the
// threads follow each other down the rows.
// A whole pair goes through its q heads one after the other, all columns for each, so that what is read and summed
// again and again is one head's q, dout and dq and stays in cache; the other order, all heads for each column, is 9%
// slower at 8 heads a pair (bf16, S = 2048, D = 128).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "csrc/cpu/intervals.h"
#include "csrc/cpu/large_lse.h"
#include "csrc/cpu/tasks.h"
#include "csrc/glibc.h"

#if defined(TRIANGLE_FIRST_GLIBC)
__asm__(".symver exp, exp@" TRIANGLE_FIRST_GLIBC);  // as log: 2.29 has a second version
#endif

namespace triangle::cpu {
namespace {

constexpr int kMostRows = 256;

// A head's q and dout are kept as operands from the first column on where they take less than this, half of a
// second-level cache; packing them again for each column is faster than bringing twice the bytes from further away.
constexpr int64_t kMostOperands = int64_t{512} << 10;

struct Unit {
  const Sequence* sequence = nullptr;
  int64_t kv_head = 0;
  int64_t row_blocks = 0;  // of one q head
  int64_t columns = 0;
  bool whole = true;
  int64_t first_task = 0;
  int64_t prepares = 0;  // tasks before the columns, of units that are not whole: one per q head
  int64_t slot = 0, slot_before = -1;
  double products = 0;

  int64_t tasks() const { return whole ? 1 : prepares + columns; }
};

// Workspace of a unit in flight, in its slot. `heads` is 1 for a whole unit, the group otherwise.
struct Workspace {
  char* dq = nullptr;                      // [heads][row block][D / nr][rows_backward][nr]
  double* delta = nullptr;                 // [heads][Sq]
  std::atomic<int32_t>* column = nullptr;  // [heads][row block]: the column whose turn it is to add to dq
  char* rows = nullptr;                    // [row block]: operands of a whole unit's head; null: in scratch
  char* panels = nullptr;                  // of every column of a whole unit with several heads; else in scratch
};

class BackwardPass {
 public:
  explicit BackwardPass(const Backward& args)
      : args_(args),
        problem_(args.problem),
        kernels_(kernels(args.problem.dtype)),
        common_(common_of(args.problem, kernels_)),
        bytes_(storage_bytes(args.problem.dtype)),
        element_(static_cast<int64_t>(kernels_.element)),
        group_(args.problem.heads_q / args.problem.heads_kv),
        sequences_(sequences(args.problem)),
        intervals_(args.problem, sequences_, kernels_) {
    if (common_.sinks) dsinks_.resize(problem_.batch * problem_.heads_q);
    plan();
  }

  void run() {
    left_ = std::vector<std::atomic<int64_t>>(2 * units_.size());
    normalisers_.resize(units_.size() * group_);
    for (size_t u = 0; u < units_.size(); ++u) {
      prepares_left(u).store(units_[u].prepares, std::memory_order_relaxed);
      columns_left(u).store(units_[u].columns, std::memory_order_relaxed);
    }
    run_tasks(tasks_, workers_, kernels_.backward_scratch(common_.dim, common_.dim_v),
              [this](int64_t task, void* scratch) { run_task(task, scratch); });
    for (int64_t head = 0; common_.sinks && head < problem_.heads_q; ++head) {
      args_.dsinks[head] = 0;
      for (int64_t b = 0; b < problem_.batch; ++b) args_.dsinks[head] += dsinks_[b * problem_.heads_q + head];
    }
  }

 private:
  std::atomic<int64_t>& prepares_left(size_t unit) { return left_[2 * unit]; }
  std::atomic<int64_t>& columns_left(size_t unit) { return left_[2 * unit + 1]; }

  void plan() {
    double products = 0;
    for (const Sequence& s : sequences_) {
      if (s.band.sq == 0 && s.band.sk == 0) continue;
      Unit unit;
      unit.sequence = &s;
      unit.row_blocks = ceil_div(s.band.sq, kernels_.rows_backward);
      unit.columns = ceil_div(s.band.sk, kernels_.keys_backward);
      unit.products = double(visible_pairs(s.band)) * double(group_) * double(3 * problem_.dim + 2 * problem_.dim_v);
      for (unit.kv_head = 0; unit.kv_head < problem_.heads_kv; ++unit.kv_head) units_.push_back(unit);
      products += unit.products * double(problem_.heads_kv);
    }
    workers_ = worth_workers(products);
    std::stable_sort(units_.begin(), units_.end(),
                     [](const Unit& a, const Unit& b) { return a.products > b.products; });

    dq_block_bytes_ = kernels_.rows_backward * round_up(problem_.dim, kernels_.nr) * element_;
    panel_bytes_ = round_up(static_cast<int64_t>(kernels_.column_panels(common_.dim, common_.dim_v)), 64);
    row_bytes_ = round_up(static_cast<int64_t>(kernels_.row_panels(common_.dim, common_.dim_v)), 64);

    // A unit above half a thread's share would leave threads idle at the end; so would a remainder of equal units.
    int64_t whole = 0;
    for (Unit& unit : units_) {
      unit.whole = (workers_ == 1 || unit.products * 2 * workers_ <= products) && panels_fit(unit);
      whole += unit.whole;
    }
    if (workers_ > 1) {
      int64_t odd = whole % workers_;
      for (auto unit = units_.rbegin(); unit != units_.rend() && odd > 0; ++unit) {
        if (!unit->whole) continue;
        unit->whole = false;
        --odd;
        --whole;
      }
    }
    std::stable_partition(units_.begin(), units_.end(), [](const Unit& unit) { return unit.whole; });

    whole_slots_ = std::min<int64_t>(workers_, whole);
    const int64_t shared = static_cast<int64_t>(units_.size()) - whole;
    // Two pairs in flight hide the end of one behind the start of the next; short pairs need more to feed every thread.
    int64_t fewest = INT64_MAX;
    for (const Unit& unit : units_)
      if (!unit.whole) fewest = std::min(fewest, std::max<int64_t>(unit.columns, 1));
    const int64_t shared_slots = shared ? std::min<int64_t>(shared, 1 + ceil_div(2 * workers_, fewest)) : 0;
    std::vector<int64_t> owner(shared_slots, -1);
    int64_t next = 0;
    for (size_t u = 0; u < units_.size(); ++u) {
      Unit& unit = units_[u];
      unit.prepares = unit.whole ? 0 : group_;
      unit.first_task = tasks_;
      tasks_ += unit.tasks();
      (unit.whole ? whole_ : shared_).fit(unit);
      if (unit.whole) continue;
      unit.slot = whole_slots_ + next;
      unit.slot_before = owner[next];
      owner[next] = static_cast<int64_t>(u);
      next = (next + 1) % shared_slots;
    }
    for (int64_t slot = 0; slot < whole_slots_; ++slot) free_.push_back(slot);
    set_sizes(whole_, 1);
    set_sizes(shared_, group_);
    if (group_ == 1) whole_.panels = 0;
    // With intervals nobody knows which column comes first to a block of rows.
    if (whole_.operands > kMostOperands || common_.intervals) whole_.operands = 0;
    shared_.operands = shared_.panels = 0;  // a column's thread may be ahead of the one that would pack
    memory_ = Memory(whole_.bytes() * whole_slots_ + shared_.bytes() * shared_slots);
  }

  // Whether the panels of all columns, which a whole unit of several heads keeps, take no more than copies of its k, v,
  // dk, dv and q (and a little): many keys for few queries go by columns, for which one column's panels at a time
  // suffice.
  bool panels_fit(const Unit& unit) const {
    const Band& band = unit.sequence->band;
    const int64_t copies = band.sk * 2 * (problem_.dim + problem_.dim_v) + group_ * band.sq * problem_.dim;
    constexpr int64_t kLittle = 1 << 20;
    return group_ == 1 || unit.columns * panel_bytes_ <= copies * element_ + kLittle;
  }

  // Bytes of a slot.
  struct Slot {
    int64_t row_blocks = 0, rows = 0, columns = 0;  // most of any unit
    int64_t dq = 0, delta = 0, column = 0, operands = 0, panels = 0;

    void fit(const Unit& unit) {
      row_blocks = std::max(row_blocks, unit.row_blocks);
      rows = std::max(rows, unit.sequence->band.sq);
      columns = std::max(columns, unit.columns);
    }
    int64_t bytes() const { return dq + delta + column + operands + panels; }
  };

  void set_sizes(Slot& slot, int64_t heads) const {
    slot.dq = heads * slot.row_blocks * dq_block_bytes_;
    slot.delta = round_up(heads * slot.rows * int64_t{sizeof(double)}, 64);
    slot.column = round_up(heads * slot.row_blocks * int64_t{sizeof(std::atomic<int32_t>)}, 64);
    slot.operands = slot.row_blocks * row_bytes_;
    slot.panels = slot.columns * panel_bytes_;
  }

  Workspace workspace(int64_t index) const {
    const bool whole = index < whole_slots_;
    const Slot& slot = whole ? whole_ : shared_;
    char* base = static_cast<char*>(memory_.data());
    base += whole ? index * slot.bytes() : whole_slots_ * whole_.bytes() + (index - whole_slots_) * slot.bytes();
    Workspace w;
    w.dq = base;
    w.delta = reinterpret_cast<double*>(base + slot.dq);
    w.column = reinterpret_cast<std::atomic<int32_t>*>(base + slot.dq + slot.delta);
    base += slot.dq + slot.delta + slot.column;
    if (slot.operands) w.rows = base;
    if (slot.panels) w.panels = base + slot.operands;
    return w;
  }

  void run_task(int64_t task, void* scratch) {
    const auto after = std::upper_bound(units_.begin(), units_.end(), task,
                                        [](int64_t t, const Unit& unit) { return t < unit.first_task; });
    const size_t u = after - units_.begin() - 1;
    const Unit& unit = units_[u];
    const int64_t i = task - unit.first_task;
    if (unit.whole) {
      const int64_t slot = take_slot();
      whole_unit(unit, workspace(slot), scratch);
      const std::lock_guard<std::mutex> lock(mutex_);
      free_.push_back(slot);
    } else if (i < unit.prepares) {
      // Both counters: a unit without columns is done when it is prepared.
      if (unit.slot_before >= 0) {
        wait_until([&] {
          return columns_left(unit.slot_before).load(std::memory_order_acquire) == 0 &&
                 prepares_left(unit.slot_before).load(std::memory_order_acquire) == 0;
        });
      }
      prepare(unit, workspace(unit.slot), i);
      prepares_left(u).fetch_sub(1, std::memory_order_release);
    } else {
      wait_until([&] { return prepares_left(u).load(std::memory_order_acquire) == 0; });
      const BackwardColumn column = column_of(unit, workspace(unit.slot), i - unit.prepares, scratch);
      kernels_.begin_column(column);
      for (int64_t g = 0; g < group_; ++g) column_of_head(unit, workspace(unit.slot), column, g);
      kernels_.end_column(column);
      columns_left(u).fetch_sub(1, std::memory_order_release);
    }
  }

  void whole_unit(const Unit& unit, const Workspace& w, void* scratch) {
    const auto each_column = [&](auto f) {
      for (int64_t j = 0; j < unit.columns; ++j) f(column_of(unit, w, j, scratch));
    };
    if (group_ == 1) {
      prepare(unit, w, 0);
      return each_column([&](const BackwardColumn& column) {
        kernels_.begin_column(column);
        column_of_head(unit, w, column, 0);
        kernels_.end_column(column);
      });
    }
    each_column(kernels_.begin_column);
    for (int64_t g = 0; g < group_; ++g) {
      prepare(unit, w, g);
      each_column([&](const BackwardColumn& column) { column_of_head(unit, w, column, g); });
    }
    each_column(kernels_.end_column);
  }

  int64_t take_slot() {  // there are as many slots as workers
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  struct Block {
    int64_t first_row = 0, rows = 0;
    int64_t first_column = 0, past_column = 0;  // columns that some row of it sees; none: equal
  };
  static bool sees(const Block& block, int64_t column) {
    return block.first_column <= column && column < block.past_column;
  }
  Block block_of(const Unit& unit, int64_t index) const {
    const Band& band = unit.sequence->band;
    Block b;
    b.first_row = index * kernels_.rows_backward;
    b.rows = std::min<int64_t>(kernels_.rows_backward, band.sq - b.first_row);
    BlockShape shape;
    shape.q = kernels_.rows_backward;
    shape.k = kernels_.keys_backward;
    const BlockSpan span = key_blocks(band, shape, index);
    b.first_column = span.begin;
    b.past_column = span.end;
    return b;
  }

  // Where head g of the group is in the workspace.
  int64_t place(const Unit& unit, int64_t g) const { return unit.whole ? 0 : g; }

  // delta of one q head, the hand-over counters of its row blocks, and zeros for dq that no column will write.
  void prepare(const Unit& unit, const Workspace& w, int64_t g) {
    const Sequence& s = *unit.sequence;
    const int64_t head = unit.kv_head * group_ + g;
    normalise(unit, g);
    double* delta = w.delta + place(unit, g) * s.band.sq;
    for (int64_t row = 0; row < s.band.sq; row += kDeltaRows) {
      const int rows = static_cast<int>(std::min<int64_t>(kDeltaRows, s.band.sq - row));
      const void *dout[kDeltaRows], *out[kDeltaRows];
      for (int r = 0; r < rows; ++r) {
        dout[r] = address(args_.dout, s, head, s.q_row, row + r, bytes_);
        out[r] = address(args_.out, s, head, s.q_row, row + r, bytes_);
      }
      kernels_.deltas(common_, rows, dout, out, delta + row);
      for (int r = 0; args_.dlse.data && r < rows; ++r) {
        // A row hidden altogether has P = 0, but autograd may hand it NaN: that of logaddexp(-inf, -inf).
        if (statistic(args_.lse, s, head, row + r) == -std::numeric_limits<double>::infinity()) continue;
        delta[row + r] -= statistic(args_.dlse, s, head, row + r);
      }
    }
    if (common_.sinks && !s.outside)
      dsinks_[s.index * problem_.heads_q + head] = dsink(s, head, delta, normalisers_of(unit, g));
    for (int64_t i = 0; i < unit.row_blocks; ++i) {
      const Block block = block_of(unit, i);
      new (&w.column[place(unit, g) * unit.row_blocks + i])
          std::atomic<int32_t>(static_cast<int32_t>(block.first_column));
      if (block.first_column == block.past_column) write_dq(s, head, block, nullptr);
      if (common_.intervals)
        std::memset(w.dq + (place(unit, g) * unit.row_blocks + i) * dq_block_bytes_, 0, dq_block_bytes_);
    }
  }

  // A sequence's share of a sink's gradient. The sink is a key of value 0: its dS = P (0 - delta), summed over the
  // rows.
  double dsink(const Sequence& s, int64_t head, const double* delta, const std::vector<Normaliser>& normalisers) const {
    const double sink = problem_.sinks[head];
    double sum = 0;
    for (int64_t row = 0; row < s.band.sq && sink != -std::numeric_limits<double>::infinity(); ++row) {
      const Normaliser n = normalisers.empty() ? Normaliser{statistic(args_.lse, s, head, row), 1} : normalisers[row];
      sum -= std::exp(sink - n.shift) * n.factor * delta[row];
    }
    return sum;
  }

  // Where some row of a q head has an lse too large to subtract.
  void normalise(const Unit& unit, int64_t g) {
    const Sequence& s = *unit.sequence;
    const int64_t head = unit.kv_head * group_ + g;
    std::vector<Row> rows;
    std::vector<int64_t> which;
    std::vector<Normaliser> made;
    for (int64_t row = 0; row < s.band.sq; ++row) {
      const double lse = statistic(args_.lse, s, head, row);
      if (!is_large_lse(lse, kernels_.element)) continue;
      Row r;
      r.q = address(args_.q, s, head, s.q_row, row, bytes_);
      r.mask = mask_address(problem_.mask, s.index, head, row, storage_bytes(problem_.mask.dtype));
      const Range keys = visible_keys(s.band, row);
      r.lo = keys.begin;
      r.hi = keys.end;
      if (keys.empty()) continue;
      if (common_.alibi) {
        r.slope = slope_of(problem_, s, head);
        r.position = position_of(s, row);
      }
      if (common_.sinks) r.sink = problem_.sinks[head];
      if (common_.intervals) r.hidden = intervals_.of(problem_, s, head, row);
      rows.push_back(r);
      which.push_back(row);
      made.push_back({lse, 1});
    }
    if (rows.empty()) return;
    make_normalisers(kernels_, common_, keys_of(unit), rows, made);
    std::vector<Normaliser>& all = normalisers_of(unit, g);
    all.resize(s.band.sq);
    for (int64_t row = 0; row < s.band.sq; ++row) all[row] = {statistic(args_.lse, s, head, row), 1};
    for (size_t i = 0; i < which.size(); ++i) all[which[i]] = made[i];
  }
  std::vector<Normaliser>& normalisers_of(const Unit& unit, int64_t g) {
    return normalisers_[(&unit - units_.data()) * group_ + g];
  }

  Keys keys_of(const Unit& unit) const {
    const Sequence& s = *unit.sequence;
    Keys keys;
    keys.k = address(args_.k, s, unit.kv_head, s.k_row, 0, bytes_);
    keys.v = address(args_.v, s, unit.kv_head, s.k_row, 0, bytes_);
    keys.k_row = args_.k.row;
    keys.v_row = args_.v.row;
    keys.count = s.band.sk;
    return keys;
  }

  double statistic(const Tensor& t, const Sequence& s, int64_t head, int64_t row) const {
    const void* p = address(t, s, head, s.q_row, row, element_);
    float narrow;
    double wide;
    if (element_ == 8) {
      std::memcpy(&wide, p, sizeof wide);  // it may begin at any byte
      return wide;
    }
    std::memcpy(&narrow, p, sizeof narrow);
    return narrow;
  }

  void write_dq(const Sequence& s, int64_t head, const Block& block, const void* accumulator) const {
    void* dq[kMostRows];
    for (int64_t r = 0; r < block.rows; ++r) dq[r] = address(args_.dq, s, head, s.q_row, block.first_row + r, bytes_);
    kernels_.write_dq(common_, accumulator, static_cast<int>(block.rows), dq);
  }

  BackwardColumn column_of(const Unit& unit, const Workspace& w, int64_t j, void* scratch) const {
    const Sequence& s = *unit.sequence;
    BackwardColumn column;
    column.common = &common_;
    column.keys = keys_of(unit);
    column.key0 = j * kernels_.keys_backward;
    column.count = static_cast<int>(std::min<int64_t>(kernels_.keys_backward, s.band.sk - column.key0));
    column.dk = address(args_.dk, s, unit.kv_head, s.k_row, 0, bytes_);
    column.dv = address(args_.dv, s, unit.kv_head, s.k_row, 0, bytes_);
    column.dk_row = args_.dk.row;
    column.dv_row = args_.dv.row;
    column.scratch = scratch;
    if (w.panels) column.panels = w.panels + j * panel_bytes_;
    column.seen = false;  // with intervals, zeros that every tile adds to
    for (int64_t i = 0; i < unit.row_blocks && !column.seen && !common_.intervals; ++i)
      column.seen = sees(block_of(unit, i), j);
    return column;
  }

  // One q head of the group: every row block that sees the column, top to bottom.
  void column_of_head(const Unit& unit, const Workspace& w, const BackwardColumn& column, int64_t g) {
    const Sequence& s = *unit.sequence;
    const int64_t j = column.key0 / kernels_.keys_backward;
    const int64_t head = unit.kv_head * group_ + g;
    const double* delta = w.delta + place(unit, g) * s.band.sq;
    const Normaliser* normalisers = normalisers_of(unit, g).empty() ? nullptr : normalisers_of(unit, g).data();
    BackwardRow rows[kMostRows];
    bool first = g == 0 && !common_.intervals;
    for (int64_t i = 0; i < unit.row_blocks; ++i) {
      const Block block = block_of(unit, i);
      if (!sees(block, j)) continue;
      const int64_t index = place(unit, g) * unit.row_blocks + i;
      std::atomic<int32_t>& turn = w.column[index];
      const auto wait_turn = [&] { wait_until([&] { return turn.load(std::memory_order_acquire) == j; }); };
      const auto end_turn = [&](void* dq) {
        if (j + 1 == block.past_column) write_dq(s, head, block, dq);
        turn.store(static_cast<int32_t>(j + 1), std::memory_order_release);
      };
      if (intervals_.hide(problem_, s, head, block.first_row, block.rows, j)) {
        wait_turn();
        end_turn(w.dq + index * dq_block_bytes_);
        continue;
      }
      for (int64_t r = 0; r < block.rows; ++r) rows[r] = row_of(s, head, block.first_row + r, delta, normalisers);
      BackwardTile tile;
      tile.row = rows;
      tile.rows = static_cast<int>(block.rows);
      tile.dq = w.dq + index * dq_block_bytes_;
      tile.first = j == block.first_column && !common_.intervals;
      tile.first_of_column = first;
      first = false;
      if (w.rows) {
        tile.panels = w.rows + i * row_bytes_;
        tile.packed = !tile.first;
      }
      if (w.panels) look_ahead(unit, w, j, i, tile);
      kernels_.column_rows(column, tile);
      wait_turn();
      kernels_.column_dq(column, tile);
      end_turn(tile.dq);
    }
  }

  // A share of the next column's panels, so that they are in cache when this column ends.
  void look_ahead(const Unit& unit, const Workspace& w, int64_t j, int64_t i, BackwardTile& tile) const {
    const int64_t share = round_up(ceil_div(panel_bytes_, unit.row_blocks - unit.row_blocks * j / unit.columns), 64);
    const int64_t from = (unit.row_blocks - 1 - i) * share;
    tile.ahead = w.panels + (j + 1) % unit.columns * panel_bytes_ + from;
    tile.ahead_bytes = std::max<int64_t>(std::min(share, panel_bytes_ - from), 0);
  }

  BackwardRow row_of(const Sequence& s, int64_t head, int64_t row, const double* delta,
                     const Normaliser* normalisers) const {
    BackwardRow r;
    r.q = address(args_.q, s, head, s.q_row, row, bytes_);
    r.dout = address(args_.dout, s, head, s.q_row, row, bytes_);
    r.mask = mask_address(problem_.mask, s.index, head, row, storage_bytes(problem_.mask.dtype));
    const Range keys = visible_keys(s.band, row);
    r.lo = keys.begin;
    r.hi = keys.end;
    r.lse = normalisers ? normalisers[row].shift : statistic(args_.lse, s, head, row);
    r.factor = normalisers ? normalisers[row].factor : 1;
    r.delta = delta[row];
    r.philox_row = static_cast<uint32_t>(row);
    r.philox_head = static_cast<uint32_t>(s.index * problem_.heads_q + head);
    if (common_.alibi) {
      r.slope = slope_of(problem_, s, head);
      r.position = position_of(s, row);
    }
    if (common_.intervals) r.hidden = intervals_.of(problem_, s, head, row);
    return r;
  }

  const Backward& args_;
  const Problem& problem_;
  const Kernels& kernels_;
  const Common common_;
  const int64_t bytes_, element_;
  const int64_t group_;
  const std::vector<Sequence> sequences_;
  const Intervals intervals_;
  std::vector<Unit> units_;
  std::vector<std::vector<Normaliser>> normalisers_;  // [unit][q head of the group][Sq]; empty: no row needs one
  std::vector<std::atomic<int64_t>> left_;            // prepares and columns each unit has still to finish
  int64_t tasks_ = 0;
  int workers_ = 1;
  int64_t whole_slots_ = 0;
  Slot whole_, shared_;
  int64_t dq_block_bytes_ = 0, row_bytes_ = 0, panel_bytes_ = 0;
  Memory memory_;
  std::mutex mutex_;
  std::vector<int64_t> free_;   // slots of whole units
  std::vector<double> dsinks_;  // [batch][Hq], where there are sinks
};

}  // namespace

void backward(const Backward& args) { BackwardPass(args).run(); }

}  // namespace triangle::cpu
