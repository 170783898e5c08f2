// Loads into the cube's buffers and Mmad.
#pragma once

#include <type_traits>

#include "isa/load_3d.h"
#include "isa/load_data.h"
#include "isa/mmad.h"
#include "isa/mmad_sparse.h"
#include "kernel_operator_common_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_struct_mm.h"
#include "kernel_tensor.h"

namespace AscendC {

// ---- LoadData 2D --------------------------------------------------------------------------------------------------

template <typename T>
ascend_sim::LoadFractals SimLoadOf(const LocalTensor<T>& dst, const LoadData2DParams& p) {
  ascend_sim::LoadFractals load;
  load.dst = dst.sim();
  load.transpose = p.ifTranspose;
  load.decrease = p.addrMode != 0;
  load.bytes = sizeof(T);
  load.repeat = p.repeatTimes;
  load.start = p.startIndex;
  load.stride = p.srcStride;
  load.gap = p.dstGap;
  return load;
}
template <typename T>
__aicore__ inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                const LoadData2DParams& loadDataParams, Site site = Site::Here()) {
  ascend_sim::LoadFractals load = SimLoadOf(dst, loadDataParams);
  load.src = src.sim();
  Issue(load, site);
}
template <typename T>
__aicore__ inline void LoadData(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                                const LoadData2DParams& loadDataParams, Site site = Site::Here()) {
  ascend_sim::LoadFractals load = SimLoadOf(dst, loadDataParams);
  load.gm = src.sim();
  load.from_gm = true;
  Issue(load, site);
}
template <typename T>
__aicore__ inline void LoadData(const LocalTensor<T>&, const LocalTensor<T>&, const LoadData2DParamsV2&,
                                Site site = Site::Here()) {
  ascend_sim::device::NotImplemented("LoadData with LoadData2DParamsV2, which dav-2201 does not have", site);
}
template <typename T>
__aicore__ inline void LoadData(const LocalTensor<T>&, const GlobalTensor<T>&, const LoadData2DParamsV2&,
                                Site site = Site::Here()) {
  ascend_sim::device::NotImplemented("LoadData with LoadData2DParamsV2, which dav-2201 does not have", site);
}

template <typename T>
__aicore__ inline void LoadDataWithTranspose(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                             const LoadData2dTransposeParams& loadDataParams,
                                             Site site = Site::Here()) {
  ascend_sim::LoadTransposed load;
  load.dst = dst.sim();
  load.src = src.sim();
  load.decrease = loadDataParams.addrMode != 0;
  load.bytes = sizeof(T);
  load.repeat = loadDataParams.repeatTimes;
  load.start = loadDataParams.startIndex;
  load.stride = loadDataParams.srcStride;
  load.gap = loadDataParams.dstGap;
  load.fractal_gap = loadDataParams.dstFracGap;
  Issue(load, site);
}

// ---- LoadData 3D v2 -----------------------------------------------------------------------------------------------

__aicore__ inline void SetFmatrix(uint16_t l1H, uint16_t l1W, const uint8_t padList[4],
                                  const FmatrixMode& fmatrixMode) {
  uint64_t bits = static_cast<uint64_t>(l1W) | static_cast<uint64_t>(l1H) << 16;
  for (int i = 0; i < 4; ++i) bits |= static_cast<uint64_t>(padList[i]) << (32 + i * 8);
  const bool left = fmatrixMode == FmatrixMode::FMATRIX_LEFT;
  ascend_sim::device::Regs().load3d[left ? ascend_sim::kFmatrixLeft : ascend_sim::kFmatrixRight] = bits;
}
__aicore__ inline void Load3DSetFMatrixCal(uint16_t l1H, uint16_t l1W, const uint8_t padList[4]) {
  SetFmatrix(l1H, l1W, padList, FmatrixMode::FMATRIX_LEFT);
}
template <typename T>
__aicore__ inline void SetLoadDataPaddingValue(const T padValue) {
  ascend_sim::device::Regs().load3d[ascend_sim::kLoad3dPad] = SimBitsOf(padValue);
}
__aicore__ inline void SetLoadDataBoundary(uint32_t boundaryValue) {
  ascend_sim::device::Regs().load3d[ascend_sim::kLoad3dBoundary] = boundaryValue;
}
// Kept as its difference from the default of one repeat.
__aicore__ inline void SetLoadDataRepeat(const LoadDataRepeatParam& repeatParams) {
  ascend_sim::device::Regs().load3d[ascend_sim::kLoad3dRepeat] = static_cast<uint64_t>(repeatParams.repeatTime) ^ 1u;
}

