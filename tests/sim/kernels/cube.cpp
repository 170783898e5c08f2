// Kernels for the cube and its DMA. cube_case_* run one chain of instructions whose every parameter is an argument;
// matmul_* are whole tiled products.
// check_cann: no, because it also instantiates types that this chip lacks, to see them refused
#include "end_of_kernel.h"
#include "kernel_operator.h"

using namespace AscendC;

struct CubeCase {
  int32_t a_bytes, b_bytes;  // into L1, multiples of 32
  // how A and B get from L1 to L0: kind 0 LoadData, 1 LoadDataWithTranspose, 2 LoadData 3D, 3 LoadData from GM, 4
  // LoadData 3D Pro
  struct Load {
    int32_t kind, loops, src_step, dst_step;  // steps in elements
    int32_t start, repeat, stride, gap, fractal_gap, transpose;
    int32_t h, w, channels, k_extent, m_extent, k_start, m_start, filter_w, filter_h, stride_w, stride_h, pad;
  } a, b;
  int32_t m, n, k, init, source, unit_flag, k_align, bias;  // bias: 1 tensor from the bias table, 2 widened from half
  int32_t n_size, m_size, src_stride, dst_stride, nz, relu, quant, nd_num, src_nd_stride, dst_nd_stride, split;
  int32_t to_l1, atomic, saturate;
  uint32_t scale_low, scale_high;
  int32_t scales;   // number of column scales, 0: none
  int32_t by_copy;  // DataCopy with its settings in registers instead of Fixpipe
};

template <typename T>
__aicore__ inline void LoadOperand(const LocalTensor<T>& to, const LocalTensor<T>& from, const CubeCase::Load& p) {
  for (int i = 0; i < p.loops; ++i) {
    const LocalTensor<T> dst = to[i * p.dst_step], src = from[i * p.src_step];
    if (p.kind == 0) {
      LoadData(dst, src, LoadData2DParams(p.start, p.repeat, p.stride, 0, p.gap, p.transpose != 0, 0));
    } else if (p.kind == 1) {
      LoadDataWithTranspose(dst, src, LoadData2dTransposeParams(p.start, p.repeat, p.stride, p.gap, p.fractal_gap));
    } else if (p.kind == 4) {
      const uint8_t pads[4] = {static_cast<uint8_t>(p.pad), static_cast<uint8_t>(p.pad), static_cast<uint8_t>(p.pad),
                               static_cast<uint8_t>(p.pad)};
      Load3DSetFMatrixCal(p.h, p.w, pads);
      SetLoadDataPaddingValue(static_cast<T>(0));
      LoadData3DParamsV2Pro params;
      params.channelSize = p.channels;
      params.enTranspose = p.transpose != 0;
      params.extConfig = static_cast<uint64_t>(p.m_start) << 48 | static_cast<uint64_t>(p.k_start) << 32 |
                         static_cast<uint64_t>(p.m_extent) << 16 | static_cast<uint64_t>(p.k_extent);
      params.filterConfig = 1ull << 40 | 1ull << 32 | static_cast<uint64_t>(p.filter_h) << 24 |
                            static_cast<uint64_t>(p.filter_w) << 16 | static_cast<uint64_t>(p.stride_h) << 8 |
                            static_cast<uint64_t>(p.stride_w);
      LoadData(dst, src, params);
    } else if (p.kind == 2) {
      LoadData3DParamsV2<T> params;
      for (int side = 0; side < 4; ++side) params.padList[side] = p.pad;
      params.l1H = p.h;
      params.l1W = p.w;
      params.channelSize = p.channels;
      params.kExtension = p.k_extent;
      params.mExtension = p.m_extent;
      params.kStartPt = p.k_start;
      params.mStartPt = p.m_start;
      params.filterW = p.filter_w;
      params.filterH = p.filter_h;
      params.strideW = p.stride_w;
      params.strideH = p.stride_h;
      params.enTranspose = p.transpose != 0;
      LoadData(dst, src, params);
    }
  }
}

