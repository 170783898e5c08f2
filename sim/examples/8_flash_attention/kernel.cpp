// out = softmax(scale q k^T) v, one head: q, k, v [S, 64] half, out [S, 64] float; 64 queries to each AI core, keys in
// tiles of 64. Scores, probabilities and partial outputs go through a workspace in global memory:
//
//   cube core                    vector cores (32 rows each)
//   scores = q k^T       ------>  new maximum, p = exp(scale scores - maximum)
//   part = p v           <------  (as half)
//                        ------>  out = out exp(old maximum - new maximum) + part
//
// Each arrow is a cross-core flag. The sum of p is kept beside, and divides out at the end.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 64, kCount = kTile * kTile, kFractals = kTile / 16;
constexpr uint32_t kRows = kTile / 2, kHalf = kRows * kTile;  // of one vector core
constexpr uint16_t kScoresReady = 0, kProbabilitiesReady = 1, kPartReady = 2;

// The cube core's side: buffers and the two products.
class Cube {
 public:
  __aicore__ inline void LoadQueries(GlobalTensor<half> q) { DataCopy(l1a_, q, kColumns); }
  // scores [64, 64] = queries k^T
  __aicore__ inline void Scores(GlobalTensor<float> scores, GlobalTensor<half> k) {
    DataCopy(l1b_, k, kColumns);
    Order<HardEvent::MTE2_MTE1>();
    LoadLeft(l1a_);
    LoadData(l0b_, l1b_, LoadData2DParams(0, kCount / 256, 1, 0, 0, false, 0));
    Product(scores);
  }
  // part [64, 64] = p v
  __aicore__ inline void Part(GlobalTensor<float> part, GlobalTensor<half> p, GlobalTensor<half> v) {
    DataCopy(l1p_, p, kColumns);
    DataCopy(l1b_, v, kColumns);
    Order<HardEvent::MTE2_MTE1>();
    LoadLeft(l1p_);
    for (uint32_t i = 0; i < kFractals; ++i) {
      LoadData(l0b_[i * kTile * 16], l1b_[i * 256], LoadData2DParams(0, kFractals, kFractals, 0, 0, true, 0));
    }
    Product(part);
  }

 private:
  template <HardEvent event>
  __aicore__ inline void Order() {
    SetFlag<event>(EVENT_ID0);
    WaitFlag<event>(EVENT_ID0);
  }
  __aicore__ inline void LoadLeft(LocalTensor<half> from) {
    for (uint32_t i = 0; i < kFractals; ++i) {
      LoadData(l0a_[i * kTile * 16], from[i * 256], LoadData2DParams(0, kFractals, kFractals, 0, 0, false, 0));
    }
  }
  __aicore__ inline void Product(GlobalTensor<float> to) {
    Order<HardEvent::MTE1_MTE2>();  // L1 may be loaded again
    Order<HardEvent::MTE1_M>();
    Mmad(l0c_, l0a_, l0b_, MmadParams(kTile, kTile, kTile, 3, false, true));
    Order<HardEvent::M_MTE1>();
    FixpipeParamsV220 fix(kTile, kTile, kTile, kTile, false);
    fix.unitFlag = 3;
    Fixpipe<float, float, CFG_ROW_MAJOR>(to, l0c_, fix);
  }
  const Nd2NzParams kColumns{1, kTile, kTile, 0, kTile, kTile, 1, 0};
  LocalTensor<half> l1a_{TPosition::A1, 0, kCount}, l1p_{TPosition::A1, 2 * kCount, kCount};
  LocalTensor<half> l1b_{TPosition::B1, 4 * kCount, kCount};
  LocalTensor<half> l0a_{TPosition::A2, 0, kCount}, l0b_{TPosition::B2, 0, kCount};
  LocalTensor<float> l0c_{TPosition::CO1, 0, kCount};
};

