// What the kernel of measure.cpp is asked to do, as plain words: its argument, and triangle_attn_op/npu_bench's list.
#pragma once
#include <stdint.h>

// words[0]: one of Task; [1]: how often; the others as the task's comment names them.
struct TriangleMeasureWords {
  int64_t words[12];
};

namespace triangle {
namespace measure {

// A core group is one AIC and two AIVs. "wait": the instruction after it waits for its result.
enum Task : int32_t {
  kNothing = 0,
  // AIC. Mmads of m [2] x n [3] x k [4]; wait [5].
  kProducts = 1,
  // AIC. L1 -> L0A ([4] = 0) or L0B (1), fractals [2] of 512 B each; a wait after every [3].
  kTileLoads = 2,
  // AIC. Fixpipe of m [2] x n [3] fp32 to GM, as fp16, or ([4] = 1) fp32, or ([5] = 1) added; places [6].
  kTileStores = 3,
  // AIC. Rows of GM, [3] columns of 16 bits, into NZ in L1: rows [2] a copy, places [4].
  kRowLoads = 4,
  // AIV, [8] of a group. GM -> UB ([9] = 0), UB -> GM (1), both at once, twice as much in as out (2), or UB -> GM added
  // (3): bytes [2] a copy, a wait after every [3] copies, the same addresses again after [4], cores [5] bytes apart;
  // where [6] is not 0 in pieces of so many bytes that begin [7] bytes apart.
  kCopies = 5,
  // AIV, one of a group. Instruction [2] (Instruction), repeats [3] of 64 floats, operands at bytes [4], [5] of UB, its
  // result at [6]; wait.
  kVector = 6,
  // AIV, one of a group. Adds of one repeat that do not wait for each other; a wait after every [2].
  kCalls = 7,
  // AIV, one of a group. Divisions of 64 bits by [2], each of the last one's result.
  kDivisions = 8,
  // AIV, one of a group. A flag of V to MTE3 and one back; [2] = 1: to the scalar unit and back.
  kFlags = 9,
  // A cross-core flag from the AIC to its AIVs, and one back.
  kCrossFlags = 10,
  // SyncAll of the AIVs of all groups.
  kMeetings = 11,
};

enum Instruction : int32_t {
  kAdd = 0,
  kMul = 1,
  kMax = 2,
  kDiv = 3,
  kExp = 4,
  kMuls = 5,
  kReduce = 6,
  kAddCounter = 7,  // in counter mode
};

}  // namespace measure
}  // namespace triangle