template <typename T, typename C, typename Out, const FixpipeConfig& config>
__aicore__ inline void Store(const GlobalTensor<Out>& out, const LocalTensor<C>& c, const LocalTensor<uint64_t>& scales,
                             const CubeCase& p) {
  FixpipeParamsV220 fix(p.n_size, p.m_size, p.src_stride, p.dst_stride, p.relu != 0, static_cast<QuantMode_t>(p.quant),
                        static_cast<int64_t>(static_cast<uint64_t>(p.scale_high) << 32 | p.scale_low), p.nd_num,
                        p.src_nd_stride, p.dst_nd_stride, p.unit_flag != 0 ? 3 : 0, p.split != 0);
  if (p.to_l1 != 0) {
    LocalTensor<Out> l1(TPosition::C1, 384 * 1024, 65536 / sizeof(Out));
    Fixpipe<Out, C, CFG_NZ>(l1, c, fix);
    SetFlag<HardEvent::FIX_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::FIX_MTE3>(EVENT_ID0);
    DataCopy(out, l1, static_cast<uint32_t>(p.to_l1));
    return;
  }
  if constexpr (!std::is_same<Out, uint8_t>::value) {
    if (p.atomic == 1) SetAtomicAdd<Out>();
    if (p.atomic == 2) SetAtomicMax<Out>();
  }
  if (p.by_copy != 0) {
    DataCopyCO12DstParams copy(p.n_size, p.m_size, p.dst_stride, p.src_stride, fix.quantPre, p.relu, p.split != 0,
                               p.nz == 0);
    copy.unitFlag = fix.unitFlag;
    if (p.nd_num > 1) {
      SetNdParaImpl(static_cast<uint64_t>(p.dst_nd_stride) << 32 | static_cast<uint64_t>(p.src_nd_stride) << 16 |
                    static_cast<uint64_t>(p.nd_num));
    } else {
      SetFixpipeNz2ndFlag(p.nd_num, p.src_nd_stride, p.dst_nd_stride);
    }
    SetFixpipePreQuantFlag(fix.deqScalar);
    if (p.scales != 0) {
      LocalTensor<uint64_t> table(TPosition::C2PIPE2GM, 0, 256);
      DataCopy(table, scales, DataCopyParams(1, (p.scales * 8 + 127) / 128, 0, 0));
      SetFixPipeConfig(table);
      PipeBarrier<PIPE_FIX>();
    }
    DataCopy(out, c, copy);
  } else if (p.scales != 0) {
    Fixpipe<Out, C, config>(out, c, scales, fix);
  } else {
    Fixpipe<Out, C, config>(out, c, fix);
  }
  SetAtomicNone();
}

