// Fixpipe and the registers of its settings.
#pragma once

#include <type_traits>

#include "isa/copy_table.h"
#include "isa/fixpipe.h"
#include "kernel_operator_common_intf.h"
#include "kernel_struct_fixpipe.h"
#include "kernel_tensor.h"
#include "kernel_utils.h"

namespace AscendC {

// Where the column scales of the V modes start in the fixpipe buffer. isUnitFlag: set all unit flags of L0C to 0.
template <typename T, bool setRelu = false>
__aicore__ inline void SetFixPipeConfig(const LocalTensor<T>& preData, bool isUnitFlag = false,
                                        Site site = Site::Here()) {
  static_assert(!setRelu, "ReLU with parameters from a tensor does not exist on this chip");
  if (preData.sim().buffer == ascend_sim::Buffer::kFb) {
    ascend_sim::device::Regs().quant_address = preData.sim().offset;
  } else if (!isUnitFlag) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "SetFixPipeConfig",
                               "preData: expected a tensor in the fixpipe buffer (C2PIPE2GM)");
  }
  if (isUnitFlag) ascend_sim::device::ResetUnitFlags();
}
template <typename T>
__aicore__ inline void SetFixPipeConfig(const LocalTensor<T>& reluPre, const LocalTensor<T>& quantPre,
                                        bool isUnitFlag = false, Site site = Site::Here()) {
  static_cast<void>(reluPre);  // reserved by CANN
  SetFixPipeConfig<T>(quantPre, isUnitFlag, site);
}

// For DataCopy with nz2ndEn; Fixpipe sets them from its parameters.
__aicore__ inline void SetFixpipeNz2ndFlag(uint16_t ndNum, uint16_t srcNdStride, uint16_t dstNdStride,
                                           Site site = Site::Here()) {
  if (srcNdStride > 512) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "SetFixpipeNz2ndFlag",
                               "srcNdStride: expected 0..512, got %u", srcNdStride);
  }
  uint64_t* regs = ascend_sim::device::Regs().fixpipe_nz2nd;
  regs[0] = ndNum;
  regs[1] = srcNdStride;
  regs[2] = dstNdStride;
}
// The register of SetFixpipeNz2ndFlag as one word: ndNum, srcNdStride << 16, dstNdStride << 32.
__aicore__ inline void SetNdParaImpl(uint64_t config, Site site = Site::Here()) {
  SetFixpipeNz2ndFlag(static_cast<uint16_t>(config), static_cast<uint16_t>(config >> 16),
                      static_cast<uint16_t>(config >> 32), site);
}
__aicore__ inline void SetFixpipePreQuantFlag(uint64_t config) { ascend_sim::device::Regs().quant_scalar = config; }

// Of other chips.
__aicore__ inline void SetFixPipeClipRelu(uint64_t, Site site = Site::Here()) {
  ascend_sim::device::NotImplemented("SetFixPipeClipRelu", site);
}

template <typename T, typename U>
ascend_sim::Fixpipe SimFixpipeOf(const FixpipeParamsV220& p, bool row_major) {
  ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::Fixpipe fix;
  fix.row_major = row_major;
  fix.relu = p.reluEn;
  fix.channel_split = p.isChannelSplit;
  fix.saturate = regs.saturate;
  fix.unit_flag = p.unitFlag;
  fix.quant = SimQuant(p.quantPre);
  fix.src_type = ascend_sim::kDTypeOf<U>;
  fix.dst_type = ascend_sim::kDTypeOf<T>;
  fix.n = p.nSize;
  fix.m = p.mSize;
  fix.src_stride = p.srcStride;
  fix.dst_stride = p.dstStride;
  fix.nd_num = p.ndNum;
  fix.src_nd_stride = p.srcNdStride;
  fix.dst_nd_stride = p.dstNdStride;
  if (row_major) {
    regs.fixpipe_nz2nd[0] = p.ndNum;
    regs.fixpipe_nz2nd[1] = p.srcNdStride;
    regs.fixpipe_nz2nd[2] = p.dstNdStride;
  }
  if (fix.quant != ascend_sim::Quant::kNone && !ascend_sim::IsVector(fix.quant)) regs.quant_scalar = p.deqScalar;
  fix.scale = p.deqScalar;
  return fix;
}