template <typename T>
inline ascend_sim::Load3d SimLoad3d(const LocalTensor<T>& dst, const LocalTensor<T>& src, bool right) {
  const uint64_t* regs = ascend_sim::device::Regs().load3d;
  const uint64_t map = regs[right ? ascend_sim::kFmatrixRight : ascend_sim::kFmatrixLeft];
  ascend_sim::Load3d load;
  load.dst = dst.sim();
  load.src = src.sim();
  load.bytes = sizeof(T);
  load.w = static_cast<uint16_t>(map);
  load.h = static_cast<uint16_t>(map >> 16);
  load.pad_left = static_cast<uint8_t>(map >> 32);
  load.pad_right = static_cast<uint8_t>(map >> 40);
  load.pad_top = static_cast<uint8_t>(map >> 48);
  load.pad_bottom = static_cast<uint8_t>(map >> 56);
  load.pad_value = static_cast<uint32_t>(regs[ascend_sim::kLoad3dPad]);
  load.boundary = static_cast<uint32_t>(regs[ascend_sim::kLoad3dBoundary]);
  load.repeat = static_cast<uint8_t>(regs[ascend_sim::kLoad3dRepeat] ^ 1u);
  return load;
}

template <typename T, const IsResetLoad3dConfig& defaultConfig = IS_RESER_LOAD3D_DEFAULT_CONFIG, typename U = T,
          typename std::enable_if<std::is_same<T, U>::value, bool>::type = true>
__aicore__ inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                const LoadData3DParamsV2<U>& loadDataParams, Site site = Site::Here()) {
  const LoadData3DParamsV2<U>& p = loadDataParams;
  if constexpr (defaultConfig.isSetFMatrix) {
    SetFmatrix(p.l1H, p.l1W, p.padList, p.fMatrixCtrl ? FmatrixMode::FMATRIX_RIGHT : FmatrixMode::FMATRIX_LEFT);
  }
  if constexpr (defaultConfig.isSetPadding) SetLoadDataPaddingValue(p.padValue);
  ascend_sim::Load3d load = SimLoad3d(dst, src, p.fMatrixCtrl);
  load.transpose = p.enTranspose;
  load.channels = p.channelSize;
  load.k_extent = p.kExtension;
  load.m_extent = p.mExtension;
  load.k_start = p.kStartPt;
  load.m_start = p.mStartPt;
  load.stride_w = p.strideW;
  load.stride_h = p.strideH;
  load.filter_w = static_cast<uint16_t>(p.filterW + (p.filterSizeW ? 256 : 0));
  load.filter_h = static_cast<uint16_t>(p.filterH + (p.filterSizeH ? 256 : 0));
  load.dilation_w = p.dilationFilterW;
  load.dilation_h = p.dilationFilterH;
  Issue(load, site);
}
template <typename T>
__aicore__ inline void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                const LoadData3DParamsV2Pro& loadDataParams, Site site = Site::Here()) {
  const LoadData3DParamsV2Pro& p = loadDataParams;
  ascend_sim::Load3d load = SimLoad3d(dst, src, p.fMatrixCtrl);
  load.transpose = p.enTranspose;
  load.channels = p.channelSize;
  load.k_extent = static_cast<uint16_t>(p.extConfig);
  load.m_extent = static_cast<uint16_t>(p.extConfig >> 16);
  load.k_start = static_cast<uint16_t>(p.extConfig >> 32);
  load.m_start = static_cast<uint16_t>(p.extConfig >> 48);
  load.stride_w = static_cast<uint8_t>(p.filterConfig);
  load.stride_h = static_cast<uint8_t>(p.filterConfig >> 8);
  load.filter_w = static_cast<uint16_t>((p.filterConfig >> 16 & 0xff) + (p.filterSizeW ? 256 : 0));
  load.filter_h = static_cast<uint16_t>((p.filterConfig >> 24 & 0xff) + (p.filterSizeH ? 256 : 0));
  load.dilation_w = static_cast<uint8_t>(p.filterConfig >> 32);
  load.dilation_h = static_cast<uint8_t>(p.filterConfig >> 40);
  Issue(load, site);
}

