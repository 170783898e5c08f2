// The host side of the block schedule: argument checks, the choice of fillers, figures, and the largest-first order.
#include "schedule.h"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace triangle {
namespace {

// The promise: the busiest core has at most this many percent of the mean.
constexpr int64_t kPromisedPercent = 103;
// Costs are summed in int64; checked below 2^62 so that no sum of two overflows.
constexpr int64_t kLargestTotal = int64_t{1} << 62;

[[noreturn]] void bad(const std::string& name, const std::string& expected, const std::string& got) {
  throw std::invalid_argument(name + ": expected " + expected + ", got " + got);
}

void check_range(const std::string& name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  const std::string limit = high == INT64_MAX ? "" : " and at most " + std::to_string(high);
  bad(name, "at least " + std::to_string(low) + limit, std::to_string(value));
}

int64_t checked_product(const char* name, int64_t a, int64_t b) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > kLargestTotal) {
    bad(name, "at most 2^62 in all", std::to_string(a) + " * " + std::to_string(b));
  }
  return product;
}

std::vector<Band> make_bands(const ScheduleProblem& problem) {
  std::vector<Band> bands;
  for (const SequenceLengths& length : problem.sequences) {
    const int64_t diagonal = problem.bottom_right ? bottom_right_diagonal(length.q, length.k) : problem.diagonal;
    bands.push_back(make_band(length.q, length.k, diagonal, problem.window_left));
  }
  return bands;
}

TaskLine make_line(const ScheduleProblem& problem) {
  TaskLine line;
  line.batch = problem.packed ? 1 : problem.batch;
  line.heads_q = problem.heads_q;
  line.heads_kv = problem.heads_kv;
  line.group = problem.heads_kv == 0 ? 1 : problem.heads_q / problem.heads_kv;
  line.block = problem.block;
  line.chunk = problem.chunk;
  line.cost = problem.cost;
  line.backward = problem.backward;
  return line;
}

void check(const ScheduleProblem& problem) {
  constexpr int64_t kMostHeads = int64_t{1} << 24;
  check_range("batch", problem.batch, 0, INT32_MAX);
  check_range("heads_q", problem.heads_q, 1, kMostHeads);
  check_range("heads_kv", problem.heads_kv, 1, kMostHeads);
  if (problem.heads_q % problem.heads_kv != 0) {
    bad("heads_q", "a multiple of heads_kv (" + std::to_string(problem.heads_kv) + ")",
        std::to_string(problem.heads_q));
  }
  check_range("block_q", problem.block.q, 1, kMaxLength);
  check_range("block_k", problem.block.k, 1, kMaxLength);
  check_range("chunk", problem.chunk, 0, kMaxLength);
  check_range("cores", problem.cores, 1, 1 << 20);
  check_range("cost_full", problem.cost.full, 0, 1 << 20);
  check_range("cost_edge", problem.cost.edge, 0, 1 << 20);
  check_range("cost_task", problem.cost.task, 0, 1 << 20);
  if (!problem.cut_fillers && problem.backward && problem.heads_q != problem.heads_kv) {
    bad("cut_fillers", "true where the backward has groups of query heads", "false");
  }
  if (problem.window_left < kNoWindow)
    bad("window_size_left", "None or at least 0", std::to_string(problem.window_left));
  if (!problem.packed && problem.sequences.size() != 1) {
    bad("sequences", "one entry when not packed", std::to_string(problem.sequences.size()));
  }
  check_range("sequences", static_cast<int64_t>(problem.sequences.size()), 0, INT32_MAX);
  const TaskLine line = make_line(problem);
  int64_t worst = 0;
  for (const SequenceLengths& length : problem.sequences) {
    check_range("seq_q", length.q, 0, kMaxLength);
    check_range("seq_k", length.k, 0, kMaxLength);
    const Band band = make_band(length.q, length.k, 0, kNoWindow);
    const int64_t rows = row_block_count(band, problem.block), columns = key_block_count(band, problem.block);
    const int64_t across = problem.backward ? rows : columns;
    const int64_t chunks = problem.chunk == 0 ? 1 : ceil_div(across, problem.chunk);
    check_range("units of a task (group size * chunks)", line.spans_per_task() * chunks, 0, INT32_MAX);
    const int64_t weight = std::max<int64_t>(std::max(problem.cost.full, problem.cost.edge), 1);
    int64_t blocks = checked_product("blocks", rows, columns);
    blocks = checked_product("blocks", blocks, line.batch * problem.heads_q);
    const int64_t cost = checked_product("cost of all blocks", blocks, weight);
    const int64_t tasks = checked_product("cost of all tasks", (rows + columns) * problem.cost.task, line.heads());
    const int64_t pairs = checked_product("pairs of one head", length.q, length.k);
    checked_product("pairs of all heads", pairs, line.batch * problem.heads_q);
    const int64_t sequence = std::max(pairs, cost) / 2 + tasks / 2;
    if (sequence > kLargestTotal / 2 - worst) bad("cost of all sequences", "below 2^62", "more");
    worst += sequence;
  }
}

