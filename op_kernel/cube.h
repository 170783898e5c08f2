// Steps of a matrix product on the cube: rows of GM into NZ tiles of L1, fractals into L0A and L0B, one Mmad, one
// result tile out. All operands are 16-bit; sizes need not be multiples of 16 except where said.
#pragma once
#include "buffers_aic.h"

namespace triangle {

__aicore__ inline uint16_t to16(int32_t x) { return static_cast<uint16_t>(x); }

// Nd2Nz's source row pitch is a 16-bit element count.
constexpr int64_t kMostNdPitch = 65535;

// rows x columns of GM, `pitch` elements apart, into a dense NZ tile [columns / 16][rows16][16] of L1, padded with
// zeros to multiples of 16 (the copy itself pads columns only: stale rows times zero may be NaN).
template <class T>
__aicore__ inline void load_rows(const AscendC::LocalTensor<T>& dst, const AscendC::GlobalTensor<T>& src, int64_t pitch,
                                 int32_t rows, int32_t columns) {
  const int32_t rows16 = round_up(rows, 16);
  AscendC::Nd2NzParams params;
  params.ndNum = 1;
  params.dValue = to16(columns);
  params.srcNdMatrixStride = 0;
  params.dstNzC0Stride = to16(rows16);
  params.dstNzNStride = 1;
  params.dstNzMatrixStride = 0;
  if (pitch >= 1 && pitch <= kMostNdPitch) {
    params.nValue = to16(rows);
    params.srcDValue = static_cast<uint16_t>(pitch);
    AscendC::DataCopy(dst, src, params);
  } else {
    params.nValue = 1;
    params.srcDValue = to16(columns);
    for (int32_t row = 0; row < rows; ++row) AscendC::DataCopy(dst[row * 16], src[row * pitch], params);
  }
  if (rows < rows16) {
    AscendC::InitConstValue(dst[rows * 16].template ReinterpretCast<half>(),
                            AscendC::InitConstValueParams<half>(to16(round_up(columns, 16) / 16), to16(rows16 - rows),
                                                                to16(rows), half(0.0f)));
  }
}

// m of a product whose result has `rows` rows: with m = 1 Mmad would read A as a vector, so a row of zeros joins.
__aicore__ inline int32_t mmad_rows(int32_t rows) { return rows == 1 ? 2 : rows; }

// L0A, ZZ, from rows row0 .. row0 + rows (row0 a multiple of 16) and fractal columns k0 / 16 .. of an NZ tile of
// tile_rows16 rows.
template <class T>
__aicore__ inline void load_a(const AscendC::LocalTensor<T>& l0a, const AscendC::LocalTensor<T>& l1,
                              int32_t tile_rows16, int32_t row0, int32_t rows, int32_t k0, int32_t k) {
  const int32_t fractals = round_up(k, 16) / 16;
  AscendC::LoadData2DParams params;
  params.repeatTimes = static_cast<uint8_t>(fractals);
  params.srcStride = to16(tile_rows16 / 16);
  for (int32_t i = 0; i < round_up(rows, 16) / 16; ++i) {
    AscendC::LoadData(l0a[i * fractals * 256], l1[k0 * tile_rows16 + (row0 + i * 16) * 16], params);
  }
}

// L0B, ZN, of the transpose of a dense NZ tile of n rows (keys): its own order of fractals.
template <class T>
__aicore__ inline void load_b_transposed(const AscendC::LocalTensor<T>& l0b, const AscendC::LocalTensor<T>& l1,
                                         int32_t n, int32_t k0, int32_t k) {
  const int32_t n16 = round_up(n, 16);
  AscendC::LoadData2DParams params;
  params.repeatTimes = static_cast<uint8_t>(round_up(k, 16) / 16 * (n16 / 16));
  params.srcStride = 1;
  AscendC::LoadData(l0b, l1[k0 * n16], params);
}

// L0B, ZN, of a dense NZ tile of k rows and n columns: fractals row by row, each transposed.
template <class T>
__aicore__ inline void load_b(const AscendC::LocalTensor<T>& l0b, const AscendC::LocalTensor<T>& l1, int32_t k,
                              int32_t n) {
  const int32_t k16 = round_up(k, 16), fractals = round_up(n, 16) / 16;
  AscendC::LoadData2DParams params;
  params.repeatTimes = static_cast<uint8_t>(fractals);
  params.srcStride = to16(k16 / 16);
  params.ifTranspose = true;
  for (int32_t i = 0; i < k16 / 16; ++i) AscendC::LoadData(l0b[i * fractals * 256], l1[i * 256], params);
}

// C (+)= A B, n a multiple of 16.
template <class T>
__aicore__ inline void mmad(const AscendC::LocalTensor<float>& c, const AscendC::LocalTensor<T>& a,
                            const AscendC::LocalTensor<T>& b, int32_t rows, int32_t n, int32_t k, bool fresh) {
  AscendC::MmadParams params;
  params.m = to16(mmad_rows(rows));
  params.n = to16(n);
  params.k = to16(k);
  params.cmatrixInitVal = fresh;
  AscendC::Mmad(c, a, b, params);
  // CANN: a small Mmad may be overtaken by the next one on the same C.
  if ((params.m / 16) * (params.n / 16) < 10) AscendC::PipeBarrier<PIPE_M>();
}

// rows x n of L0C into GM rows `pitch` floats apart; n a multiple of 16. By DataCopy: CANN's Fixpipe() begins with a
// barrier that waits until the one before is complete, which flags tell where it matters.
__aicore__ inline void store_tile(const AscendC::GlobalTensor<float>& dst, const AscendC::LocalTensor<float>& c,
                                  int32_t rows, int32_t n, int32_t pitch) {
  AscendC::DataCopyCO12DstParams params;
  params.nSize = to16(n);
  params.mSize = to16(rows);
  params.srcStride = to16(round_up(mmad_rows(rows), 16));
  params.dstStride = static_cast<uint32_t>(pitch);
  params.nz2ndEn = true;
  AscendC::SetFixpipeNz2ndFlag(1, 0, 0);
  AscendC::DataCopy(dst, c, params);
}

}  // namespace triangle
