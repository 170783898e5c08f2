// DataCopyPad: GM <-> UB in bursts of any number of bytes, each padded to 32 B in UB.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// Gaps go from the end of one burst to the start of the next: bytes in GM, 32 B in UB.
struct PadShape {
  uint16_t count = 1;
  uint32_t len = 0;  // bytes
  uint32_t src_gap = 0;
  uint32_t dst_gap = 0;
};

struct CopyPadIn {  // GM -> UB
  static constexpr const char* kName = "DataCopyPad";
  static constexpr Pipe kPipe = Pipe::kMte2;
  Local dst;
  Global src;
  PadShape shape;
  uint8_t bytes;        // of an element
  uint8_t left, right;  // elements
  bool is_pad;          // asks for a padding value
  bool value_known;     // is_pad, or SetPadValue before: otherwise padding is undefined
  uint64_t value;       // bits

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;

 private:
  uint32_t Left() const { return static_cast<uint32_t>(left) * bytes; }
  // Bytes of a burst in UB.
  uint32_t Padded() const {
    return (Left() + shape.len + static_cast<uint32_t>(right) * bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  }
  int64_t DstStep() const { return Padded() + static_cast<int64_t>(shape.dst_gap) * kBlockBytes; }
};
void Issue(const CopyPadIn& instruction, Site site);

struct CopyPadOut {  // UB -> GM
  static constexpr const char* kName = "DataCopyPad";
  static constexpr Pipe kPipe = Pipe::kMte3;
  Global dst;
  Local src;
  PadShape shape;
  uint8_t bytes;
  DType type;
  uint8_t atomic;  // AtomicOp

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  int64_t SrcStep() const {
    return (static_cast<int64_t>(shape.len) + kBlockBytes - 1) / kBlockBytes * kBlockBytes +
           static_cast<int64_t>(shape.src_gap) * kBlockBytes;
  }
  int64_t DstStep() const { return static_cast<int64_t>(shape.len) + shape.dst_gap; }
};
void Issue(const CopyPadOut& instruction, Site site);

}  // namespace ascend_sim
