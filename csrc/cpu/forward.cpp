// Forward: which tile of rows runs where and when. Tall problems pack K and V once per (sequence, kv head) and walk row
// tiles, the costliest first; when all rows that share a kv head fit one tile (decode, short sequences), K and V are
// read once, straight from user memory, split by chunks when there are fewer pairs than threads. Bits are the same.
#include <algorithm>
#include <limits>

#include "csrc/cpu/intervals.h"
#include "csrc/cpu/tasks.h"

namespace triangle::cpu {
namespace {

constexpr int kMostRows = 256;

// One (sequence, kv head): its tasks are numbered from first_task. Packed: pack tasks (one per visible chunk), then row
// tiles. Streamed: one task, or one per visible chunk.
struct Unit {
  const Sequence* sequence = nullptr;
  int64_t kv_head = 0;
  bool packed = false;
  int64_t first_key = 0;                   // visible to some row
  int64_t chunk_begin = 0, chunk_end = 0;  // visible to some row
  int64_t packs = 0, tiles = 0;
  int64_t first_task = 0;
  int64_t slot = 0;
  int64_t slot_before = -1;      // the unit whose packed keys this one overwrites
  int64_t partial_element = -1;  // where its chunks' states are kept, when it is split
  double products = 0;

  int64_t tasks() const { return packs + tiles; }
};

class ForwardPass {
 public:
  explicit ForwardPass(const Forward& args)
      : args_(args),
        problem_(args.problem),
        kernels_(kernels(args.problem.dtype)),
        common_(common_of(args.problem, kernels_)),
        bytes_(storage_bytes(args.problem.dtype)),
        group_(args.problem.heads_q / args.problem.heads_kv),
        sequences_(sequences(args.problem)),
        intervals_(args.problem, sequences_, kernels_) {
    plan();
    scratch_ = kernels_.forward_scratch(common_.dim, common_.dim_v);
    left_ = std::vector<std::atomic<int64_t>>(2 * units_.size());
    for (size_t u = 0; u < units_.size(); ++u) {
      packs_left(u).store(units_[u].packs, std::memory_order_relaxed);
      tiles_left(u).store(units_[u].tiles, std::memory_order_relaxed);
    }
  }

  // What this thread would ask for in run(); it is kept until then.
  void reserve() const { thread_scratch(scratch_); }

  void run() {
    run_tasks(tasks_, workers_, scratch_, [this](int64_t task, void* scratch) { run_task(task, scratch); });
  }

 private:
  std::atomic<int64_t>& packs_left(size_t unit) { return left_[2 * unit]; }
  std::atomic<int64_t>& tiles_left(size_t unit) { return left_[2 * unit + 1]; }

