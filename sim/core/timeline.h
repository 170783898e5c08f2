// When each instruction starts and ends. Pipes advance by their dependencies: an instruction starts when its pipe is
// free, the scalar unit has issued it and every flag its pipe waited for has been set. All times are cycles.
#pragma once

#include <cstdint>
#include <vector>

#include "core/cost.h"
#include "core/soc.h"
#include "core/types.h"

namespace ascend_sim {

struct Span {
  double start = 0, end = 0;
};

// One bar of the trace. name and site are ids of Sites.
struct TraceEvent {
  uint16_t core;
  Pipe pipe;
  uint32_t site;
  double start, end;
};

struct PipeTotals {
  double busy = 0;
  uint64_t instructions = 0;
};

class Timeline {
 public:
  void Reset(const Soc& soc, int cores, int active_aic, int active_aiv);

  // An instruction enters its pipe. Moves the scalar clock by the cost of issuing.
  Span Add(int core, Pipe pipe, const Cost& cost);
  // When everything issued so far to the pipe will be complete: the time a SetFlag there carries.
  double DoneAt(int core, Pipe pipe) const { return cores_[core].pipes[static_cast<int>(pipe)].done_at; }
  // WaitFlag: the pipe starts nothing before `time`. On S, issue itself waits.
  void NotBefore(int core, Pipe pipe, double time);
  void Advance(int core) { cores_[core].now += soc_.scalar_issue; }  // a call that only the scalar unit executes
  void Barrier(int core, Pipe pipe);                                 // kAll: issue waits for every pipe
  double Now(int core) const { return cores_[core].now; }
  double EndOf(int core) const;

  const PipeTotals& totals(int core, Pipe pipe) const { return cores_[core].totals[static_cast<int>(pipe)]; }
  const uint64_t* path_bytes() const { return path_bytes_; }
  uint64_t cube_steps() const { return cube_steps_; }

  bool trace = false;
  std::vector<TraceEvent> events;
  uint64_t trace_limit = 2000000;

  // Cycles the instruction occupies its pipe; latency is what completion adds after the pipe is free again.
  double Occupancy(const Cost& cost, double* latency) const;

 private:
  struct PipeState {
    double ready_at = 0;  // flags and barriers
    double free_at = 0;   // the previous instruction has left the pipe
    double done_at = 0;   // everything issued is complete
  };
  struct CoreState {
    double now = 0;  // the scalar unit
    PipeState pipes[kPipeCount];
    PipeTotals totals[kPipeCount];
    // MTE1 and M hold 32 instructions: issue stalls while the 32nd before has not started.
    double queue[2][32] = {};
    uint32_t queued[2] = {0, 0};
  };
  Soc soc_{};
  int active_aic_ = 1, active_aiv_ = 0;
  std::vector<CoreState> cores_;
  uint64_t path_bytes_[kPathCount] = {};
  uint64_t cube_steps_ = 0;
};

}  // namespace ascend_sim
