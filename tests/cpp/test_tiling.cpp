// op_host/tiling.h and tiling_backward.h against brute force: what the kernels are told for some hundred random small
// problems, every core's share walked block by block; then the shares' evenness, of a table of large shapes, which is
// printed, and of random ones. Build and run: g++ -std=c++17 -O1 -I<root> tests/cpp/test_tiling.cpp op_host/*.cpp &&
// ./a.out
#include <algorithm>
#include <cmath>
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
#include "op_host/tiling_backward.h"
#include "op_host/walker.h"

namespace {

using namespace triangle;

void check(bool holds, const char* what, int line, const ForwardProblem& p) {
  if (holds) return;
  std::fprintf(stderr,
               "test_tiling.cpp:%d: %s: [%ld, %ld/%ld, %ldx%ld, %ld, %ld] window %ld diagonal %ld (%d) cores %ld\n",
               line, what, long(p.batch), long(p.heads_q), long(p.heads_kv), long(p.sq), long(p.sk), long(p.d),
               long(p.dv), long(p.window_left), long(p.diagonal), int(p.bottom_right), long(p.cores));
  std::exit(1);
}
#define CHECK(condition) check(condition, #condition, __LINE__, problem)

// ---- the definition

struct Visible {
  int64_t pairs = 0;
  std::map<std::pair<int64_t, int64_t>, int64_t> blocks;  // (block row, block column) -> visible pairs in it, not 0
};

// Of one head, pair by pair.
Visible look(const ForwardProblem& p, int64_t rows, int64_t keys) {
  Visible visible;
  const int64_t diagonal = p.bottom_right ? p.sk - p.sq : p.diagonal;
  for (int64_t i = 0; i < p.sq; ++i) {
    for (int64_t j = 0; j < p.sk; ++j) {
      const int64_t position = i + diagonal;
      if (j > position || (p.window_left >= 0 && j < position - p.window_left)) continue;
      ++visible.pairs;
      ++visible.blocks[{i / rows, j / keys}];
    }
  }
  return visible;
}

// ---- the shares

using Block = std::tuple<int64_t, int64_t, int64_t, int64_t>;  // batch, head, block row, block column

struct Shares {
  std::map<Block, int> times;                                  // each block of each core
  std::vector<int64_t> blocks;                                 // of each core
  std::map<std::tuple<int64_t, int64_t, int64_t>, int> tasks;  // (batch, head, row or column): how often one opens it
};

using DenseWalker = ShareWalker<DenseSequence>;

Shares walk(const TaskLine& line, const Band& band, const Partition& partition, int64_t cores) {
  Shares shares;
  for (int64_t core = 0; core < cores; ++core) {
    DenseWalker walker(line, DenseSequence{band}, partition.share(core));
    Piece piece;
    int64_t count = 0;
    while (walker.next(&piece)) {
      shares.tasks[{piece.batch, line.backward ? piece.head_kv : piece.head_q, piece.row}] += piece.opens;
      for (int64_t block = piece.blocks.begin; block < piece.blocks.end; ++block, ++count) {
        ++shares.times[line.backward ? Block{piece.batch, piece.head_q, block, piece.row}
                                     : Block{piece.batch, piece.head_q, piece.row, block}];
      }
    }
    shares.blocks.push_back(count);
  }
  return shares;
}

// Every block that holds a visible pair, of every batch and head, once; and no other.
void check_exact(const ForwardProblem& problem, const Shares& shares, const Visible& visible, int64_t heads) {
  CHECK(int64_t(shares.times.size()) == problem.batch * heads * int64_t(visible.blocks.size()));
  for (const auto& [block, times] : shares.times) {
    CHECK(times == 1);
    CHECK(visible.blocks.count({std::get<2>(block), std::get<3>(block)}) == 1);
    CHECK(std::get<0>(block) < problem.batch && std::get<1>(block) < heads);
  }
}

double imbalance(const Shares& shares) {
  int64_t total = 0, most = 0;
  for (const int64_t blocks : shares.blocks) {
    total += blocks;
    most = std::max(most, blocks);
  }
  return total == 0 ? 0 : double(most) * double(shares.blocks.size()) / double(total) - 1;
}

// ---- forward

void check_forward(const ForwardProblem& problem) {
  const ForwardPlan plan = make_forward_plan(problem);
  const TriangleForwardTiling& t = plan.tiling;
  const int64_t rows = tile_rows(problem.d, problem.dv), heads = problem.batch * problem.heads_q;
  const Visible visible = look(problem, rows, kBlockKeys);
  CHECK(plan.visible_pairs == heads * visible.pairs);
  CHECK(plan.blocks == heads * int64_t(visible.blocks.size()));

  const Shares shares = walk(t.line, t.band, t.partition, problem.cores);
  check_exact(problem, shares, visible, problem.heads_q);
  if (plan.blocks > 0) CHECK(std::abs(imbalance(shares) - plan.imbalance) < 1e-9);
  // Rows without keys are tasks too: each is opened by one core, which writes its zeros.
  CHECK(int64_t(shares.tasks.size()) == heads * ((problem.sq + rows - 1) / rows));
  for (const auto& [task, opened] : shares.tasks) CHECK(opened == 1);

  // The workspace: rings of all cores, then the chunk partials of tasks that are cut.
  const int64_t dv16 = (problem.dv + 15) / 16 * 16;
  CHECK(t.slot_scores_bytes == rows * kChunkKeys * 4 && t.slot_out_bytes >= rows * dv16 * 4);
  CHECK(t.ring_bytes >= kRingSlots * (t.slot_scores_bytes + t.slot_out_bytes));
  CHECK(t.ring_bytes <= 3 * 1024 * 1024);
  CHECK(plan.ring_bytes == problem.cores * t.ring_bytes && t.cut_offset >= plan.ring_bytes);
  CHECK(plan.workspace_bytes == t.cut_offset + problem.cores * t.cut_slots * t.cut_slot_bytes);
  for (const int64_t bytes : {t.slot_scores_bytes, t.slot_out_bytes, t.ring_bytes, t.cut_offset, t.cut_slot_bytes})
    CHECK(bytes % kWorkspaceAlign == 0);
  // A core has room for the chunks of the pieces it has of cut tasks: the one it finds begun, and the one it leaves.
  int64_t cut = 0;
  for (int64_t core = 0; core < problem.cores; ++core) {
    DenseWalker walker(t.line, DenseSequence{t.band}, t.partition.share(core));
    Piece piece;
    while (walker.next(&piece)) {
      if (piece.opens && piece.closes) continue;
      const int64_t chunks = (piece.blocks.end - 1) / kChunkBlocks - piece.blocks.begin / kChunkBlocks + 1;
      CHECK(chunks <= (piece.opens ? t.cut_slots - t.cut_first_slots : t.cut_first_slots));
      ++cut;
    }
  }
  CHECK((cut > 0) == (t.cut_slots > 0));
  if (cut > 0) CHECK(t.cut_slot_bytes >= std::min(rows, problem.sq) * (dv16 + 2) * 4);
}

// ---- backward

void check_backward(const ForwardProblem& problem, bool deterministic) {
  BackwardProblem given;
  given.forward = problem;
  given.deterministic = deterministic;
  const BackwardPlan plan = make_backward_plan(given);
  const TriangleBackwardTiling& t = plan.tiling;
  const int64_t heads = problem.batch * problem.heads_q;
  const Visible visible = look(problem, kGradBlock, kGradBlock);
  CHECK(plan.visible_pairs == heads * visible.pairs);
  CHECK(plan.blocks == heads * int64_t(visible.blocks.size()));

  const Band band = t.problem.band;
  const Shares columns = walk(t.lines[kByColumns], band, t.partitions[kByColumns], problem.cores);
  // On the deterministic path the line has a group's blocks once, and a column is never shared.
  check_exact(problem, columns, visible, deterministic ? problem.heads_kv : problem.heads_q);
  if (plan.blocks > 0 && !deterministic) CHECK(std::abs(imbalance(columns) - plan.imbalance) < 1e-9);
  if (deterministic) {
    const Shares rows = walk(t.lines[kByRows], band, t.partitions[kByRows], problem.cores);
    if (plan.blocks > 0)
      CHECK(std::abs(std::max(imbalance(columns), imbalance(rows)) - plan.imbalance) < 1e-9);  // of the worse pass
    check_exact(problem, rows, visible, problem.heads_q);
    for (const Shares& shares : {columns, rows})
      for (const auto& [task, opened] : shares.tasks) CHECK(opened == 1);
    for (const BackwardPass pass : {kByColumns, kByRows}) {
      for (int64_t core = 0; core < problem.cores; ++core) CHECK(t.partitions[pass].units[core] == 0);
    }
  }

  // The workspace: one thing after another, aligned, each with room for what the kernel puts there.
  const int64_t d16 = (problem.d + 15) / 16 * 16, values = heads * problem.sq * 4;
  CHECK(t.ring_bytes >= int64_t{kSectionSlots} * kSectionBlocks * 2 * kGradBlock * kGradBlock * 4);
  CHECK(t.ring_bytes <= 2.5 * 1024 * 1024);
  CHECK(plan.ring_bytes == problem.cores * t.ring_bytes && t.lse_offset >= plan.ring_bytes);
  CHECK(t.delta_offset - t.lse_offset >= values && t.dq_offset - t.delta_offset >= values);
  CHECK(t.dk_offset - t.dq_offset >= heads * problem.sq * d16 * 4);
  CHECK(t.dk_offset <= t.dv_offset && t.dv_offset <= t.end_offset && t.end_offset <= plan.workspace_bytes);
  CHECK(plan.accumulator_bytes >= t.end_offset - t.dq_offset && plan.accumulator_bytes < plan.workspace_bytes);
  for (const int64_t offset : {t.ring_bytes, t.lse_offset, t.delta_offset, t.dq_offset, t.dk_offset, t.dv_offset})
    CHECK(offset % kWorkspaceAlign == 0);
}

// ---- evenness

struct Shape {
  int64_t batch, heads_q, heads_kv, sq, sk, d, dv;
  int64_t window = kNoWindow;
};

ForwardProblem problem_of(const Shape& s, int64_t cores) {
  ForwardProblem problem;
  problem.batch = s.batch;
  problem.heads_q = s.heads_q;
  problem.heads_kv = s.heads_kv;
  problem.sq = s.sq;
  problem.sk = s.sk;
  problem.d = s.d;
  problem.dv = s.dv;
  problem.window_left = s.window;
  problem.cores = cores;
  return problem;
}

// The schedules of a launch, by the counted blocks of the shares that the kernels walk.
enum Kind { kForward, kFast, kColumns, kRows, kKinds };
const char* const kNames[kKinds] = {"forward", "fast backward", "deterministic, columns", "deterministic, rows"};

struct Evenness {
  int64_t tasks = 0;  // with blocks
  int64_t most = 0;   // blocks of the busiest core
  int64_t bound = 0;  // what no schedule of the same units gets below
  double imbalance = 0;
  bool fillers = false;
  bool cut_sections = false;  // of the fast backward

