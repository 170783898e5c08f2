// Whole kernels whose times others published, staged as theirs: copies into UB and L1, an element-wise sum, a
// matmul with gelu.
#include "matmul_staged.h"

namespace {

// rows x columns of fp16, `pitch` elements apart, read tile by tile.
struct Tiles {
  int32_t rows, columns, pitch, tile_rows, tile_columns;
  int32_t passes;  // each slice of the columns is read so often
  int32_t slices;
  int32_t order;  // 0: a core reads its share of the rows; 1: all of them; 2: all of them, from its own share on
};

template <class Copy>
__aicore__ inline void ReadTiles(const Tiles& t, Copy copy) {
  const int32_t cores = static_cast<int32_t>(GetBlockNum()), core = static_cast<int32_t>(GetBlockIdx());
  const int32_t share = t.rows / cores, shares = t.order == 0 ? 1 : cores, width = t.columns / t.slices;
  for (int32_t slice = 0; slice < t.slices; ++slice) {
    for (int32_t pass = 0; pass < t.passes; ++pass) {
      for (int32_t s = 0; s < shares; ++s) {
        const int32_t first = (t.order == 0 ? core : t.order == 1 ? s : (s + core) % cores) * share;
        for (int32_t row = first; row < first + share; row += t.tile_rows) {
          for (int32_t column = slice * width; column < (slice + 1) * width; column += t.tile_columns) {
            const int32_t left = (slice + 1) * width - column;
            copy(static_cast<uint64_t>(row) * t.pitch + column, left < t.tile_columns ? left : t.tile_columns);
          }
        }
      }
    }
  }
}

}  // namespace

// See Tiles for the arguments.
extern "C" __global__ __aicore__ void copy_tiles_ub(GM_ADDR x, int32_t rows, int32_t columns, int32_t pitch,
                                                    int32_t tile_rows, int32_t tile_columns, int32_t passes,
                                                    int32_t slices, int32_t order) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    const GlobalTensor<half> gx = Gm<half>(x);
    const LocalTensor<half> ub(TPosition::VECIN, 0, static_cast<uint32_t>(tile_rows * tile_columns));
    const Tiles tiles{rows, columns, pitch, tile_rows, tile_columns, passes, slices, order};
    ReadTiles(tiles, [&](uint64_t from, int32_t width) {
      DataCopyPad(ub, gx[from],
                  DataCopyExtParams(static_cast<uint16_t>(tile_rows), static_cast<uint32_t>(width * 2),
                                    static_cast<uint32_t>((pitch - width) * 2), 0, 0),
                  DataCopyPadExtParams<half>(false, 0, 0, half(0)));
    });
    PipeBarrier<PIPE_ALL>();
  }
}

// The same into L1, rows to NZ.
extern "C" __global__ __aicore__ void copy_tiles_l1(GM_ADDR x, int32_t rows, int32_t columns, int32_t pitch,
                                                    int32_t tile_rows, int32_t tile_columns, int32_t passes,
                                                    int32_t slices, int32_t order) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const GlobalTensor<half> gx = Gm<half>(x);
    const LocalTensor<half> l1(TPosition::A1, 0, static_cast<uint32_t>(tile_rows * tile_columns));
    const Tiles tiles{rows, columns, pitch, tile_rows, tile_columns, passes, slices, order};
    ReadTiles(tiles, [&](uint64_t from, int32_t width) { LoadRows(l1, gx[from], tile_rows, width, pitch); });
    PipeBarrier<PIPE_ALL>();
  }
}

