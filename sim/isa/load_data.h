// LoadData 2D, LoadDataWithTranspose and InitConstValue: fractals of 512 B on their way to L0A, L0B and L1.
// The instructions know single fractals only; ZZ, ZN and NZ come from the strides the kernel gives.
#pragma once

#include "core/instruction.h"

namespace ascend_sim {

// One fractal a repeat; with transpose every 16 x 16 fractal of 16-bit elements is transposed in place.
struct LoadFractals {
  static constexpr const char* kName = "LoadData";
  Local dst;  // L0A, L0B; L1 from GM only
  Local src;  // L1
  Global gm;  // used when from_gm
  bool from_gm = false;
  bool transpose = false;
  bool decrease = false;  // addrMode: source addresses go down
  uint8_t bytes = 2;      // of an element
  uint8_t repeat = 0;
  uint16_t start = 0;   // 512 B
  uint16_t stride = 0;  // 512 B from source to source
  uint16_t gap = 0;     // 512 B between the end of a destination fractal and the start of the next

  Pipe pipe() const { return from_gm ? Pipe::kMte2 : Pipe::kMte1; }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;
};
void Issue(const LoadFractals& instruction, Site site);

// One square block a repeat: 32 x 32 of 8 bits (two fractals), 16 x 16 of 16 bits, 16 x 16 of 32 bits (two fractals
// side by side). It is transposed as a whole and cut into fractals again.
struct LoadTransposed {
  static constexpr const char* kName = "LoadDataWithTranspose";
  static constexpr Pipe kPipe = Pipe::kMte1;
  Local dst, src;
  bool decrease = false;
  uint8_t bytes = 2;
  uint8_t repeat = 0;
  uint16_t start = 0;        // square blocks
  uint16_t stride = 0;       // square blocks
  uint16_t gap = 0;          // 512 B between the first fractals of consecutive repeats, end to start
  uint16_t fractal_gap = 0;  // 512 B between the fractals of a repeat

  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  void Carry(Shadow* shadows) const;
  Cost GetCost() const;

 private:
  uint32_t Fractals() const { return bytes == 2 ? 1 : 2; }
  template <class Body>
  void ForEachElement(uint32_t r, Body body) const;
};
void Issue(const LoadTransposed& instruction, Site site);

// InitConstValue, Fill.
struct FillConstant {
  static constexpr const char* kName = "InitConstValue";
  Local dst;
  uint16_t repeat = 0;
  uint16_t blocks = 0;  // a repeat: of 32 B in L1, of 512 B in L0A and L0B
  uint16_t gap = 0;     // blocks between repeats
  uint8_t bytes = 2;
  uint32_t value = 0;  // bits

  Pipe pipe() const { return dst.buffer == Buffer::kL1 ? Pipe::kMte2 : Pipe::kMte1; }
  void Validate(Check& check) const;
  void Touch(Footprint& f) const;
  void Execute(const Exec& exec) const;
  Cost GetCost() const;

 private:
  uint32_t Block() const { return dst.buffer == Buffer::kL1 ? kBlockBytes : kFractalBytes; }
};
void Issue(const FillConstant& instruction, Site site);

// The path into a cube buffer, for costs.
Path PathInto(Buffer dst, bool from_gm);

}  // namespace ascend_sim
