// Transpose (16 x 16, 16 bits) and TransDataTo5HD.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_transpose.h"
#include "kernel_struct_transpose.h"

namespace AscendC {

template <typename T>
__aicore__ inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src, Site site = Site::Here()) {
  Issue(ascend_sim::VecTranspose{ascend_sim::kDTypeOf<T>, dst.sim(), src.sim()}, site);
}

// With a type: the 16 x 16 transpose only. The others are sequences of CANN's own; a launch that reaches one stops.
template <typename T>
__aicore__ inline void Transpose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                 const LocalTensor<uint8_t>& sharedTmpBuffer, const TransposeParamsExt& transposeParams,
                                 Site site = Site::Here()) {
  if (transposeParams.transposeType != TransposeType::TRANSPOSE_ND2ND_B16) {
    ascend_sim::device::NotImplemented("Transpose with a type other than TRANSPOSE_ND2ND_B16", site);
  }
  Transpose(dst, src, site);
}

template <typename T>
inline ascend_sim::VecTransData5Hd SimTransData(const TransDataTo5HDParams& p) {
  ascend_sim::VecTransData5Hd t{};
  t.type = ascend_sim::kDTypeOf<T>;
  t.dst_high = p.dstHighHalf;
  t.src_high = p.srcHighHalf;
  t.repeat = p.repeatTimes;
  t.dst_repeat_stride = p.dstRepStride;
  t.src_repeat_stride = p.srcRepStride;
  return t;
}
template <typename T>
__aicore__ inline void TransDataTo5HD(const LocalTensor<T> (&dstList)[NCHW_CONV_ADDR_LIST_SIZE],
                                      const LocalTensor<T> (&srcList)[NCHW_CONV_ADDR_LIST_SIZE],
                                      const TransDataTo5HDParams& nchwconvParams, Site site = Site::Here()) {
  ascend_sim::VecTransData5Hd t = SimTransData<T>(nchwconvParams);
  for (int i = 0; i < NCHW_CONV_ADDR_LIST_SIZE; ++i) {
    t.dst[i] = dstList[i].sim().offset;
    t.src[i] = srcList[i].sim().offset;
  }
  Issue(t, site);
}
// Addresses in UB, as LocalTensor::GetPhyAddr gives them.
template <typename T>
__aicore__ inline void TransDataTo5HD(uint64_t dstList[NCHW_CONV_ADDR_LIST_SIZE],
                                      uint64_t srcList[NCHW_CONV_ADDR_LIST_SIZE],
                                      const TransDataTo5HDParams& nchwconvParams, Site site = Site::Here()) {
  ascend_sim::VecTransData5Hd t = SimTransData<T>(nchwconvParams);
  for (int i = 0; i < NCHW_CONV_ADDR_LIST_SIZE; ++i) {
    t.dst[i] = static_cast<uint32_t>(dstList[i]);
    t.src[i] = static_cast<uint32_t>(srcList[i]);
  }
  Issue(t, site);
}

}  // namespace AscendC
