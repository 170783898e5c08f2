// LoadData 3D v2: takes a window out of the matrix that image-to-column makes of an NC1HWC0 feature map in L1.
// With a 1 x 1 kernel that matrix is the NZ matrix in L1 itself, which is how matrix products use it.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// The registers behind SetFmatrix, SetLoadDataPaddingValue, SetLoadDataBoundary, SetLoadDataRepeat: Registers::load3d.
enum Load3dRegister { kFmatrixLeft, kFmatrixRight, kLoad3dPad, kLoad3dBoundary, kLoad3dRepeat };

// The im2col matrix is X[m][k]: m = output pixel (row-major), k = (c1, kernel row, kernel column, c0).
// To L0A: X in ZZ, or its transpose in ZZ; to L0B: X as the right operand (rows are its K), in ZN.
struct Load3d {
  static constexpr const char* kName = "LoadData(3D)";
  static constexpr Pipe kPipe = Pipe::kMte1;
  Local dst, src;
  uint8_t bytes = 2;
  bool transpose = false;
  uint16_t h = 0, w = 0;
  uint8_t pad_left = 0, pad_right = 0, pad_top = 0, pad_bottom = 0;
  uint16_t channels = 0;
  uint16_t k_extent = 0, m_extent = 0, k_start = 0, m_start = 0;
  uint8_t stride_w = 1, stride_h = 1;
  uint16_t filter_w = 1, filter_h = 1;
  uint8_t dilation_w = 1, dilation_h = 1;
  uint32_t pad_value = 0;
  uint32_t boundary = 0;  // bytes of L1 after which addresses start at 0 again; 0: none
  uint8_t repeat = 1;

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;

 private:
  bool Nothing() const {
    return h == 0 || w == 0 || channels == 0 || k_extent == 0 || m_extent == 0 || filter_w == 0 || filter_h == 0 ||
           repeat == 0;
  }
  uint32_t C0() const { return kBlockBytes / bytes; }
  int32_t OutW() const { return (w + pad_left + pad_right - (filter_w - 1) * dilation_w - 1) / stride_w + 1; }
  int32_t OutH() const { return (h + pad_top + pad_bottom - (filter_h - 1) * dilation_h - 1) / stride_h + 1; }
  uint32_t KBlocks() const { return (k_extent + C0() - 1) / C0(); }
  bool Transposes() const { return transpose || dst.buffer == Buffer::kL0B; }
  int64_t Source(uint32_t m, uint32_t block) const;  // byte offset of 32 B in L1, or kPadding
  uint32_t Target(uint32_t m, uint32_t k) const;     // byte offset in dst of element (m, k) of the window
  uint32_t DstBytes() const;
};
void Issue(const Load3d& instruction, Site site);

}  // namespace ascend_sim
