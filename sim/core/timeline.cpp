#include "core/timeline.h"

#include <algorithm>

namespace ascend_sim {

namespace {
bool FromGm(Path path) { return path == Path::kGmToL1 || path == Path::kGmToUb; }
bool ToGm(Path path) {
  return path == Path::kUbToGm || path == Path::kUbToGmAtomic || path == Path::kL1ToGm || path == Path::kL0cToGm ||
         path == Path::kL0cToGmAtomic;
}
// Index of the bounded instruction queue, or -1.
int QueueOf(Pipe pipe) { return pipe == Pipe::kM ? 0 : pipe == Pipe::kMte1 ? 1 : -1; }
}  // namespace

void Timeline::Reset(const Soc& soc, const std::vector<bool>& aic) {
  soc_ = soc;
  cores_.assign(aic.size(), CoreState{});
  for (size_t i = 0; i < aic.size(); ++i) {
    cores_[i].first_part = aic[i] ? 0 : kPipeCount;
    cores_[i].scalar = cores_[i].first_part + static_cast<int>(Pipe::kS);
  }
  memory_.Reset(soc);
  events.clear();
  trace_dropped = 0;
  std::fill(std::begin(path_bytes_), std::end(path_bytes_), 0);
  cube_steps_ = cube_flops_ = 0;
}

void Timeline::Launch(double cycles) {
  for (CoreState& core : cores_) {
    core.now.Add(core.scalar, cycles);
    core.frontier = core.now.at;
  }
}

// Bytes per cycle and core of a path.
static double RateOf(const Soc& soc, const Cost& cost) {
  switch (cost.path) {
    case Path::kGmToL1:
      return cost.nd2nz ? std::min(soc.nd2nz, soc.l2_read) : soc.l2_read;
    case Path::kGmToUb:
      return soc.l2_read;
    case Path::kUbToGm:
      return soc.ub_write;
    case Path::kUbToGmAtomic:
      return soc.ub_write_atomic;
    case Path::kL1ToGm:
      return soc.l2_write;
    case Path::kL0cToGm:
      return soc.fixpipe;
    case Path::kL0cToGmAtomic:
      return soc.fixpipe_atomic;
    case Path::kL0cToL1:
      return soc.fixpipe_l1;
    case Path::kL1ToL0a:
      return soc.l1_to_l0a;
    case Path::kL1ToL0b:
      return soc.l1_to_l0b;
    case Path::kL1ToBt:
    case Path::kL1ToFb:
      return soc.l1_to_table;
    case Path::kFill:
      return soc.fill;
    default:
      return soc.ub_copy;
  }
}

// Cycles a DMA instruction holds its pipe before its first byte.
static double HeadOf(const Soc& soc, Path path) {
  switch (path) {
    case Path::kL1ToL0a:
    case Path::kL1ToL0b:
    case Path::kL1ToBt:
    case Path::kL1ToFb:
      return soc.mte1_head;
    case Path::kL0cToGm:
    case Path::kL0cToGmAtomic:
    case Path::kL0cToL1:
      return soc.fix_head;
    default:
      return soc.mte_head;
  }
}

double Timeline::Nominal(const Cost& cost) const {
  switch (cost.kind) {
    case CostKind::kScalar:
      return soc_.scalar_issue + soc_.scalar_loop;
    case CostKind::kCube:
      return soc_.cube_head + static_cast<double>(cost.steps) * (cost.fp32 ? soc_.cube_fp32_cycles : soc_.cube_cycles);
    case CostKind::kVector:
      // A repeat takes its class's cycles, or those its accesses of UB take: one, and more where they meet in a bank.
      return std::max(
                 cost.repeats * soc_.vector_cycles[static_cast<int>(cost.vector)],
                 cost.repeats + cost.bank_reads * soc_.ub_read_conflict + cost.bank_writes * soc_.ub_write_conflict) +
             (cost.counter && cost.sources == 2 ? soc_.vector_counter_extra : 0);
    case CostKind::kMove:
      return HeadOf(soc_, cost.path) + static_cast<double>(cost.bytes) / RateOf(soc_, cost);
  }
  return 0;
}

// From leaving the pipe to the result being there.
double Timeline::Latency(const Cost& cost) const {
  switch (cost.kind) {
    case CostKind::kScalar:
      return 0;
    case CostKind::kCube:
      return soc_.cube_latency;
    case CostKind::kVector:
      return soc_.vector_head + soc_.vector_tail;
    case CostKind::kMove:
      break;
  }
  switch (cost.path) {
    case Path::kGmToL1:
    case Path::kGmToUb:
      return soc_.mte_latency;
    case Path::kUbToGm:
    case Path::kUbToGmAtomic:
    case Path::kL1ToGm:
      return soc_.store_latency;
    case Path::kL0cToGm:
    case Path::kL0cToGmAtomic:
    case Path::kL0cToL1:
      return soc_.fix_latency;
    case Path::kL1ToL0a:
    case Path::kL1ToL0b:
    case Path::kL1ToBt:
    case Path::kL1ToFb:
      return soc_.mte1_latency;
    default:
      return 0;
  }
}

const TraceEvent& Timeline::Add(int core, Pipe pipe, const Cost& cost) {
  CoreState& c = cores_[core];
  const int p = static_cast<int>(pipe), part = c.first_part + p, q = QueueOf(pipe);
  PipeState& state = c.pipes[p];
  if (q >= 0) c.now.Later(c.queue[q][c.queued[q] & 31u]);
  if (pipe != Pipe::kS) c.now.Add(c.scalar, soc_.scalar_issue + soc_.scalar_loop);
  c.frontier = std::max(c.frontier, c.now.at);
  state.free.Later(state.ready);
  state.free.Later(c.now);
  const double start = state.free.at;
  if (q >= 0) c.queue[q][c.queued[q]++ & 31u] = state.free;
  double occupancy, latency = Latency(cost);
  if (cost.kind == CostKind::kMove && (FromGm(cost.path) || ToGm(cost.path))) {
    c.frontier = std::max(c.frontier, start);
    const double head = HeadOf(soc_, cost.path);
    const auto moved = memory_.Move(cost, ToGm(cost.path), RateOf(soc_, cost), start + head, core);
    occupancy = moved.end - start;
    if (moved.missed) latency += soc_.hbm_latency;
  } else {
    occupancy = Nominal(cost);
  }
  state.free.Add(part, occupancy);
  last_ = TraceEvent{
      start, state.free.at, state.free.at + latency, 0, static_cast<uint16_t>(core), static_cast<uint8_t>(p), 0};
  if (last_.done > state.done.at) {
    state.done = state.free;
    state.done.Add(part, latency);
  }
  if (pipe == Pipe::kS) c.now = state.free;
  PipeTotals& totals = c.totals[p];
  totals.busy += occupancy;
  totals.active += std::max(0.0, last_.done - std::max(start, state.active_until));
  state.active_until = std::max(state.active_until, last_.done);
  ++totals.instructions;
  path_bytes_[static_cast<int>(cost.path)] += cost.bytes;
  cube_steps_ += cost.steps;
  cube_flops_ += cost.flops;
  return last_;
}

void Timeline::NotBefore(int core, Pipe pipe, const Moment& time) {
  CoreState& c = cores_[core];
  PipeState& state = c.pipes[static_cast<int>(pipe)];
  state.ready.Later(time);
  state.done.Later(time);
  if (pipe == Pipe::kS) {
    c.now.Later(time);
    c.frontier = std::max(c.frontier, c.now.at);
  }
}

void Timeline::Arrived(int core, Moment time) {
  time.Add(cores_[core].scalar, soc_.cross_flag_latency);
  NotBefore(core, Pipe::kS, time);
}

void Timeline::Barrier(int core, Pipe pipe) {
  CoreState& c = cores_[core];
  if (pipe == Pipe::kAll) {
    c.now = EndOf(core);
    return;
  }
  PipeState& state = c.pipes[static_cast<int>(pipe)];
  state.ready.Later(state.done);
}

Moment Timeline::EndOf(int core) const {
  Moment end = cores_[core].now;
  for (const PipeState& state : cores_[core].pipes) end.Later(state.done);
  return end;
}

}  // namespace ascend_sim