template <typename T, typename C, typename Out>
__aicore__ inline void RunCase(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out, const CubeCase& p) {
  if ASCEND_IS_AIC {
    GlobalTensor<T> ga, gb;
    GlobalTensor<uint64_t> gs;
    GlobalTensor<Out> go;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(a));
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(b));
    gs.SetGlobalBuffer(reinterpret_cast<__gm__ uint64_t*>(scales));
    go.SetGlobalBuffer(reinterpret_cast<__gm__ Out*>(out));
    LocalTensor<T> l1a(TPosition::A1, 0, 131072 / sizeof(T)), l1b(TPosition::B1, 131072, 131072 / sizeof(T));
    LocalTensor<C> l1bias(TPosition::C1, 262144, 256), table(TPosition::C2, 0, 256);
    LocalTensor<half> l1bias_half(TPosition::C1, 262144, 256);
    LocalTensor<uint64_t> l1scales(TPosition::C1, 270336, 512);
    LocalTensor<T> l0a(TPosition::A2, 0, 65536 / sizeof(T)), l0b(TPosition::B2, 0, 65536 / sizeof(T));
    LocalTensor<C> l0c(TPosition::CO1, 0, 32768);

    DataCopy(l1a, ga, static_cast<uint32_t>(p.a_bytes / sizeof(T)));
    DataCopy(l1b, gb, static_cast<uint32_t>(p.b_bytes / sizeof(T)));
    if (p.bias == 1) {
      GlobalTensor<C> gbias;
      gbias.SetGlobalBuffer(reinterpret_cast<__gm__ C*>(bias));
      DataCopy(l1bias, gbias, 256);
    } else if (p.bias == 2) {
      GlobalTensor<half> gbias;
      gbias.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(bias));
      DataCopy(l1bias_half, gbias, 256);
    }
    if (p.scales != 0) DataCopy(l1scales, gs, static_cast<uint32_t>(p.scales));
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    SetFlag<HardEvent::MTE2_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    if (p.a.kind == 3) {
      LoadData(l0a, ga, LoadData2DParams(p.a.start, p.a.repeat, p.a.stride, 0, p.a.gap, false, 0));
      SetFlag<HardEvent::MTE2_M>(EVENT_ID0);
      WaitFlag<HardEvent::MTE2_M>(EVENT_ID0);
    }
    LoadOperand(l0a, l1a, p.a);
    LoadOperand(l0b, l1b, p.b);
    if (p.bias == 1) DataCopy(table, l1bias, DataCopyParams(1, 16, 0, 0));
    if constexpr (std::is_same<C, float>::value) {
      if (p.bias == 2) DataCopy(table, l1bias_half, DataCopyParams(1, 16, 0, 0));
    }
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    MmadParams mmad(p.m, p.n, p.k, p.unit_flag, p.source != 0, p.init != 0);
    mmad.kDirectionAlign = p.k_align != 0;
    if (p.bias != 0 && p.source == 0) {
      Mmad(l0c, l0a, l0b, table, mmad);
    } else {
      Mmad(l0c, l0a, l0b, mmad);
    }
    if (p.unit_flag == 0) {
      SetFlag<HardEvent::M_FIX>(EVENT_ID0);
      WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    }
    WaitFlag<HardEvent::MTE2_FIX>(EVENT_ID0);
    AscendCUtils::SetOverflow(p.saturate != 0 ? 0 : 1);
    if (p.nz != 0) {
      Store<T, C, Out, CFG_NZ>(go, l0c, l1scales, p);
    } else {
      Store<T, C, Out, CFG_ROW_MAJOR>(go, l0c, l1scales, p);
    }
  }
}

// Entry points are written out: they are found in the source text.
extern "C" __global__ __aicore__ void cube_case_f16_f32(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                        CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<half, float, float>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_f16_f16(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                        CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<half, float, half>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_f16_s8(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                       CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<half, float, int8_t>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_bf16_bf16(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales,
                                                          GM_ADDR out, CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<bfloat16_t, float, bfloat16_t>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_f32_f32(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                        CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<float, float, float>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_s8_s32(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                       CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<int8_t, int32_t, int32_t>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_s8_f16(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                       CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<int8_t, int32_t, half>(a, b, bias, scales, out, p);
}
extern "C" __global__ __aicore__ void cube_case_s8_u8(GM_ADDR a, GM_ADDR b, GM_ADDR bias, GM_ADDR scales, GM_ADDR out,
                                                      CubeCase p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunCase<int8_t, int32_t, uint8_t>(a, b, bias, scales, out, p);
}

// ---- DMA alone ----------------------------------------------------------------------------------------------------

// L1 is first filled from `background`, then takes the ND matrices, then goes back to GM.
extern "C" __global__ __aicore__ void nd2nz(GM_ADDR src, GM_ADDR background, GM_ADDR out, int32_t bytes, int32_t total,
                                            Nd2NzParams p) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    GlobalTensor<uint8_t> from, back, to;
    from.SetGlobalBuffer(src);
    back.SetGlobalBuffer(background);
    to.SetGlobalBuffer(out);
    LocalTensor<uint8_t> l1(TPosition::A1, 0, total);
    DataCopy(l1, back, static_cast<uint32_t>(total));
    PipeBarrier<PIPE_MTE2>();
    if (bytes == 1) DataCopy(l1, from, p);
    GlobalTensor<half> from16;
    from16.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(src));
    if (bytes == 2) DataCopy(l1.ReinterpretCast<half>(), from16, p);
    GlobalTensor<float> from32;
    from32.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(src));
    if (bytes == 4) DataCopy(l1.ReinterpretCast<float>(), from32, p);
    SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    DataCopy(to, l1, static_cast<uint32_t>(total));
  }
}

// A constant into L1, seen in GM; and GM -> L1 fractals with LoadData in either direction.
extern "C" __global__ __aicore__ void fill_l1(GM_ADDR src, GM_ADDR out, int32_t total, int32_t repeat, int32_t blocks,
                                              int32_t gap, float value, int32_t start, int32_t stride, int32_t dec) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    GlobalTensor<float> from, to;
    from.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(src));
    to.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(out));
    LocalTensor<float> l1(TPosition::A1, 0, total / 4);
    DataCopy(l1, from, static_cast<uint32_t>(total / 4));
    PipeBarrier<PIPE_MTE2>();
    if (blocks != 0) {
      InitConstValue(l1, InitConstValueParams<float>(repeat, blocks, gap, value));
    } else {
      LoadData(l1, from, LoadData2DParams(start, repeat, stride, 0, gap, false, dec));
    }
    SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    DataCopy(to, l1, static_cast<uint32_t>(total / 4));
  }
}

