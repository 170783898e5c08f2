// DataCopy and its family.
#pragma once

#include <type_traits>

#include "isa/copy_table.h"
#include "isa/data_copy.h"
#include "isa/data_copy_pad.h"
#include "isa/nd2nz.h"
#include "kernel_operator_common_intf.h"
#include "kernel_struct_data_copy.h"
#include "kernel_tensor.h"

namespace AscendC {

inline ascend_sim::CopyShape SimCopyShape(const DataCopyParams& p) {
  return {p.blockCount, p.blockLen, p.srcStride, p.dstStride};
}
// A contiguous copy of `count` elements as one burst; what is not a multiple of `unit` bytes is a finding, not rounded.
template <typename T>
DataCopyParams SimContiguous(uint32_t count, Site site, uint32_t unit = 32) {
  const uint64_t bytes = SimBytesOf<T>(count);
  if (bytes % unit != 0 || bytes / unit > 65535) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "DataCopy",
                               "count: %u elements are %llu bytes, expected a multiple of %u B below %u KiB", count,
                               static_cast<unsigned long long>(bytes), unit, 64 * unit);
  }
  return DataCopyParams(1, static_cast<uint16_t>(bytes / unit), 0, 0);
}
template <typename T>
uint64_t SimBitsOf(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

// ---- GM -> UB, GM -> L1 -------------------------------------------------------------------------------------------

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
// To L1: the form the hardware has. To UB CANN emulates it with padded copies, which is not implemented.
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const Nd2NzParams& intriParams,
                                Site site = Site::Here()) {
  static_assert(sizeof(T) <= 4, "Nd2Nz takes elements of 8, 16 and 32 bits");
  if (dst.sim().buffer == ascend_sim::Buffer::kUb) ascend_sim::device::NotImplemented("DataCopy(Nd2Nz) to UB", site);
  ascend_sim::CopyNd2Nz copy;
  copy.dst = dst.sim();
  copy.src = src.sim();
  copy.bytes = sizeof(T);
  copy.nd_num = intriParams.ndNum;
  copy.n = intriParams.nValue;
  copy.d = intriParams.dValue;
  copy.src_matrix_stride = intriParams.srcNdMatrixStride;
  copy.src_d = intriParams.srcDValue;
  copy.c0_stride = intriParams.dstNzC0Stride;
  copy.n_stride = intriParams.dstNzNStride;
  copy.dst_matrix_stride = intriParams.dstNzMatrixStride;
  Issue(copy, site);
}

// ---- UB -> GM, L1 -> GM -------------------------------------------------------------------------------------------

// The chip combines by the type the atomic mode was set for, whatever the tensors are.
template <typename T>
__aicore__ inline void SimCheckAtomicType(const char* call, Site site) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  if (regs.atomic == ascend_sim::AtomicOp::kNone || regs.atomic_type == ascend_sim::kDTypeOf<T>) return;
  ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, call,
                             "%s: the atomic mode was set for %s, the destination is %s", call,
                             ascend_sim::DTypeName(regs.atomic_type), ascend_sim::DTypeName(ascend_sim::kDTypeOf<T>));
}

template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  SimCheckAtomicType<T>("DataCopy", site);
  Issue(ascend_sim::CopyOut{dst.sim(), src.sim(), SimCopyShape(repeatParams), regs.atomic_type,
                            static_cast<uint8_t>(regs.atomic)},
        site);
}
template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                                Site site = Site::Here()) {
  DataCopy(dst, src, SimContiguous<T>(count, site), site);
}

// ---- on chip: UB -> UB, L1 -> bias table, L1 -> fixpipe buffer ----------------------------------------------------