// ---- constants ----------------------------------------------------------------------------------------------------

template <typename T, typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true>
__aicore__ inline void InitConstValue(const LocalTensor<T>& dst, const InitConstValueParams<U>& initConstValueParams,
                                      Site site = Site::Here()) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "InitConstValue takes elements of 16 and 32 bits");
  ascend_sim::FillConstant fill;
  fill.dst = dst.sim();
  fill.repeat = initConstValueParams.repeatTimes;
  fill.blocks = initConstValueParams.blockNum;
  fill.gap = initConstValueParams.dstGap;
  fill.bytes = sizeof(T);
  fill.value = static_cast<uint32_t>(SimBitsOf(initConstValueParams.initValue));
  Issue(fill, site);
}
template <typename T, typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true>
__aicore__ inline void Fill(const LocalTensor<T>& dst, const InitConstValueParams<U>& initConstValueParams,
                            Site site = Site::Here()) {
  InitConstValue<T, U>(dst, initConstValueParams, site);
}

// ---- Mmad ---------------------------------------------------------------------------------------------------------

template <typename T, typename U, typename S>
inline void SimMmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter,
                    const ascend_sim::Local& bias, ascend_sim::Mmad::Init init, const MmadParams& p, Site site) {
  constexpr bool real =
      std::is_same<T, float>::value && std::is_same<U, S>::value &&
      (std::is_same<U, half>::value || std::is_same<U, bfloat16_t>::value || std::is_same<U, float>::value);
  constexpr bool integer =
      std::is_same<T, int32_t>::value && std::is_same<U, int8_t>::value && std::is_same<S, int8_t>::value;
  static_assert(real || integer,
                "Mmad: float = half * half, bfloat16_t * bfloat16_t, float * float; int32_t = int8_t * int8_t");
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  // CANN's rule: below 10 fractals of C consecutive Mmads into the same tile need a barrier.
  const uint32_t blocks = static_cast<uint32_t>(p.m / 16) * (p.n / 16u);
  ascend_sim::Mmad mmad;
  mmad.dst = dst.sim();
  mmad.a = fm.sim();
  mmad.b = filter.sim();
  mmad.bias = bias;
  mmad.type = ascend_sim::kDTypeOf<U>;
  mmad.init = init;
  mmad.unit_flag = p.unitFlag;
  mmad.k_align = p.kDirectionAlign;
  mmad.in_order = blocks >= 10 && regs.mmad_blocks >= 10;
  mmad.m = p.m;
  mmad.n = p.n;
  mmad.k = p.k;
  regs.mmad_blocks = blocks;
  Issue(mmad, site);
}

