// GatherMask. It waits for its own result and leaves norm mode with `mask` in the mask register, as on the chip.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_gather.h"
#include "isa/vec_reduce.h"
#include "kernel_struct_gather.h"

namespace AscendC {

template <typename T>
inline uint64_t SimGatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, uint8_t pattern,
                              const ascend_sim::Local& bits, bool reduceMode, uint32_t mask, const GatherMaskParams& p,
                              Site site) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  regs.counter_mode = false;
  regs.mask[0] = mask;
  regs.mask[1] = 0;
  return ascend_sim::IssueGatherMask(
      ascend_sim::VecGatherMask{ascend_sim::kDTypeOf<T>, pattern, reduceMode, mask, p.repeatTimes, p.src1RepeatStride,
                                dst.sim(), bits, SimWalk(src0, p.src0BlockStride, p.src0RepeatStride), nullptr},
      site);
}
template <typename T, typename U, GatherMaskMode mode = defaultGatherMaskMode>
__aicore__ inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                                  const LocalTensor<U>& src1Pattern, const bool reduceMode, const uint32_t mask,
                                  const GatherMaskParams& gatherMaskParams, uint64_t& rsvdCnt,
                                  Site site = Site::Here()) {
  static_assert(sizeof(T) == sizeof(U), "src1Pattern is uint16_t for 16-bit elements, uint32_t for 32-bit ones");
  rsvdCnt = SimGatherMask(dst, src0, 0, src1Pattern.sim(), reduceMode, mask, gatherMaskParams, site);
}
template <typename T, GatherMaskMode mode = defaultGatherMaskMode>
__aicore__ inline void GatherMask(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const uint8_t src1Pattern,
                                  const bool reduceMode, const uint32_t mask, const GatherMaskParams& gatherMaskParams,
                                  uint64_t& rsvdCnt, Site site = Site::Here()) {
  if (src1Pattern < 1 || src1Pattern > 7) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "GatherMask",
                               "src1Pattern is %d, expected 1 to 7", src1Pattern);
    return;
  }
  rsvdCnt = SimGatherMask(dst, src0, src1Pattern, ascend_sim::Local{}, reduceMode, mask, gatherMaskParams, site);
}
__aicore__ inline int64_t GetGatherMaskRemainCount(Site site = Site::Here()) {
  return static_cast<int64_t>(
      ascend_sim::ReadResult(ascend_sim::ResultRegister::kRemaining, "GetGatherMaskRemainCount", site));
}

}  // namespace AscendC
