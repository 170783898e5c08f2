// When each instruction starts and ends. Pipes advance by their dependencies: an instruction starts when its pipe is
// free, the scalar unit has issued it and every flag its pipe waited for has been set. All times are cycles of the
// modelled chip, never measured. docs/simulator-timing.md describes the model.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cost.h"
#include "core/memory_system.h"
#include "core/soc.h"
#include "core/types.h"

namespace ascend_sim {

constexpr int kMomentParts = 2 * kPipeCount;  // pipes of AIC, then of AIV

// A time, and the chain of work that leads to it: cycles spent in each pipe on the way (they sum to `at`).
struct Moment {
  double at = 0;
  float parts[kMomentParts] = {};

  void Add(int part, double cycles) {
    at += cycles;
    parts[part] += static_cast<float>(cycles);
  }
  void Later(const Moment& other) {
    if (other.at > at) *this = other;
  }
};

// One bar of the trace: [start, end) in the pipe, the result is there at `done`. site is an id of Machine::SiteOf.
struct TraceEvent {
  double start, end, done;
  uint32_t site;
  uint16_t core;
  uint8_t pipe;
  uint8_t reserved;
};

struct PipeTotals {
  double busy = 0;    // cycles an instruction held the pipe
  double active = 0;  // cycles at least one instruction was under way, waiting for its result included
  uint64_t instructions = 0;
};

class Timeline {
 public:
  // aic[i]: whether core i is an AIC.
  void Reset(const Soc& soc, const std::vector<bool>& aic);

  // Every core's first instruction comes `cycles` after the launch.
  void Launch(double cycles);
  // An instruction enters its pipe. Moves the scalar clock by the cost of issuing.
  const TraceEvent& Add(int core, Pipe pipe, const Cost& cost);
  // When everything issued so far to the pipe will be complete: what a SetFlag there carries.
  const Moment& DoneAt(int core, Pipe pipe) const { return cores_[core].pipes[static_cast<int>(pipe)].done; }
  // WaitFlag: the pipe starts nothing before `time`. On S, issue itself waits.
  void NotBefore(int core, Pipe pipe, const Moment& time);
  // The same for an arrival from another core, which takes a while.
  void Arrived(int core, Moment time);
  void Advance(int core) {  // a call that only the scalar unit executes
    CoreState& c = cores_[core];
    c.now.Add(c.scalar, soc_.scalar_issue + soc_.scalar_loop);
    if (c.now.at > c.frontier) c.frontier = c.now.at;
  }
  void Divide(int core) {  // a division of 64 bits on the scalar unit
    CoreState& c = cores_[core];
    c.now.Add(c.scalar, soc_.scalar_division);
    if (c.now.at > c.frontier) c.frontier = c.now.at;
  }
  void Barrier(int core, Pipe pipe);  // kAll: issue waits for every pipe
  double Now(int core) const { return cores_[core].now.at; }
  // How far the core has come in its use of what cores share: the scheduler runs the one furthest behind, so that
  // transfers reach the memory system nearly in the order of time.
  double Frontier(int core) const { return cores_[core].frontier; }
  const Moment& NowMoment(int core) const { return cores_[core].now; }
  Moment EndOf(int core) const;
  // Cycles the instruction would hold its pipe with the chip's memory to itself.
  double Nominal(const Cost& cost) const;

  const PipeTotals& totals(int core, Pipe pipe) const { return cores_[core].totals[static_cast<int>(pipe)]; }
  const uint64_t* path_bytes() const { return path_bytes_; }
  uint64_t cube_steps() const { return cube_steps_; }
  uint64_t cube_flops() const { return cube_flops_; }
  const MemorySystem& memory() const { return memory_; }

  bool trace = false;
  std::vector<TraceEvent> events;
  uint64_t trace_limit = 2000000;
  uint64_t trace_dropped = 0;

 private:
  struct PipeState {
    Moment ready;  // flags and barriers
    Moment free;   // the previous instruction has left the pipe
    Moment done;   // everything issued is complete
    double active_until = 0;
  };
  struct CoreState {
    Moment now;  // the scalar unit
    PipeState pipes[kPipeCount];
    PipeTotals totals[kPipeCount];
    int first_part = 0, scalar = 0;  // parts of a Moment
    double frontier = 0;
    // MTE1 and M hold 32 instructions: issue stalls while the 32nd before has not started.
    Moment queue[2][32];
    uint32_t queued[2] = {0, 0};
  };
  double Latency(const Cost& cost) const;

  Soc soc_{};
  std::vector<CoreState> cores_;
  MemorySystem memory_;
  TraceEvent last_{};
  uint64_t path_bytes_[kPathCount] = {};
  uint64_t cube_steps_ = 0, cube_flops_ = 0;
};

}  // namespace ascend_sim