// z = x + y of fp16, `count` elements shared by the cores, `chunk` at a time in one buffer or two.
extern "C" __global__ __aicore__ void add_chunks(GM_ADDR x, GM_ADDR y, GM_ADDR z, int32_t count, int32_t chunk,
                                                 int32_t buffers) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    const GlobalTensor<half> gx = Gm<half>(x), gy = Gm<half>(y), gz = Gm<half>(z);
    const int32_t cores = static_cast<int32_t>(GetBlockNum()), share = (count / 16 + cores - 1) / cores * 16;
    const int32_t first = static_cast<int32_t>(GetBlockIdx()) * share;
    const int32_t end = first + share < count ? first + share : count;
    const uint32_t bytes = static_cast<uint32_t>(chunk) * 2;
    for (int32_t slot = 0; slot < buffers; ++slot) {
      SetFlag<HardEvent::V_MTE2>(slot);
      SetFlag<HardEvent::MTE3_V>(slot);
    }
    int32_t slot = 0;
    for (int32_t at = first; at < end; at += chunk, slot = (slot + 1) % buffers) {
      const int32_t length = end - at < chunk ? end - at : chunk;
      auto buffer = [&](uint32_t i) {
        return LocalTensor<half>(TPosition::VECCALC, (static_cast<uint32_t>(slot) * 3 + i) * bytes,
                                 static_cast<uint32_t>(chunk));
      };
      WaitFlag<HardEvent::V_MTE2>(slot);
      if (buffers == 1) WaitFlag<HardEvent::MTE3_V>(slot);
      DataCopy(buffer(0), gx[at], static_cast<uint32_t>(length));
      DataCopy(buffer(1), gy[at], static_cast<uint32_t>(length));
      Hand<HardEvent::MTE2_V>(slot);
      if (buffers != 1) WaitFlag<HardEvent::MTE3_V>(slot);
      Add(buffer(2), buffer(0), buffer(1), length);
      SetFlag<HardEvent::V_MTE2>(slot);
      Hand<HardEvent::V_MTE3>(slot);
      DataCopy(gz[at], buffer(2), static_cast<uint32_t>(length));
      SetFlag<HardEvent::MTE3_V>(slot);
    }
    for (int32_t s = 0; s < buffers; ++s) {
      WaitFlag<HardEvent::V_MTE2>(s);
      WaitFlag<HardEvent::MTE3_V>(s);
    }
    PipeBarrier<PIPE_ALL>();
  }
}

namespace {

// y = x / (1 + exp(-1.595769 (x + 0.044715 x^3))), each step waiting for the one before.
__aicore__ inline void Gelu(const LocalTensor<float>& y, const LocalTensor<float>& x, int32_t count) {
  Mul(y, x, x, count);
  PipeBarrier<PIPE_V>();
  Mul(y, y, x, count);
  PipeBarrier<PIPE_V>();
  Muls(y, y, 0.044715f, count);
  PipeBarrier<PIPE_V>();
  Add(y, x, y, count);
  PipeBarrier<PIPE_V>();
  Muls(y, y, -1.595769f, count);
  PipeBarrier<PIPE_V>();
  Exp(y, y, count);
  PipeBarrier<PIPE_V>();
  Adds(y, y, 1.0f, count);
  PipeBarrier<PIPE_V>();
  Div(y, x, y, count);
}

}  // namespace

// C [size, size] = gelu(A B^T) in fp32: the cube cores store a tile of C, their vector cores replace it, half each.
extern "C" __global__ __aicore__ void mmad_gelu(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t size, int32_t single_m,
                                                int32_t single_n) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  constexpr uint16_t kStored = 8;
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    StagedMatmul<float>(a, b, c, size, single_m, single_n, [] { CrossCoreSetFlag<2, PIPE_FIX>(kStored); });
  }
  if ASCEND_IS_AIV {
    constexpr int32_t kRows = kStagedM / 2, kCount = kRows * kStagedN;
    const StagedShare share(size, single_m, single_n, static_cast<int32_t>(GetBlockIdx()) / 2);
    const GlobalTensor<float> gc = Gm<float>(c);
    const LocalTensor<float> x(TPosition::VECIN, 0, kCount), y(TPosition::VECOUT, kCount * 4, kCount);
    const uint32_t row_bytes = kStagedN * 4, gap = static_cast<uint32_t>(size - kStagedN) * 4;
    SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
    for (int32_t n = share.n0; n < share.n1; n += kStagedN) {
      for (int32_t m = share.m0; m < share.m1; m += kStagedM) {
        const int32_t row = m + static_cast<int32_t>(GetSubBlockIdx()) * kRows;
        const GlobalTensor<float> tile = gc[static_cast<uint64_t>(row) * size + n];
        CrossCoreWaitFlag(kStored);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
        DataCopyPad(x, tile, DataCopyExtParams(kRows, row_bytes, gap, 0, 0),
                    DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
        Hand<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
        Gelu(y, x, kCount);
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        Hand<HardEvent::V_MTE3>(EVENT_ID0);
        DataCopyPad(tile, y, DataCopyExtParams(kRows, row_bytes, 0, gap, 0));
        SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
      }
    }
    WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
  }
}
