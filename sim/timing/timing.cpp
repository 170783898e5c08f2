// Kernels for the timing model: staged like those whose measured times are published (docs/simulator-timing.md), run by
// `python -m triangle_attn_op.ascend_sim.validate`, and small ones that tests compare with hand-computed cycles.
#include "matmul_staged.h"

namespace {

// Tiles of [128, 256] into a matrix of `pitch` columns, the cores taking turns.
template <typename T>
__aicore__ inline void StoreTiles(GM_ADDR c, const LocalTensor<float>& l0c, int32_t tiles, int32_t pitch) {
  const GlobalTensor<T> gc = Gm<T>(c);
  const int32_t columns = pitch / 256;
  for (int32_t tile = GetBlockIdx(); tile < tiles; tile += GetBlockNum()) {
    StoreTile(gc[static_cast<uint64_t>(tile / columns) * 128 * pitch + tile % columns * 256], l0c, 128, 256, pitch, 0);
  }
}

template <bool kMax>
__aicore__ inline void Combine(const LocalTensor<float>& dst, const LocalTensor<float>& a, const LocalTensor<float>& b,
                               const BinaryRepeatParams& strides) {
  if constexpr (kMax) {
    Max(dst, a, b, 64, 64, strides);
  } else {
    Add(dst, a, b, 64, 64, strides);
  }
}
template <bool kMax>
__aicore__ inline void ReduceBlocks(const LocalTensor<float>& dst, const LocalTensor<float>& src, int32_t repeats) {
  PipeBarrier<PIPE_V>();
  if constexpr (kMax) {
    BlockReduceMax(dst, src, repeats, 64, 1, 1, 8);
  } else {
    BlockReduceSum(dst, src, repeats, 64, 1, 1, 8);
  }
}
// The maximum, or the sum, of each row of x [64, 256]; `folded` [64, 64] and `eights` [64, 8] are scratch.
template <bool kMax>
__aicore__ inline void ReduceRows(const LocalTensor<float>& row, const LocalTensor<float>& x,
                                  const LocalTensor<float>& folded, const LocalTensor<float>& eights) {
  Combine<kMax>(folded, x, x[64], BinaryRepeatParams(1, 1, 1, 8, 32, 32));
  for (int32_t column = 128; column < 256; column += 64) {
    PipeBarrier<PIPE_V>();
    Combine<kMax>(folded, folded, x[column], BinaryRepeatParams(1, 1, 1, 8, 8, 32));
  }
  ReduceBlocks<kMax>(eights, folded, 64);
  ReduceBlocks<kMax>(row, eights, 8);
}

}  // namespace

// C[m, n] in one accumulator by `steps` Mmads of depth k, operands filled on chip, result dropped.
extern "C" __global__ __aicore__ void mmad_steps(int32_t m, int32_t n, int32_t k, int32_t steps) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const Operands l0 = Filled(128);
    for (int32_t i = 0; i < steps; ++i) Mmad(l0.c, l0.a, l0.b, MmadParams(m, n, k, 0, false, i == 0));
  }
}

// Fixpipe alone: tiles of 128 x 256 results as fp16 (or, `wide`, fp32; or, `atomic`, added) into a matrix of `pitch`
// columns, the cores taking turns.
extern "C" __global__ __aicore__ void fixpipe_tiles(GM_ADDR c, int32_t tiles, int32_t pitch, int32_t wide,
                                                    int32_t atomic) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const Operands l0 = Filled(16);
    Mmad(l0.c, l0.a, l0.b, MmadParams(128, 256, 16, 0, false, true));
    Hand<HardEvent::M_FIX>(EVENT_ID0);
    if (atomic != 0) SetAtomicAdd<float>();
    if (wide != 0) {
      StoreTiles<float>(c, l0.c, tiles, pitch);
    } else {
      StoreTiles<half>(c, l0.c, tiles, pitch);
    }
    if (atomic != 0) SetAtomicNone();
  }
}

