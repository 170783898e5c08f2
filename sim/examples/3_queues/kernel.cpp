// out = (x + y) * x by queues: TPipe hands out the buffers, EnQue and DeQue set and wait for the flags between pipes.
// What depends inside pipe V is still the kernel's own business.
#include "kernel_operator.h"
using namespace AscendC;

constexpr uint32_t kTile = 1024, kBytes = kTile * sizeof(float);

extern "C" __global__ __aicore__ void queues(GM_ADDR x, GM_ADDR y, GM_ADDR out, int32_t tiles) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  TQue<TPosition::VECIN, 1> in_x, in_y;
  TQue<TPosition::VECOUT, 1> result;
  pipe.InitBuffer(in_x, 2, kBytes);  // two buffers each: double buffering
  pipe.InitBuffer(in_y, 2, kBytes);
  pipe.InitBuffer(result, 2, kBytes);
  const uint64_t first = GetBlockIdx() * tiles * kTile;
  GlobalTensor<float> gx, gy, gout;
  gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + first);
  gy.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(y) + first);
  gout.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out) + first);

  for (int32_t i = 0; i < tiles; ++i) {
    LocalTensor<float> a = in_x.AllocTensor<float>(), b = in_y.AllocTensor<float>();
    DataCopy(a, gx[i * kTile], kTile);
    DataCopy(b, gy[i * kTile], kTile);
    in_x.EnQue(a);
    in_y.EnQue(b);

    a = in_x.DeQue<float>();
    b = in_y.DeQue<float>();
    LocalTensor<float> product = result.AllocTensor<float>();
    Add(product, a, b, kTile);
    PipeBarrier<PIPE_V>();  // forgotten
    Mul(product, product, a, kTile);
    result.EnQue(product);
    in_x.FreeTensor(a);
    in_y.FreeTensor(b);

    product = result.DeQue<float>();
    DataCopy(gout[i * kTile], product, kTile);
    result.FreeTensor(product);
  }
}