  void plan() {
    double products = 0;
    for (const Sequence& s : sequences_) {
      if (s.band.sq == 0) continue;
      const Range rows = seeing_rows(s.band);
      Unit unit;
      unit.sequence = &s;
      if (!rows.empty()) {
        unit.first_key = visible_keys(s.band, rows.begin).begin;
        unit.chunk_begin = unit.first_key / kernels_.chunk;
        unit.chunk_end = ceil_div(visible_keys(s.band, rows.end - 1).end, kernels_.chunk);
      }
      unit.packed = s.band.sq * group_ > kernels_.rows_forward;
      unit.products = double(visible_pairs(s.band)) * double(group_) * double(problem_.dim + problem_.dim_v);
      for (unit.kv_head = 0; unit.kv_head < problem_.heads_kv; ++unit.kv_head) units_.push_back(unit);
      products += unit.products * double(problem_.heads_kv);
    }
    workers_ = worth_workers(products);
    std::stable_sort(units_.begin(), units_.end(),
                     [](const Unit& a, const Unit& b) { return a.products > b.products; });

    const bool split = int64_t(units_.size()) < 4 * workers_ && workers_ > 1;
    int64_t partial_elements = 0, packed_units = 0, fewest_tiles = INT64_MAX;
    for (Unit& unit : units_) {
      const int64_t chunks = unit.chunk_end - unit.chunk_begin;
      if (unit.packed) {
        unit.packs = chunks;
        unit.tiles = group_ * ceil_div(unit.sequence->band.sq, kernels_.rows_forward);
        fewest_tiles = std::min(fewest_tiles, unit.tiles);
        ++packed_units;
      } else if (split && chunks > 1) {
        unit.tiles = chunks;
        unit.partial_element = partial_elements;
        partial_elements += chunks * state_elements(unit);
      } else {
        unit.tiles = 1;
      }
    }
    // Enough pairs in flight that no thread waits for a slot, and no more: two when a pair keeps every thread busy.
    const int64_t slots = packed_units ? std::min<int64_t>(packed_units, 1 + ceil_div(4 * workers_, fewest_tiles)) : 0;
    std::vector<int64_t> owner(slots, -1);
    int64_t next_slot = 0;
    for (size_t u = 0; u < units_.size(); ++u) {
      Unit& unit = units_[u];
      unit.first_task = tasks_;
      tasks_ += unit.tasks();
      if (!unit.packed) continue;
      const int64_t keys = round_up(unit.sequence->band.sk, kernels_.key_block);
      k_elements_ = std::max(k_elements_, keys * round_up(problem_.dim, kernels_.step));
      v_elements_ = std::max(v_elements_, keys * round_up(problem_.dim_v, kernels_.nr));
      unit.slot = next_slot;
      unit.slot_before = owner[next_slot];
      owner[next_slot] = static_cast<int64_t>(u);
      next_slot = (next_slot + 1) % slots;
    }
    packed_ = Memory((k_elements_ + v_elements_) * slots * kernels_.operand);
    partials_ = Memory(partial_elements * kernels_.element);
  }

  int64_t state_elements(const Unit& unit) const {  // one chunk's state, see ForwardTile
    return unit.sequence->band.sq * group_ * (round_up(problem_.dim_v, kernels_.nr) + 2);
  }

  Keys keys_of(const Unit& unit) const {
    const Sequence& s = *unit.sequence;
    Keys keys;
    keys.k = key_address(args_.k, s, unit.kv_head, bytes_);
    keys.v = key_address(args_.v, s, unit.kv_head, bytes_);
    keys.k_row = args_.k.row;
    keys.v_row = args_.v.row;
    keys.count = s.band.sk;
    keys.first = unit.first_key;
    if (const Cache& cache = problem_.cache; cache.pages) {
      keys.pages = cache.pages + s.index * cache.table_row;
      keys.page_size = cache.page_size;
      keys.k_page = args_.k.batch;
      keys.v_page = args_.v.batch;
    }
    if (unit.packed) {
      char* slot = static_cast<char*>(packed_.data()) + (k_elements_ + v_elements_) * unit.slot * kernels_.operand;
      keys.packed_k = slot;
      keys.packed_v = slot + k_elements_ * kernels_.operand;
    }
    return keys;
  }

  Row row_of(const Sequence& s, int64_t head, int64_t row) const {
    Row r;
    r.q = address(args_.q, s, head, s.q_row, row, bytes_);
    r.out = address(args_.out, s, head, s.q_row, row, bytes_);
    r.lse = address(args_.lse, s, head, s.q_row, row, static_cast<int64_t>(kernels_.element));
    r.mask = mask_address(problem_.mask, s.index, head, row, storage_bytes(problem_.mask.dtype));
    const Range keys = visible_keys(s.band, row);
    r.lo = keys.begin;
    r.hi = keys.end;
    r.philox_row = static_cast<uint32_t>(row);
    r.philox_head = static_cast<uint32_t>(s.index * problem_.heads_q + head);
    if (common_.alibi) {
      r.slope = slope_of(problem_, s, head);
      r.position = position_of(s, row);
    }
    if (common_.sinks) r.sink = s.outside ? -std::numeric_limits<double>::infinity() : problem_.sinks[head];
    if (common_.intervals) r.hidden = intervals_.of(problem_, s, head, row);
    return r;
  }

  void run_task(int64_t task, void* scratch) {
    const auto after = std::upper_bound(units_.begin(), units_.end(), task,
                                        [](int64_t t, const Unit& unit) { return t < unit.first_task; });
    const size_t u = after - units_.begin() - 1;
    const Unit& unit = units_[u];
    const int64_t i = task - unit.first_task;
    if (!unit.packed) {
      streamed_tile(u, i, scratch);
    } else if (i < unit.packs) {
      pack(u, unit.chunk_begin + i);
    } else {
      packed_tile(u, i - unit.packs, scratch);
    }
  }

