// DataCopy in blocks of 32 B: GM <-> UB, GM -> L1, L1/UB -> UB; and DataCopy within on-chip memory.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// blockCount bursts of blockLen * 32 B, with gaps of srcGap and dstGap * 32 B between the end of one and the next.
struct CopyShape {
  uint16_t count = 1;
  uint16_t len = 0;
  uint16_t src_gap = 0;
  uint16_t dst_gap = 0;
};

struct CopyIn {  // GM -> UB, GM -> L1
  static constexpr const char* kName = "DataCopy";
  static constexpr Pipe kPipe = Pipe::kMte2;
  Local dst;
  Global src;
  CopyShape shape;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const CopyIn& instruction, Site site);

struct CopyOut {  // UB -> GM, L1 -> GM; adds when the atomic mode was set at issue
  static constexpr const char* kName = "DataCopy";
  static constexpr Pipe kPipe = Pipe::kMte3;
  Global dst;
  Local src;
  CopyShape shape;
  DType type;
  uint8_t atomic;  // AtomicOp

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const CopyOut& instruction, Site site);

struct CopyLocal {  // UB -> UB on V; UB -> L1 does not exist on this chip
  static constexpr const char* kName = "DataCopy";
  static constexpr Pipe kPipe = Pipe::kV;
  Local dst, src;
  CopyShape shape;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const CopyLocal& instruction, Site site);

}  // namespace ascend_sim
