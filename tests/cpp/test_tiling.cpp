// op_host/tiling.h and tiling_backward.h against brute force: what the kernels are told for some hundred random small
// problems, every core's share walked block by block; then the shares' evenness for a table of large shapes, which is
// printed. Build and run: g++ -std=c++17 -O1 -I<root> tests/cpp/test_tiling.cpp op_host/*.cpp && ./a.out
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

Shares walk(const TaskLine& line, const Band& band, const Start* starts, int64_t cores) {
  Shares shares;
  for (int64_t core = 0; core < cores; ++core) {
    Walker<DenseSequence> walker(line, DenseSequence{band}, kMain, starts[core], starts[core + 1]);
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

  const Shares shares = walk(t.line, t.band, t.starts, problem.cores);
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
    Walker<DenseSequence> walker(t.line, DenseSequence{t.band}, kMain, t.starts[core], t.starts[core + 1]);
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
  const Shares columns = walk(t.lines[kByColumns], band, t.starts[kByColumns], problem.cores);
  // On the deterministic path the line has a group's blocks once, and a column is never shared.
  check_exact(problem, columns, visible, deterministic ? problem.heads_kv : problem.heads_q);
  if (plan.blocks > 0) CHECK(std::abs(imbalance(columns) - plan.imbalance) < 1e-9);
  if (deterministic) {
    const Shares rows = walk(t.lines[kByRows], band, t.starts[kByRows], problem.cores);
    check_exact(problem, rows, visible, problem.heads_q);
    for (const Shares& shares : {columns, rows})
      for (const auto& [task, opened] : shares.tasks) CHECK(opened == 1);
    for (const BackwardPass pass : {kByColumns, kByRows}) {
      for (int64_t core = 0; core < problem.cores; ++core) CHECK(t.starts[pass][core].unit == 0);
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
};

// The busiest core's counted blocks over the mean, at most 3% wherever a core has at least 8 tasks.
void print_evenness() {
  const Shape shapes[] = {
      {1, 32, 32, 8192, 8192, 128, 128}, {1, 52, 52, 2048, 2048, 128, 128},    {8, 32, 8, 4096, 4096, 128, 128},
      {4, 32, 4, 1024, 1024, 128, 128},  {1, 8, 1, 8192, 8192, 256, 256},      {2, 16, 16, 5000, 7000, 192, 128},
      {1, 16, 16, 32768, 32768, 64, 64}, {1, 64, 8, 131072, 131072, 128, 128},
  };
  std::printf("imbalance on 24 cores      forward   backward   deterministic\n");
  for (const Shape& s : shapes) {
    ForwardProblem problem;
    problem.batch = s.batch;
    problem.heads_q = s.heads_q;
    problem.heads_kv = s.heads_kv;
    problem.sq = s.sq;
    problem.sk = s.sk;
    problem.d = s.d;
    problem.dv = s.dv;
    BackwardProblem fast, whole;
    fast.forward = whole.forward = problem;
    whole.deterministic = true;
    const double forward = make_forward_plan(problem).imbalance, backward = make_backward_plan(fast).imbalance;
    const int64_t rows = tile_rows(s.d, s.dv);
    CHECK(s.batch * s.heads_q * ((s.sq + rows - 1) / rows) >= 8 * problem.cores);
    CHECK(forward <= 0.03);
    CHECK(backward <= 0.03);
    const double deterministic = make_backward_plan(whole).imbalance;
    if (s.batch * s.heads_kv * ((s.sk + kGradBlock - 1) / kGradBlock) >= 8 * problem.cores)
      CHECK(deterministic <= 0.03);
    std::printf("[%ld, %ld/%ld, %ldx%ld, %ld, %ld]: %.2f%%  %.2f%%  %.2f%%\n", long(s.batch), long(s.heads_q),
                long(s.heads_kv), long(s.sq), long(s.sk), long(s.d), long(s.dv), 100 * forward, 100 * backward,
                100 * deterministic);
  }
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
}