template <typename T, typename U>
__aicore__ inline void SimCopyLocal(const LocalTensor<T>& dst, const LocalTensor<U>& src, const DataCopyParams& p,
                                    Site site) {
  using ascend_sim::Buffer;
  const Buffer from = src.sim().buffer, to = dst.sim().buffer;
  if (to == Buffer::kBt) {
    Issue(ascend_sim::CopyBias{dst.sim(), src.sim(), sizeof(U) < sizeof(T), p.blockCount, p.blockLen, p.srcStride,
                               p.dstStride},
          site);
  } else if (to == Buffer::kFb) {
    Issue(ascend_sim::CopyFixpipeTable{dst.sim(), src.sim(), p.blockCount, p.blockLen, p.srcStride, p.dstStride}, site);
  } else if (from == Buffer::kUb && to == Buffer::kL1) {  // CANN sends a message to the AIC, which copies through GM
    ascend_sim::device::NotImplemented("DataCopy from UB to L1", site);
  } else {
    Issue(ascend_sim::CopyLocal{dst.sim(), src.sim(), SimCopyShape(p)}, site);
  }
}
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  SimCopyLocal(dst, src, repeatParams, site);
}
// half in L1 to float in the bias table
template <typename T, typename U>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                                const DataCopyParams& repeatParams, Site site = Site::Here()) {
  static_assert(std::is_same<T, float>::value && std::is_same<U, half>::value,
                "DataCopy converts half to float on its way to the bias table, nothing else");
  if (dst.sim().buffer != ascend_sim::Buffer::kBt) {
    ascend_sim::device::NotImplemented("DataCopy with a conversion outside the bias table", site);
  }
  SimCopyLocal(dst, src, repeatParams, site);
}
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<T>& src, const uint32_t count,
                                Site site = Site::Here()) {
  const ascend_sim::Buffer to = dst.sim().buffer;
  const uint32_t unit = to == ascend_sim::Buffer::kBt ? 64 : to == ascend_sim::Buffer::kFb ? 128 : 32;
  DataCopy(dst, src, SimContiguous<T>(count, site, unit), site);
}

// ---- DataCopyPad --------------------------------------------------------------------------------------------------

// What pads where a DataCopyPad asks for padding without giving a value.
template <typename T, TPosition pos = TPosition::MAX>
__aicore__ inline void SetPadValue(T paddingValue) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  regs.pad_value = SimBitsOf(paddingValue);
  regs.pad_value_set = true;
}

template <typename T>
__aicore__ inline void SimPadIn(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                                const ascend_sim::PadShape& shape, bool isPad, uint8_t left, uint8_t right,
                                uint64_t value, Site site) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  if (isPad) {  // the instruction sets the same register as SetPadValue
    regs.pad_value = value;
    regs.pad_value_set = true;
  }
  Issue(ascend_sim::CopyPadIn{dst.sim(), src.sim(), shape, sizeof(T), left, right, isPad, regs.pad_value_set,
                              regs.pad_value},
        site);
}
template <typename T>
__aicore__ inline void SimPadOut(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                 const ascend_sim::PadShape& shape, Site site) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  SimCheckAtomicType<T>("DataCopyPad", site);
  Issue(ascend_sim::CopyPadOut{dst.sim(), src.sim(), shape, sizeof(T), regs.atomic_type,
                               static_cast<uint8_t>(regs.atomic)},
        site);
}

template <typename T>
__aicore__ inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                                   const DataCopyExtParams& dataCopyParams, const DataCopyPadExtParams<T>& padParams,
                                   Site site = Site::Here()) {
  SimPadIn(dst, src,
           {dataCopyParams.blockCount, dataCopyParams.blockLen, dataCopyParams.srcStride, dataCopyParams.dstStride},
           padParams.isPad, padParams.leftPadding, padParams.rightPadding, SimBitsOf(padParams.paddingValue), site);
}
template <typename T>
__aicore__ inline void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src,
                                   const DataCopyParams& dataCopyParams, const DataCopyPadParams& padParams,
                                   Site site = Site::Here()) {
  SimPadIn(dst, src,
           {dataCopyParams.blockCount, dataCopyParams.blockLen, dataCopyParams.srcStride, dataCopyParams.dstStride},
           padParams.isPad, padParams.leftPadding, padParams.rightPadding, padParams.paddingValue, site);
}
template <typename T>
__aicore__ inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                   const DataCopyExtParams& dataCopyParams, Site site = Site::Here()) {
  SimPadOut(dst, src,
            {dataCopyParams.blockCount, dataCopyParams.blockLen, dataCopyParams.srcStride, dataCopyParams.dstStride},
            site);
}
template <typename T>
__aicore__ inline void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                   const DataCopyParams& dataCopyParams, Site site = Site::Here()) {
  SimPadOut(dst, src,
            {dataCopyParams.blockCount, dataCopyParams.blockLen, dataCopyParams.srcStride, dataCopyParams.dstStride},
            site);
}

