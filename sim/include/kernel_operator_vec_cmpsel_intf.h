// Compare, CompareScalar (9.x: Compares), Select, and the compare mask register.
#pragma once

#include <type_traits>

#include "ascend_sim/vec_bind.h"
#include "isa/vec_compare.h"
#include "kernel_common.h"
#include "kernel_struct_binary.h"
#include "kernel_struct_unary.h"

namespace AscendC {

template <typename T>
inline ascend_sim::VecCompare SimCompare(ascend_sim::VecCompare::Form form, CMPMODE mode) {
  ascend_sim::VecCompare c{};
  c.form = form;
  c.mode = static_cast<ascend_sim::Comparison>(mode);
  c.type = ascend_sim::kDTypeOf<T>;
  c.repeat = 1;
  return c;
}
template <typename U>
constexpr bool kSimBits = std::is_same<U, uint8_t>::value || std::is_same<U, int8_t>::value;

// ---- tensors into bits: the mask is a placeholder on these chips, the bits are contiguous --------------------------
template <typename T, typename U>
inline void SimCompareTensors(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                              CMPMODE mode, int32_t repeat, const BinaryRepeatParams& p, bool countForm, uint32_t count,
                              Site site) {
  static_assert(kSimBits<U>, "the bits of a comparison are uint8_t or int8_t");
  ascend_sim::VecCompare c = SimCompare<T>(ascend_sim::VecCompare::Form::kTensors, mode);
  c.count_form = countForm;
  c.count = count;
  c.repeat = repeat;
  c.dst = dst.sim();
  c.src0 = SimWalk(src0, p.src0BlkStride, p.src0RepStride);
  c.src1 = SimWalk(src1, p.src1BlkStride, p.src1RepStride);
  Issue(c, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, const uint64_t mask[], uint8_t repeatTime,
                               const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimCompareTensors(dst, src0, src1, cmpMode, repeatTime, repeatParams, false, 0, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, const uint64_t mask, uint8_t repeatTime,
                               const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimCompareTensors(dst, src0, src1, cmpMode, repeatTime, repeatParams, false, 0, site);
}
template <typename T, typename U>
__aicore__ inline void Compare(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                               CMPMODE cmpMode, uint32_t count, Site site = Site::Here()) {
  SimCompareTensors(dst, src0, src1, cmpMode, 1, BinaryRepeatParams(), true, count, site);
}

// ---- one repeat into the compare mask register, under the mask
// -------------------------------------------------------
template <typename T>
inline void SimCompareRegister(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE mode,
                               const ascend_sim::VecShape& shape, const BinaryRepeatParams& p, Site site) {
  ascend_sim::VecCompare c = SimCompare<T>(ascend_sim::VecCompare::Form::kToRegister, mode);
  c.shape = shape;
  c.src0 = SimWalk(src0, p.src0BlkStride, p.src0RepStride);
  c.src1 = SimWalk(src1, p.src1BlkStride, p.src1RepStride);
  Issue(c, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
                               const uint64_t mask[], const BinaryRepeatParams& repeatParams,
                               Site site = Site::Here()) {
  SimCompareRegister(src0, src1, cmpMode, SimShape<isSetMask>(mask, 1), repeatParams, site);
}
template <typename T, bool isSetMask = true>
__aicore__ inline void Compare(const LocalTensor<T>& src0, const LocalTensor<T>& src1, CMPMODE cmpMode,
                               const uint64_t mask, const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimCompareRegister(src0, src1, cmpMode, SimShape<isSetMask>(mask, 1), repeatParams, site);
}

template <typename T>
__aicore__ inline void GetCmpMask(const LocalTensor<T>& dst, Site site = Site::Here()) {
  Issue(ascend_sim::VecCompareMask{false, dst.sim()}, site);
}
template <typename T>
__aicore__ inline void SetCmpMask(const LocalTensor<T>& src, Site site = Site::Here()) {
  Issue(ascend_sim::VecCompareMask{true, src.sim()}, site);
}

// ---- with a scalar
// ----------------------------------------------------------------------------------------------------
template <typename T, typename U>
inline void SimCompareScalar(const LocalTensor<U>& dst, const LocalTensor<T>& src0, T scalar, CMPMODE mode,
                             int32_t repeat, const UnaryRepeatParams& p, bool countForm, uint32_t count, Site site) {
  static_assert(kSimBits<U>, "the bits of a comparison are uint8_t or int8_t");
  ascend_sim::VecCompare c = SimCompare<T>(ascend_sim::VecCompare::Form::kScalar, mode);
  c.count_form = countForm;
  c.count = count;
  c.repeat = repeat;
  c.scalar = ascend_sim::ScalarBits(scalar);
  c.dst = dst.sim();
  c.src0 = SimWalk(src0, p.srcBlkStride, p.srcRepStride);
  Issue(c, site);
}
#define ASCEND_SIM_COMPARE_SCALAR(Name)                                                                  \
  template <typename T, typename U, bool isSetMask = true>                                               \
  __aicore__ inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar, \
                              CMPMODE cmpMode, const uint64_t mask[], uint8_t repeatTime,                \
                              const UnaryRepeatParams& repeatParams, Site site = Site::Here()) {         \
    SimCompareScalar(dst, src0, src1Scalar, cmpMode, repeatTime, repeatParams, false, 0, site);          \
  }                                                                                                      \
  template <typename T, typename U, bool isSetMask = true>                                               \
  __aicore__ inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar, \
                              CMPMODE cmpMode, const uint64_t mask, uint8_t repeatTime,                  \
                              const UnaryRepeatParams& repeatParams, Site site = Site::Here()) {         \
    SimCompareScalar(dst, src0, src1Scalar, cmpMode, repeatTime, repeatParams, false, 0, site);          \
  }                                                                                                      \
  template <typename T, typename U>                                                                      \
  __aicore__ inline void Name(const LocalTensor<U>& dst, const LocalTensor<T>& src0, const T src1Scalar, \
                              CMPMODE cmpMode, uint32_t count, Site site = Site::Here()) {               \
    SimCompareScalar(dst, src0, src1Scalar, cmpMode, 1, UnaryRepeatParams(), true, count, site);         \
  }
ASCEND_SIM_COMPARE_SCALAR(CompareScalar)
ASCEND_SIM_COMPARE_SCALAR(Compares)
#undef ASCEND_SIM_COMPARE_SCALAR

// ---- Select
// -----------------------------------------------------------------------------------------------------------
template <typename T>
inline ascend_sim::VecSelect SimSelect(ascend_sim::VecSelect::Mode mode, const LocalTensor<T>& dst,
                                       const LocalTensor<T>& src0, const ascend_sim::VecShape& shape,
                                       const BinaryRepeatParams& p) {
  ascend_sim::VecSelect s{};
  s.mode = mode;
  s.type = ascend_sim::kDTypeOf<T>;
  s.shape = shape;
  s.dst = SimWalk(dst, p.dstBlkStride, p.dstRepStride);
  s.src0 = SimWalk(src0, p.src0BlkStride, p.src0RepStride);
  return s;
}
template <typename T, typename U>
inline void SimSelectTensors(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                             const LocalTensor<T>& src1, SELMODE mode, const ascend_sim::VecShape& shape,
                             const BinaryRepeatParams& p, Site site) {
  if (mode == SELMODE::VSEL_TENSOR_SCALAR_MODE) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "Select",
                               "selMode: VSEL_TENSOR_SCALAR_MODE takes a scalar src1, not a tensor");
    return;
  }
  ascend_sim::VecSelect s = SimSelect(static_cast<ascend_sim::VecSelect::Mode>(mode), dst, src0, shape, p);
  s.src1 = SimWalk(src1, p.src1BlkStride, p.src1RepStride);
  s.mask = selMask.sim();
  ascend_sim::IssueSelect(s, site);
}
template <typename T, typename U>
inline void SimSelectScalar(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                            T src1, SELMODE mode, const ascend_sim::VecShape& shape, const BinaryRepeatParams& p,
                            Site site) {
  if (mode != SELMODE::VSEL_TENSOR_SCALAR_MODE) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "Select",
                               "selMode: a scalar src1 goes with VSEL_TENSOR_SCALAR_MODE only");
    return;
  }
  ascend_sim::VecSelect s = SimSelect(ascend_sim::VecSelect::Mode::kScalar, dst, src0, shape, p);
  s.scalar = ascend_sim::ScalarBits(src1);
  s.mask = selMask.sim();
  ascend_sim::IssueSelect(s, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint64_t mask[], uint8_t repeatTime,
                              const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimSelectTensors(dst, selMask, src0, src1, selMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint64_t mask, uint8_t repeatTime,
                              const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimSelectTensors(dst, selMask, src0, src1, selMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              const LocalTensor<T>& src1, SELMODE selMode, uint32_t count, Site site = Site::Here()) {
  SimSelectTensors(dst, selMask, src0, src1, selMode, SimCountShape(count), BinaryRepeatParams(), site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint64_t mask[], uint8_t repeatTime,
                              const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimSelectScalar(dst, selMask, src0, src1, selMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U, bool isSetMask = true>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint64_t mask, uint8_t repeatTime,
                              const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  SimSelectScalar(dst, selMask, src0, src1, selMode, SimShape<isSetMask>(mask, repeatTime), repeatParams, site);
}
template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              T src1, SELMODE selMode, uint32_t count, Site site = Site::Here()) {
  SimSelectScalar(dst, selMask, src0, src1, selMode, SimCountShape(count), BinaryRepeatParams(), site);
}
// Mask, mode and, in the compare mask register, bits or scalar as the kernel set them before.
template <typename T, SELMODE selMode>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<T>& src1,
                              uint8_t repeatTime, const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  static_assert(selMode == SELMODE::VSEL_CMPMASK_SPR, "mode 2 needs a UB address in the compare mask register");
  ascend_sim::VecSelect s =
      SimSelect(ascend_sim::VecSelect::Mode::kRegister, dst, src0, SimRegisterShape(repeatTime), repeatParams);
  s.src1 = SimWalk(src1, repeatParams.src1BlkStride, repeatParams.src1RepStride);
  Issue(s, site);
}
template <typename T, typename U>
__aicore__ inline void Select(const LocalTensor<T>& dst, const LocalTensor<U>& selMask, const LocalTensor<T>& src0,
                              uint8_t repeatTime, const BinaryRepeatParams& repeatParams, Site site = Site::Here()) {
  ascend_sim::VecSelect s =
      SimSelect(ascend_sim::VecSelect::Mode::kScalar, dst, src0, SimRegisterShape(repeatTime), repeatParams);
  s.from_register = true;
  s.mask = selMask.sim();
  Issue(s, site);
}

}  // namespace AscendC
