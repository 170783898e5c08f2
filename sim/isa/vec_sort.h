// Sort32 and MrgSort: descending order by value. A sorted element takes 8 bytes: the value, then its 32-bit index.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// 32 values and 32 indices a repeat become 32 sorted elements; equal values keep the order of their positions.
struct VecSort32 {
  static constexpr const char* kName = "Sort32";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;  // kF16 or kF32
  int32_t repeat;
  Local dst, values, indices;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecSort32& instruction, Site site);

// Merges up to four sorted lists; of equal values that of the earlier list comes first. With `suspend` it ends where
// one list is used up. Where more than one repeat is asked for, four full lists follow each other repeat by repeat.
struct VecMrgSort {
  static constexpr const char* kName = "MrgSort";
  static constexpr Pipe kPipe = Pipe::kV;
  DType type;
  bool suspend;
  uint16_t valid;  // bit i: list i takes part
  uint8_t repeat;
  uint16_t lengths[4];
  Local dst, lists[4];

  uint32_t Total() const;
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;
};
void Issue(const VecMrgSort& instruction, Site site);

}  // namespace ascend_sim