// UB (columns of 16 elements) -> GM (rows): one padded copy per column, as CANN does it.
template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src,
                                const Nz2NdParamsFull& intriParams, Site site = Site::Here()) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Nz2Nd takes elements of 16 and 32 bits");
  const Nz2NdParamsFull& p = intriParams;
  if (p.dValue % 16 != 0) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "DataCopy(Nz2Nd)",
                               "dValue: %u is not a multiple of 16", p.dValue);
  }
  for (uint32_t i = 0; i < p.ndNum; ++i) {
    for (uint32_t column = 0; column * 16 < p.dValue; ++column) {
      for (uint32_t row = 0; row < p.nValue; row += 4095) {
        const uint16_t rows = static_cast<uint16_t>(p.nValue - row < 4095 ? p.nValue - row : 4095);
        SimPadOut(
            dst[static_cast<uint64_t>(i) * p.dstNdMatrixStride + column * 16 +
                static_cast<uint64_t>(row) * p.dstDStride],
            src[i * p.srcNdMatrixStride * 256u + (column * p.srcNStride + row) * 16u],
            {rows, static_cast<uint32_t>(16 * sizeof(T)), 0, static_cast<uint32_t>((p.dstDStride - 16) * sizeof(T))},
            site);
      }
    }
  }
}

// ---- slices: bursts out of tensors of up to 8 dimensions ----------------------------------------------------------

// The first dimension's slice is a row of bursts, the others pick rows. Calls emit(first element in dst, in src,
// bursts, elements of a burst) for every row, src and dst in step; one padded copy each, as CANN does it.
template <typename T, typename Emit>
inline void SimForEachSlice(const SliceInfo dst[], const SliceInfo src[], uint32_t dims, Site site, Emit emit) {
  const uint32_t elements = static_cast<uint32_t>(src[0].burstLen * 32 / sizeof(T));
  auto bursts = [&](const SliceInfo& s) { return (s.endIndex - s.startIndex + 1 + s.stride) / (elements + s.stride); };
  auto rows = [](const SliceInfo& s) { return (s.endIndex - s.startIndex) / (s.stride + 1) + 1; };
  bool ok =
      dims >= 1 && dims <= 8 && elements != 0 && src[0].burstLen == dst[0].burstLen && bursts(src[0]) == bursts(dst[0]);
  for (uint32_t d = 0; ok && d < dims; ++d) {
    ok = src[d].startIndex <= src[d].endIndex && dst[d].startIndex <= dst[d].endIndex;
    if (d != 0) ok = ok && src[d].burstLen == 1 && dst[d].burstLen == 1 && rows(src[d]) == rows(dst[d]);
  }
  if (!ok) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "DataCopy(SliceInfo)",
                               "dstSliceInfo and srcSliceInfo: the slices of %u dimensions do not match", dims);
  }
  uint32_t index[8] = {};
  for (;;) {
    uint64_t to = dst[0].startIndex, from = src[0].startIndex, dst_row = dst[0].shapeValue, src_row = src[0].shapeValue;
    for (uint32_t d = 1; d < dims; ++d) {
      to += (dst[d].startIndex + static_cast<uint64_t>(index[d]) * (dst[d].stride + 1)) * dst_row;
      from += (src[d].startIndex + static_cast<uint64_t>(index[d]) * (src[d].stride + 1)) * src_row;
      dst_row *= dst[d].shapeValue;
      src_row *= src[d].shapeValue;
    }
    emit(to, from, static_cast<uint16_t>(bursts(src[0])), elements);
    uint32_t d = 1;
    while (d < dims && ++index[d] == rows(src[d])) index[d++] = 0;
    if (d >= dims) return;
  }
}
template <typename T>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const SliceInfo dstSliceInfo[],
                                const SliceInfo srcSliceInfo[], const uint32_t dimValue = 1, Site site = Site::Here()) {
  SimForEachSlice<T>(dstSliceInfo, srcSliceInfo, dimValue, site,
                     [&](uint64_t to, uint64_t from, uint16_t bursts, uint32_t elements) {
                       SimPadIn(dst[static_cast<uint32_t>(to)], src[from],
                                {bursts, static_cast<uint32_t>(elements * sizeof(T)),
                                 static_cast<uint32_t>(srcSliceInfo[0].stride * sizeof(T)),
                                 static_cast<uint32_t>(dstSliceInfo[0].stride * sizeof(T) / 32)},
                                false, 0, 0, 0, site);
                     });
}
template <typename T>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const SliceInfo dstSliceInfo[],
                                const SliceInfo srcSliceInfo[], const uint32_t dimValue = 1, Site site = Site::Here()) {
  SimForEachSlice<T>(dstSliceInfo, srcSliceInfo, dimValue, site,
                     [&](uint64_t to, uint64_t from, uint16_t bursts, uint32_t elements) {
                       SimPadOut(dst[to], src[static_cast<uint32_t>(from)],
                                 {bursts, static_cast<uint32_t>(elements * sizeof(T)),
                                  static_cast<uint32_t>(srcSliceInfo[0].stride * sizeof(T) / 32),
                                  static_cast<uint32_t>(dstSliceInfo[0].stride * sizeof(T))},
                                 site);
                     });
}

