// Packed sequences, whose lengths only the device knows: what its cores compute for themselves from cumulative lengths
// (share_of() in op_kernel/tasks.h) against brute force, for small random problems, and how even it is for large ones,
// which is printed. Build and run: g++ -std=c++17 -O1 -I<root> tests/cpp/test_packed_tiling.cpp op_host/*.cpp &&
// ./a.out
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <tuple>
#include <vector>

#include "op_host/schedule.h"
#include "op_host/tiling_backward.h"
#include "op_host/walker.h"

namespace {

using namespace triangle;

// The schedules of a launch.
enum Kind { kForward, kFast, kColumns, kRows, kKinds };
const char* const kNames[kKinds] = {"forward", "fast backward", "deterministic, columns", "deterministic, rows"};

struct Packed {
  ForwardProblem shape;  // sq, sk, documents: of all documents
  std::vector<SequenceLengths> lengths;
  std::vector<int32_t> cu_q{0}, cu_k{0};

  void add(int64_t sq, int64_t sk) {
    lengths.push_back({sq, sk});
    shape.packed = true;
    shape.documents += 1;
    shape.sq += sq;
    shape.sk += sk;
    cu_q.push_back(static_cast<int32_t>(shape.sq));
    cu_k.push_back(static_cast<int32_t>(shape.sk));
  }
  PackedSequences<const int32_t*> sequences() const {
    return {cu_q.data(), cu_k.data(),        shape.documents, shape.sq,
            shape.sk,    shape.bottom_right, shape.diagonal,  shape.window_left};
  }
};

void check(bool holds, const char* what, int line, const Packed& problem, Kind kind) {
  if (holds) return;
  const ForwardProblem& p = problem.shape;
  std::fprintf(stderr, "test_packed_tiling.cpp:%d: %s: %s, heads %ld/%ld, D %ld, window %ld, cores %ld, documents",
               line, what, kNames[kind], long(p.heads_q), long(p.heads_kv), long(p.d), long(p.window_left),
               long(p.cores));
  for (const SequenceLengths& length : problem.lengths)
    std::fprintf(stderr, " %ldx%ld", long(length.q), long(length.k));
  std::fprintf(stderr, "\n");
  std::exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__, problem, kind)

// ---- the shares

using Block = std::tuple<int64_t, int64_t, int64_t, int64_t>;  // document, head, block row, block column

struct Shares {
  std::map<Block, int> times;                                  // each block of each core, where they are asked for
  std::map<std::tuple<int64_t, int64_t, int64_t>, int> tasks;  // (document, head, row or column): how often opened
  std::vector<int64_t> blocks, opened;                         // of each core
  int64_t with_blocks = 0;                                     // tasks

