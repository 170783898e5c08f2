// Walks a stretch of a line (Walker), or one core's share of both its parts (ShareWalker): (batch, head, block row,
// range of key blocks, edges), one piece after another. The kernels' loops are `while (walker.next(&piece))`; no
// containers, no allocation, a few dozen bytes of state.
#pragma once
#include "task_line.h"

namespace triangle {

// The blocks of one task and one query head that this core does, in order.
struct Piece {
  int64_t batch = 0;  // packed: the document
  int64_t head_q = 0;
  int64_t head_kv = 0;
  int64_t row =
      0;  // forward: block row, and `blocks` are key blocks; backward: block column, and `blocks` are row blocks
  BlockSpan blocks;    // full_begin .. full_end of these need no mask; block_edges() says what another one needs
  bool opens = true;   // the piece begins its task; otherwise an earlier core has the beginning
  bool closes = true;  // the piece ends its task. One that opens and closes is whole: no merge with another core's part
};

template <class Sequences>
class Walker {
 public:
  // From `begin` to `end` of one part; both as in a plan's starts. `sequences` is copied: it is a few words.
  TRIANGLE_FN Walker(const TaskLine& line, const Sequences& sequences, int part, const Start& begin, const Start& end)
      : line_(line), sequences_(sequences), part_(part), at_(begin), end_(end) {
    load_sequence();
  }

  // Goes on with another stretch of the same line.
  TRIANGLE_FN void restart(int part, const Start& begin, const Start& end) {
    part_ = part;
    at_ = begin;
    end_ = end;
    load_sequence();
  }

  TRIANGLE_FN bool next(Piece* piece) {
    while (at_.sequence < sequences_.count() && tasks_.tasks_per_head() * line_.heads() == 0) next_sequence();
    if (!is_before(at_, end_)) return false;
    const BlockSpan span = tasks_.span(row_);
    const int64_t chunks = span_chunks(line_, span);
    const int64_t units = task_units(line_, span);
    if (begins_) query_ = chunks == 0 ? 0 : whole_spans(at_.unit, chunks);
    begins_ = false;
    const int64_t query = query_;
    const bool same_task = at_.sequence == end_.sequence && at_.task == end_.task;
    const int64_t stop = same_task ? min64(end_.unit, (query + 1) * chunks) : max64((query + 1) * chunks, 1);

    piece->batch = at_.sequence * line_.batch + copy_;
    piece->head_q = line_.backward ? head_ * line_.group + query : head_;
    piece->head_kv = line_.backward ? head_ : head_kv_;
    piece->row = row_;
    piece->blocks = chunks == 0 ? BlockSpan{} : cut(span, at_.unit - query * chunks, stop - query * chunks);
    piece->opens = at_.unit == 0;
    piece->closes = stop == units;

    at_.unit = static_cast<int32_t>(stop);
    ++query_;
    if (stop == units) next_task();
    return true;
  }

 private:
  // The sub-span of chunks [first, past).
  TRIANGLE_FN BlockSpan cut(const BlockSpan& span, int64_t first, int64_t past) const {
    BlockSpan part;
    part.begin = chunk_begin(line_, span, first);
    part.end = chunk_begin(line_, span, past);
    part.full_begin = clamp64(span.full_begin, part.begin, part.end);
    part.full_end = clamp64(span.full_end, part.full_begin, part.end);
    return part;
  }

  TRIANGLE_FN int64_t heads_per_batch() const { return line_.backward ? line_.heads_kv : line_.heads_q; }

  TRIANGLE_FN void next_task() {
    at_.unit = 0;
    query_ = 0;
    ++at_.task;
    if (++row_ < tasks_.rows.end) return;
    row_ = tasks_.rows.begin;
    if (++in_group_ == line_.group) {
      in_group_ = 0;
      ++head_kv_;
    }
    if (++head_ < heads_per_batch()) return;
    head_ = head_kv_ = 0;
    if (++copy_ == line_.batch) next_sequence();
  }

  TRIANGLE_FN void next_sequence() {
    const int32_t next = at_.sequence + 1;
    at_ = Start{};
    at_.sequence = next;
    load_sequence();
  }

  TRIANGLE_SHARED_FN void load_sequence() {
    begins_ = true;
    if (at_.sequence >= sequences_.count()) return;
    tasks_ = sequence_tasks(line_, sequences_, at_.sequence, part_);
    const int64_t per_head = tasks_.tasks_per_head();
    copy_ = head_ = head_kv_ = in_group_ = 0;
    row_ = tasks_.rows.begin;
    if (per_head == 0 || at_.task == 0) return;
    // The only divisions: from here on everything is counted.
    const int64_t heads = TRIANGLE_DIVIDE(at_.task, per_head);
    row_ += at_.task - heads * per_head;
    copy_ = TRIANGLE_DIVIDE(heads, heads_per_batch());
    head_ = heads - copy_ * heads_per_batch();
    head_kv_ = TRIANGLE_DIVIDE(head_, line_.group);
    in_group_ = head_ - head_kv_ * line_.group;
  }

  TaskLine line_;
  Sequences sequences_;
  int part_;
  Start at_, end_;
  SequenceTasks tasks_;
  bool begins_ = true;                  // query_ is not known yet
  int64_t query_ = 0;                   // which of the task's spans, hence of the group's query heads
  int64_t copy_ = 0;                    // of the sequence, in the batch
  int64_t head_ = 0;                    // of query heads, backward: of key/value heads
  int64_t head_kv_ = 0, in_group_ = 0;  // forward: head_ is in_group_ of the group of head_kv_
  int64_t row_ = 0;
};

// The main part of a core's share, then its fillers.
template <class Sequences>
class ShareWalker {
 public:
  TRIANGLE_FN ShareWalker(const TaskLine& line, const Sequences& sequences, const Share& share)
      : walker_(line, sequences, kMain, share.begin.part[kMain], share.end.part[kMain]),
        fillers_(share.begin.part[kFillers]),
        fillers_end_(share.end.part[kFillers]) {}

  TRIANGLE_FN bool next(Piece* piece) {
    if (walker_.next(piece)) return true;
    if (!is_before(fillers_, fillers_end_)) return false;
    walker_.restart(kFillers, fillers_, fillers_end_);
    fillers_ = fillers_end_;
    return walker_.next(piece);
  }

 private:
  Walker<Sequences> walker_;
  Start fillers_, fillers_end_;  // still to be walked
};

}  // namespace triangle
