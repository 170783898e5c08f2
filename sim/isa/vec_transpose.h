// Transpose of a 16 x 16 matrix of 16-bit elements, and TransDataTo5HD: 16 rows of a block each, turned by a repeat.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

struct VecTranspose {
  static constexpr const char* kName = "Transpose";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  Local dst, src;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecTranspose& instruction, Site site);

// src[i] holds 32 / bytes elements; element j of the 16 rows becomes, in order of i: for 16 bits dst[j], for 32 bits
// dst[2j] and dst[2j+1], for 8 bits half of dst[j] (the 16 columns of one half of the rows).
// With one repeat the strides offset it, as the API documents; with more, the first stands at the lists' addresses.
struct VecTransData5Hd {
  static constexpr const char* kName = "TransDataTo5HD";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  bool dst_high, src_high;
  uint8_t repeat;
  uint16_t dst_repeat_stride, src_repeat_stride;  // in 32 B
  uint32_t dst[16], src[16];                      // byte addresses in UB

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  int64_t First(uint16_t stride) const { return repeat == 1 ? static_cast<int64_t>(stride) * kBlockBytes : 0; }
};
void Issue(const VecTransData5Hd& instruction, Site site);

}  // namespace ascend_sim