  void pack(size_t u, int64_t chunk) {
    const Unit& unit = units_[u];
    if (unit.slot_before >= 0)
      wait_until([&] { return tiles_left(unit.slot_before).load(std::memory_order_acquire) == 0; });
    const Keys keys = keys_of(unit);
    const int64_t begin = std::max(chunk * kernels_.chunk, keys.first / kernels_.key_block * kernels_.key_block);
    const int64_t end = std::min((chunk + 1) * kernels_.chunk, keys.count);
    kernels_.pack_k(common_, keys, begin, end);
    kernels_.pack_v(common_, keys, begin, end);
    packs_left(u).fetch_sub(1, std::memory_order_release);
  }

  void packed_tile(size_t u, int64_t tile, void* scratch) {
    const Unit& unit = units_[u];
    const Sequence& s = *unit.sequence;
    const int64_t blocks = ceil_div(s.band.sq, kernels_.rows_forward);
    const int64_t first = (blocks - 1 - tile / group_) * kernels_.rows_forward;  // the last rows see the most keys
    const int64_t head = unit.kv_head * group_ + tile % group_;
    Row rows[kMostRows];
    ForwardTile t;
    t.common = &common_;
    t.row = rows;
    t.rows = static_cast<int>(std::min<int64_t>(kernels_.rows_forward, s.band.sq - first));
    for (int r = 0; r < t.rows; ++r) rows[r] = row_of(s, head, first + r);
    t.keys = keys_of(unit);
    t.chunk_begin = unit.chunk_begin;
    t.chunk_end = unit.chunk_end;
    t.scratch = scratch;
    wait_until([&] { return packs_left(u).load(std::memory_order_acquire) == 0; });
    kernels_.forward_tile(t);
    tiles_left(u).fetch_sub(1, std::memory_order_release);
  }

  void streamed_tile(size_t u, int64_t i, void* scratch) {
    const Unit& unit = units_[u];
    const Sequence& s = *unit.sequence;
    Row rows[kMostRows];
    ForwardTile t;
    t.common = &common_;
    t.row = rows;
    t.rows = static_cast<int>(s.band.sq * group_);
    int r = 0;
    for (int64_t g = 0; g < group_; ++g)
      for (int64_t row = 0; row < s.band.sq; ++row) rows[r++] = row_of(s, unit.kv_head * group_ + g, row);
    t.keys = keys_of(unit);
    t.chunk_begin = unit.chunk_begin;
    t.chunk_end = unit.chunk_end;
    t.scratch = scratch;
    if (unit.partial_element < 0) return kernels_.forward_tile(t);

    char* const states = static_cast<char*>(partials_.data()) + unit.partial_element * kernels_.element;
    t.chunk_begin += i;
    t.chunk_end = t.chunk_begin + 1;
    t.partial = states + i * state_elements(unit) * kernels_.element;
    kernels_.forward_tile(t);
    if (tiles_left(u).fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    MergeTile m;
    m.common = &common_;
    m.row = rows;
    m.rows = t.rows;
    m.partials = states;
    m.chunks = unit.tiles;
    m.scratch = scratch;
    kernels_.merge_tile(m);
  }

  const Forward& args_;
  const Problem& problem_;
  const Kernels& kernels_;
  const Common common_;
  const int64_t bytes_;
  const int64_t group_;
  const std::vector<Sequence> sequences_;
  const Intervals intervals_;
  std::vector<Unit> units_;
  std::vector<std::atomic<int64_t>> left_;  // packs and tiles each unit has still to finish
  int64_t tasks_ = 0;
  int workers_ = 1;
  size_t scratch_ = 0;                       // bytes a thread needs
  int64_t k_elements_ = 0, v_elements_ = 0;  // of one slot
  Memory packed_;
  Memory partials_;
};

}  // namespace

void forward(const Forward& args, const std::function<void()>& first) {
  ForwardPass pass(args);
  if (first) {
    pass.reserve();
    first();
  }
  pass.run();
}

}  // namespace triangle::cpu