// ---- whole products -----------------------------------------------------------------------------------------------

struct MatmulShape {
  int32_t m, n, k, ldc;
  int32_t unit_flag;     // synchronise Mmad and Fixpipe by unit flags
  int32_t b_rows_are_k;  // B is [k, n]; else [n, k]
  int32_t fault;  // 1: Fixpipe does not wait, 2: it takes part of the tile, 3: L0 is not handed back, 4: 2 and reset
};

// C [m, n] = A [m, k] * B, tiles of 96 x 96 over 32 of k in L0, 128 of k in L1.
template <typename T, typename Out>
class Matmul {
 public:
  __aicore__ inline void Run(GM_ADDR a, GM_ADDR b, GM_ADDR c, const MatmulShape& shape) {
    s = shape;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(a));
    gb.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(b));
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ Out*>(c));
    l1a = LocalTensor<T>(TPosition::A1, 0, kTile * kDeep);
    l1b = LocalTensor<T>(TPosition::B1, kTile * kDeep * sizeof(T), kTile * kDeep);
    l0a = LocalTensor<T>(TPosition::A2, 0, kTile * kStep);
    l0b = LocalTensor<T>(TPosition::B2, 0, kTile * kStep);
    l0c = LocalTensor<float>(TPosition::CO1, 0, kTile * kTile);
    SetFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    SetFlag<HardEvent::M_MTE1>(EVENT_ID0);
    SetFlag<HardEvent::FIX_M>(EVENT_ID0);
    const int tiles_n = (s.n + kTile - 1) / kTile, tiles = (s.m + kTile - 1) / kTile * tiles_n;
    for (int tile = GetBlockIdx(); tile < tiles; tile += GetBlockNum())
      Tile(tile / tiles_n * kTile, tile % tiles_n * kTile);
    WaitFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    WaitFlag<HardEvent::M_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::FIX_M>(EVENT_ID0);
  }

 private:
  static constexpr int kTile = 96, kDeep = 128, kStep = 32, kC0 = 32 / sizeof(T);
  static __aicore__ inline int Min(int x, int y) { return x < y ? x : y; }
  static __aicore__ inline int Up(int x, int y) { return (x + y - 1) / y * y; }

  __aicore__ inline void Tile(int m0, int n0) {
    const int m = Min(kTile, s.m - m0), n = Min(kTile, s.n - n0), n16 = Up(n, 16);
    if (s.unit_flag == 0) WaitFlag<HardEvent::FIX_M>(EVENT_ID0);
    for (int k1 = 0; k1 < s.k; k1 += kDeep) {
      const int deep = Min(kDeep, s.k - k1);
      WaitFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
      DataCopy(l1a, ga[static_cast<uint64_t>(m0) * s.k + k1], Nd2NzParams(1, m, deep, 0, s.k, Up(m, 16), 1, 0));
      if (s.b_rows_are_k != 0) {
        DataCopy(l1b, gb[static_cast<uint64_t>(k1) * s.n + n0], Nd2NzParams(1, deep, n, 0, s.n, Up(deep, 16), 1, 0));
      } else {
        if (n != n16) {  // rows past n take part in Mmad: they must be numbers
          InitConstValue(l1b, InitConstValueParams<T>(1, static_cast<uint16_t>(n16 * Up(deep, kC0) / kC0), 0, 0));
          PipeBarrier<PIPE_MTE2>();
        }
        DataCopy(l1b, gb[static_cast<uint64_t>(n0) * s.k + k1], Nd2NzParams(1, n, deep, 0, s.k, n16, 1, 0));
      }
      SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
      WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
      for (int k0 = 0; k0 < deep; k0 += kStep) {
        const int k = Min(kStep, deep - k0);
        if (s.fault != 3 || k1 + k0 == 0) WaitFlag<HardEvent::M_MTE1>(EVENT_ID0);
        LoadA(m, k0, k);
        LoadB(n, n16, k0, k, deep);
        SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
        WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
        const bool last = k1 + k0 + k >= s.k;
        MmadParams p(m, n16, k, s.unit_flag == 0 ? 0 : last ? 3 : 2, false, k1 + k0 == 0);
        Mmad(l0c, l0a, l0b, p);
        if ((m / 16) * (n16 / 16) < 10) PipeBarrier<PIPE_M>();
        if (s.fault != 3 || last) SetFlag<HardEvent::M_MTE1>(EVENT_ID0);
      }
      SetFlag<HardEvent::MTE1_MTE2>(EVENT_ID0);
    }
    if (s.unit_flag == 0 && s.fault != 1) {
      SetFlag<HardEvent::M_FIX>(EVENT_ID0);
      WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    }
    FixpipeParamsV220 fix(n16, s.fault == 2 || s.fault == 4 ? 16 : m, Up(m, 16), s.ldc, false);
    fix.quantPre = std::is_same<Out, half>::value         ? QuantMode_t::F322F16
                   : std::is_same<Out, bfloat16_t>::value ? QuantMode_t::F322BF16
                                                          : QuantMode_t::NoQuant;
    fix.unitFlag = s.unit_flag == 0 ? 0 : 3;
    Fixpipe<Out, float, CFG_ROW_MAJOR>(gc[static_cast<uint64_t>(m0) * s.ldc + n0], l0c, fix);
    if (s.fault == 4) SetFixPipeConfig(l0c, true);
    if (s.unit_flag == 0) SetFlag<HardEvent::FIX_M>(EVENT_ID0);
  }

  // NZ [m, deep] -> ZZ [m, k]
  __aicore__ inline void LoadA(int m, int k0, int k) {
    const int rows = Up(m, 16) / 16, columns = Up(k, kC0) / kC0;
    for (int row = 0; row < rows; ++row) {
      LoadData(l0a[row * columns * 16 * kC0], l1a[k0 * Up(m, 16) + row * 16 * kC0],
               LoadData2DParams(0, columns, rows, 0, 0, false, 0));
    }
  }
  __aicore__ inline void LoadB(int n, int n16, int k0, int k, int deep) {
    const int columns = n16 / 16;
    if (s.b_rows_are_k == 0) {  // NZ [n, deep] holds the fractals of ZN already
      LoadData(l0b, l1b[k0 * n16], LoadData2DParams(0, columns * (Up(k, kC0) / kC0), 1, 0, 0, false, 0));
    } else if (sizeof(T) == 2) {  // NZ [deep, n]: fractals are transposed
      for (int row = 0; row < Up(k, 16) / 16; ++row) {
        LoadData(l0b[row * columns * 256], l1b[(k0 / 16 + row) * 256],
                 LoadData2DParams(0, columns, Up(deep, 16) / 16, 0, 0, true, 0));
      }
    } else {
      LoadData3DParamsV2<T> p;
      p.l1H = Up(deep, 16);
      p.l1W = 1;
      p.channelSize = Up(n, kC0);
      p.kExtension = Up(n, kC0);
      p.mExtension = k;
      p.mStartPt = k0;
      LoadData(l0b, l1b, p);
    }
  }

  MatmulShape s;
  GlobalTensor<T> ga, gb;
  GlobalTensor<Out> gc;
  LocalTensor<T> l1a, l1b, l0a, l0b;
  LocalTensor<float> l0c;
};

