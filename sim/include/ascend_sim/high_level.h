// Of CANN's high-level API what attention kernels call by way of kernel_operator.h: BroadCast (9.x: Broadcast) and
// ReduceMax, ReduceMin and ReduceSum over an axis, and Fill (InitOutput) of global memory, composed of vector
// instructions. The documentation gives results, not the order of additions: here partial sums run through the row. Not
// declared where the include path has CANN's own headers, which a kernel then includes by their names.
#pragma once

#include "kernel_operator_copy_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_operator_mm_intf.h"
#include "kernel_operator_vec_binary_intf.h"
#include "kernel_operator_vec_brcb_intf.h"
#include "kernel_operator_vec_duplicate_intf.h"
#include "kernel_operator_vec_gather_mask_intf.h"
#include "kernel_operator_vec_reduce_intf.h"
#include "kernel_tpipe.h"

namespace AscendC {

inline void SimHighLevelFail(const char* call, Site site, const char* what, uint64_t got, uint64_t expected) {
  ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kArgument), site, call,
                             "%s: %s: got %llu, expected %llu", call, what, static_cast<unsigned long long>(got),
                             static_cast<unsigned long long>(expected));
}
inline void SimOrderV(Site site) { ascend_sim::device::Barrier(ascend_sim::Pipe::kV, site); }
template <typename T>
constexpr uint32_t kSimBlock = 32 / sizeof(T);  // elements
template <typename T>
constexpr uint32_t kSimRepeat = 256 / sizeof(T);
template <typename T>
constexpr uint32_t SimBlocks(uint32_t count) {
  return (count + kSimBlock<T> - 1) / kSimBlock<T>;
}

// ---- Broadcast ----------------------------------------------------------------------------------------------------

// dst [rows, columns] from src [columns], a multiple of 32 B.
template <typename T>
inline void SimBroadcastRow(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t rows, uint32_t columns,
                            Site site) {
  const uint16_t blocks = static_cast<uint16_t>(SimBlocks<T>(columns));
  for (uint32_t r = 0; r < rows; r += 255) {
    const uint8_t n = static_cast<uint8_t>(rows - r < 255 ? rows - r : 255);
    for (uint32_t c = 0; c < columns; c += kSimRepeat<T>) {
      const uint64_t lanes = columns - c < kSimRepeat<T> ? columns - c : kSimRepeat<T>;
      Copy(dst[r * columns + c], src[c], lanes, n, CopyRepeatParams(1, 1, blocks, 0), site);
    }
  }
  SimOrderV(site);
}

// dst [rows, columns] from src [rows]: a block of 32 B from each element, copied along its row; where rows are no
// multiple of 32 B into scratch, and closed up.
template <typename T>
inline void SimBroadcastColumn(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t rows, uint32_t columns,
                               const LocalTensor<uint8_t>& scratch, Site site) {
  const uint32_t blocks = SimBlocks<T>(columns), padded = blocks * kSimBlock<T>;
  const bool dense = padded == columns;
  const uint32_t row_bytes = 32 + (dense ? 0 : padded * static_cast<uint32_t>(sizeof(T)));
  uint32_t pass = scratch.GetSize() / row_bytes / 16 * 16;  // so that every pass starts at a multiple of 32 B
  if (pass == 0) SimHighLevelFail("Broadcast", site, "bytes of sharedTmpBuffer", scratch.GetSize(), 16ull * row_bytes);
  pass = pass < 240 ? pass : 240;
  const LocalTensor<T> of_blocks = scratch.template ReinterpretCast<T>();
  const LocalTensor<T> of_rows = of_blocks[pass * kSimBlock<T>];
  for (uint32_t r = 0; r < rows; r += pass) {
    const uint32_t n = rows - r < pass ? rows - r : pass, groups = (n + 7) / 8;
    ResetMask();
    Issue(ascend_sim::VecBrcb{ascend_sim::kDTypeOf<T>, static_cast<uint8_t>(groups), SimWalk(of_blocks), src[r].sim(),
                              groups * 8 - n},
          site);
    SimOrderV(site);
    const LocalTensor<T> target = dense ? dst[r * columns] : of_rows;
    for (uint32_t c = 0; c < padded; c += kSimRepeat<T>) {
      const uint64_t lanes = padded - c < kSimRepeat<T> ? padded - c : kSimRepeat<T>;
      Copy(target[c], of_blocks, lanes, static_cast<uint8_t>(n),
           CopyRepeatParams(1, 0, static_cast<uint16_t>(blocks), 1), site);
    }
    SimOrderV(site);
    if (dense) continue;
    uint64_t taken = 0;
    GatherMask(dst[r * columns], of_rows, 7, true, columns,
               GatherMaskParams(1, static_cast<uint16_t>(n), static_cast<uint16_t>(blocks), 0), taken, site);
    ResetMask();
    SimOrderV(site);
  }
}