  bool kept() const { return imbalance <= 0.03; }
};

// `schedule`: of the units that the kernel may deal out, the smallest ones.
Evenness evenness(const TaskLine& line, const Band& band, const Partition& partition, const ScheduleProblem& schedule) {
  Evenness result;
  int64_t total = 0;
  for (int64_t core = 0; core < schedule.cores; ++core) {
    DenseWalker walker(line, DenseSequence{band}, partition.share(core));
    int64_t count = 0;
    for (Piece piece; walker.next(&piece);) {
      count += piece.blocks.size();
      result.tasks += piece.opens && piece.blocks.size() > 0;
    }
    total += count;
    result.most = std::max(result.most, count);
  }
  // Of single blocks there is nothing to add up.
  result.bound = schedule.chunk == 1 ? ceil_div(total, schedule.cores) : figures(schedule).lower_bound;
  result.imbalance = total == 0 ? 0 : double(result.most) * double(schedule.cores) / double(total) - 1;
  result.fillers = line.fillers != 0;
  return result;
}

std::vector<Evenness> evenness_of(const ForwardProblem& problem) {
  ScheduleProblem schedule;
  schedule.batch = problem.batch;
  schedule.heads_q = problem.heads_q;
  schedule.heads_kv = problem.heads_kv;
  schedule.sequences = {{problem.sq, problem.sk}};
  schedule.window_left = problem.window_left;
  schedule.cores = problem.cores;
  BackwardProblem fast, whole;
  fast.forward = whole.forward = problem;
  whole.deterministic = true;
  const TriangleForwardTiling f = make_forward_plan(problem).tiling;
  const TriangleBackwardTiling b = make_backward_plan(fast).tiling, d = make_backward_plan(whole).tiling;
  std::vector<Evenness> result(kKinds);
  schedule.block = {tile_rows(problem.d, problem.dv), kBlockKeys};
  schedule.chunk = kChunkBlocks;
  result[kForward] = evenness(f.line, f.band, f.partition, schedule);
  schedule.block = {kGradBlock, kGradBlock};
  schedule.chunk = 0;
  result[kRows] = evenness(d.lines[kByRows], f.band, d.partitions[kByRows], schedule);
  schedule.backward = true;
  schedule.chunk = 1;
  result[kFast] = evenness(b.lines[kByColumns], f.band, b.partitions[kByColumns], schedule);
  // Sections are cut no finer than the evenness needs.
  for (int64_t coarser = 2 * b.lines[kByColumns].chunk; coarser <= kSectionBlocks; coarser *= 2) {
    ScheduleProblem plain = schedule;
    plain.chunk = coarser;
    plain.allow_fillers = false;
    const Plan plan = make_plan(plain);
    CHECK(imbalance_of(plan) > kMostImbalance && plan.max_load > result[kFast].most);
    result[kFast].cut_sections = true;
  }
  schedule.chunk = 0;
  schedule.heads_q = problem.heads_kv;
  result[kColumns] = evenness(d.lines[kByColumns], f.band, d.partitions[kByColumns], schedule);
  return result;
}

// The busiest core's counted blocks over the mean: at most 3% wherever a core has at least 8 tasks, or what no schedule
// of the units gets below (least).
void print_evenness() {
  const Shape shapes[] = {
      {1, 32, 32, 8192, 8192, 128, 128},      {1, 52, 52, 2048, 2048, 128, 128},
      {8, 32, 8, 4096, 4096, 128, 128},       {4, 32, 4, 1024, 1024, 128, 128},
      {1, 8, 1, 8192, 8192, 256, 256},        {2, 16, 16, 5000, 7000, 192, 128},
      {1, 16, 16, 32768, 32768, 64, 64},      {1, 64, 8, 131072, 131072, 128, 128},
      {1, 4, 4, 8192, 8192, 128, 128},        {1, 5, 5, 7001, 7001, 64, 64},
      {1, 16, 4, 4096, 4096, 128, 128, 500},  {1, 32, 8, 16384, 16384, 128, 128, 4095},
      {1, 2, 2, 16384, 16384, 128, 128, 127}, {3, 12, 4, 3333, 3333, 128, 128, 1000},
      {1, 8, 8, 1000, 30000, 256, 256},       {1, 6, 6, 9001, 9001, 192, 192, 2047},
  };
  std::printf("imbalance on 24 cores      forward   backward   deterministic: columns   rows\n");
  for (const Shape& s : shapes) {
    const ForwardProblem problem = problem_of(s, 24);
    const std::vector<Evenness> found = evenness_of(problem);
    std::printf("[%ld, %ld/%ld, %ldx%ld, %ld, %ld] window %ld:", long(s.batch), long(s.heads_q), long(s.heads_kv),
                long(s.sq), long(s.sk), long(s.d), long(s.dv), long(s.window));
    for (const Evenness& e : found) {
      const bool promised = e.tasks >= 8 * problem.cores, least = e.most == e.bound;
      std::printf("  %.2f%%%s", 100 * e.imbalance, !promised ? " (few tasks)" : least ? " (least)" : "");
      if (promised) CHECK(e.kept() || least);
    }
    std::printf("\n");
  }
}

// Random problems of at least 8 tasks a core, half of them with a window: at most 3%, or what no schedule of the units
// gets below, but for a few: 2 in 100 of the forward's, 3 of the deterministic backward's.
void sweep_evenness(std::mt19937_64* random) {
  constexpr int kProblems = 400;
  const double most[kKinds] = {0.02, 0, 0.03, 0.03};
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(*random);
  };
  const auto draw_log = [&](double low, double high) {
    return int64_t(std::exp2(std::uniform_real_distribution<double>(std::log2(low), std::log2(high))(*random)));
  };
  int promised[kKinds] = {}, above[kKinds] = {}, at_bound[kKinds] = {}, fillers[kKinds] = {}, cut_sections = 0;
  for (int i = 0; i < kProblems; ++i) {
    Shape s;
    s.batch = draw(0, 1) ? 1 : draw(2, 8);
    s.heads_kv = draw(1, 16);
    s.heads_q = s.heads_kv * (draw(0, 1) ? 1 : draw(2, 8));
    s.sq = draw_log(512, 131072);
    if (draw(0, 1)) s.sq = s.sq / 128 * 128;
    s.sk = draw(0, 2) ? s.sq : draw_log(512, 131072);
    s.d = s.dv = 64 * draw(1, 4);
    s.window = draw(0, 1) ? kNoWindow : draw_log(16, double(s.sk));
    const ForwardProblem problem = problem_of(s, std::vector<int64_t>{20, 24, 25}[draw(0, 2)]);
    const std::vector<Evenness> found = evenness_of(problem);
    for (int kind = 0; kind < kKinds; ++kind) {
      const Evenness& e = found[kind];
      CHECK(e.most >= e.bound);
      cut_sections += e.cut_sections;
      if (e.tasks < 8 * problem.cores) continue;
      ++promised[kind];
      fillers[kind] += e.fillers;
      if (e.kept()) continue;
      ++(e.most == e.bound ? at_bound : above)[kind];
    }
  }
  for (int kind = 0; kind < kKinds; ++kind) {
    std::printf(
        "%s: %d problems of 8 tasks a core, %d with fillers; above 3%%: %d that no schedule avoids, %d others\n",
        kNames[kind], promised[kind], fillers[kind], at_bound[kind], above[kind]);
    const ForwardProblem problem;
    CHECK(promised[kind] >= kProblems / 2);
    CHECK(above[kind] <= most[kind] * promised[kind]);
    CHECK((fillers[kind] > 0) == (kind != kFast));
  }
  const ForwardProblem problem;
  std::printf("fast backward: %d of %d problems cut sections\n", cut_sections, kProblems);
  CHECK(cut_sections > kProblems / 50);
}

