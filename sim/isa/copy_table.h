// DataCopy from L1 into the small tables of the cube: the bias table and the fixpipe parameter buffer.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

struct CopyBias {  // L1 -> bias table; half becomes float on the way
  static constexpr const char* kName = "DataCopy";
  static constexpr Pipe kPipe = Pipe::kMte1;
  Local dst, src;
  bool widen = false;  // from half to float
  uint16_t count = 1;
  uint16_t len = 0;      // 64 B of the table
  uint16_t src_gap = 0;  // 32 B, end to start
  uint16_t dst_gap = 0;  // 64 B, end to start

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t SrcBytes() const { return len * (widen ? 32u : 64u); }
  int64_t SrcStep() const { return SrcBytes() + static_cast<int64_t>(src_gap) * kBlockBytes; }
  int64_t DstStep() const { return (static_cast<int64_t>(len) + dst_gap) * 64; }
};
void Issue(const CopyBias& instruction, Site site);

struct CopyFixpipeTable {  // L1 -> fixpipe buffer
  static constexpr const char* kName = "DataCopy";
  static constexpr Pipe kPipe = Pipe::kFix;
  Local dst, src;
  uint16_t count = 1;
  uint16_t len = 0;         // 128 B
  uint16_t src_stride = 0;  // 32 B, start to start
  uint16_t dst_stride = 0;  // 128 B, start to start

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;
};
void Issue(const CopyFixpipeTable& instruction, Site site);

}  // namespace ascend_sim