template <typename T, typename Out>
__aicore__ inline void RunMatmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, const MatmulShape& shape) {
  if ASCEND_IS_AIC {
    Matmul<T, Out> op;
    op.Run(a, b, c, shape);
  }
}
extern "C" __global__ __aicore__ void matmul_f16(GM_ADDR a, GM_ADDR b, GM_ADDR c, MatmulShape shape) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunMatmul<half, float>(a, b, c, shape);
}
extern "C" __global__ __aicore__ void matmul_bf16(GM_ADDR a, GM_ADDR b, GM_ADDR c, MatmulShape shape) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunMatmul<bfloat16_t, bfloat16_t>(a, b, c, shape);
}
extern "C" __global__ __aicore__ void matmul_f32(GM_ADDR a, GM_ADDR b, GM_ADDR c, MatmulShape shape) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  RunMatmul<float, float>(a, b, c, shape);
}

// `loops` Mmads [m, 128] * [128, n] into one tile, each starting from the result of the one before.
extern "C" __global__ __aicore__ void mmad_chain(GM_ADDR a, GM_ADDR c, int32_t loops, int32_t m, int32_t n,
                                                 int32_t barrier) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    GlobalTensor<half> ga;
    GlobalTensor<float> gc;
    ga.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(a));
    gc.SetGlobalBuffer(reinterpret_cast<__gm__ float*>(c));
    LocalTensor<half> l1(TPosition::A1, 0, 16384), l0a(TPosition::A2, 0, 16384), l0b(TPosition::B2, 0, 16384);
    LocalTensor<float> l0c(TPosition::CO1, 0, 16384);
    DataCopy(l1, ga, 16384);
    SetFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE1>(EVENT_ID0);
    LoadData(l0a, l1, LoadData2DParams(0, 64, 1, 0, 0, false, 0));
    LoadData(l0b, l1, LoadData2DParams(0, 64, 1, 0, 0, false, 0));
    SetFlag<HardEvent::MTE1_M>(EVENT_ID0);
    WaitFlag<HardEvent::MTE1_M>(EVENT_ID0);
    for (int i = 0; i < loops; ++i) {
      if (i != 0 && barrier != 0) PipeBarrier<PIPE_M>();
      Mmad(l0c, l0a, l0b, MmadParams(m, n, 128, 0, false, i == 0));
    }
    SetFlag<HardEvent::M_FIX>(EVENT_ID0);
    WaitFlag<HardEvent::M_FIX>(EVENT_ID0);
    Fixpipe(gc, l0c, FixpipeParamsV220(n, m, m, n, false));
  }
}

