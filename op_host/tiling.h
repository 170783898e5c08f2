// What the forward kernel is told: tile sizes, the partition, workspace offsets, strides. Passed by value at launch.
// Plain C++17 that host, device and simulator share; op_host/tiling.cpp fills it in.
#pragma once
#include <cstdint>

#include "task_line.h"

namespace triangle {

// ---- the pipeline's stages
// ------------------------------------------------------------------------------------------
// A stage is one chunk of keys of one task: scores on the cube, softmax on the vector cores, P V on the cube, merge on
// the vector cores. A chunk starts from a fresh softmax state and is anchored at key 0, so a row's bits do not depend
// on the task's other rows, on where a task is cut, or on how long the sequence is.
constexpr int32_t kBlockKeys = 128;                        // keys of a block: what is visible or skipped
constexpr int32_t kChunkBlocks = 4;                        // blocks of a chunk
constexpr int32_t kBlockShift = 7, kChunkShift = 2;        // of the two, as powers of two
constexpr int32_t kChunkKeys = kBlockKeys * kChunkBlocks;  // columns of a ring slot
constexpr int32_t kRingSlots = 3;                          // chunks in flight: the cube runs two ahead of P V
static_assert(kBlockKeys == 1 << kBlockShift && kChunkBlocks == 1 << kChunkShift, "their powers of two");
constexpr int32_t kMaxCores = 32;         // AI cores of the largest supported chip, and to spare
constexpr int64_t kWorkspaceAlign = 512;  // bytes; CANN asks for it, +45% bandwidth

// Rows of a task and what stays in L1, by the wider of D and Dv. All loads into L0 are 128 x 128 of 16-bit elements
// (32 KiB, two buffers each of L0A and L0B); score and output tiles are 128 x 128 in fp32 (64 KiB, two in L0C).
//
// Tried on paper at 128 < D <= 256: 256 rows (L0C then holds one output tile pair only and the cube waits for every
// Fixpipe; Q, K, V and P do not fit L1). At D <= 128: 128 rows (K and V pass through L2 twice as often: 96 instead of
// 64 KiB per 128 x 128 block).
struct NarrowTile {
  static constexpr int32_t kWidth = 128;   // D, Dv <= 128
  static constexpr int32_t kRows = 256;    // of a task
  static constexpr int32_t kRowTiles = 2;  // M tiles of the cube; each belongs to one vector core
  static constexpr int32_t kKSlotKeys = 256, kKSlots = 2;
  static constexpr int32_t kVSlotKeys = 512, kVSlots = 1;  // resident for both row tiles
  static constexpr int32_t kPSlotKeys = 256, kPSlots = 2;  // streamed
};
struct WideTile {
  static constexpr int32_t kWidth = 256;  // D or Dv in 129 .. 256
  static constexpr int32_t kRows = 128;
  static constexpr int32_t kRowTiles = 1;  // shared by both vector cores
  static constexpr int32_t kKSlotKeys = 128, kKSlots = 2;
  static constexpr int32_t kVSlotKeys = 256, kVSlots = 2;  // of 128 columns; streamed
  static constexpr int32_t kPSlotKeys = 512, kPSlots = 1;  // resident for both column tiles
};
constexpr int32_t kCubeTile = 128;  // M, N and K of one Mmad at most

TRIANGLE_FN constexpr int32_t tile_rows(int64_t d, int64_t dv) {
  return d > NarrowTile::kWidth || dv > NarrowTile::kWidth ? WideTile::kRows : NarrowTile::kRows;
}

TRIANGLE_FN int32_t round_up(int32_t x, int32_t multiple) { return (x + multiple - 1) / multiple * multiple; }

// The next of `count` slots, in turns.
TRIANGLE_FN int32_t next_slot(int32_t slot, int32_t count) { return slot + 1 == count ? 0 : slot + 1; }

// Rows of a task of `rows` rows that the first vector core takes; the second takes the rest.
TRIANGLE_FN int32_t first_half_rows(int32_t rows) {
  const int32_t half = round_up((rows + 1) / 2, 16);
  return half < rows ? half : rows;
}

// Where each core begins, of a dense problem: task and unit, and of the fillers, which are whole, the task. Past the
// end is the number of all tasks. In 32 bits, because a launch carries its arguments along.
struct Partition {
  uint32_t tasks[kMaxCores + 1] = {};
  uint32_t units[kMaxCores + 1] = {};
  uint32_t fillers[kMaxCores + 1] = {};