// Dimension `axis` of srcShape is 1, of dstShape anything. sharedTmpBuffer: for axis 1 32 B a row and, where dst's rows
// are no multiple of 32 B, a padded row more, for 16 rows at least.
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
__aicore__ inline void BroadCast(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                                 const uint32_t dstShape[dim], const uint32_t srcShape[dim],
                                 LocalTensor<uint8_t>& sharedTmpBuffer, Site site = Site::Here()) {
  static_assert(dim == 1 || dim == 2, "Broadcast: dim is 1 or 2");
  static_assert(axis == 0 || axis == 1, "Broadcast: axis is 0 or 1");
  constexpr bool row = dim == 2 && axis == 0;
  SetMaskNorm();
  const uint32_t other = dim == 2 ? 1 - axis : 0;
  if (srcShape[dim == 2 ? axis : 0] != 1) {
    SimHighLevelFail("Broadcast", site, "srcShape along the axis", srcShape[dim == 2 ? axis : 0], 1);
  }
  if (dim == 2 && srcShape[other] != dstShape[other]) {
    SimHighLevelFail("Broadcast", site, "the other extent of srcShape", srcShape[other], dstShape[other]);
  }
  if constexpr (row) {
    if (srcShape[dim - 1] % kSimBlock<T> != 0) {
      SimHighLevelFail("Broadcast", site, "srcShape[1], of which a multiple", srcShape[dim - 1], kSimBlock<T>);
    }
    if constexpr (sizeof(T) == 1) {
      SimBroadcastRow(dstLocal.template ReinterpretCast<uint16_t>(), srcLocal.template ReinterpretCast<uint16_t>(),
                      dstShape[0], dstShape[dim - 1] / 2, site);
    } else {
      SimBroadcastRow(dstLocal, srcLocal, dstShape[0], dstShape[dim - 1], site);
    }
  } else if constexpr (sizeof(T) == 1) {
    ascend_sim::device::NotImplemented("Broadcast of 8-bit elements along axis 1", site);
  } else {
    SimBroadcastColumn(dstLocal, srcLocal, dim == 2 ? dstShape[0] : 1, dstShape[dim - 1], sharedTmpBuffer, site);
  }
  ResetMask();
}
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
__aicore__ inline void BroadCast(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                                 const uint32_t dstShape[dim], const uint32_t srcShape[dim], Site site = Site::Here()) {
  LocalTensor<uint8_t> scratch;
  PopStackBuffer<uint8_t, TPosition::LCM>(scratch, site);
  BroadCast<T, dim, axis, isReuseSource>(dstLocal, srcLocal, dstShape, srcShape, scratch, site);
}
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
__aicore__ inline void Broadcast(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                                 const uint32_t dstShape[dim], const uint32_t srcShape[dim],
                                 LocalTensor<uint8_t>& sharedTmpBuffer, Site site = Site::Here()) {
  BroadCast<T, dim, axis, isReuseSource>(dstLocal, srcLocal, dstShape, srcShape, sharedTmpBuffer, site);
}
template <typename T, int32_t dim, int32_t axis, bool isReuseSource = false>
__aicore__ inline void Broadcast(const LocalTensor<T>& dstLocal, const LocalTensor<T>& srcLocal,
                                 const uint32_t dstShape[dim], const uint32_t srcShape[dim], Site site = Site::Here()) {
  BroadCast<T, dim, axis, isReuseSource>(dstLocal, srcLocal, dstShape, srcShape, site);
}

// ---- outputs ------------------------------------------------------------------------------------------------------