// How much of the main part a core takes before its fillers.
enum class MainShare {
  kAll,   // as much as the limit allows
  kFull,  // up to kFewerUnits units less, so that fillers leave least of the limit unused
  kEven,  // the cut nearest to an even division; fillers then level the rest
};
constexpr int kFewerUnits = 3;

struct Cutting {
  TaskLine line;
  const BandList& sequences;
  int64_t cores;
  bool cut_fillers;

  TaskLine filler_line() const {
    TaskLine fillers = line;
    if (!cut_fillers) fillers.chunk = 0;
    return fillers;
  }
};

struct Shares {
  std::vector<CorePlace> places{CorePlace{}};
  std::vector<int64_t> loads;
};

// What one core takes from `place` on, which it moves: at most `main_limit` of the main part and `limit` in all.
int64_t take(const Cutting& cutting, const TaskLine& fillers, int64_t main_limit, int64_t limit, CorePlace* place,
             int64_t* main) {
  *main = advance(cutting.line, cutting.sequences, kMain, main_limit, &place->part[kMain]);
  return *main + advance(fillers, cutting.sequences, kFillers, limit - *main, &place->part[kFillers]);
}

// Shares of at most `limit` for all cores; false when something is left over.
bool cut(const Cutting& cutting, int64_t limit, MainShare rule, Shares* shares) {
  const TaskLine &line = cutting.line, fillers = cutting.filler_line();
  const int64_t cores = cutting.cores;
  int64_t main_total = 0;
  if (rule == MainShare::kEven) {
    for (int64_t sequence = 0; sequence < cutting.sequences.count(); ++sequence) {
      main_total += line.heads() * head_cost(line, sequence_tasks(line, cutting.sequences, sequence, kMain));
    }
  }
  const int64_t half_unit = unit_cost_bound(line, cutting.sequences) / 2;
  *shares = Shares{};
  CorePlace place;
  int64_t main_done = 0;
  for (int64_t core = 0; core < cores; ++core) {
    int64_t main_limit = limit;
    if (rule == MainShare::kEven && core + 1 < cores) {
      const int64_t even = main_total / cores * (core + 1) + main_total % cores * (core + 1) / cores;
      main_limit = clamp64(even - main_done + half_unit, 0, limit);
    }
    CorePlace best = place;
    int64_t main = 0, load = take(cutting, fillers, main_limit, limit, &best, &main), fewer = main;
    for (int units = 0; rule == MainShare::kFull && units < kFewerUnits && load < limit && fewer > 0; ++units) {
      CorePlace other = place;
      const int64_t all = take(cutting, fillers, fewer - 1, limit, &other, &fewer);
      if (all <= load) continue;
      load = all;
      main = fewer;
      best = other;
    }
    place = best;
    main_done += main;
    shares->loads.push_back(load);
    shares->places.push_back(place);
  }
  const int64_t count = cutting.sequences.count();
  return place.part[kMain].sequence == count && place.part[kFillers].sequence == count;
}

bool is_promised(int64_t limit, int64_t total, int64_t cores) {
  return static_cast<long double>(limit) * cores * 100 <= static_cast<long double>(total) * kPromisedPercent;
}

// Lowers the limit by fillers where plain cuts leave the busiest core too much: the fewest fillers that keep the
// promise, else those that come nearest. Leaves the line and the shares as chosen.
void choose_fillers(Cutting* cutting, int64_t limit, Shares* shares) {
  const int64_t total = total_cost(cutting->line, cutting->sequences), cores = cutting->cores;
  const int64_t least = ceil_div(total, cores);
  int64_t most_rows = 0, chosen = 0;
  for (int64_t sequence = 0; sequence < cutting->sequences.count(); ++sequence)
    most_rows = std::max(most_rows, sequence_tasks(cutting->line, cutting->sequences, sequence, kMain).rows.size());
  for (int64_t rows = 1; rows < most_rows; rows += 1 + rows / 4) {
    for (const int64_t fillers : {rows, -rows}) {
      for (const MainShare rule : {MainShare::kAll, MainShare::kFull, MainShare::kEven}) {
        Shares found;
        cutting->line.fillers = fillers;
        while (limit > least && !is_promised(limit, total, cores) && cut(*cutting, limit - 1, rule, &found)) {
          limit = *std::max_element(found.loads.begin(), found.loads.end());
          chosen = fillers;
          *shares = found;
        }
      }
    }
  }
  cutting->line.fillers = chosen;
}

// Calls f(sequence index, tasks of the sequence, row) for every row of every sequence.
template <class F>
void for_rows(const TaskLine& line, const BandList& sequences, const F& f) {
  if (line.heads() == 0) return;
  for (int64_t sequence = 0; sequence < sequences.count(); ++sequence) {
    const SequenceTasks tasks = sequence_tasks(line, sequences, sequence, kMain);
    for (int64_t row = tasks.rows.begin; row < tasks.rows.end; ++row) f(sequence, tasks, row);
  }
}

// How many units cost so much, the most expensive first.
using UnitCounts = std::map<int64_t, int64_t, std::greater<int64_t>>;