  TRIANGLE_FN int64_t filler_tasks(int64_t cores) const { return int64_t{fillers[cores]} - fillers[0]; }
  TRIANGLE_FN Start start(int64_t core) const {
    Start start;
    start.task = tasks[core];
    start.unit = static_cast<int32_t>(units[core]);
    return start;
  }
  TRIANGLE_FN Share share(int64_t core) const {
    Share share;
    share.begin.part[kMain] = start(core);
    share.begin.part[kFillers].task = fillers[core];
    share.end.part[kMain] = start(core + 1);
    share.end.part[kFillers].task = fillers[core + 1];
    return share;
  }
  // Whether `core` begins inside a task, after its first unit; in the task of `place`.
  TRIANGLE_FN bool is_inside(int64_t core, const Start& place) const {
    return tasks[core] == place.task && units[core] > 0;
  }
};

// Elements from one batch (packed: unused), head or row to the next.
struct Strides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
};

// What bends scores between the product and its softmax (op_kernel/bend.h), and what joins the sum. Kernels of their
// own do it; the others never look at this.
struct ScoreBend {
  float softcap = 0;         // 0: none
  int32_t alibi = 0;         // 1: slopes by query head
  int32_t sinks = 0;         // 1: a logit by query head
  int32_t mask_element = 0;  // bytes of an element of a float mask: 2 (q's dtype) or 4; 0: there is none
  int32_t mask_by_row = 0;   // 1: it has one column, a value a row
  int64_t slope_batch = 0;   // elements from one batch entry's or document's slopes to the next

  TRIANGLE_FN bool bends_scores() const { return softcap > 0 || alibi != 0 || mask_element != 0; }
};

// startend_row_indices and what launches before a kernel make of it in the workspace (op_kernel/intervals.h).
constexpr int kForwardLine = 0;  // of the lines of tasks whose costs are counted; the backward's are its passes
constexpr int kIntervalLines = 2;
struct KeyIntervals {
  int32_t bounds = 0;  // of a key: 1, 2 or 4; 0: there are none
  int32_t heads = 1;   // of the tensor: 1, Hkv or Hq
  int32_t heads_kv = 1, group = 1;
  int32_t batch = 1;                          // of the tensor
  int32_t counted = kForwardLine;             // by this launch
  int32_t fills_chunks = 1;                   // 1: a task computes hidden blocks between others of a chunk
  int32_t pitch = 0;                          // keys from one head's bounds to the next's: whole blocks, a chunk more
  int32_t rows[kIntervalLines] = {};          // of tasks; packed: at most, those of all documents
  int64_t bounds_offset = 0;                  // int32 [batch, heads, starts and ends, pitch]
  int64_t blocks_offset = 0;                  // IntervalBlock [batch, heads, pitch / kBlockKeys, intervals]
  int64_t costs_offset[kIntervalLines] = {};  // int32 [batch, heads, rows]

  TRIANGLE_FN int32_t count() const { return bounds == 4 ? 2 : 1; }  // intervals a key
};

// The phases of a kernel, between which all vector cores meet. A launch does them all, with SyncAll between them, or
// some of them: SyncAll waits for blocks that the chip may not have begun, for ever where another stream's kernel has
// these cores and waits as well, so only a launch that begins on all its cores at once may use it (op_kernel/launch.h).
enum ForwardPhase : int32_t { kWalkTasks = 1, kMergeCutTasks = 2, kReadIntervals = 16, kCountBlocks = 32 };
enum BackwardPhase : int32_t { kPrepareRows = 1, kChooseRange = 2, kWalkSections = 4, kFinishRows = 8 };
constexpr int32_t kAllPhases = 15;

