// Cast: from one element type to another, in the rounding modes the chip has for the pair. Mask and repeats count
// elements of the wider type. Integers saturate, NaN becomes 0 in them.
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

  uint32_t Lanes() const {
    return kRepeatBytes / (BytesOf(dst_type) > BytesOf(src_type) ? BytesOf(dst_type) : BytesOf(src_type));
  }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecCast& instruction, Site site);

}  // namespace ascend_sim
