// CopyIn, Compute, CopyOut through queues, as the documentation of Ascend C lays them out.
#include "kernel_operator.h"

using namespace AscendC;

namespace {

constexpr uint32_t kTile = 256;  // elements

__aicore__ inline GlobalTensor<float> Gm(GM_ADDR address, uint32_t tile) {
  GlobalTensor<float> t;
  t.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(address) + tile * kTile, kTile);
  return t;
}

}  // namespace

#define TYPE_AIV KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY)

namespace {

template <int32_t depth, int32_t buffers>
class Doubler {
 public:
  __aicore__ inline Doubler(TPipe* pipe, GM_ADDR x, GM_ADDR out, int32_t tiles) : x_(x), out_(out), tiles_(tiles) {
    pipe->InitBuffer(in_, buffers, kTile * sizeof(float));
    pipe->InitBuffer(result_, buffers, kTile * sizeof(float));
  }
  __aicore__ inline void Process() {
    for (int32_t i = 0; i < depth - 1 && i < tiles_; ++i) CopyIn(i);  // preload
    for (int32_t i = 0; i < tiles_; ++i) {
      if (i + depth - 1 < tiles_) CopyIn(i + depth - 1);
      Compute();
      CopyOut(i);
    }
  }

 private:
  __aicore__ inline void CopyIn(int32_t i) {
    LocalTensor<float> x = in_.template AllocTensor<float>();
    DataCopy(x, Gm(x_, i), kTile);
    in_.EnQue(x);
  }
  __aicore__ inline void Compute() {
    LocalTensor<float> x = in_.template DeQue<float>();
    LocalTensor<float> y = result_.template AllocTensor<float>();
    Add(y, x, x, kTile);
    result_.template EnQue<float>(y);
    in_.FreeTensor(x);
  }
  __aicore__ inline void CopyOut(int32_t i) {
    LocalTensor<float> y = result_.template DeQue<float>();
    DataCopy(Gm(out_, i), y, kTile);
    result_.FreeTensor(y);
  }

  GM_ADDR x_;
  GM_ADDR out_;
  int32_t tiles_;
  TQue<TPosition::VECIN, depth> in_;
  TQue<TPosition::VECOUT, 1> result_;
};

}  // namespace

extern "C" __global__ __aicore__ void double_single(GM_ADDR x, GM_ADDR out, int32_t tiles) {
  TYPE_AIV;
  TPipe pipe;
  Doubler<1, 1>(&pipe, x, out, tiles).Process();
}
extern "C" __global__ __aicore__ void double_buffered(GM_ADDR x, GM_ADDR out, int32_t tiles) {
  TYPE_AIV;
  TPipe pipe;
  Doubler<1, 2>(&pipe, x, out, tiles).Process();
}
extern "C" __global__ __aicore__ void double_preloaded(GM_ADDR x, GM_ADDR out, int32_t tiles) {
  TYPE_AIV;
  TPipe pipe;
  Doubler<2, 3>(&pipe, x, out, tiles).Process();
}

// A queue between MTE2 and MTE3: copies without a vector instruction.
extern "C" __global__ __aicore__ void copy_bound(GM_ADDR x, GM_ADDR out, int32_t tiles) {
  TYPE_AIV;
  TPipe pipe;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
  pipe.InitBuffer(queue, 2, kTile * sizeof(float));
  for (int32_t i = 0; i < tiles; ++i) {
    auto in = queue.AllocTensor<float>();
    DataCopy(in, Gm(x, i), kTile);
    queue.EnQue(in);
    auto out_tile = queue.DeQue<float>();
    DataCopy(Gm(out, i), out_tile, kTile);
    queue.FreeTensor(out_tile);
  }
}