// Whether a launch does phases both before `next` and from it on.
TRIANGLE_FN bool meets_before(int32_t phases, int32_t next) {
  return (phases & (next - 1)) != 0 && (phases & ~(next - 1)) != 0;
}

}  // namespace triangle

// In the global namespace because the C interface of op_kernel/launch.h passes it.
struct TriangleForwardTiling {
  int32_t phases = triangle::kAllPhases;  // first, also of the backward's tiling: what differs between its launches
  triangle::TaskLine line;
  triangle::Band band;  // dense: of every sequence
  int32_t d = 0, dv = 0;
  float scale = 1.0f;
  int32_t cores = 0;            // AI cores that take part
  int32_t packed = 0;           // 1: documents by cu_seq_q, cu_seq_k
  int32_t bottom_right = 0;     // packed: diagonal of each document, else `diagonal`
  int32_t has_mask = 0;         // bool mask, 1 byte an element
  int32_t cut_slots = 0;        // per core: chunk partials of tasks that several cores share
  int32_t cut_first_slots = 0;  // of these for the task a core finds begun; the rest for the one it leaves
  int32_t cut_rows = 0;         // rows of a chunk partial
  int64_t documents = 0;
  int64_t total_q = 0, total_k = 0;  // packed: rows of q and of k; dense: Sq and Sk
  int64_t diagonal = 0;
  int64_t window_left = triangle::kNoWindow;
  triangle::Strides q, k, v, out, lse, mask;
  triangle::ScoreBend bend;
  triangle::KeyIntervals intervals;
  int64_t ring_bytes = 0;  // workspace of one core: slots of scores, then of P V, then of P
  int64_t slot_scores_bytes = 0;
  int64_t slot_out_bytes = 0;
  int64_t cut_offset = 0;         // workspace: first byte of the chunk partials
  int64_t cut_slot_bytes = 0;     // P V, then max and sum of each row
  triangle::Partition partition;  // dense; packed cores find it themselves, without fillers
};

namespace triangle {

#if !defined(TRIANGLE_DEVICE)  // the rest is for the host

struct ForwardProblem {
  int64_t batch = 1, heads_q = 1, heads_kv = 1;
  int64_t sq = 0, sk = 0;  // packed: rows of q and of k
  int64_t d = 0, dv = 0;
  float scale = 1.0f;
  bool bottom_right = true;
  int64_t diagonal = 0;
  int64_t window_left = kNoWindow;
  bool packed = false;
  int64_t documents = 0;
  bool has_mask = false;  // of bool; a float mask is in `bend`
  ScoreBend bend;
  KeyIntervals intervals;  // bounds and heads
  Strides q, k, v, out, lse, mask;
  int64_t cores = 24;
};

struct ForwardPlan {
  TriangleForwardTiling tiling;
  int64_t workspace_bytes = 0;
  int64_t ring_bytes = 0;  // of it, all cores
  int64_t blocks = 0;      // kRows x 128 blocks computed (dense; packed: unknown on the host, 0)
  int64_t visible_pairs = 0;
  double imbalance = 0;  // busiest core over the mean, less 1
};

// Tables of intervals from a byte of the workspace on; `rows` is there. Returns the byte behind them.
int64_t place_intervals(const ForwardProblem& problem, int64_t offset, KeyIntervals* intervals);

// Throws std::invalid_argument naming the argument.
ForwardPlan make_forward_plan(const ForwardProblem& problem);

constexpr double kMostImbalance = 0.03;  // promised of the busiest core; what costs time is done only to keep it

struct Plan;  // schedule.h
Partition partition_of(const Plan& plan);
double imbalance_of(const Plan& plan);  // busiest core over the mean, less 1

#endif

}  // namespace triangle
