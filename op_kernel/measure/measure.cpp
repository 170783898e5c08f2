// The chip's own rates: one kernel that does one small thing over and over, by which npu_bench --calibrate measures
// what the timing model had to guess. Words say what (words.h); `memory` is zeros at first and holds nothing that
// counts.
#include "../compat.h"
#include "words.h"

namespace triangle {
namespace measure {

using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

constexpr uint32_t kL1Bytes = 256 * 1024, kUbBytes = 184 * 1024;

template <HardEvent event>
__aicore__ inline void hand() {
  SetFlag<event>(EVENT_ID0);
  WaitFlag<event>(EVENT_ID0);
}

class Cube {
 public:
  __aicore__ inline Cube(GM_ADDR memory, const int64_t* words) : memory_(memory), words_(words) {
    chip_.Init(kL1Bytes, 0);
  }

  __aicore__ inline void products() {
    fill_operands();
    for (int64_t i = 0; i < words_[1]; ++i) {
      multiply(word(2), word(3), word(4), i == 0);
      if (words_[5] != 0) AscendC::PipeBarrier<PIPE_M>();
    }
  }

  __aicore__ inline void tile_loads() {
    constexpr uint32_t kAll = 64 * 1024 / 2;
    const auto l1 = chip_.L1<half>(0, kAll);
    AscendC::DataCopy(l1, global<half>(memory_), kAll);
    hand<HardEvent::MTE2_MTE1>();
    AscendC::LoadData2DParams params;
    params.repeatTimes = static_cast<uint8_t>(words_[2]);
    params.srcStride = 1;
    const uint32_t elements = static_cast<uint32_t>(words_[2]) * 256;
    for (int64_t i = 0, slot = 0; i < words_[1]; ++i) {
      const uint32_t at = static_cast<uint32_t>(slot) * elements;
      if (words_[4] == 0) {
        AscendC::LoadData(chip_.L0A<half>(at * 2, elements), l1[at], params);
      } else {
        AscendC::LoadData(chip_.L0B<half>(at * 2, elements), l1[at], params);
      }
      if (++slot < words_[3]) continue;
      slot = 0;
      AscendC::PipeBarrier<PIPE_MTE1>();
    }
  }

  __aicore__ inline void tile_stores() {
    fill_operands();
    multiply(word(2), word(3), 16, true);
    hand<HardEvent::M_FIX>();
    if (words_[5] != 0) AscendC::SetAtomicAdd<float>();
    if (words_[4] != 0) {
      store<float>();
    } else {
      store<half>();
    }
    if (words_[5] != 0) AscendC::SetAtomicNone();
  }

  __aicore__ inline void row_loads() {
    const auto gm = global<half>(memory_);
    AscendC::Nd2NzParams params;
    params.ndNum = 1;
    params.nValue = word(2);
    params.dValue = word(3);
    params.srcDValue = word(3);
    params.dstNzC0Stride = word(2);
    params.dstNzNStride = 1;
    const uint32_t elements = static_cast<uint32_t>(words_[2] * words_[3]);
    for (int64_t i = 0, place = 0; i < words_[1]; ++i) {
      AscendC::DataCopy(chip_.L1<half>(0, elements), gm[static_cast<uint64_t>(place) * elements], params);
      AscendC::PipeBarrier<PIPE_MTE2>();
      if (++place == words_[4]) place = 0;
    }
  }

 private:
  __aicore__ inline uint16_t word(int32_t i) const { return static_cast<uint16_t>(words_[i]); }
  // All of L0A and L0B.
  __aicore__ inline void fill_operands() {
    const AscendC::InitConstValueParams<half> all(1, 128, 0, half(0.0f));
    AscendC::InitConstValue(chip_.L0A<half>(0, 32768), all);
    AscendC::InitConstValue(chip_.L0B<half>(0, 32768), all);
    hand<HardEvent::MTE1_M>();
  }
  __aicore__ inline void multiply(uint16_t m, uint16_t n, uint16_t k, bool fresh) {
    AscendC::MmadParams params;
    params.m = m;
    params.n = n;
    params.k = k;
    params.cmatrixInitVal = fresh;
    AscendC::Mmad(chip_.L0C<float>(0, 32768), chip_.L0A<half>(0, 32768), chip_.L0B<half>(0, 32768), params);
  }
  template <class T>
  __aicore__ inline void store() {
    const auto gm = global<T>(memory_);
    AscendC::FixpipeParamsV220 params;
    params.nSize = word(3);
    params.mSize = word(2);
    params.srcStride = word(2);
    params.dstStride = static_cast<uint32_t>(words_[3]);
    if (sizeof(T) == 2) params.quantPre = QuantMode_t::F322F16;
    const auto l0c = chip_.L0C<float>(0, 32768);
    for (int64_t i = 0, place = 0; i < words_[1]; ++i) {
      AscendC::Fixpipe<T, float, AscendC::CFG_ROW_MAJOR>(gm[static_cast<uint64_t>(place * words_[2] * words_[3])], l0c,
                                                         params);
      AscendC::PipeBarrier<PIPE_FIX>();  // some versions of CANN have it inside, some need it
      if (++place == words_[6]) place = 0;
    }
  }

