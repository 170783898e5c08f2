// Cast: from one element type to another, in the rounding modes the chip has for the pair. Mask and repeats count
// elements of the wider type. Integers saturate, NaN becomes 0 in them. int4b_t goes in pairs: mask and count are of
// pairs, a pair of halfs has 4 bytes, one of int4b_t 1.
#pragma once

#include "core/instruction.h"
#include "isa/vec_shape.h"

namespace ascend_sim {

enum class Rounding : uint8_t { kNone, kRint, kFloor, kCeil, kRound, kTrunc, kOdd };  // order of CANN's RoundMode

struct VecCast {
  static constexpr const char* kName = "Cast";
  static constexpr Pipe kPipe = Pipe::kV;
  DType dst_type, src_type;
  Rounding rounding;
  uint16_t deq_scale;  // half bits of SetDeqScale; int32_t -> half only
  VecShape shape;
  VecWalk dst, src;

  bool Pairs() const { return dst_type == DType::kI4 || src_type == DType::kI4; }
  uint32_t DstBytes() const { return Pairs() ? BytesOf(dst_type) == 0 ? 1 : 4 : BytesOf(dst_type); }
  uint32_t SrcBytes() const { return Pairs() ? BytesOf(src_type) == 0 ? 1 : 4 : BytesOf(src_type); }
  uint32_t Lanes() const { return kRepeatBytes / (DstBytes() > SrcBytes() ? DstBytes() : SrcBytes()); }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecCast& instruction, Site site);

}  // namespace ascend_sim
