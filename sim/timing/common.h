// What the timing kernels share: tensors of GM, tiles between GM, L1, L0 and back.
#pragma once

#include "kernel_operator.h"

using namespace AscendC;

namespace {

// Kernels without a TPipe end so: declared first, it comes last.
struct EndOfKernel {
  __aicore__ inline EndOfKernel() {}
  __aicore__ inline ~EndOfKernel() { PipeBarrier<PIPE_ALL>(); }
};

template <typename T>
__aicore__ inline GlobalTensor<T> Gm(GM_ADDR address) {
  GlobalTensor<T> gm;
  gm.SetGlobalBuffer(reinterpret_cast<__gm__ T*>(address));
  return gm;
}

// rows x columns of 16-bit GM, `pitch` elements apart, into NZ in L1.
__aicore__ inline void LoadRows(const LocalTensor<half>& dst, const GlobalTensor<half>& src, int32_t rows,
                                int32_t columns, int32_t pitch) {
  DataCopy(dst, src,
           Nd2NzParams(1, static_cast<uint16_t>(rows), static_cast<uint16_t>(columns), 0, static_cast<uint16_t>(pitch),
                       static_cast<uint16_t>(rows), 1, 0));
}

// rows x k of an NZ tile of `rows` rows into L0A or L0B in one instruction.
__aicore__ inline void LoadTile(const LocalTensor<half>& dst, const LocalTensor<half>& src, int32_t rows, int32_t k) {
  LoadData3DParamsV2<half> params;
  params.l1H = 1;
  params.l1W = static_cast<uint16_t>(rows);
  params.channelSize = static_cast<uint16_t>(k);
  params.kExtension = static_cast<uint16_t>(k);
  params.mExtension = static_cast<uint16_t>(rows);
  LoadData(dst, src, params);
}
// The same for the B operand of A B^T: rows of B are columns of the product, NZ is ZN already.
__aicore__ inline void LoadTileB(const LocalTensor<half>& dst, const LocalTensor<half>& src, int32_t rows, int32_t k) {
  LoadData(dst, src, LoadData2DParams(0, static_cast<uint8_t>(rows / 16 * (k / 16)), 1, 0, 0, false, 0));
}

template <HardEvent kEvent>
__aicore__ inline void Hand(int32_t id) {
  SetFlag<kEvent>(id);
  WaitFlag<kEvent>(id);
}

// The whole of L0A, L0B and L0C; the first `blocks` x 256 numbers of the operands are filled on chip.
struct Operands {
  LocalTensor<half> a{TPosition::A2, 0, 32768}, b{TPosition::B2, 0, 32768};
  LocalTensor<float> c{TPosition::CO1, 0, 32768};
};
__aicore__ inline Operands Filled(uint16_t blocks) {
  const Operands l0;
  InitConstValue(l0.a, InitConstValueParams<half>(1, blocks, 0, half(0.5f)));
  InitConstValue(l0.b, InitConstValueParams<half>(1, blocks, 0, half(0.25f)));
  Hand<HardEvent::MTE1_M>(EVENT_ID0);
  return l0;
}

// The accumulator [m, n] into rows `pitch` elements apart, as fp32 or fp16.
template <typename T>
__aicore__ inline void StoreTile(const GlobalTensor<T>& dst, const LocalTensor<float>& l0c, int32_t m, int32_t n,
                                 int32_t pitch, uint8_t unit_flag) {
  FixpipeParamsV220 params(static_cast<uint16_t>(n), static_cast<uint16_t>(m), static_cast<uint16_t>(m),
                           static_cast<uint32_t>(pitch), false);
  if (sizeof(T) == 2) params.quantPre = QuantMode_t::F322F16;
  params.unitFlag = unit_flag;
  Fixpipe<T, float, CFG_ROW_MAJOR>(dst, l0c, params);
}

}  // namespace