// C [size, size] = A B^T in fp16; see StagedMatmul.
extern "C" __global__ __aicore__ void matmul_staged(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t size, int32_t single_m,
                                                    int32_t single_n) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    StagedMatmul<half>(a, b, c, size, single_m, single_n, [] {});
  }
}

// The stages of attention one by one, D = 128, tile 128 x 256. S [128, 256] fp32 = Q [128, 128] K [256, 128]^T out to
// GM, with unitFlag.
extern "C" __global__ __aicore__ void stage_qk(GM_ADDR q, GM_ADDR k, GM_ADDR s) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const GlobalTensor<half> gq = Gm<half>(q), gk = Gm<half>(k);
    const GlobalTensor<float> gs = Gm<float>(s);
    LocalTensor<half> l1q(TPosition::A1, 0, 16384), l1k(TPosition::B1, 32768, 32768);
    LocalTensor<half> l0a(TPosition::A2, 0, 16384), l0b(TPosition::B2, 0, 32768);
    LocalTensor<float> l0c(TPosition::CO1, 0, 32768);
    LoadRows(l1q, gq, 128, 128, 128);
    LoadRows(l1k, gk, 256, 128, 128);
    Hand<HardEvent::MTE2_MTE1>(EVENT_ID0);
    LoadTile(l0a, l1q, 128, 128);
    LoadTileB(l0b, l1k, 256, 128);
    Hand<HardEvent::MTE1_M>(EVENT_ID0);
    Mmad(l0c, l0a, l0b, MmadParams(128, 256, 128, 3, false, true));
    StoreTile(gs, l0c, 128, 256, 256, 3);
  }
}

// O' [128, 128] fp32 = P [128, 256] V^T [128, 256]^T out to GM, in two steps of 128 keys.
extern "C" __global__ __aicore__ void stage_pv(GM_ADDR p, GM_ADDR v, GM_ADDR o) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const GlobalTensor<half> gp = Gm<half>(p), gv = Gm<half>(v);
    const GlobalTensor<float> go = Gm<float>(o);
    LocalTensor<half> l1p(TPosition::A1, 0, 32768), l1v(TPosition::B1, 65536, 32768);
    LocalTensor<float> l0c(TPosition::CO1, 0, 16384);
    LoadRows(l1p, gp, 128, 256, 256);
    LoadRows(l1v, gv, 128, 256, 256);
    Hand<HardEvent::MTE2_MTE1>(EVENT_ID0);
    for (int32_t step = 0; step < 2; ++step) {
      LocalTensor<half> l0a(TPosition::A2, step * 32768, 16384), l0b(TPosition::B2, step * 32768, 16384);
      LoadTile(l0a, l1p[step * 16384], 128, 128);
      LoadTileB(l0b, l1v[step * 16384], 128, 128);
      Hand<HardEvent::MTE1_M>(step);
      Mmad(l0c, l0a, l0b, MmadParams(128, 128, 128, step == 1 ? 3 : 2, false, step == 0));
    }
    StoreTile(go, l0c, 128, 128, 128, 3);
  }
}

