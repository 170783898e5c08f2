// DataCopy GM -> L1 that turns row-major matrices (ND) into fractals (NZ) on the way.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// Element (row, c) of a matrix goes to block c / C0 * c0_stride + row * n_stride (blocks of 32 B, C0 elements each).
// Columns past d are zero up to a whole block; rows past n are not written.
struct CopyNd2Nz {
  static constexpr const char* kName = "DataCopy(Nd2Nz)";
  static constexpr Pipe kPipe = Pipe::kMte2;
  Local dst;
  Global src;
  uint8_t bytes;  // of an element
  uint16_t nd_num = 0;
  uint16_t n = 0, d = 0;           // rows, columns
  uint16_t src_matrix_stride = 0;  // elements
  uint16_t src_d = 0;              // elements from row to row
  uint16_t c0_stride = 0;          // 32 B
  uint16_t n_stride = 0;           // 32 B
  uint16_t dst_matrix_stride = 0;  // elements

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Groups() const { return (static_cast<uint32_t>(d) * bytes + kBlockBytes - 1) / kBlockBytes; }
};
void Issue(const CopyNd2Nz& instruction, Site site);

}  // namespace ascend_sim