// Of the j N + 1 largest units one of N cores has j + 1, which cost at least as much as the j + 1 smallest of these. No
// j gives more than the first or the last one where the smallest of all has a given cost.
int64_t pigeonhole_bound(const UnitCounts& units, int64_t cores) {
  std::vector<int64_t> counts{0}, costs{0};  // of the most expensive kinds
  for (const auto& [cost, count] : units) {
    counts.push_back(counts.back() + count);
    costs.push_back(costs.back() + cost * count);
  }
  const auto cost_of_largest = [&](int64_t number) {
    const size_t kind = std::lower_bound(counts.begin(), counts.end(), number) - counts.begin();
    if (kind == 0) return int64_t{0};
    const int64_t each = (costs[kind] - costs[kind - 1]) / (counts[kind] - counts[kind - 1]);
    return costs[kind - 1] + (number - counts[kind - 1]) * each;
  };
  int64_t bound = 0;
  for (size_t kind = 1; kind < counts.size(); ++kind) {
    const int64_t first = ceil_div(counts[kind - 1], cores), last = (counts[kind] - 1) / cores;
    for (const int64_t j : {first, last}) {
      if (first <= last) bound = std::max(bound, cost_of_largest(j * cores + 1) - cost_of_largest(j * (cores - 1)));
    }
  }
  return bound;
}

}  // namespace

Plan make_plan(const ScheduleProblem& problem) {
  check(problem);
  Plan plan;
  plan.bands = make_bands(problem);
  plan.line = make_line(problem);
  count_tasks_if_all_empty(plan.sequences(), &plan.line);
  const int64_t limit = smallest_limit(plan.line, plan.sequences(), problem.cores);
  const BandList sequences = plan.sequences();
  Cutting cutting{plan.line, sequences, problem.cores, problem.cut_fillers};
  Shares shares;
  cut(cutting, limit, MainShare::kAll, &shares);
  if (problem.allow_fillers) choose_fillers(&cutting, limit, &shares);
  plan.line = cutting.line;
  plan.places = std::move(shares.places);
  plan.loads = std::move(shares.loads);
  plan.max_load = *std::max_element(plan.loads.begin(), plan.loads.end());
  plan.total = std::accumulate(plan.loads.begin(), plan.loads.end(), int64_t{0});
  return plan;
}

ScheduleFigures figures(const ScheduleProblem& problem) {
  check(problem);
  const std::vector<Band> bands = make_bands(problem);
  const BandList sequences{bands.data(), static_cast<int64_t>(bands.size())};
  TaskLine line = make_line(problem);
  count_tasks_if_all_empty(sequences, &line);
  ScheduleFigures result;
  UnitCounts units;
  const int64_t query_heads = line.batch * line.heads_q;
  for (const Band& band : bands) {
    result.blocks += query_heads * count_blocks(band, line.block);
    result.square_blocks += query_heads * row_block_count(band, line.block) * key_block_count(band, line.block);
    result.visible_pairs += query_heads * visible_pairs(band);
  }
  for_rows(line, sequences, [&](int64_t, const SequenceTasks& tasks, int64_t row) {
    const BlockSpan span = tasks.span(row);
    (span.size() == 0 ? result.empty_tasks : result.tasks) += line.heads();
    result.edge_blocks += query_heads * span.edges();
    // Units of the third and later query heads repeat those of the second; the first's carries the task's cost.
    const int64_t chunks = std::max<int64_t>(span_chunks(line, span), 1);
    for (int64_t unit = 0; unit < std::min(task_units(line, span), 2 * chunks); ++unit) {
      const int64_t cost = task_cost_before(line, span, unit + 1) - task_cost_before(line, span, unit);
      units[cost] += line.heads() * (unit < chunks ? 1 : line.spans_per_task() - 1);
      result.unit_divisor = std::gcd(result.unit_divisor, cost);
    }
  });
  if (!units.empty()) result.largest_unit = units.begin()->first;
  const int64_t total = total_cost(line, sequences);
  if (total > 0 && line.heads() > 0) {
    const int64_t share = ceil_div(total / result.unit_divisor, problem.cores);
    result.lower_bound = std::max(result.unit_divisor * share, pigeonhole_bound(units, problem.cores));
  }
  return result;
}

LargestFirst::LargestFirst(const ScheduleProblem& problem) {
  check(problem);
  const std::vector<Band> bands = make_bands(problem);
  line_ = make_line(problem);
  const BandList sequences{bands.data(), static_cast<int64_t>(bands.size())};
  for_rows(line_, sequences, [&](int64_t sequence, const SequenceTasks& tasks, int64_t row) {
    const BlockSpan span = tasks.span(row);
    rows_.push_back({task_cost_before(line_, span, task_units(line_, span)), sequence, row});
  });
  std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.cost > b.cost; });
}

LargestFirst::Task LargestFirst::operator[](int64_t claim) const {
  const int64_t heads = line_.heads();
  const Row& row = rows_[claim / heads];
  const int64_t per_batch = line_.backward ? line_.heads_kv : line_.heads_q;
  const int64_t head = claim % heads;
  return {row.sequence * line_.batch + head / per_batch, head % per_batch, row.row, row.cost};
}

}  // namespace triangle