// The V modes: column scales go from L1 to the fixpipe buffer, 256 columns at most (128 where there are more), then
// Fixpipe takes those columns. As CANN does it, barriers included. offset(first column): of the destination.
template <typename U, typename Place>
inline void SimFixpipeByScales(ascend_sim::Fixpipe fix, const LocalTensor<U>& src, const ascend_sim::Local& scales,
                               Place place, Site site) {
  if (!ascend_sim::IsVector(fix.quant)) {
    ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, "Fixpipe",
                               "quantPre %s: a tensor of scales goes with VDEQF16, VQF322B8_PRE and VREQ8",
                               ascend_sim::QuantName(fix.quant));
  }
  const uint16_t n = fix.n, tile = n <= 256 ? n : 128;
  for (uint32_t first = 0; first < n; first += tile) {
    const uint16_t width = static_cast<uint16_t>(n - first < tile ? n - first : tile);
    // The table is free again; CANN leaves this to the order of the pipe.
    if (first != 0) ascend_sim::device::Barrier(ascend_sim::Pipe::kFix, site);
    const ascend_sim::Local table{ascend_sim::Buffer::kFb, 0, 0, 0};
    ascend_sim::Local from = scales;
    from.offset += first * 8;
    from.bytes = 0;  // lengths are rounded up to 128 B
    Issue(ascend_sim::CopyFixpipeTable{table, from, 1, static_cast<uint16_t>((width * 8 + 127) / 128), 0, 0}, site);
    ascend_sim::device::Regs().quant_address = 0;
    ascend_sim::device::Barrier(ascend_sim::Pipe::kFix, site);
    fix.scales = table;
    fix.n = width;
    fix.src = src[first / 16 * fix.src_stride * 16].sim();
    place(fix, first);
    Issue(fix, site);
  }
}
// Offset in elements of column `first` of the destination.
inline uint64_t SimFixpipeOffset(const ascend_sim::Fixpipe& fix, uint32_t first, uint32_t bytes) {
  if (fix.row_major) return first;
  return static_cast<uint64_t>(bytes == 1 ? first / 32 : first / 16) * fix.dst_stride * 32 / bytes;
}

// ---- L0C -> GM ----------------------------------------------------------------------------------------------------

template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
__aicore__ inline void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                               const FixpipeParamsV220& intriParams, Site site = Site::Here()) {
  static_assert(config.format != CO2Layout::COLUMN_MAJOR, "column-major output does not exist on this chip");
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::Fixpipe fix = SimFixpipeOf<T, U>(intriParams, config.format == CO2Layout::ROW_MAJOR);
  ascend_sim::device::Barrier(ascend_sim::Pipe::kFix, site);  // part of CANN's Fixpipe
  fix.src = src.sim();
  fix.gm = dst.sim();
  fix.atomic = static_cast<uint8_t>(regs.atomic);
  fix.atomic_type = regs.atomic_type;
  fix.scales = {ascend_sim::Buffer::kFb, static_cast<uint32_t>(regs.quant_address), 0, 0};
  Issue(fix, site);
}
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR, typename S = uint64_t,
          typename std::enable_if<std::is_same<S, uint64_t>::value, bool>::type = true>
__aicore__ inline void Fixpipe(const GlobalTensor<T>& dst, const LocalTensor<U>& src,
                               const LocalTensor<S>& cbufWorkspace, const FixpipeParamsV220& intriParams,
                               Site site = Site::Here()) {
  static_assert(config.format != CO2Layout::COLUMN_MAJOR, "column-major output does not exist on this chip");
  const ascend_sim::Registers& regs = ascend_sim::device::Regs();
  ascend_sim::Fixpipe all = SimFixpipeOf<T, U>(intriParams, config.format == CO2Layout::ROW_MAJOR);
  all.atomic = static_cast<uint8_t>(regs.atomic);
  all.atomic_type = regs.atomic_type;
  SimFixpipeByScales(
      all, src, cbufWorkspace.sim(),
      [&](ascend_sim::Fixpipe& fix, uint32_t first) { fix.gm = dst[SimFixpipeOffset(fix, first, sizeof(T))].sim(); },
      site);
}

// ---- L0C -> L1 ----------------------------------------------------------------------------------------------------

template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR>
__aicore__ inline void Fixpipe(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                               const FixpipeParamsV220& intriParams, Site site = Site::Here()) {
  if (dst.sim().buffer == ascend_sim::Buffer::kUb) ascend_sim::device::NotImplemented("Fixpipe from L0C to UB", site);
  ascend_sim::Fixpipe fix = SimFixpipeOf<T, U>(intriParams, config.format == CO2Layout::ROW_MAJOR);
  ascend_sim::device::Barrier(ascend_sim::Pipe::kFix, site);
  fix.src = src.sim();
  fix.l1 = dst.sim();
  fix.to_gm = false;
  fix.scales = {ascend_sim::Buffer::kFb, static_cast<uint32_t>(ascend_sim::device::Regs().quant_address), 0, 0};
  Issue(fix, site);
}
template <typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR, typename S = uint64_t,
          typename std::enable_if<std::is_same<S, uint64_t>::value, bool>::type = true>
__aicore__ inline void Fixpipe(const LocalTensor<T>& dst, const LocalTensor<U>& src,
                               const LocalTensor<S>& cbufWorkspace, const FixpipeParamsV220& intriParams,
                               Site site = Site::Here()) {
  ascend_sim::Fixpipe all = SimFixpipeOf<T, U>(intriParams, config.format == CO2Layout::ROW_MAJOR);
  all.to_gm = false;
  SimFixpipeByScales(
      all, src, cbufWorkspace.sim(),
      [&](ascend_sim::Fixpipe& fix, uint32_t first) {
        fix.l1 = dst[static_cast<uint32_t>(SimFixpipeOffset(fix, first, sizeof(T)))].sim();
      },
      site);
}

}  // namespace AscendC
