// Mmad: C [m, n] = A [m, k] * B [k, n] + initial value, on L0A (ZZ), L0B (ZN) and L0C (NZ).
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// Products are summed with k ascending from the initial value on, each product and each sum rounded to fp32 (exact
// products for 16-bit operands); the chip's order inside 16 values of k is not documented. Only the m x n results are
// written: the rest of the last fractals keeps what it held.
struct Mmad {
  static constexpr const char* kName = "Mmad";
  static constexpr Pipe kPipe = Pipe::kM;
  enum class Init : uint8_t { kZero, kL0c, kBias };
  Local dst, a, b;
  Local bias;  // bias table, or for Init::kL0c the tensor to start from
  DType type;  // of a and b
  Init init = Init::kZero;
  uint8_t unit_flag = 0;
  bool k_align = false;   // fp32: rows of fractals of A are padded to an even number of fractals
  bool in_order = false;  // this and the Mmad before it are large enough to need no PipeBarrier<PIPE_M> between them
  uint16_t m = 0, n = 0, k = 0;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  bool Nothing() const { return m == 0 || n == 0 || k == 0; }
  uint32_t C0() const { return kBlockBytes / BytesOf(type); }
  uint32_t RowFractals() const {  // fractals in a row of A
    const uint32_t fractals = (k + C0() - 1) / C0();
    return type == DType::kF32 && k_align ? (fractals + 1) / 2 * 2 : fractals;
  }
  uint32_t ColumnBytes() const { return (m + 15u) / 16 * 16 * 64; }  // a column of fractals of C
  template <class T, class Load>
  void Run(const Exec& exec, Load load) const;
};
void Issue(const Mmad& instruction, Site site);

}  // namespace ascend_sim