  OnChip chip_;
  GM_ADDR memory_;
  const int64_t* words_;
};

class Vectors {
 public:
  __aicore__ inline Vectors(GM_ADDR memory, const int64_t* words) : memory_(memory), words_(words) {
    chip_.Init(0, kUbBytes);
    constexpr int32_t kPart = 2048;
    for (uint32_t at = 0; at < kUbBytes; at += kPart * 4) AscendC::Duplicate(floats(at, kPart), 1.0f, kPart);
    AscendC::PipeBarrier<PIPE_ALL>();
  }

  __aicore__ inline void copies() {
    const uint32_t elements = static_cast<uint32_t>(words_[2]) / 4;
    const bool in = words_[9] == 0 || words_[9] == 2, out = words_[9] != 0;
    int64_t step = words_[2];
    AscendC::DataCopyParams pieces(1, static_cast<uint16_t>(words_[2] / 32), 0, 0);
    if (words_[6] != 0) {
      pieces.blockCount = static_cast<uint16_t>(words_[2] / words_[6]);
      pieces.blockLen = static_cast<uint16_t>(words_[6] / 32);
      pieces.srcStride = static_cast<uint16_t>((words_[7] - words_[6]) / 32);
      step = pieces.blockCount * words_[7];
    }
    const auto gm = global<float>(memory_)[static_cast<uint64_t>(AscendC::GetBlockIdx() * words_[5] / 4)];
    // What both write and read lies apart: the written half of UB's slots and of a core's stretch of GM.
    const uint32_t second = words_[9] == 2 ? kUbBytes / 2 : 0;
    const uint64_t away = words_[9] == 2 ? static_cast<uint64_t>(step * words_[4]) / 4 : 0;
    if (words_[9] == 3) AscendC::SetAtomicAdd<float>();
    for (int64_t i = 0, slot = 0, place = 0; i < words_[1]; ++i) {
      const uint32_t at = static_cast<uint32_t>(slot) * elements * 4;
      const uint64_t from = static_cast<uint64_t>(place * step) / 4;
      if (in) AscendC::DataCopy(floats(at, elements), gm[from], pieces);
      const bool odd = (i & 1) != 0;
      if (out && (words_[9] != 2 || odd)) AscendC::DataCopy(gm[from + away], floats(at + second, elements), elements);
      if (++place == words_[4]) place = 0;
      if (++slot < words_[3]) continue;
      slot = 0;
      if (in) AscendC::PipeBarrier<PIPE_MTE2>();
      if (out) AscendC::PipeBarrier<PIPE_MTE3>();
    }
    if (words_[9] == 3) AscendC::SetAtomicNone();
  }

  __aicore__ inline void instructions() {
    const auto a = operand(4), b = operand(5), to = operand(6);
    const uint8_t repeats = static_cast<uint8_t>(words_[3]);
    const AscendC::BinaryRepeatParams two(1, 1, 1, 8, 8, 8);
    const AscendC::UnaryRepeatParams one(1, 1, 8, 8);
    for (int64_t i = 0; i < words_[1]; ++i) {
      switch (words_[2]) {
        case kAdd:
          AscendC::Add(to, a, b, kLanes, repeats, two);
          break;
        case kMul:
          AscendC::Mul(to, a, b, kLanes, repeats, two);
          break;
        case kMax:
          AscendC::Max(to, a, b, kLanes, repeats, two);
          break;
        case kDiv:
          AscendC::Div(to, a, b, kLanes, repeats, two);
          break;
        case kExp:
          AscendC::Exp(to, a, kLanes, repeats, one);
          break;
        case kMuls:
          AscendC::Muls(to, a, 1.0f, kLanes, repeats, one);
          break;
        case kReduce:
          AscendC::WholeReduceSum(to, a, 64, repeats, 1, 1, 8);
          break;
        default:
          AscendC::Add(to, a, b, static_cast<int32_t>(words_[3] * 64));
      }
      AscendC::PipeBarrier<PIPE_V>();
    }
  }