  int64_t total() const { return std::accumulate(blocks.begin(), blocks.end(), int64_t{0}); }
  int64_t most() const { return *std::max_element(blocks.begin(), blocks.end()); }
};

TaskLine line_of(const Packed& problem, Kind kind) {
  if (kind == kForward) return make_forward_plan(problem.shape).tiling.line;
  BackwardProblem backward;
  backward.forward = problem.shape;
  backward.deterministic = kind != kFast;
  return make_backward_plan(backward).tiling.lines[kind == kRows ? kByRows : kByColumns];
}

// As every core does it, each for itself.
Shares walk(const Packed& problem, const TaskLine& line, bool each_block) {
  const PackedSequences<const int32_t*> sequences = problem.sequences();
  Shares shares;
  TaskLine counted = line;
  count_tasks_if_all_empty(sequences, &counted);
  const int64_t limit = smallest_limit(counted, sequences, problem.shape.cores);
  for (int64_t core = 0; core < problem.shape.cores; ++core) {
    Share share;
    core_share(counted, sequences, limit, core, &share.begin.part[kMain], &share.end.part[kMain]);
    ShareWalker<PackedSequences<const int32_t*>> walker(line, sequences, share);
    int64_t count = 0, opened = 0;
    for (Piece piece; walker.next(&piece);) {
      count += piece.blocks.size();
      opened += piece.opens;
      shares.with_blocks += piece.opens && piece.blocks.size() > 0;
      if (!each_block) continue;
      shares.tasks[{piece.batch, line.backward ? piece.head_kv : piece.head_q, piece.row}] += piece.opens;
      for (int64_t block = piece.blocks.begin; block < piece.blocks.end; ++block) {
        ++shares.times[line.backward ? Block{piece.batch, piece.head_q, block, piece.row}
                                     : Block{piece.batch, piece.head_q, piece.row, block}];
      }
    }
    shares.blocks.push_back(count);
    shares.opened.push_back(opened);
  }
  return shares;
}

// ---- against brute force

// The visible blocks of one head of a document, pair by pair: (block row, block column).
std::map<std::pair<int64_t, int64_t>, int> look(const ForwardProblem& p, const SequenceLengths& length,
                                                const BlockShape& block) {
  std::map<std::pair<int64_t, int64_t>, int> visible;
  const int64_t diagonal = p.bottom_right ? length.k - length.q : p.diagonal;
  for (int64_t i = 0; i < length.q; ++i) {
    for (int64_t j = 0; j < length.k; ++j) {
      const int64_t position = i + diagonal;
      if (j <= position && (p.window_left < 0 || j >= position - p.window_left))
        visible[{i / block.q, j / block.k}] = 1;
    }
  }
  return visible;
}

// The least that the busiest core can have where shares are contiguous, of units in this order.
int64_t least_limit(const std::vector<int64_t>& units, int64_t cores) {
  const int64_t total = std::accumulate(units.begin(), units.end(), int64_t{0});
  for (int64_t limit = std::max(ceil_div(total, cores), *std::max_element(units.begin(), units.end()));; ++limit) {
    int64_t used = 1, load = 0;
    for (const int64_t unit : units) {
      if (load + unit > limit) {
        ++used;
        load = 0;
      }
      load += unit;
    }
    if (used <= cores) return limit;
  }
}

void check_exact(const Packed& problem, Kind kind) {
  const TaskLine line = line_of(problem, kind);
  const Shares shares = walk(problem, line, true);
  const int64_t heads = line.backward ? line.heads_kv : line.heads_q;
  CHECK(line.chunk == (kind == kFast ? kSectionBlocks : 0) && line.fillers == 0);
  std::vector<int64_t> units;
  int64_t blocks = 0, tasks = 0;
  for (int64_t document = 0; document < problem.shape.documents; ++document) {
    const SequenceLengths& length = problem.lengths[document];
    const auto visible = look(problem.shape, length, line.block);
    const int64_t rows = line.backward ? ceil_div(length.k, line.block.k) : ceil_div(length.q, line.block.q);
    blocks += static_cast<int64_t>(visible.size()) * line.heads_q;
    tasks += rows * heads;
    std::map<std::pair<int64_t, int64_t>, int64_t> chunks;  // (row, chunk) -> its blocks
    for (const auto& [place, seen] : visible) {
      for (int64_t head = 0; head < line.heads_q; ++head)
        CHECK(shares.times.count({document, head, place.first, place.second}) == 1);
      const int64_t row = line.backward ? place.second : place.first, at = line.backward ? place.first : place.second;
      chunks[{row, line.chunk == 0 ? 0 : at / line.chunk}] += seen;
    }
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t row = 0; row < rows; ++row) {
        const auto task = shares.tasks.find({document, head, row});
        CHECK(task != shares.tasks.end() && task->second == 1);  // no keys seen: somebody writes its zeros
        std::vector<int64_t> span;
        for (auto at = chunks.lower_bound({row, 0}); at != chunks.end() && at->first.first == row; ++at)
          span.push_back(at->second);
        for (int64_t query = 0; query < line.spans_per_task(); ++query)
          units.insert(units.end(), span.begin(), span.end());
      }
    }
  }
  CHECK(static_cast<int64_t>(shares.times.size()) == blocks);
  CHECK(std::all_of(shares.times.begin(), shares.times.end(), [](const auto& block) { return block.second == 1; }));
  CHECK(static_cast<int64_t>(shares.tasks.size()) == tasks);
  if (blocks > 0) {
    CHECK(shares.most() == least_limit(units, problem.shape.cores));
  } else {
    CHECK(*std::max_element(shares.opened.begin(), shares.opened.end()) == ceil_div(tasks, problem.shape.cores));
  }
}

// ---- evenness

// What is certain of a partition into contiguous shares (op_host/schedule.h): the busiest core has less than one unit
// above the mean. Counts where that is more than 3%, and where no schedule of the same units has less.
struct Counts {
  int problems = 0, above = 0, unavoidable = 0;
  double worst = 0;
};