// An AIV's half of the softmax step: P [64, 256] fp16 = exp(S * scale - max), row maxima and sums.
extern "C" __global__ __aicore__ void stage_p(GM_ADDR s, GM_ADDR p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    constexpr int32_t kRows = 64, kColumns = 256, kAll = kRows * kColumns;
    const GlobalTensor<float> gs = Gm<float>(s);
    const GlobalTensor<half> gp = Gm<half>(p);
    LocalTensor<float> x(TPosition::VECIN, 0, kAll), folded(TPosition::VECCALC, 65536, kRows * 64);
    LocalTensor<half> out(TPosition::VECOUT, 81920, kAll);
    LocalTensor<float> eights(TPosition::VECCALC, 114688, kRows * 8), row(TPosition::VECCALC, 116736, kRows);
    LocalTensor<float> wide(TPosition::VECCALC, 116992, kRows * 8);
    DataCopy(x, gs, kAll);
    Hand<HardEvent::MTE2_V>(EVENT_ID0);
    Muls(x, x, 0.088f, 64, 255, UnaryRepeatParams(1, 1, 8, 8));
    Muls(x[255 * 64], x[255 * 64], 0.088f, 64, 1, UnaryRepeatParams(1, 1, 8, 8));
    PipeBarrier<PIPE_V>();
    ReduceRows<true>(row, x, folded, eights);
    PipeBarrier<PIPE_V>();
    Brcb(wide, row, 8, BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    for (int32_t c = 0; c < kColumns; c += 64) Sub(x[c], x[c], wide, 64, kRows, BinaryRepeatParams(1, 1, 0, 32, 32, 1));
    PipeBarrier<PIPE_V>();
    Exp(x, x, 64, 255, UnaryRepeatParams(1, 1, 8, 8));
    Exp(x[255 * 64], x[255 * 64], 64, 1, UnaryRepeatParams(1, 1, 8, 8));
    PipeBarrier<PIPE_V>();
    Cast(out, x, RoundMode::CAST_RINT, 64, 255, UnaryRepeatParams(1, 1, 4, 8));
    Cast(out[255 * 64], x[255 * 64], RoundMode::CAST_RINT, 64, 1, UnaryRepeatParams(1, 1, 4, 8));
    Hand<HardEvent::V_MTE3>(EVENT_ID0);
    DataCopy(gp, out, kAll);
    ReduceRows<false>(row, x, folded, eights);
  }
}

// An AIV's half of O [64, 128] = O * alpha + O': O stays in UB, O' comes from GM.
extern "C" __global__ __aicore__ void stage_o(GM_ADDR o) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    constexpr int32_t kRows = 64, kColumns = 128, kAll = kRows * kColumns;
    const GlobalTensor<float> go = Gm<float>(o);
    LocalTensor<float> sum(TPosition::VECCALC, 0, kAll), add(TPosition::VECIN, 32768, kAll);
    LocalTensor<float> alpha(TPosition::VECCALC, 65536, kRows * 8);
    DataCopy(add, go, kAll);
    Duplicate(sum, 1.0f, kAll);
    Duplicate(alpha, 0.5f, kRows * 8);
    Hand<HardEvent::MTE2_V>(EVENT_ID0);
    PipeBarrier<PIPE_V>();
    for (int32_t c = 0; c < kColumns; c += 64)
      Mul(sum[c], sum[c], alpha, 64, kRows, BinaryRepeatParams(1, 1, 0, 16, 16, 1));
    PipeBarrier<PIPE_V>();
    Add(sum, sum, add, 64, 128, BinaryRepeatParams(1, 1, 1, 8, 8, 8));
  }
}

// ---- for unit tests ----

// `count` loads of `bytes` from GM into UB, back to back; every core its own stretch of GM unless `shared`.
extern "C" __global__ __aicore__ void loads(GM_ADDR x, int32_t count, int32_t bytes, int32_t shared) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    GlobalTensor<float> gx;
    const uint64_t elements = static_cast<uint64_t>(bytes) / 4;
    gx.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(x) + (shared != 0 ? 0 : GetBlockIdx() * elements * count));
    LocalTensor<float> ub(TPosition::VECIN, 0, static_cast<uint32_t>(elements));
    for (int32_t i = 0; i < count; ++i) {
      DataCopy(ub, gx[i * elements], static_cast<uint32_t>(elements));
      PipeBarrier<PIPE_MTE2>();
    }
  }
}

// A load of bytes that L2 holds behind one that it does not.
extern "C" __global__ __aicore__ void miss_then_hit(GM_ADDR x) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    const GlobalTensor<float> gx = Gm<float>(x);
    LocalTensor<float> ub(TPosition::VECIN, 0, 3072);
    DataCopy(ub, gx, 1024);
    PipeBarrier<PIPE_ALL>();
    DataCopy(ub[1024], gx[1024], 1024);
    DataCopy(ub[2048], gx, 1024);
  }
}