// Without a bias tensor: what C starts from, and the bias table from its start.
inline ascend_sim::Mmad::Init SimInit(const MmadParams& p) {
  using Init = ascend_sim::Mmad::Init;
  const bool zero = p.cmatrixInitVal && !p.isBias;
  return zero ? Init::kZero : p.cmatrixSource ? Init::kBias : Init::kL0c;
}
constexpr ascend_sim::Local kSimBiasTable{ascend_sim::Buffer::kBt, 0, 0, 0};
template <typename T, typename U, typename S>
__aicore__ inline void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter,
                            const MmadParams& mmadParams, Site site = Site::Here()) {
  const ascend_sim::Mmad::Init init = SimInit(mmadParams);
  SimMmad(dst, fm, filter, init == ascend_sim::Mmad::Init::kBias ? kSimBiasTable : dst.sim(), init, mmadParams, site);
}
// The bias tensor's position says where C starts from; cmatrixSource plays no part, cmatrixInitVal must be false.
template <typename T, typename U, typename S, typename V>
__aicore__ inline void Mmad(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<S>& filter,
                            const LocalTensor<V>& bias, const MmadParams& mmadParams, Site site = Site::Here()) {
  static_assert(std::is_same<T, V>::value, "the bias has the type of the result");
  using Init = ascend_sim::Mmad::Init;
  const bool table = bias.sim().buffer == ascend_sim::Buffer::kBt;
  if (!table && bias.sim().buffer != ascend_sim::Buffer::kL0C) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "Mmad",
                               "bias: expected a tensor in the bias table (C2) or L0C (CO1)");
  }
  const Init init = mmadParams.cmatrixInitVal ? Init::kZero : table ? Init::kBias : Init::kL0c;
  SimMmad(dst, fm, filter, bias.sim(), init, mmadParams, site);
}

// ---- two of four values of k ---------------------------------------------------------------------------------------

// Of loadDataParam startIndex and repeatTimes count. The indices go to a buffer of their own, beside dst.
template <typename T = int8_t, typename U = uint8_t,
          typename std::enable_if<std::is_same<T, int8_t>::value, bool>::type = true,
          typename std::enable_if<std::is_same<U, uint8_t>::value, bool>::type = true>
__aicore__ inline void LoadDataWithSparse(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                          const LocalTensor<U>& idx, const LoadData2dParams& loadDataParam,
                                          Site site = Site::Here()) {
  Issue(ascend_sim::LoadSparse{dst.sim(), src.sim(), idx.sim(), loadDataParam.repeatTimes, loadDataParam.startIndex},
        site);
}
// k of mmadParams is A's: B has k / 2 rows.
template <typename T = int32_t, typename U = int8_t,
          typename std::enable_if<std::is_same<T, int32_t>::value, bool>::type = true,
          typename std::enable_if<std::is_same<U, int8_t>::value, bool>::type = true>
__aicore__ inline void MmadWithSparse(const LocalTensor<T>& dst, const LocalTensor<U>& fm, const LocalTensor<U>& filter,
                                      const MmadParams& mmadParams, Site site = Site::Here()) {
  const ascend_sim::Mmad::Init init = SimInit(mmadParams);
  ascend_sim::MmadSparse mmad;
  mmad.dst = dst.sim();
  mmad.a = fm.sim();
  mmad.b = filter.sim();
  mmad.bias = init == ascend_sim::Mmad::Init::kBias ? kSimBiasTable : dst.sim();
  mmad.init = init;
  mmad.unit_flag = mmadParams.unitFlag;
  mmad.m = mmadParams.m;
  mmad.n = mmadParams.n;
  mmad.k = mmadParams.k;
  Issue(mmad, site);
}

// ---- modes of the cube --------------------------------------------------------------------------------------------

enum class HF32Mode { ENABLE, DISABLE };
enum class HF32TransMode { NEAREST_ZERO, NEAREST_EVEN };

// Switching it off is the state the simulator models.
__aicore__ inline void SetHF32Mode(bool hf32Mode, Site site = Site::Here()) {
  if (hf32Mode) ascend_sim::device::NotImplemented("SetHF32Mode(true)", site);
}
__aicore__ inline void SetHF32Mode(HF32Mode mode, Site site = Site::Here()) {
  SetHF32Mode(mode == HF32Mode::ENABLE, site);
}
// Rounding of HF32: without effect while HF32 is off.
__aicore__ inline void SetHF32TransMode(bool) {}
__aicore__ inline void SetHF32TransMode(HF32TransMode) {}
// Whether Mmad goes through C along M or N: the same values in another order, which is not modelled in time.
__aicore__ inline void SetMMLayoutTransform(bool) {}
__aicore__ inline void SetMMRowMajor() {}
__aicore__ inline void SetMMColumnMajor() {}

}  // namespace AscendC
