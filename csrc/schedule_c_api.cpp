// The block schedule as plain C functions for inspection from Python through ctypes
// (python/triangle_attn_op/schedule/native.py). Not pybind11: this library is one abi3 file for every Python version
// and pybind11 modules cannot be abi3 (they use CPython's unstable C API). Flat int64 arrays in and out, negative
// numbers for errors, the message by a function.
#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "op_host/schedule.h"

#define TRIANGLE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using namespace triangle;

enum Error : int64_t { kBadArgument = -1, kNoMemory = -2, kInternal = -3 };

thread_local std::string last_error;

// Problem as a flat array; the Python side fills it in this order.
enum Field : int {
  kBackward,
  kPacked,
  kBatch,
  kHeadsQ,
  kHeadsKv,
  kBottomRight,
  kDiagonal,
  kWindowLeft,
  kBlockQ,
  kBlockK,
  kChunk,
  kCostFull,
  kCostEdge,
  kCostTask,
  kCores,
  kAllowFillers,
  kFieldCount
};

ScheduleProblem read_problem(const int64_t* fields, int64_t field_count, const int64_t* seq_q, const int64_t* seq_k,
                             int64_t sequences) {
  if (field_count != kFieldCount) {
    throw std::invalid_argument("problem: expected " + std::to_string(kFieldCount) + " fields, got " +
                                std::to_string(field_count) + " (library and Python package differ)");
  }
  ScheduleProblem problem;
  problem.backward = fields[kBackward] != 0;
  problem.packed = fields[kPacked] != 0;
  problem.batch = fields[kBatch];
  problem.heads_q = fields[kHeadsQ];
  problem.heads_kv = fields[kHeadsKv];
  problem.bottom_right = fields[kBottomRight] != 0;
  problem.diagonal = fields[kDiagonal];
  problem.window_left = fields[kWindowLeft];
  problem.block = {fields[kBlockQ], fields[kBlockK]};
  problem.chunk = fields[kChunk];
  problem.cost = {fields[kCostFull], fields[kCostEdge], fields[kCostTask]};
  problem.cores = fields[kCores];
  problem.allow_fillers = fields[kAllowFillers] != 0;
  for (int64_t i = 0; i < sequences; ++i) problem.sequences.push_back({seq_q[i], seq_k[i]});
  return problem;
}

// Runs `body`, which returns a count >= 0, and turns exceptions into error numbers.
template <class Body>
int64_t guarded(const Body& body) noexcept {
  try {
    return body();
  } catch (const std::invalid_argument& error) {
    last_error = error.what();
    return kBadArgument;
  } catch (const std::bad_alloc&) {
    last_error = "out of memory";
    return kNoMemory;
  } catch (const std::exception& error) {
    last_error = error.what();
    return kInternal;
  }
}

// Writes one row of `width` numbers at out[index] if there is room; rows are counted either way.
template <int width>
void put_row(int64_t* out, int64_t capacity, int64_t index, const int64_t (&row)[width]) {
  if (index < capacity) std::copy(row, row + width, out + index * width);
}

}  // namespace

// The message of this thread's last error.
TRIANGLE_EXPORT const char* triangle_schedule_error() { return last_error.c_str(); }

// loads: [cores]. places: [cores + 1][2 parts][sequence, task, unit]. summary: the 9 figures of ScheduleFigures in
// order, then max_load, total, fillers, bytes that describe the plan to a kernel. Returns 0.
TRIANGLE_EXPORT int64_t triangle_schedule_plan(const int64_t* fields, int64_t field_count, const int64_t* seq_q,
                                               const int64_t* seq_k, int64_t sequences, int64_t* summary,
                                               int64_t* loads, int64_t* places) {
  return guarded([&]() -> int64_t {
    const ScheduleProblem problem = read_problem(fields, field_count, seq_q, seq_k, sequences);
    const Plan plan = make_plan(problem);
    const ScheduleFigures f = figures(problem);
    const int64_t bytes = static_cast<int64_t>(sizeof(TaskLine) + plan.places.size() * sizeof(CorePlace));
    const int64_t row[] = {f.tasks,         f.empty_tasks,     f.blocks,       f.edge_blocks, f.square_blocks,
                           f.visible_pairs, f.largest_unit,    f.unit_divisor, f.lower_bound, plan.max_load,
                           plan.total,      plan.line.fillers, bytes};
    put_row(summary, 1, 0, row);
    std::copy(plan.loads.begin(), plan.loads.end(), loads);
    int64_t index = 0;
    for (const CorePlace& place : plan.places) {
      for (const Start& start : place.part)
        put_row(places, INT64_MAX, index++, {start.sequence, start.task, start.unit});
    }
    return 0;
  });
}

// Rows [core, part, batch, head_q, head_kv, row, begin, end, full_begin, full_end, opens, closes] in the order in which
// each core does them. Returns the number of rows; only the first `capacity` are written.
TRIANGLE_EXPORT int64_t triangle_schedule_pieces(const int64_t* fields, int64_t field_count, const int64_t* seq_q,
                                                 const int64_t* seq_k, int64_t sequences, int64_t* out,
                                                 int64_t capacity) {
  return guarded([&]() -> int64_t {
    const Plan plan = make_plan(read_problem(fields, field_count, seq_q, seq_k, sequences));
    int64_t index = 0;
    for (int64_t core = 0; core < plan.cores(); ++core) {
      for (int part = 0; part < kLineParts; ++part) {
        Walker<BandList> walker = plan.walker(core, static_cast<LinePart>(part));
        for (Piece piece; walker.next(&piece); ++index) {
          const BlockSpan& blocks = piece.blocks;
          put_row(out, capacity, index,
                  {core, part, piece.batch, piece.head_q, piece.head_kv, piece.row, blocks.begin, blocks.end,
                   blocks.full_begin, blocks.full_end, piece.opens, piece.closes});
        }
      }
    }
    return index;
  });
}

// Rows [batch, head, row, cost] of whole tasks in descending cost. Returns the number of rows, writes at most
// `capacity`.
TRIANGLE_EXPORT int64_t triangle_schedule_largest_first(const int64_t* fields, int64_t field_count,
                                                        const int64_t* seq_q, const int64_t* seq_k, int64_t sequences,
                                                        int64_t* out, int64_t capacity) {
  return guarded([&]() -> int64_t {
    const LargestFirst list(read_problem(fields, field_count, seq_q, seq_k, sequences));
    for (int64_t claim = 0; claim < std::min(list.size(), capacity); ++claim) {
      const LargestFirst::Task task = list[claim];
      put_row(out, capacity, claim, {task.batch, task.head, task.row, task.cost});
    }
    return list.size();
  });
}