// `count` Adds of `repeats` repeats, independent of each other, or (`chained`) each waiting for the one before.
extern "C" __global__ __aicore__ void adds(int32_t count, int32_t repeats, int32_t chained) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    LocalTensor<float> a(TPosition::VECCALC, 0, 16384), b(TPosition::VECCALC, 65536, 16384);
    for (int32_t i = 0; i < count; ++i) {
      Add(a, a, b, 64, static_cast<uint8_t>(repeats), BinaryRepeatParams(1, 1, 1, 8, 8, 8));
      if (chained != 0) PipeBarrier<PIPE_V>();
    }
  }
}

// Load, add, store of `tiles` tiles of 4096 floats in `slots` buffers.
extern "C" __global__ __aicore__ void pipeline(GM_ADDR x, GM_ADDR out, int32_t tiles, int32_t slots) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    constexpr int32_t kCount = 4096;
    const GlobalTensor<float> gx = Gm<float>(x), gout = Gm<float>(out);
    for (int32_t slot = 0; slot < slots; ++slot) SetFlag<HardEvent::MTE3_MTE2>(slot);
    for (int32_t i = 0; i < tiles; ++i) {
      const int32_t slot = i % slots;
      LocalTensor<float> a(TPosition::VECIN, slot * kCount * 4, kCount);
      WaitFlag<HardEvent::MTE3_MTE2>(slot);
      DataCopy(a, gx[i * kCount], kCount);
      Hand<HardEvent::MTE2_V>(slot);
      Adds(a, a, 1.0f, kCount);
      Hand<HardEvent::V_MTE3>(slot);
      DataCopy(gout[i * kCount], a, kCount);
      SetFlag<HardEvent::MTE3_MTE2>(slot);
    }
    for (int32_t slot = 0; slot < slots; ++slot) WaitFlag<HardEvent::MTE3_MTE2>(slot);
  }
}

// An Mmad of 128 x 256 x `k` and its Fixpipe, with unitFlag or with a flag for the whole instruction.
extern "C" __global__ __aicore__ void product_out(GM_ADDR c, int32_t k, int32_t unit) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    const Operands l0 = Filled(128);
    const uint8_t unit_flag = unit != 0 ? 3 : 0;
    Mmad(l0.c, l0.a, l0.b, MmadParams(128, 256, k, unit_flag, false, true));
    if (unit == 0) Hand<HardEvent::M_FIX>(EVENT_ID0);
    StoreTile(Gm<float>(c), l0.c, 128, 256, 256, unit_flag);
  }
}

// `count` times dst = a + b of 64 repeats, operands at these bytes of UB; b with strides of its own.
extern "C" __global__ __aicore__ void add_at(int32_t a, int32_t b, int32_t dst, int32_t b_blocks, int32_t b_repeats,
                                             int32_t count) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    auto at = [](int32_t offset) {
      return LocalTensor<float>(TPosition::VECCALC, static_cast<uint32_t>(offset), 4096);
    };
    const BinaryRepeatParams strides(1, 1, static_cast<uint8_t>(b_blocks), 8, 8, static_cast<uint8_t>(b_repeats));
    for (int32_t i = 0; i < count; ++i) {
      Add(at(dst), at(a), at(b), 64, 64, strides);
      PipeBarrier<PIPE_V>();
    }
  }
}

// A load and a SyncAll, again and again.
extern "C" __global__ __aicore__ void meet(GM_ADDR x, int32_t rounds) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIV {
    const GlobalTensor<float> gx = Gm<float>(x);
    LocalTensor<float> ub(TPosition::VECIN, 0, 1024);
    for (int32_t i = 0; i < rounds; ++i) {
      DataCopy(ub, gx, 1024);
      SyncAll();
    }
  }
}
