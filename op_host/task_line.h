// The line of work and where it is cut: every task's blocks laid end to end, in one stated order, and the arithmetic
// that finds the place at a given cost. No containers, no allocation, nothing of size O(blocks): host and device run
// this code.
//
// Task    forward: (batch, query head, block row); backward: (batch, key/value head, block column), which covers the
//         query heads that share the key/value head, one after another.
// Order   batch, head, row; rows ascend. Query heads of one group are neighbours, so their K and V stay in L2.
// Unit    what is never cut: the blocks of a task that lie in one chunk, a fixed number of blocks anchored at key 0
//         (backward: at row 0 of each query head). A chunk starts a fresh softmax state and parts are merged in order,
//         so results do not depend on where a task is cut, nor on whether it is cut.
// Parts   a line has two parts, cut apart from one another: the main part, and the fillers, the first or the last block
//         rows of every sequence (best those of few blocks), which level what whole units leave uneven. Usually there
//         are none.
//
// Block rows in which no row sees a key are tasks too, of no blocks: somebody has to write their zeros.
#pragma once
#include "visibility.h"

namespace triangle {

// What a block costs. Masked (edge) blocks may cost more than full ones; `task` is added once per task.
struct CostModel {
  int64_t full = 1;
  int64_t edge = 1;
  int64_t task = 0;
};

enum LinePart : int { kMain = 0, kFillers = 1, kLineParts = 2 };

struct TaskLine {
  int64_t batch = 1;  // dense: copies of the one sequence; packed: 1
  int64_t heads_q = 1;
  int64_t heads_kv = 1;
  int64_t group = 1;  // heads_q / heads_kv
  BlockShape block;
  Divisor chunk = 4;  // blocks; 0: a task is never cut (backward: it is cut between query heads)
  CostModel cost;
  int64_t fillers = 0;  // block rows per sequence that are fillers: the first ones, or the last -fillers ones
  bool backward = false;

  TRIANGLE_FN int64_t heads() const { return batch * (backward ? heads_kv : heads_q); }
  TRIANGLE_FN int64_t spans_per_task() const { return backward ? group : 1; }
};

// A place on a line, between two units. The end of the line is {sequence count, 0, 0}.
struct Start {
  int64_t task = 0;      // within its sequence: head * rows + row, counted in the part's rows
  int32_t sequence = 0;  // dense: 0; packed: the document
  int32_t unit = 0;      // within its task
};

TRIANGLE_FN bool is_before(const Start& a, const Start& b) {
  if (a.sequence != b.sequence) return a.sequence < b.sequence;
  if (a.task != b.task) return a.task < b.task;
  return a.unit < b.unit;
}

// Where a core begins (and the one before it ends), in both parts of the line.
struct CorePlace {
  Start part[kLineParts];
};

// What one core does: of each part the stretch from `begin` to `end`.
struct Share {
  CorePlace begin, end;
};

// `Sequences` below is any type with `int64_t count() const` and `Band band(int64_t sequence) const`; on the device it
// reads cu_seqlens from GM. This one is a dense batch: one band, repeated by TaskLine::batch.
struct DenseSequence {
  Band shape;

  TRIANGLE_FN int64_t count() const { return 1; }
  TRIANGLE_FN Band band(int64_t) const { return shape; }
};

// Packed documents by cumulative lengths (`Index` is int32_t const* or a device pointer type). Values are clamped so
// that a bad array on the device gives wrong tasks, never an access out of [0, total).
template <class Index>
struct PackedSequences {
  Index cu_seq_q;
  Index cu_seq_k;
  int64_t documents;
  int64_t total_q;
  int64_t total_k;
  bool bottom_right;
  int64_t diagonal;  // used when not bottom_right
  int64_t window_left;

  TRIANGLE_FN int64_t count() const { return documents; }
  TRIANGLE_FN Band band(int64_t document) const {
    const int64_t first_q = clamp64(cu_seq_q[document], 0, total_q);
    const int64_t first_k = clamp64(cu_seq_k[document], 0, total_k);
    const int64_t sq = clamp64(cu_seq_q[document + 1], first_q, total_q) - first_q;
    const int64_t sk = clamp64(cu_seq_k[document + 1], first_k, total_k) - first_k;
    return make_band(sq, sk, bottom_right ? bottom_right_diagonal(sq, sk) : diagonal, window_left);
  }
};

// ---- one sequence
// --------------------------------------------------------------------------------------------------------

// One sequence as its tasks see it: for the backward rows are block columns. Recomputed when the sequence changes.
struct SequenceTasks {
  Band band;
  BlockShape block;
  Range rows;  // of the part

