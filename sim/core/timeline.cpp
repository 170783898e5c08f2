#include "core/timeline.h"

#include <algorithm>

namespace ascend_sim {

void Timeline::Reset(const Soc& soc, int cores, int active_aic, int active_aiv) {
  soc_ = soc;
  active_aic_ = std::max(1, active_aic);
  active_aiv_ = std::max(1, active_aiv);
  cores_.assign(static_cast<size_t>(cores), CoreState{});
  events.clear();
  std::fill(std::begin(path_bytes_), std::end(path_bytes_), 0);
  cube_steps_ = 0;
}

double Timeline::Occupancy(const Cost& cost, double* latency) const {
  *latency = 0;
  switch (cost.kind) {
    case CostKind::kScalar:
      return soc_.scalar_issue;
    case CostKind::kCube:
      return soc_.cube_head + static_cast<double>(cost.steps) * (cost.fp32 ? 4 : 1);
    case CostKind::kVector: {
      static const double per_repeat[kVectorClassCount] = {1, 2.1, 2.3, 2, 4, 1, 7, 8};
      *latency = soc_.vector_head + soc_.vector_tail;
      return cost.repeats * per_repeat[static_cast<int>(cost.vector)] +
             (cost.counter && cost.sources == 2 ? soc_.vector_counter_extra : 0);
    }
    case CostKind::kMove: {
      const double chip = 1e9 * soc_.ghz;
      double rate = soc_.ub_copy;
      switch (cost.path) {
        case Path::kGmToL1:
          rate = std::min(soc_.l2_read, soc_.l2_read_bandwidth / chip / active_aic_);
          *latency = soc_.mte_latency;
          break;
        case Path::kGmToUb:
          rate = std::min(soc_.l2_read, soc_.l2_read_bandwidth / chip / active_aiv_);
          *latency = soc_.mte_latency;
          break;
        case Path::kUbToGm:
        case Path::kUbToGmAtomic:
          rate = std::min(soc_.ub_write, soc_.l2_mixed_bandwidth / chip / active_aiv_);
          *latency = soc_.mte_latency;
          break;
        case Path::kL1ToGm:
          rate = std::min(soc_.l2_write, soc_.l2_mixed_bandwidth / chip / active_aic_);
          *latency = soc_.mte_latency;
          break;
        case Path::kL0cToGm:
        case Path::kL0cToL1:
          rate = soc_.fixpipe;
          *latency = soc_.fix_latency;
          break;
        case Path::kL0cToGmAtomic:
          rate = soc_.fixpipe_atomic;
          *latency = soc_.fix_latency;
          break;
        case Path::kL1ToL0a:
          rate = soc_.l1_to_l0a;
          *latency = soc_.mte1_latency;
          break;
        case Path::kL1ToL0b:
          rate = soc_.l1_to_l0b;
          *latency = soc_.mte1_latency;
          break;
        default:
          break;
      }
      return static_cast<double>(cost.bytes) / rate;
    }
  }
  return 0;
}

Span Timeline::Add(int core, Pipe pipe, const Cost& cost) {
  CoreState& c = cores_[core];
  const int p = static_cast<int>(pipe);
  PipeState& state = c.pipes[p];
  double latency;
  const double occupancy = Occupancy(cost, &latency);
  if (pipe == Pipe::kM || pipe == Pipe::kMte1) {
    const int q = pipe == Pipe::kM ? 0 : 1;
    c.now = std::max(c.now, c.queue[q][c.queued[q] & 31u]);
  }
  if (pipe != Pipe::kS) c.now += soc_.scalar_issue;
  Span span;
  span.start = std::max({state.free_at, state.ready_at, c.now});
  span.end = span.start + occupancy + latency;
  state.free_at = span.start + occupancy;
  state.done_at = std::max(state.done_at, span.end);
  if (pipe == Pipe::kS) c.now = state.free_at;
  if (pipe == Pipe::kM || pipe == Pipe::kMte1) {
    const int q = pipe == Pipe::kM ? 0 : 1;
    c.queue[q][c.queued[q]++ & 31u] = span.start;
  }
  c.totals[p].busy += occupancy;
  ++c.totals[p].instructions;
  path_bytes_[static_cast<int>(cost.path)] += cost.bytes;
  cube_steps_ += cost.steps;
  return span;
}

void Timeline::NotBefore(int core, Pipe pipe, double time) {
  CoreState& c = cores_[core];
  PipeState& state = c.pipes[static_cast<int>(pipe)];
  state.ready_at = std::max(state.ready_at, time);
  state.done_at = std::max(state.done_at, time);
  if (pipe == Pipe::kS) c.now = std::max(c.now, time);
}

void Timeline::Barrier(int core, Pipe pipe) {
  CoreState& c = cores_[core];
  if (pipe == Pipe::kAll) {
    c.now = std::max(c.now, EndOf(core));
    return;
  }
  PipeState& state = c.pipes[static_cast<int>(pipe)];
  state.ready_at = std::max(state.ready_at, state.done_at);
}

double Timeline::EndOf(int core) const {
  double end = cores_[core].now;
  for (const PipeState& state : cores_[core].pipes) end = std::max(end, state.done_at);
  return end;
}

}  // namespace ascend_sim