// `count` instructions into one pipe, then a load that waits for none of them.
template <bool kMmad>
__aicore__ inline void QueueDepth(GM_ADDR x, int32_t count) {
  GlobalTensor<half> g;
  g.SetGlobalBuffer(reinterpret_cast<__gm__ half*>(x));
  LocalTensor<half> l1(TPosition::A1, 0, 16384), l0a(TPosition::A2, 0, 16384), l0b(TPosition::B2, 0, 16384);
  LocalTensor<float> l0c(TPosition::CO1, 0, 16384);
  for (int32_t i = 0; i < count; ++i) {
    if constexpr (kMmad) {
      Mmad(l0c, l0a, l0b, MmadParams(128, 128, 128, 0, false, true));
    } else {
      LoadData(l0b, l1, LoadData2DParams(0, 64, 1, 0, 0, false, 0));
    }
  }
  DataCopy(l1, g, 16);
}
extern "C" __global__ __aicore__ void queue_depth_m(GM_ADDR x, int32_t count) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    QueueDepth<true>(x, count);
  }
}
extern "C" __global__ __aicore__ void queue_depth_mte1(GM_ADDR x, int32_t count) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
  const EndOfKernel end;
  if ASCEND_IS_AIC {
    QueueDepth<false>(x, count);
  }
}