// size elements of GM become value, through what is left of UB. Vector cores only.
template <typename T, typename std::enable_if<sizeof(T) == 2 || sizeof(T) == 4, bool>::type = true>
__aicore__ inline void Fill(GlobalTensor<T> gmWorkspaceAddr, uint64_t size, T value, Site site = Site::Here()) {
  if ASCEND_IS_AIC {
    return;
  }
  LocalTensor<T> scratch;
  PopStackBuffer<T, TPosition::LCM>(scratch, site);
  const uint64_t room = scratch.GetSize() / kSimRepeat<T> * kSimRepeat<T>, most = 32768 / sizeof(T);
  const uint64_t chunk = room < most ? room : most;
  if (chunk == 0) SimHighLevelFail("Fill", site, "elements left in UB", room, kSimRepeat<T>);
  const int32_t free = GetTPipePtr(site)->FetchEventID(HardEvent::MTE3_V, site);
  const int32_t full = GetTPipePtr(site)->FetchEventID(HardEvent::V_MTE3, site);
  using P = ascend_sim::Pipe;
  ascend_sim::device::SetFlag(P::kMte3, P::kV, free, site);
  ascend_sim::device::WaitFlag(P::kMte3, P::kV, free, site);
  SimOrderV(site);
  Duplicate(scratch, value, static_cast<int32_t>(chunk < size ? chunk : size), site);
  ascend_sim::device::SetFlag(P::kV, P::kMte3, full, site);
  ascend_sim::device::WaitFlag(P::kV, P::kMte3, full, site);
  for (uint64_t at = 0; at < size; at += chunk) {
    const uint64_t n = size - at < chunk ? size - at : chunk;
    SimPadOut(gmWorkspaceAddr[at], scratch, {1, static_cast<uint32_t>(n * sizeof(T)), 0, 0}, site);
  }
  ascend_sim::device::SetFlag(P::kMte3, P::kV, free, site);
  ascend_sim::device::WaitFlag(P::kMte3, P::kV, free, site);
}
template <typename T>
__aicore__ inline void InitOutput(GlobalTensor<T> gmWorkspaceAddr, uint32_t size, T value = 0,
                                  Site site = Site::Here()) {
  Fill(gmWorkspaceAddr, size, value, site);
}

// ---- reductions over an axis --------------------------------------------------------------------------------------

namespace Pattern {
namespace Reduce {
struct AR {};  // over the last axis
struct RA {};  // over the first
}  // namespace Reduce
}  // namespace Pattern

template <SimReduceOp kOp, typename T>
inline void SimCombine(const LocalTensor<T>& dst, const LocalTensor<T>& a, const LocalTensor<T>& b, uint64_t lanes,
                       uint32_t repeat, const BinaryRepeatParams& p, Site site) {
  constexpr ascend_sim::VecBinary::Op op = kOp == SimReduceOp::kSum   ? ascend_sim::VecBinary::Op::kAdd
                                           : kOp == SimReduceOp::kMax ? ascend_sim::VecBinary::Op::kMax
                                                                      : ascend_sim::VecBinary::Op::kMin;
  SimBinary<op>(dst, a, b, SimShape<true>(lanes, static_cast<int32_t>(repeat)), p, site);
  SimOrderV(site);
}

// dst [rows] from src [rows, columns], rows a multiple of 32 B apart: repeats of a row are combined in scratch, 256 B a
// row, then each row's repeat is reduced.
template <SimReduceOp kOp, typename T>
inline void SimReduceRows(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LocalTensor<uint8_t>& scratch,
                          uint32_t rows, uint32_t columns, Site site) {
  constexpr uint32_t kLanes = kSimRepeat<T>;
  const uint32_t blocks = SimBlocks<T>(columns), step = blocks * kSimBlock<T>;
  const bool fits = columns <= kLanes;
  uint32_t pass = 240;
  if (!fits) {
    const uint32_t room = scratch.GetSize() / 256;
    if (room == 0) SimHighLevelFail("Reduce", site, "bytes of sharedTmpBuffer", scratch.GetSize(), 256);
    pass = blocks > 255 || room < 16 ? 1 : room < 240 ? room / 16 * 16 : 240;
  }
  const LocalTensor<T> partial = scratch.template ReinterpretCast<T>();
  for (uint32_t r = 0; r < rows; r += pass) {
    const uint32_t n = rows - r < pass ? rows - r : pass;
    const LocalTensor<T> from = src[r * step];
    const uint8_t row = static_cast<uint8_t>(n == 1 ? 0 : blocks);
    if (!fits) {
      SimCombine<SimReduceOp::kMax>(partial, from, from, kLanes, n, BinaryRepeatParams(1, 1, 1, 8, row, row), site);
      for (uint32_t c = kLanes; c < columns; c += kLanes) {
        SimCombine<kOp>(partial, partial, from[c], columns - c < kLanes ? columns - c : kLanes, n,
                        BinaryRepeatParams(1, 1, 1, 8, 8, row), site);
      }
    }
    SimReduce(kOp, SimReduceSpan::kRepeat, dst[r], fits ? from : partial,
              SimShape<true>(static_cast<uint64_t>(fits ? columns : kLanes), static_cast<int32_t>(n)), 1, 1,
              static_cast<int32_t>(fits ? blocks : 8), ReduceOrder::ORDER_ONLY_VALUE, site);
    SimOrderV(site);
  }
}