  __aicore__ inline void calls() {
    const auto from = floats(0, 64);
    const AscendC::UnaryRepeatParams one(1, 1, 8, 8);
    for (int64_t i = 0, slot = 0; i < words_[1]; ++i) {
      AscendC::Adds(floats(256 + static_cast<uint32_t>(slot) * 256, 64), from, 1.0f, kLanes, 1, one);
      if (++slot < words_[2]) continue;
      slot = 0;
      AscendC::PipeBarrier<PIPE_V>();
    }
  }

  __aicore__ inline void divisions() {
    int64_t value = INT64_MAX;
    for (int64_t i = 0; i < words_[1]; ++i) value = TRIANGLE_DIVIDE(value, words_[2]) ^ INT64_MAX;
    if (value == 1) AscendC::PipeBarrier<PIPE_V>();  // so that the divisions are there
  }

  __aicore__ inline void flags() {
    for (int64_t i = 0; i < words_[1]; ++i) {
      if (words_[2] != 0) {
        hand<HardEvent::V_S>();
        hand<HardEvent::S_V>();
      } else {
        hand<HardEvent::V_MTE3>();
        hand<HardEvent::MTE3_V>();
      }
    }
  }

 private:
  static constexpr uint64_t kLanes = 64;
  __aicore__ inline AscendC::LocalTensor<float> floats(uint32_t offset, uint32_t size) {
    return chip_.UB<float>(offset, size);
  }
  __aicore__ inline AscendC::LocalTensor<float> operand(int32_t word) {
    return floats(static_cast<uint32_t>(words_[word]), static_cast<uint32_t>(words_[3]) * 64);
  }

  OnChip chip_;
  GM_ADDR memory_;
  const int64_t* words_;
};

__aicore__ inline void cube_side(GM_ADDR memory, const int64_t* words) {
  if (words[0] == kCrossFlags) {
    for (int64_t i = 0; i < words[1]; ++i) {
      AscendC::CrossCoreSetFlag<2, PIPE_FIX>(0);
      AscendC::CrossCoreWaitFlag(1);
    }
    return;
  }
  if (words[0] < kProducts || words[0] > kRowLoads) return;
  Cube cube(memory, words);
  if (words[0] == kProducts) cube.products();
  if (words[0] == kTileLoads) cube.tile_loads();
  if (words[0] == kTileStores) cube.tile_stores();
  if (words[0] == kRowLoads) cube.row_loads();
}

__aicore__ inline void vector_side(GM_ADDR memory, const int64_t* words) {
  if (words[0] == kCrossFlags) {
    for (int64_t i = 0; i < words[1]; ++i) {
      AscendC::CrossCoreWaitFlag(0);
      AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(1);
    }
    return;
  }
  if (words[0] == kMeetings) {
    for (int64_t i = 0; i < words[1]; ++i) AscendC::SyncAll<true>();
    return;
  }
  if (words[0] < kCopies || words[0] > kFlags) return;
  if (AscendC::GetSubBlockIdx() >= (words[0] == kCopies ? words[8] : 1)) return;
  Vectors vectors(memory, words);
  if (words[0] == kCopies) vectors.copies();
  if (words[0] == kVector) vectors.instructions();
  if (words[0] == kCalls) vectors.calls();
  if (words[0] == kDivisions) vectors.divisions();
  if (words[0] == kFlags) vectors.flags();
}

}  // namespace measure
}  // namespace triangle

extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_measure(GM_ADDR memory, TriangleMeasureWords words) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  if ASCEND_IS_AIC {
    triangle::measure::cube_side(memory, words.words);
  } else {
    triangle::measure::vector_side(memory, words.words);
  }
  AscendC::PipeBarrier<PIPE_ALL>();
}
