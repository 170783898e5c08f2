// LoadDataWithSparse and MmadWithSparse: C = A * B where of every four values of k two are given in B, with two-bit
// indices that say which of A they meet.
#pragma once

#include "isa/mmad.h"

namespace ascend_sim {

// `repeat` consecutive fractals of B from L1 to L0B, and for each 128 B of indices to the same place of the index
// buffer, which is a quarter of L0B.
struct LoadSparse {
  static constexpr const char* kName = "LoadDataWithSparse";
  static constexpr Pipe kPipe = Pipe::kMte1;
  Local dst, src, index;
  uint8_t repeat = 0;
  uint16_t start = 0;  // fractals

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;

 private:
  Local Indices() const { return {Buffer::kIndex, dst.offset / 4, 0, 0}; }
};
void Issue(const LoadSparse& instruction, Site site);

// int32_t = int8_t * int8_t. A [m, k] in L0A; B [k / 2, n] in L0B, its indices [k / 2, n] of two bits, four in a byte,
// the first in the low bits. B's rows 2 g and 2 g + 1 meet element i of A's group of four g: 0 to 2 by the first index,
// 1 to 3 (index + 1) by the second.
struct MmadSparse {
  static constexpr const char* kName = "MmadWithSparse";
  static constexpr Pipe kPipe = Pipe::kM;
  Local dst, a, b;
  Local bias;  // as in Mmad
  Mmad::Init init = Mmad::Init::kZero;
  uint8_t unit_flag = 0;
  uint16_t m = 0, n = 0, k = 0;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  static constexpr uint32_t kC0 = 32;
  bool Nothing() const { return m == 0 || n == 0 || k == 0; }
  uint32_t Rows() const { return (k + 1u) / 2; }  // of B
  uint32_t ColumnBytes() const { return (m + 15u) / 16 * 16 * 64; }
  Local Indices() const { return {Buffer::kIndex, b.offset / 4, 0, 0}; }
};
void Issue(const MmadSparse& instruction, Site site);

}  // namespace ascend_sim
