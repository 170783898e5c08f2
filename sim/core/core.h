// One AI Core: its buffers, registers, flags and the clocks that say what is known to have happened before what.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/fiber.h"
#include "core/instruction.h"
#include "core/order.h"
#include "core/shadow.h"
#include "core/timeline.h"
#include "core/types.h"

namespace ascend_sim {

constexpr int kFlagIds = 8;        // HardEvent ids per pair of pipes
constexpr int kCrossFlagIds = 16;  // cross-core flag ids

// What a flag carries: everything known at its set (clock), when (time) and what must have executed (work).
struct Signal {
  std::vector<uint32_t> clock;
  std::vector<Work> work;
  Moment time;
  Site site;
  uint32_t call = 0;  // of the set, in SyncCalls; 0: not a call of the kernel's
};

enum class AtomicOp : uint8_t { kNone, kAdd, kMax, kMin };

// Machine state an instruction reads at issue. API functions copy from here into the instruction they issue.
struct Registers {
  uint64_t mask[2] = {~0ull, ~0ull};  // mask[0]: low 64 elements; in counter mode the element count
  bool counter_mode = false;
  AtomicOp atomic = AtomicOp::kNone;
  DType atomic_type = DType::kF32;
  Site atomic_site;        // of the call that set it
  bool saturate = false;   // control bit: inf -> +-max, NaN -> 0 in conversions
  uint64_t pad_value = 0;  // SetPadValue, or the last DataCopyPad that gave a value
  bool pad_value_set = false;
  uint64_t compare_mask[4] = {};          // SetCmpMask / GetCmpMask
  uint64_t fixpipe_nz2nd[3] = {1, 0, 0};  // SetFixpipeNz2ndFlag: ndNum, srcNdStride, dstNdStride
  uint64_t quant_scalar = 0;              // SetFixpipePreQuantFlag
  uint64_t quant_address = 0;             // SetFixPipeConfig: byte offset of the column scales in the fixpipe buffer
  uint64_t load3d[8] = {};                // see isa/load_3d.h
  uint32_t mmad_blocks = ~0u;             // (m / 16) * (n / 16) of the last Mmad
  int64_t accumulator = 0;                // GetAccVal
  uint64_t max_min = 0;                   // GetReduceMaxMinCount: value bits, index << 32
  uint64_t remaining = 0;                 // GetGatherMaskRemainCount
  uint64_t deq_scale = 0;                 // SetDeqScale
  uint64_t sys_workspace = 0;             // SetSysWorkspace: a GM address
  uint64_t merged = 0;                    // GetMrgSortResult: four counts of 16 bits
  uint32_t block_round = 0;               // InitDetermineComputeWorkspace: 1, NotifyNextBlock: one more
};

// Allocations a framework makes in on-chip buffers (TPipe, TQue): a Local carries the handle, and using one that was
// freed is reported. Handle 0 is memory nobody allocates.
class Allocations {
 public:
  uint32_t Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site);
  void Free(uint32_t handle, Site site);
  struct Entry {
    Buffer buffer;
    uint32_t offset, bytes;
    bool live;
    Site allocated, freed;
  };
  Entry* Find(uint32_t handle) { return handle == 0 || handle > entries_.size() ? nullptr : &entries_[handle - 1]; }
  std::vector<Entry>& entries() { return entries_; }

 private:
  std::vector<Entry> entries_;
};

class Core {
 public:
  Core(int index, CoreType type) : index(static_cast<uint16_t>(index)), type(type), exec_(bases, *this) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const uint16_t index;  // in the machine
  const CoreType type;
  int group = 0;      // the AIC and AIVs of one physical AI core
  int sub_block = 0;  // AIV 0 or 1 of its group
  int block = 0;      // launched block it runs now

  // Buffers at true capacity; null where this core type has none.
  uint8_t* bases[kBufferCount] = {};
  std::unique_ptr<uint8_t[]> storage;
  Shadow shadow[kBufferCount];
  uint64_t capacity[kBufferCount] = {};

  Registers registers;
  Allocations allocations;
  void* tpipe = nullptr;  // the framework's state: the PipeState of the TPipe constructed last

  // Happens-before. clock(p)[w]: how far pipe w of some core is known complete to what pipe p does next.
  uint32_t* clock(Pipe pipe) { return clocks.data() + static_cast<size_t>(pipe) * clock_size; }
  std::vector<uint32_t> clocks;
  size_t clock_size = 0;
  uint32_t seq[kPipeCount] = {};            // instructions issued so far
  Place unfinished;                         // the last of them that no PipeBarrier<PIPE_ALL> follows; line 0: none
  std::vector<uint32_t> sites[kPipeCount];  // site id of each
  Who who(Pipe pipe) const { return static_cast<Who>(index * kClocksPerCore + static_cast<int>(pipe)); }
  size_t waits_clock() const { return static_cast<size_t>(index) * kClocksPerCore + kPipeCount; }

  struct Flag {
    uint32_t set = 0;
    Signal signal;
  };
  Flag flags[kPipeCount][kPipeCount][kFlagIds];
  std::deque<Signal> cross[kCrossFlagIds];          // arrived, not yet waited for
  std::deque<uint32_t> cross_waits[kCrossFlagIds];  // counts of passed_waits at which arrivals were consumed
  uint32_t passed_waits = 0;
  uint64_t cross_arrived[kCrossFlagIds] = {}, cross_consumed[kCrossFlagIds] = {};

  struct UnitBit {
    bool full = false;
    uint32_t serial = 0;  // of the instruction that set it last
    Signal signal;
  };
  std::vector<UnitBit> unit_bits;  // one per 512 B of L0C

  // Fiber state.
  enum class State : uint8_t { kIdle, kReady, kBlocked, kDone, kDead };
  State state = State::kIdle;
  Fiber fiber;
  std::string waiting_for;
  int waiting_cross_id = -1;
  Site last_site;
  const char* last_name = "";
  uint64_t issued = 0;

  const Exec& exec() const { return exec_; }

 private:
  Exec exec_;
};

}  // namespace ascend_sim
