// What an instruction costs, in the units of the hardware; core/soc.* turns it into cycles.
// An instruction states facts (bytes, cube steps, repeats), never cycles.
#pragma once

#include <cstdint>

namespace ascend_sim {

// The data path a transfer occupies. GM paths share the chip's L2 and HBM among cores.
enum class Path : uint8_t {
  kNone,
  kGmToL1,
  kGmToUb,
  kUbToGm,
  kL1ToGm,
  kL0cToGm,
  kL0cToGmAtomic,
  kUbToGmAtomic,
  kL0cToL1,
  kL1ToL0a,
  kL1ToL0b,
  kL1ToBt,
  kL1ToFb,
  kUbToUb,
  kUbToL1,
  kFill,  // a buffer filled with a constant
};
constexpr int kPathCount = 16;
const char* PathName(Path path);

// Vector instructions grouped by their published cycles per repeat of 256 B.
enum class VectorClass : uint8_t {
  kNone,
  kAdd,     // add, sub: two sources
  kMul,     // mul: two sources
  kMax,     // max, min: two sources
  kHeavy,   // exp, ln, cast, select, compare, max and min with a scalar
  kDiv,     // div
  kScalar,  // muls, adds, block reductions, duplicate, copies
  kReduce,  // whole reductions
  kGather,  // gather, scatter, transposes
};
constexpr int kVectorClassCount = 9;

enum class CostKind : uint8_t { kScalar, kMove, kCube, kVector };

struct Cost {
  CostKind kind = CostKind::kScalar;
  // kMove
  Path path = Path::kNone;
  uint64_t bytes = 0;     // moved, counted on the side of the larger unit
  uint32_t bursts = 1;    // separate contiguous pieces
  uint64_t gm = 0;        // the first piece's address in GM; 0: no GM side, or one the L2 model does not follow
  int64_t gm_stride = 0;  // bytes from piece to piece
  bool nd2nz = false;     // rows of GM into NZ fractals on the way
  // kCube
  uint64_t steps = 0;  // 16 x 16 x 32 B multiply steps
  uint64_t flops = 0;  // of the padded product
  bool fp32 = false;
  // kVector
  VectorClass vector = VectorClass::kNone;
  uint32_t repeats = 0;  // of 256 B
  bool counter = false;  // counter mode
  uint8_t sources = 1;
  float bank_reads = 0;   // cycles a repeat's reads of UB wait for each other's bank group, summed over the repeats
  float bank_writes = 0;  // repeats whose write meets a read of the next repeat in a bank

  static Cost Scalar() { return Cost{}; }
  static Cost Move(Path path, uint64_t bytes, uint32_t bursts = 1) {
    Cost cost;
    cost.kind = CostKind::kMove;
    cost.path = path;
    cost.bytes = bytes;
    cost.bursts = bursts;
    return cost;
  }
  // The pieces of a move in GM: bytes / bursts each, `stride` bytes from start to start.
  Cost& At(uint64_t address, int64_t stride) {
    gm = address;
    gm_stride = stride;
    return *this;
  }
  // k_per_step: 16 for 16-bit operands, 8 for fp32, 32 for 8-bit ones.
  static Cost Cube(uint64_t steps, uint32_t k_per_step) {
    Cost cost;
    cost.kind = CostKind::kCube;
    cost.steps = steps;
    cost.flops = steps * 2 * 16 * 16 * k_per_step;
    cost.fp32 = k_per_step == 8;
    return cost;
  }
  static Cost Vector(VectorClass vector, uint32_t repeats, bool counter, uint8_t sources = 1) {
    Cost cost;
    cost.kind = CostKind::kVector;
    cost.vector = vector;
    cost.repeats = repeats;
    cost.counter = counter;
    cost.sources = sources;
    return cost;
  }
};

}  // namespace ascend_sim