double check_bound(const Packed& problem, Kind kind, Counts* counts) {
  const TaskLine line = line_of(problem, kind);
  const Shares shares = walk(problem, line, false);
  const int64_t cores = problem.shape.cores, total = shares.total(), most = shares.most();
  if (total == 0) return 0;
  ScheduleProblem schedule;
  schedule.backward = line.backward;
  schedule.packed = true;
  schedule.sequences = problem.lengths;
  schedule.heads_q = line.heads_q;
  schedule.heads_kv = line.heads_kv;
  schedule.window_left = problem.shape.window_left;
  schedule.block = line.block;
  schedule.chunk = line.chunk;
  schedule.cores = cores;
  const ScheduleFigures shape = figures(schedule);
  CHECK(total == shape.blocks);
  CHECK(most >= shape.lower_bound);
  CHECK(most <= ceil_div(total + (cores - 1) * (shape.largest_unit - 1), cores));
  const double imbalance = double(most) * double(cores) / double(total) - 1;
  if (shares.with_blocks < 8 * cores) return imbalance;
  ++counts->problems;
  counts->worst = std::max(counts->worst, imbalance);
  if (imbalance <= kMostImbalance) return imbalance;
  ++counts->above;
  counts->unavoidable += double(shape.lower_bound) * double(cores) > (1 + kMostImbalance) * double(total);
  CHECK(double(total) * kMostImbalance < double(cores) * double(shape.largest_unit));
  return imbalance;
}

}  // namespace

int main() {
  std::mt19937_64 random(20250207);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const auto draw_log = [&](double low, double high) {
    return int64_t(std::exp2(std::uniform_real_distribution<double>(std::log2(low), std::log2(high))(random)));
  };

  constexpr int kSmall = 150;
  for (int i = 0; i < kSmall; ++i) {
    Packed problem;
    ForwardProblem& p = problem.shape;
    p.heads_kv = draw(1, 3);
    p.heads_q = p.heads_kv * draw(1, 3);
    p.d = p.dv = draw(0, 1) ? 64 : 256;
    p.bottom_right = draw(0, 1);
    p.diagonal = draw(-600, 900);
    p.window_left = draw(0, 1) ? kNoWindow : draw(0, 400);
    p.cores = draw(1, 24);
    for (int64_t document = draw(1, 5); document > 0; --document) {
      const int64_t sq = draw(0, 9) == 0 ? 0 : draw(1, 700);
      problem.add(sq, draw(0, 2) ? sq : draw(1, 1500));
    }
    for (const Kind kind : {kForward, kFast, kColumns, kRows}) check_exact(problem, kind);
  }

  constexpr int kLarge = 400;
  Counts counts[kKinds];
  for (int i = 0; i < kLarge; ++i) {
    Packed problem;
    ForwardProblem& p = problem.shape;
    p.heads_kv = draw(1, 16);
    p.heads_q = p.heads_kv * (draw(0, 1) ? 1 : draw(2, 8));
    p.d = p.dv = 64 * draw(1, 4);
    p.window_left = draw(0, 1) ? kNoWindow : draw_log(16, 8192);
    p.cores = std::vector<int64_t>{20, 24, 25}[draw(0, 2)];
    for (int64_t document = draw(1, 16); document > 0; --document) {
      const int64_t length = draw_log(64, 16384);
      problem.add(length, length);
    }
    for (const Kind kind : {kForward, kFast, kColumns, kRows}) check_bound(problem, kind, &counts[kind]);
  }
  std::printf("%d small problems: every block once\n", kSmall);
  std::printf("packed problems of 8 tasks a core, of %d\n", kLarge);
  for (const Kind kind : {kForward, kFast, kColumns, kRows}) {
    const Packed problem;
    const Counts& c = counts[kind];
    std::printf("%s: %d, above 3%%: %d (of these unavoidable: %d), most %.1f%%\n", kNames[kind], c.problems, c.above,
                c.unavoidable, 100 * c.worst);
    CHECK(c.problems >= kLarge / 2);
  }
  Packed example;
  example.shape.heads_q = example.shape.heads_kv = 8;
  example.shape.d = example.shape.dv = 128;
  for (const int64_t length : {4096, 2048, 1024, 1024}) example.add(length, length);
  std::printf("documents of 4096, 2048, 1024 and 1024 rows, 8 heads, 24 cores:");
  for (const Kind kind : {kForward, kFast, kColumns, kRows}) {
    Counts one;
    std::printf(" %.1f%%", 100 * check_bound(example, kind, &one));
  }
  std::printf("\n");
}
