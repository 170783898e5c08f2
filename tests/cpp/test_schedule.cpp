// op_host/schedule.h against brute force: some thousand random small problems, each walked core by core and compared
// with units listed one by one from the definition of a visible pair. Build and run: g++ -std=c++17 -O1 -I<root>
// tests/cpp/test_schedule.cpp op_host/schedule.cpp && ./a.out
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "op_host/schedule.h"

namespace {

using namespace triangle;

void check(bool holds, const char* what, int line, const ScheduleProblem& p) {
  if (holds) return;
  std::fprintf(
      stderr, "test_schedule.cpp:%d: %s: %s %s batch %ld heads %ld/%ld window %ld diagonal %ld (%d) block %ld x %ld",
      line, what, p.backward ? "backward" : "forward", p.packed ? "packed" : "dense", long(p.batch), long(p.heads_q),
      long(p.heads_kv), long(p.window_left), long(p.diagonal), int(p.bottom_right), long(p.block.q), long(p.block.k));
  std::fprintf(stderr, " chunk %ld cost %ld/%ld/%ld cores %ld;", long(p.chunk), long(p.cost.full), long(p.cost.edge),
               long(p.cost.task), long(p.cores));
  for (const SequenceLengths& s : p.sequences) std::fprintf(stderr, " %ldx%ld", long(s.q), long(s.k));
  std::fprintf(stderr, "\n");
  std::exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__, problem)

// ---- the definition
// ------------------------------------------------------------------------------------------------------

struct Unit {
  int64_t batch, head_q, row, first_block, past_block, cost;
  bool opens, closes;
};

// (any pair visible, all pairs of a whole block visible along the walked side)
std::pair<bool, bool> look(const ScheduleProblem& p, const SequenceLengths& s, int64_t row_block, int64_t key_block) {
  const int64_t diagonal = p.bottom_right ? s.k - s.q : p.diagonal;
  bool any = false;
  bool full = p.backward ? (row_block + 1) * p.block.q <= s.q : (key_block + 1) * p.block.k <= s.k;
  for (int64_t i = row_block * p.block.q; i < std::min((row_block + 1) * p.block.q, s.q); ++i) {
    for (int64_t j = key_block * p.block.k; j < std::min((key_block + 1) * p.block.k, s.k); ++j) {
      const int64_t position = i + diagonal;
      const bool visible = j <= position && (p.window_left < 0 || j >= position - p.window_left);
      any |= visible;
      full &= visible;
    }
  }
  return {any, full};
}

// All units in the line's order, by looking at every block.
std::vector<Unit> list_units(const ScheduleProblem& p, int64_t task_cost) {
  std::vector<Unit> units;
  const int64_t copies = p.packed ? 1 : p.batch;
  const int64_t group = p.heads_q / p.heads_kv;
  for (size_t sequence = 0; sequence < p.sequences.size(); ++sequence) {
    const SequenceLengths& s = p.sequences[sequence];
    const int64_t across_q = (s.q + p.block.q - 1) / p.block.q, across_k = (s.k + p.block.k - 1) / p.block.k;
    const int64_t rows = p.backward ? across_k : across_q, columns = p.backward ? across_q : across_k;
    for (int64_t head = 0; head < copies * (p.backward ? p.heads_kv : p.heads_q); ++head) {
      const int64_t per_batch = p.backward ? p.heads_kv : p.heads_q;
      for (int64_t row = 0; row < rows; ++row) {
        const size_t first_of_task = units.size();
        for (int64_t query = 0; query < (p.backward ? group : 1); ++query) {
          int64_t last_chunk = -1;
          for (int64_t column = 0; column < columns; ++column) {
            const auto [any, full] = p.backward ? look(p, s, column, row) : look(p, s, row, column);
            if (!any) continue;
            const int64_t chunk = p.chunk == 0 ? 0 : column / p.chunk;
            if (chunk != last_chunk) {
              const int64_t batch = p.packed ? static_cast<int64_t>(sequence) : head / per_batch;
              const int64_t head_q = p.backward ? head % per_batch * group + query : head % per_batch;
              units.push_back({batch, head_q, row, column, column, 0, false, false});
            }
            last_chunk = chunk;
            units.back().past_block = column + 1;
            units.back().cost += full ? p.cost.full : p.cost.edge;
          }
        }
        if (units.size() == first_of_task) {
          const int64_t batch = p.packed ? static_cast<int64_t>(sequence) : head / per_batch;
          units.push_back({batch, head % per_batch * (p.backward ? group : 1), row, 0, 0, 0, false, false});
        }
        units[first_of_task].opens = true;
        units[first_of_task].cost += task_cost;
        units.back().closes = true;
      }
    }
  }
  return units;
}

// The least possible busiest share of contiguous shares.
int64_t least_limit(const std::vector<Unit>& units, int64_t cores) {
  for (int64_t limit = 0;; ++limit) {
    int64_t used = 0, shares = 1;
    bool fits = true;
    for (const Unit& unit : units) {
      fits &= unit.cost <= limit;
      if (used + unit.cost > limit) {
        ++shares;
        used = 0;
      }
      used += unit.cost;
    }
    if (fits && shares <= cores) return limit;
  }
}

// ---- the schedule against it
// ---------------------------------------------------------------------------------------------

using UnitKey = std::tuple<int64_t, int64_t, int64_t, int64_t>;  // batch, head_q, row, first block

// Walks one share, checks its pieces against the units and takes them out of `left`. Returns the share's cost.
template <class Sequences>
int64_t walk(const ScheduleProblem& problem, Walker<Sequences> walker, std::map<UnitKey, Unit>* left,
             std::vector<Unit>* order) {
  int64_t cost = 0;
  Piece piece;
  while (walker.next(&piece)) {
    CHECK(piece.head_kv == piece.head_q / (problem.heads_q / problem.heads_kv));
    int64_t block = piece.blocks.begin;
    bool first = true;
    const SequenceLengths& s = problem.sequences[problem.packed ? piece.batch : 0];
    do {  // a piece is a run of units
      const auto found = left->find({piece.batch, piece.head_q, piece.row, block});
      CHECK(found != left->end());
      const Unit unit = found->second;
      left->erase(found);
      order->push_back(unit);
      cost += unit.cost;
      if (first) CHECK(unit.opens == piece.opens);
      first = false;
      block = unit.past_block;
      CHECK(block <= piece.blocks.end);
      if (block == piece.blocks.end) CHECK(unit.closes == piece.closes);
    } while (block < piece.blocks.end);
    for (int64_t b = piece.blocks.begin; b < piece.blocks.end; ++b) {
      const bool full = (problem.backward ? look(problem, s, b, piece.row) : look(problem, s, piece.row, b)).second;
      CHECK(full == piece.blocks.is_full(b));
    }
  }
  return cost;
}

void check_plan(const ScheduleProblem& problem) {
  const Plan plan = make_plan(problem);
  const std::vector<Unit> units = list_units(problem, plan.line.cost.task);
  std::map<UnitKey, Unit> left;
  int64_t total = 0;
  for (const Unit& unit : units) {
    left[{unit.batch, unit.head_q, unit.row, unit.first_block}] = unit;
    total += unit.cost;
  }
  CHECK(left.size() == units.size());
  CHECK(plan.total == total);
  CHECK(plan.cores() == problem.cores && int64_t(plan.places.size()) == problem.cores + 1);

  std::vector<Unit> order;
  for (int64_t core = 0; core < problem.cores; ++core) {
    int64_t load = walk(problem, plan.walker(core, kMain), &left, &order);
    load += walk(problem, plan.walker(core, kFillers), &left, &order);
    CHECK(load == plan.loads[core]);
  }
  CHECK(left.empty());
  if (!problem.cut_fillers) {
    for (const CorePlace& place : plan.places) CHECK(place.part[kFillers].unit == 0);
  }

  const int64_t contiguous = least_limit(units, problem.cores);
  CHECK(plan.max_load <= contiguous);
  if (plan.line.fillers == 0) {
    CHECK(plan.max_load == contiguous);
    for (size_t i = 0; i < units.size(); ++i) {  // the stated order
      CHECK(order[i].batch == units[i].batch && order[i].head_q == units[i].head_q && order[i].row == units[i].row &&
            order[i].first_block == units[i].first_block);
    }
  } else {
    CHECK(contiguous * problem.cores * 100 > total * 103);  // only where plain cuts break the promise
  }

  const ScheduleFigures f = figures(problem);
  int64_t largest = 0, tasks = 0, empty = 0;
  for (const Unit& unit : units) {
    largest = std::max(largest, unit.cost);
    (unit.past_block == unit.first_block ? empty : tasks) += unit.closes;
  }
  CHECK(f.largest_unit == largest && f.tasks == tasks && f.empty_tasks == empty);
  CHECK(f.lower_bound <= plan.max_load);
  CHECK(plan.max_load <= f.lower_bound + std::max<int64_t>(largest - 1, 0));
  CHECK(plan.max_load * problem.cores <=
        total + (problem.cores - 1) * std::max<int64_t>(largest - 1, 0) + problem.cores - 1);
}

// What a kernel computes for itself from cu_seqlens is the host's plan without fillers.
void check_device_scheme(ScheduleProblem problem) {
  problem.allow_fillers = false;
  const Plan plan = make_plan(problem);
  std::vector<int32_t> cu_q{0}, cu_k{0};
  for (const SequenceLengths& s : problem.sequences) {
    cu_q.push_back(cu_q.back() + int32_t(s.q));
    cu_k.push_back(cu_k.back() + int32_t(s.k));
  }
  const PackedSequences<const int32_t*> sequences{
      cu_q.data(),      cu_k.data(),        int64_t(problem.sequences.size()),
      cu_q.back(),      cu_k.back(),        problem.bottom_right,
      problem.diagonal, problem.window_left};
  TaskLine line = plan.line;
  line.cost = problem.cost;
  count_tasks_if_all_empty(sequences, &line);
  const int64_t limit = smallest_limit(line, sequences, problem.cores);
  CHECK(limit >= plan.max_load);
  for (int64_t core = 0; core < problem.cores; ++core) {
    Start begin, end;
    core_share(line, sequences, limit, core, &begin, &end);
    Walker<PackedSequences<const int32_t*>> mine(line, sequences, kMain, begin, end);
    Walker<BandList> planned = plan.walker(core, kMain);
    Piece a, b;
    while (planned.next(&b)) {
      CHECK(mine.next(&a));
      CHECK(a.batch == b.batch && a.head_q == b.head_q && a.head_kv == b.head_kv && a.row == b.row &&
            a.opens == b.opens && a.closes == b.closes && a.blocks.begin == b.blocks.begin &&
            a.blocks.end == b.blocks.end && a.blocks.full_begin == b.blocks.full_begin &&
            a.blocks.full_end == b.blocks.full_end);
    }
    CHECK(!mine.next(&a));
  }
}

void check_largest_first(const ScheduleProblem& problem) {
  const LargestFirst list(problem);
  std::map<std::tuple<int64_t, int64_t, int64_t>, int64_t> costs;
  const int64_t group = problem.backward ? problem.heads_q / problem.heads_kv : 1;
  for (const Unit& unit : list_units(problem, problem.cost.task))
    costs[{unit.batch, unit.head_q / group, unit.row}] += unit.cost;
  CHECK(list.size() == int64_t(costs.size()));
  int64_t previous = INT64_MAX;
  for (int64_t claim = 0; claim < list.size(); ++claim) {
    const LargestFirst::Task task = list[claim];
    const auto found = costs.find({task.batch, task.head, task.row});
    CHECK(found != costs.end() && found->second == task.cost && task.cost <= previous);
    previous = task.cost;
    costs.erase(found);
  }
}

void check_bad_values_stay_in_bounds() {
  const ScheduleProblem problem;
  const int32_t cu_q[] = {0, 900, -5, 7, 2000000000}, cu_k[] = {3, 1, 500, 20, 10};
  const PackedSequences<const int32_t*> sequences{cu_q, cu_k, 4, 100, 60, true, 0, kNoWindow};
  for (int64_t document = 0; document < 4; ++document) {
    const Band band = sequences.band(document);
    CHECK(band.sq >= 0 && band.sq <= 100 && band.sk >= 0 && band.sk <= 60);
  }
}

void expect_error(const ScheduleProblem& problem, const std::string& message) {
  try {
    make_plan(problem);
  } catch (const std::invalid_argument& error) {
    if (error.what() != message) std::fprintf(stderr, "got:  %s\nwant: %s\n", error.what(), message.c_str());
    CHECK(error.what() == message);
    return;
  }
  CHECK(!"an error was expected");
}

void check_errors() {
  ScheduleProblem good;
  good.sequences = {{100, 100}};
  good.heads_q = 12;
  ScheduleProblem bad = good;
  bad.heads_kv = 5;
  expect_error(bad, "heads_q: expected a multiple of heads_kv (5), got 12");
  bad = good;
  bad.cores = 0;
  expect_error(bad, "cores: expected at least 1 and at most 1048576, got 0");
  bad = good;
  bad.window_left = -2;
  expect_error(bad, "window_size_left: expected None or at least 0, got -2");
  bad = good;
  bad.sequences = {{100, -1}};
  expect_error(bad, "seq_k: expected at least 0 and at most 2147483648, got -1");
  bad = good;
  bad.sequences.clear();
  expect_error(bad, "sequences: expected one entry when not packed, got 0");
  bad = good;
  bad.sequences = {{int64_t{1} << 31, int64_t{1} << 31}};
  expect_error(bad, "pairs of all heads: expected at most 2^62 in all, got 4611686018427387904 * 12");
  bad.heads_q = 1;
  bad.packed = true;
  bad.sequences.push_back(bad.sequences[0]);
  expect_error(bad, "cost of all sequences: expected below 2^62, got more");
}

// A long context: 1M keys, 64 heads, counted in int64 and cut at once.
void check_long() {
  ScheduleProblem problem;
  problem.heads_q = 64;
  problem.heads_kv = 8;
  problem.sequences = {{int64_t{1} << 20, int64_t{1} << 20}};
  problem.cores = 24;
  const int64_t rows = (int64_t{1} << 20) / 128;
  for (const bool backward : {false, true}) {
    problem.backward = backward;
    const Plan plan = make_plan(problem);
    CHECK(plan.total == 64 * (rows * (rows + 1) / 2));
    CHECK(plan.max_load * problem.cores <= plan.total + 4 * problem.cores);
  }
}

}  // namespace

