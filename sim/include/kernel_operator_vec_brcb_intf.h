// Brcb. It leaves an all-ones mask.
#pragma once

#include "ascend_sim/vec_bind.h"
#include "isa/vec_fill.h"
#include "kernel_struct_brcb.h"

namespace AscendC {

template <typename T>
__aicore__ inline void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint8_t repeatTime,
                            const BrcbRepeatParams& repeatParams, Site site = Site::Here()) {
  ResetMask();
  Issue(ascend_sim::VecBrcb{ascend_sim::kDTypeOf<T>, repeatTime,
                            SimWalk(dst, repeatParams.dstBlkStride, repeatParams.dstRepStride), src.sim()},
        site);
}

}  // namespace AscendC
