// DataCopy and its family.
#pragma once

#include "isa/data_copy.h"
#include "kernel_operator_common_intf.h"
#include "kernel_struct_data_copy.h"
#include "kernel_tensor.h"

namespace AscendC {

inline ascend_sim::CopyShape SimCopyShape(const DataCopyParams& p) {
  return {p.blockCount, p.blockLen, p.srcStride, p.dstStride};
}
// A contiguous copy of `count` elements as one burst; what is not a multiple of 32 B is a finding, not rounded.
template <typename T>
DataCopyParams SimContiguous(uint32_t count, Site site) {
  const uint64_t bytes = static_cast<uint64_t>(count) * sizeof(T);
  if (bytes % 32 != 0 || bytes / 32 > 65535) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "DataCopy",
                               "count: %u elements are %llu bytes, expected a multiple of 32 B below 2 MiB", count,
                               static_cast<unsigned long long>(bytes));
  }
  return DataCopyParams(1, static_cast<uint16_t>(bytes / 32), 0, 0);
}

// GM -> UB, GM -> L1
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  Issue(ascend_sim::CopyIn{dst.sim(), src.sim(), SimCopyShape(repeatParams)}, site);
}
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const uint32_t count,
                                Site site = Site::Here()) {
  DataCopy(dst, src, SimContiguous<T>(count, site), site);
}

// UB -> GM, L1 -> GM
template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  Issue(ascend_sim::CopyOut{dst.sim(), src.sim(), SimCopyShape(repeatParams), regs.atomic_type,
                            static_cast<uint8_t>(regs.atomic)},
        site);
}
template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                                Site site = Site::Here()) {
  DataCopy(dst, src, SimContiguous<T>(count, site), site);
}

// UB -> UB
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  Issue(ascend_sim::CopyLocal{dst.sim(), src.sim(), SimCopyShape(repeatParams)}, site);
}
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                                Site site = Site::Here()) {
  DataCopy(dst, src, SimContiguous<T>(count, site), site);
}

}  // namespace AscendC