// A vector core's side. Maximum and sum of a row are kept as a block of eight equal floats.
class Softmax {
 public:
  __aicore__ inline void Start() {
    Duplicate(maximum_, -1e30f, kBlocks);
    Duplicate(sum_, 0.0f, kBlocks);
    Duplicate(out_, 0.0f, kHalf);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);  // the probabilities' buffer is free
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);  // and so is the scores'
  }
  // p = exp(scale scores - maximum), and the factor exp(old - new maximum) that out and sum take
  __aicore__ inline void Probabilities(GlobalTensor<half> p, GlobalTensor<float> scores, float scale) {
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    DataCopy(scores_, scores, kHalf);
    Order<HardEvent::MTE2_V>();
    Muls(scores_, scores_, scale, kHalf);
    PipeBarrier<PIPE_V>();
    WholeReduceMax(number_, scores_, kTile, kRows, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    PipeBarrier<PIPE_V>();
    Brcb(block_, number_, kRows / 8, BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    Max(block_, block_, maximum_, kBlocks);  // the new maximum
    PipeBarrier<PIPE_V>();
    Sub(factor_, maximum_, block_, kBlocks);
    Sub(scores_, scores_, block_, kTile, kRows, kByRow);
    PipeBarrier<PIPE_V>();
    Exp(factor_, factor_, kBlocks);
    Adds(maximum_, block_, 0.0f, kBlocks);
    Exp(scores_, scores_, kHalf);
    PipeBarrier<PIPE_V>();
    WholeReduceSum(number_, scores_, kTile, kRows, 1, 1, 8);
    Mul(sum_, sum_, factor_, kBlocks);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    Cast(probabilities_, scores_, RoundMode::CAST_RINT, kHalf);
    PipeBarrier<PIPE_V>();
    Brcb(block_, number_, kRows / 8, BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    Add(sum_, sum_, block_, kBlocks);
    Order<HardEvent::V_MTE3>();
    DataCopy(p, probabilities_, kHalf);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    Order<HardEvent::V_MTE2>();  // part comes into the scores' buffer
  }
  // out = out * factor + part
  __aicore__ inline void Accumulate(GlobalTensor<float> part) {
    DataCopy(scores_, part, kHalf);
    Order<HardEvent::MTE2_V>();
    Mul(out_, out_, factor_, kTile, kRows, kByRow);
    PipeBarrier<PIPE_V>();
    Add(out_, out_, scores_, kHalf);
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    PipeBarrier<PIPE_V>();
  }
  __aicore__ inline void Finish(GlobalTensor<float> out) {
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    Div(out_, out_, sum_, kTile, kRows, kByRow);
    Order<HardEvent::V_MTE3>();
    DataCopy(out, out_, kHalf);
  }

 private:
  template <HardEvent event>
  __aicore__ inline void Order() {
    SetFlag<event>(EVENT_ID1);
    WaitFlag<event>(EVENT_ID1);
  }
  static constexpr uint32_t kBlocks = kRows * 8, kBytes = kHalf * sizeof(float), kBlockBytes = kBlocks * sizeof(float);
  const BinaryRepeatParams kByRow{1, 1, 0, 8, 8, 1};
  LocalTensor<float> scores_{TPosition::VECIN, 0, kHalf}, out_{TPosition::VECOUT, kBytes, kHalf};
  LocalTensor<half> probabilities_{TPosition::VECOUT, 2 * kBytes, kHalf};
  LocalTensor<float> maximum_{TPosition::VECCALC, 3 * kBytes, kBlocks};
  LocalTensor<float> sum_{TPosition::VECCALC, 3 * kBytes + kBlockBytes, kBlocks};
  LocalTensor<float> factor_{TPosition::VECCALC, 3 * kBytes + 2 * kBlockBytes, kBlocks};
  LocalTensor<float> block_{TPosition::VECCALC, 3 * kBytes + 3 * kBlockBytes, kBlocks};
  LocalTensor<float> number_{TPosition::VECCALC, 3 * kBytes + 4 * kBlockBytes, kRows};
};

template <typename T>
__aicore__ inline GlobalTensor<T> Tile(GM_ADDR base, uint64_t at, uint64_t count) {
  GlobalTensor<T> tile;
  tile.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(base) + at, count);
  return tile;
}

// workspace: for each AI core 64 x 64 scores, partial outputs (float) and probabilities (half), 40960 bytes.
extern "C" __global__ __aicore__ void flash_attention(GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR workspace, GM_ADDR out,
                                                      int32_t keys, float scale) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  const int64_t core = block_idx;  // of the AI core, for both kinds
  GM_ADDR mine = workspace + core * kCount * 10;
  const int32_t tiles = keys / static_cast<int32_t>(kTile);
  if ASCEND_IS_AIC {
    Cube cube;
    cube.LoadQueries(Tile<half>(q, core * kCount, kCount));
    for (int32_t i = 0; i < tiles; ++i) {
      cube.Scores(Tile<float>(mine, 0, kCount), Tile<half>(k, i * kCount, kCount));
      CrossCoreSetFlag<2, PIPE_FIX>(kScoresReady);
      CrossCoreWaitFlag(kProbabilitiesReady);
      cube.Part(Tile<float>(mine, kCount, kCount), Tile<half>(mine, 4 * kCount, kCount),
                Tile<half>(v, i * kCount, kCount));
      CrossCoreSetFlag<2, PIPE_FIX>(kPartReady);
    }
  }
  if ASCEND_IS_AIV {
    const uint64_t rows = GetSubBlockIdx() * kHalf;  // where this vector core's half begins
    Softmax softmax;
    softmax.Start();
    for (int32_t i = 0; i < tiles; ++i) {
      CrossCoreWaitFlag(kScoresReady);
      softmax.Probabilities(Tile<half>(mine, 4 * kCount + rows, kHalf), Tile<float>(mine, rows, kHalf), scale);
      CrossCoreSetFlag<2, PIPE_MTE3>(kProbabilitiesReady);
      CrossCoreWaitFlag(kPartReady);  // forgotten
      softmax.Accumulate(Tile<float>(mine, kCount + rows, kHalf));
    }
    softmax.Finish(Tile<float>(out, core * kCount + rows, kHalf));
  }
  PipeBarrier<PIPE_ALL>();
}