int main() {
  static_assert(std::is_trivially_copyable_v<TaskLine> && std::is_trivially_copyable_v<CorePlace>, "passed by value");
  static_assert(sizeof(Start) == 16 && sizeof(CorePlace) == 32, "a plan for 24 cores is 25 * 32 bytes");
  std::mt19937_64 random(20240607);
  const auto draw = [&](int64_t low, int64_t high) { return low + int64_t(random() % uint64_t(high - low + 1)); };
  int with_fillers = 0, with_whole = 0;
  constexpr int kProblems = 6000;
  for (int n = 0; n < kProblems; ++n) {
    ScheduleProblem p;
    p.backward = draw(0, 1);
    p.packed = draw(0, 2) == 0;
    p.batch = draw(0, 9) == 0 ? 0 : draw(1, 3);
    p.heads_kv = draw(1, 3);
    p.heads_q = p.heads_kv * draw(1, 3);
    const int64_t documents = p.packed ? draw(0, 5) : 1;
    for (int64_t i = 0; i < documents; ++i) p.sequences.push_back({draw(0, 24), draw(0, 24)});
    if (draw(0, 2)) {
      for (SequenceLengths& s : p.sequences) s.k = s.q;
    }
    p.bottom_right = draw(0, 1);
    p.diagonal = draw(-26, 26);
    p.window_left = draw(0, 1) ? kNoWindow : draw(0, 12);
    p.block = {draw(1, 4), draw(1, 4)};
    p.chunk = draw(0, 4);
    if (draw(0, 2) == 0) p.cost = {draw(0, 3), draw(0, 3), draw(0, 2)};
    p.cores = draw(1, 9);
    if (!p.backward || p.heads_q == p.heads_kv) p.cut_fillers = draw(0, 1);
    check_plan(p);
    check_largest_first(p);
    if (p.packed) check_device_scheme(p);
    const Plan plan = make_plan(p);
    with_fillers += plan.line.fillers != 0;
    with_whole += plan.line.fillers != 0 && p.chunk > 0 && !p.cut_fillers;
  }
  check_bad_values_stay_in_bounds();
  check_errors();
  check_long();
  if (with_fillers < kProblems / 100 || with_whole < kProblems / 100) {
    std::fprintf(stderr, "only %d problems took fillers, %d whole ones: they are not tested\n", with_fillers,
                 with_whole);
    return 1;
  }
  std::printf("%d problems, %d with fillers, %d with whole ones beside cuts\n", kProblems, with_fillers, with_whole);
}