  TRIANGLE_FN int64_t tasks_per_head() const { return rows.size(); }
  TRIANGLE_FN BlockSpan span(int64_t row) const { return key_blocks(band, block, row); }
};

template <class Sequences>
TRIANGLE_FN SequenceTasks sequence_tasks(const TaskLine& line, const Sequences& sequences, int64_t sequence, int part) {
  SequenceTasks tasks;
  const Band band = sequences.band(sequence);
  tasks.band = line.backward ? transpose(band) : band;
  tasks.block = line.backward ? transpose(line.block) : line.block;
  const int64_t rows = row_block_count(tasks.band, tasks.block);
  const int64_t first = line.fillers > 0 ? min64(line.fillers, rows) : 0;
  const int64_t last = line.fillers < 0 ? max64(rows + line.fillers, 0) : rows;
  tasks.rows.begin = part == kMain ? first : (line.fillers < 0 ? last : 0);
  tasks.rows.end = part == kMain ? last : (line.fillers < 0 ? rows : first);
  return tasks;
}

// Chunks that a span touches.
TRIANGLE_FN int64_t span_chunks(const TaskLine& line, const BlockSpan& span) {
  if (span.size() == 0) return 0;
  if (line.chunk == 0) return 1;
  return line.chunk.ceil(span.end) - line.chunk.floor(span.begin);
}

// A task without blocks is one unit.
TRIANGLE_FN int64_t task_units(const TaskLine& line, const BlockSpan& span) {
  return max64(line.spans_per_task() * span_chunks(line, span), 1);
}

// The first block of the span's chunk number `chunk`; the span's end for the number past the last.
TRIANGLE_FN int64_t chunk_begin(const TaskLine& line, const BlockSpan& span, int64_t chunk) {
  if (chunk == 0) return span.begin;
  if (line.chunk == 0) return span.end;
  return min64((line.chunk.floor(span.begin) + chunk) * line.chunk, span.end);
}

TRIANGLE_FN int64_t blocks_cost(const CostModel& cost, int64_t blocks, int64_t full) {
  return full * cost.full + (blocks - full) * cost.edge;
}

// Cost of the span's blocks before `block`.
TRIANGLE_FN int64_t span_cost_before(const TaskLine& line, const BlockSpan& span, int64_t block) {
  const int64_t full = clamp64(block, span.full_begin, span.full_end) - span.full_begin;
  return blocks_cost(line.cost, block - span.begin, full);
}

// Spans of `chunks` > 0 units that are passed before a task's unit number `unit`. Units are counted in 32 bits (Start),
// so where the quotient is not 0, both numbers fit them, and the division is no long routine.
TRIANGLE_FN int64_t whole_spans(int64_t unit, int64_t chunks) {
  return unit < chunks ? 0 : static_cast<uint32_t>(unit) / static_cast<uint32_t>(chunks);
}

// Cost of the task's first `unit` units.
TRIANGLE_FN int64_t task_cost_before(const TaskLine& line, const BlockSpan& span, int64_t unit) {
  if (unit == 0) return 0;
  const int64_t chunks = span_chunks(line, span);
  if (chunks == 0) return line.cost.task;
  const int64_t spans = whole_spans(unit, chunks);
  return line.cost.task + spans * span_cost_before(line, span, span.end) +
         span_cost_before(line, span, chunk_begin(line, span, unit - spans * chunks));
}

// Cost of one head's tasks in rows rows.begin .. row - 1, O(log).
TRIANGLE_FN int64_t rows_cost_before(const TaskLine& line, const SequenceTasks& tasks, int64_t row) {
  const int64_t first = tasks.rows.begin;
  const int64_t blocks = blocks_before(tasks.band, tasks.block, row) - blocks_before(tasks.band, tasks.block, first);
  int64_t full = 0;
#if !defined(TRIANGLE_DEVICE)  // what plans of kernels never ask for
  if (line.cost.edge != line.cost.full) {
    full = full_blocks_before(tasks.band, tasks.block, row) - full_blocks_before(tasks.band, tasks.block, first);
  }
#endif
  return line.spans_per_task() * blocks_cost(line.cost, blocks, full) + (row - first) * line.cost.task;
}

TRIANGLE_FN int64_t head_cost(const TaskLine& line, const SequenceTasks& tasks) {
  return rows_cost_before(line, tasks, tasks.rows.end);
}

// ---- places
// --------------------------------------------------------------------------------------------------------------

// Cost of the sequence's part before a place in it.
TRIANGLE_FN int64_t cost_before(const TaskLine& line, const SequenceTasks& tasks, int64_t task, int64_t unit) {
  const int64_t per_head = tasks.tasks_per_head();
  if (per_head == 0) return 0;
  const int64_t head = task < per_head ? 0 : TRIANGLE_DIVIDE(task, per_head);
  const int64_t row = tasks.rows.begin + task - head * per_head;
  return head * head_cost(line, tasks) + rows_cost_before(line, tasks, row) +
         task_cost_before(line, tasks.span(row), unit);
}

// The last place of the sequence's part with at most `cost` before it, where 0 <= cost < the sequence's whole cost.
TRIANGLE_FN Start place_at(const TaskLine& line, const SequenceTasks& tasks, int64_t sequence, int64_t cost) {
  const int64_t per_head = head_cost(line, tasks);
  const int64_t head = cost < per_head ? 0 : TRIANGLE_DIVIDE(cost, per_head);
  const int64_t in_head = cost - head * per_head;
  int64_t row = tasks.rows.begin, past = tasks.rows.end;  // the row is in [row, past)
  while (past - row > 1) {
    const int64_t middle = row + ((past - row) >> 1);
    if (rows_cost_before(line, tasks, middle) <= in_head) {
      row = middle;
    } else {
      past = middle;
    }
  }
  const int64_t in_task = in_head - rows_cost_before(line, tasks, row);
  const BlockSpan span = tasks.span(row);
  int64_t unit = 0, past_unit = task_units(line, span);
  while (past_unit - unit > 1) {
    const int64_t middle = unit + ((past_unit - unit) >> 1);
    if (task_cost_before(line, span, middle) <= in_task) {
      unit = middle;
    } else {
      past_unit = middle;
    }
  }
  Start place;
  place.task = head * tasks.tasks_per_head() + row - tasks.rows.begin;
  place.sequence = static_cast<int32_t>(sequence);
  place.unit = static_cast<int32_t>(unit);
  return place;
}

// Moves `place` forward as far as `budget` reaches and returns the cost passed. Steps over whole sequences, then
// searches inside one: O(sequences passed + log).
template <class Sequences>
TRIANGLE_FN int64_t advance(const TaskLine& line, const Sequences& sequences, int part, int64_t budget, Start* place) {
  const int64_t count = sequences.count();
  int64_t spent = 0;
  while (place->sequence < count) {
    const SequenceTasks tasks = sequence_tasks(line, sequences, place->sequence, part);
    const int64_t whole = line.heads() * head_cost(line, tasks);
    const int64_t before = cost_before(line, tasks, place->task, place->unit);
    if (budget - spent < whole - before) {
      *place = place_at(line, tasks, place->sequence, before + budget - spent);
      return spent + cost_before(line, tasks, place->task, place->unit) - before;
    }
    spent += whole - before;
    const int32_t next = place->sequence + 1;
    *place = Start{};
    place->sequence = next;
  }
  return spent;
}

// ---- cutting
// -------------------------------------------------------------------------------------------------------------

template <class Sequences>
TRIANGLE_FN int64_t total_cost(const TaskLine& line, const Sequences& sequences) {
  int64_t total = 0;
  for (int64_t sequence = 0; sequence < sequences.count(); ++sequence) {
    for (int part = 0; part < kLineParts; ++part) {
      total += line.heads() * head_cost(line, sequence_tasks(line, sequences, sequence, part));
    }
  }
  return total;
}

// Where no row sees any key there is nothing to count: then tasks are counted, so that writing their zeros is shared
// out.
template <class Sequences>
TRIANGLE_FN void count_tasks_if_all_empty(const Sequences& sequences, TaskLine* line) {
  if (total_cost(*line, sequences) == 0) line->cost.task = 1;
}

// Whether `cores` shares of at most `limit` take the whole line.
template <class Sequences>
TRIANGLE_FN bool limit_suffices(const TaskLine& line, const Sequences& sequences, int64_t cores, int64_t limit) {
  Start place;
  for (int64_t core = 0; core < cores; ++core) {
    advance(line, sequences, kMain, limit, &place);
    if (place.sequence == sequences.count()) return true;
  }
  return false;
}

// No unit costs more than this. (chunk == 0: a unit is a whole span.)
template <class Sequences>
TRIANGLE_FN int64_t unit_cost_bound(const TaskLine& line, const Sequences& sequences) {
  int64_t blocks = line.chunk;
  if (blocks == 0) {
    for (int64_t sequence = 0; sequence < sequences.count(); ++sequence) {
      const SequenceTasks tasks = sequence_tasks(line, sequences, sequence, kMain);
      blocks = max64(blocks, key_block_count(tasks.band, tasks.block));
    }
  }
  return blocks * max64(line.cost.full, line.cost.edge) + line.cost.task;
}

// The smallest limit that suffices for a line without fillers: shares under it are the contiguous partition whose
// busiest core has least to do. It lies between ceil(mean) and ceil(mean) + one unit, so this takes about log2(unit)
// passes of O(sequences + cores * log) each, and a kernel can do it for itself from cu_seqlens.
template <class Sequences>
TRIANGLE_FN int64_t smallest_limit(const TaskLine& line, const Sequences& sequences, int64_t cores) {
  int64_t low = ceil_div(total_cost(line, sequences), cores);
  int64_t high = low + unit_cost_bound(line, sequences);  // suffices: each share then reaches the mean
  while (low < high) {
    const int64_t middle = low + ((high - low) >> 1);
    if (limit_suffices(line, sequences, cores, middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// Begin and end of one core's share, for a kernel that has no list of places: O(sequences + core * log).
template <class Sequences>
TRIANGLE_FN void core_share(const TaskLine& line, const Sequences& sequences, int64_t limit, int64_t core, Start* begin,
                            Start* end) {
  *end = Start{};
  for (int64_t before = 0; before <= core; ++before) {
    *begin = *end;
    advance(line, sequences, kMain, limit, end);
  }
}

}  // namespace triangle