void check_errors() {
  const auto expect = [](const ForwardProblem& problem, const std::string& message) {
    std::string got;
    try {
      make_forward_plan(problem);
    } catch (const std::invalid_argument& error) {
      got = error.what();
    }
    if (got != message) std::fprintf(stderr, "got:  %s\nwant: %s\n", got.c_str(), message.c_str());
    CHECK(got == message);
  };
  ForwardProblem good;
  good.sq = good.sk = good.d = good.dv = 16;
  ForwardProblem bad = good;
  bad.d = 257;
  expect(bad, "D: expected 1 .. 256, got 257");
  bad = good;
  bad.dv = 0;
  expect(bad, "Dv: expected 1 .. 256, got 0");
  bad = good;
  bad.cores = kMaxCores + 1;
  expect(bad, "cores: expected 1 .. 32, got 33");
  bad = good;
  bad.heads_q = 3;
  bad.heads_kv = 2;
  expect(bad, "heads_q: expected a multiple of heads_kv (2), got 3");
}

}  // namespace

int main() {
  static_assert(std::is_trivially_copyable_v<TriangleForwardTiling>, "passed by value");
  static_assert(std::is_trivially_copyable_v<TriangleBackwardTiling>, "passed by value");
  std::mt19937_64 random(20240611);
  const auto draw = [&](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  constexpr int kProblems = 300;
  int cut = 0;
  for (int i = 0; i < kProblems; ++i) {
    ForwardProblem p;
    p.batch = draw(1, 3);
    p.heads_kv = draw(1, 3);
    p.heads_q = p.heads_kv * draw(1, 3);
    p.sq = draw(0, 9) == 0 ? 1 : draw(1, 900);
    p.sk = draw(0, 2) == 0 ? p.sq : draw(1, 1500);
    p.d = draw(1, 256);
    p.dv = draw(0, 1) ? p.d : draw(1, 256);
    p.bottom_right = draw(0, 1);
    p.diagonal = draw(-1000, 1600);
    p.window_left = draw(0, 1) ? kNoWindow : draw(0, 700);
    p.cores = draw(1, 24);
    check_forward(p);
    check_backward(p, false);
    check_backward(p, true);
    cut += make_forward_plan(p).tiling.cut_slots > 0;
  }
  if (cut < kProblems / 20) {
    std::fprintf(stderr, "only %d problems cut a task: that is not tested\n", cut);
    return 1;
  }
  check_errors();
  std::printf("%d problems, %d with tasks that are cut\n", kProblems, cut);
  print_evenness();
  sweep_evenness(&random);
}