// dst [columns] from src [rows, columns].
template <SimReduceOp kOp, typename T>
inline void SimReduceColumns(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint32_t rows, uint32_t columns,
                             Site site) {
  const auto combine = [&](auto op, const LocalTensor<T>& a, const LocalTensor<T>& b) {
    constexpr SimReduceOp kThis = decltype(op)::value;
    constexpr ascend_sim::VecBinary::Op kBinary = kThis == SimReduceOp::kSum   ? ascend_sim::VecBinary::Op::kAdd
                                                  : kThis == SimReduceOp::kMax ? ascend_sim::VecBinary::Op::kMax
                                                                               : ascend_sim::VecBinary::Op::kMin;
    SimBinary<kBinary>(dst, a, b, SimCountShape(columns), BinaryRepeatParams(), site);
    SimOrderV(site);
  };
  using This = std::integral_constant<SimReduceOp, kOp>;
  if (rows == 1) return combine(std::integral_constant<SimReduceOp, SimReduceOp::kMax>(), src, src);
  combine(This(), src, src[columns]);
  for (uint32_t r = 2; r < rows; ++r) combine(This(), dst, src[r * columns]);
}

// srcShape {first, last}; rows of srcTensor begin at multiples of 32 B (srcInnerPad is true on these chips).
// sharedTmpBuffer: 256 B a row for AR with rows longer than 256 B, at least 256 B.
#define ASCEND_SIM_REDUCE_AXIS(Name, kOp)                                                                       \
  template <class T, class pattern, bool isReuseSource = false>                                                 \
  __aicore__ inline void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,                 \
                              const LocalTensor<uint8_t>& sharedTmpBuffer, const uint32_t srcShape[],           \
                              bool srcInnerPad, Site site = Site::Here()) {                                     \
    static_assert(                                                                                              \
        std::is_same<pattern, Pattern::Reduce::AR>::value || std::is_same<pattern, Pattern::Reduce::RA>::value, \
        #Name ": the pattern is AR or RA");                                                                     \
    static_assert(std::is_same<T, float>::value || (std::is_same<T, half>::value && kOp != SimReduceOp::kSum),  \
                  #Name ": float, and but for sums half");                                                      \
    SetMaskNorm();                                                                                              \
    if (!srcInnerPad) SimHighLevelFail(#Name, site, "srcInnerPad", 0, 1);                                       \
    if constexpr (std::is_same<pattern, Pattern::Reduce::AR>::value) {                                          \
      SimReduceRows<kOp>(dstTensor, srcTensor, sharedTmpBuffer, srcShape[0], srcShape[1], site);                \
    } else {                                                                                                    \
      if (srcShape[1] % kSimBlock<T> != 0) {                                                                    \
        SimHighLevelFail(#Name, site, "srcShape[1], of which a multiple", srcShape[1], kSimBlock<T>);           \
      }                                                                                                         \
      SimReduceColumns<kOp>(dstTensor, srcTensor, srcShape[0], srcShape[1], site);                              \
    }                                                                                                           \
    ResetMask();                                                                                                \
  }                                                                                                             \
  template <class T, class pattern, bool isReuseSource = false>                                                 \
  __aicore__ inline void Name(const LocalTensor<T>& dstTensor, const LocalTensor<T>& srcTensor,                 \
                              const uint32_t srcShape[], bool srcInnerPad, Site site = Site::Here()) {          \
    LocalTensor<uint8_t> scratch;                                                                               \
    PopStackBuffer<uint8_t, TPosition::LCM>(scratch, site);                                                     \
    Name<T, pattern, isReuseSource>(dstTensor, srcTensor, scratch, srcShape, srcInnerPad, site);                \
  }
ASCEND_SIM_REDUCE_AXIS(ReduceMax, SimReduceOp::kMax)
ASCEND_SIM_REDUCE_AXIS(ReduceMin, SimReduceOp::kMin)
ASCEND_SIM_REDUCE_AXIS(ReduceSum, SimReduceOp::kSum)
#undef ASCEND_SIM_REDUCE_AXIS

}  // namespace AscendC
