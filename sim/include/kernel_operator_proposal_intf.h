// Sort32, MrgSort and what reads their elements. dst of both: 8 bytes an element, the value and its index.
#pragma once

#include "core/core.h"
#include "isa/vec_sort.h"
#include "kernel_operator_common_intf.h"
#include "kernel_tensor.h"

namespace AscendC {

struct MrgSort4Info {
  MrgSort4Info() = default;
  MrgSort4Info(const uint16_t lengths[4], const bool suspension, const uint16_t valid, const uint16_t repeat)
      : ifExhaustedSuspension(suspension), validBit(valid), repeatTimes(static_cast<uint8_t>(repeat)) {
    for (int i = 0; i < 4; ++i) elementLengths[i] = lengths[i];
  }
  uint16_t elementLengths[4] = {0};
  bool ifExhaustedSuspension = false;
  uint16_t validBit = 0;
  uint8_t repeatTimes = 1;
};

template <typename T>
struct MrgSortSrcList {
  MrgSortSrcList() = default;
  MrgSortSrcList(const LocalTensor<T>& a, const LocalTensor<T>& b, const LocalTensor<T>& c, const LocalTensor<T>& d)
      : src1(a), src2(b), src3(c), src4(d) {}
  LocalTensor<T> src1, src2, src3, src4;
};

template <typename T>
__aicore__ inline void Sort32(const LocalTensor<T>& dst, const LocalTensor<T>& src0, const LocalTensor<uint32_t>& src1,
                              const int32_t repeatTime, Site site = Site::Here()) {
  Issue(ascend_sim::VecSort32{ascend_sim::kDTypeOf<T>, repeatTime, dst.sim(), src0.sim(), src1.sim()}, site);
}

template <typename T>
__aicore__ inline void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& src, const MrgSort4Info& params,
                               Site site = Site::Here()) {
  ascend_sim::VecMrgSort merge{ascend_sim::kDTypeOf<T>,
                               params.ifExhaustedSuspension,
                               params.validBit,
                               params.repeatTimes,
                               {},
                               dst.sim(),
                               {src.src1.sim(), src.src2.sim(), src.src3.sim(), src.src4.sim()}};
  for (int i = 0; i < 4; ++i) merge.lengths[i] = params.elementLengths[i];
  Issue(merge, site);
}

// How many elements of each list the last MrgSort took.
__aicore__ inline void GetMrgSortResult(uint16_t& mrgSortList1, uint16_t& mrgSortList2, uint16_t& mrgSortList3,
                                        uint16_t& mrgSortList4) {
  const uint64_t merged = ascend_sim::device::Regs().merged;
  mrgSortList1 = static_cast<uint16_t>(merged);
  mrgSortList2 = static_cast<uint16_t>(merged >> 16);
  mrgSortList3 = static_cast<uint16_t>(merged >> 32);
  mrgSortList4 = static_cast<uint16_t>(merged >> 48);
}

// Elements of T, or of sorted elements of T, in units of T.
template <typename T>
__aicore__ inline uint32_t GetSortOffset(const uint32_t elemOffset) {
  return elemOffset * static_cast<uint32_t>(8 / sizeof(T));
}
template <typename T>
__aicore__ inline uint32_t GetSortLen(const uint32_t elemCount) {
  return elemCount * static_cast<uint32_t>(8 / sizeof(T));
}

}  // namespace AscendC