// ---- L0C -> GM, L0C -> L1: Fixpipe with its settings in registers -------------------------------------------------

template <typename T, typename U>
ascend_sim::Fixpipe SimFixpipeOf(const DataCopyCO12DstParams& p) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::Fixpipe fix;
  fix.row_major = p.nz2ndEn;
  fix.relu = p.reluPre != 0;
  fix.channel_split = p.channelSplit;
  fix.saturate = regs.saturate;
  fix.unit_flag = p.unitFlag;
  fix.quant = SimQuant(p.quantPre);
  fix.src_type = ascend_sim::kDTypeOf<U>;
  fix.dst_type = ascend_sim::kDTypeOf<T>;
  fix.n = p.nSize;
  fix.m = p.mSize;
  fix.src_stride = p.srcStride;
  fix.dst_stride = p.dstStride;
  fix.nd_num = static_cast<uint16_t>(regs.fixpipe_nz2nd[0]);
  fix.src_nd_stride = static_cast<uint16_t>(regs.fixpipe_nz2nd[1]);
  fix.dst_nd_stride = static_cast<uint16_t>(regs.fixpipe_nz2nd[2]);
  fix.scale = regs.quant_scalar;
  fix.scales = {ascend_sim::Buffer::kFb, static_cast<uint32_t>(regs.quant_address), 0, 0};
  return fix;
}
template <typename T, typename U>
__aicore__ inline void DataCopy(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                                const DataCopyCO12DstParams& intriParams, Site site = Site::Here()) {
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::Fixpipe fix = SimFixpipeOf<T, U>(intriParams);
  fix.src = src.sim();
  fix.gm = dst.sim();
  fix.atomic = static_cast<uint8_t>(regs.atomic);
  fix.atomic_type = regs.atomic_type;
  Issue(fix, site);
}
template <typename T, typename U>
__aicore__ inline void DataCopy(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                                const DataCopyCO12DstParams& intriParams, Site site = Site::Here()) {
  ascend_sim::Fixpipe fix = SimFixpipeOf<T, U>(intriParams);
  fix.src = src.sim();
  fix.l1 = dst.sim();
  fix.to_gm = false;
  Issue(fix, site);
}

}  // namespace AscendC
