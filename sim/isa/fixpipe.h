// Fixpipe: L0C -> GM (row-major or NZ) and L0C -> L1 (NZ), with conversion, scaling and ReLU on the way. Also what
// DataCopy with DataCopyCO12DstParams issues.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// CANN's QuantMode_t, as far as this chip has it. V: one scale per column, from the fixpipe buffer.
enum class Quant : uint8_t { kNone, kF32ToF16, kF32ToBf16, kDeqF16, kVDeqF16, kF32ToB8, kVF32ToB8, kReq8, kVReq8 };
const char* QuantName(Quant quant);
constexpr bool IsVector(Quant quant) {
  return quant == Quant::kVDeqF16 || quant == Quant::kVF32ToB8 || quant == Quant::kVReq8;
}

struct Fixpipe {
  static constexpr const char* kName = "Fixpipe";
  static constexpr Pipe kPipe = Pipe::kFix;
  Local src;
  Global gm;     // used when to_gm
  Local l1;      // used otherwise
  Local scales;  // fixpipe buffer, for the V modes: 64 bits a column
  bool to_gm = true;
  bool row_major = true;  // else NZ
  bool relu = false;
  bool channel_split = false;  // NZ of fp32 in fractals of 16 x 8
  bool saturate = false;       // float results: infinities to the largest value, NaN to 0
  uint8_t unit_flag = 0;
  Quant quant = Quant::kNone;
  DType src_type, dst_type;
  DType atomic_type = DType::kF32;
  uint8_t atomic = 0;  // AtomicOp
  uint16_t n = 0, m = 0;
  uint16_t src_stride = 0;     // 64 B from column of fractals to column of fractals: rows of the tile
  uint32_t dst_stride = 0;     // row-major: elements from row to row; NZ: 32 B from column to column
  uint16_t nd_num = 1;         // row-major: matrices,
  uint16_t src_nd_stride = 0;  // 1024 B apart in L0C,
  uint16_t dst_nd_stride = 0;  // elements apart in GM
  uint64_t scale = 0;          // the scalar modes: M1, N, MCB, offset and sign as CANN packs them

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  bool Nothing() const { return m == 0 || n == 0 || nd_num == 0; }
  uint32_t Matrices() const { return row_major ? nd_num : 1; }
  template <class Body>
  void ForEachRun(Body body) const;
};
void Issue(const Fixpipe& instruction, Site site);

}  // namespace ascend_sim
