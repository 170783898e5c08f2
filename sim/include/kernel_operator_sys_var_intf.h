// What a kernel asks of its core and of the launch: initial state, built-in variables, workspaces, tiling.
#pragma once

#include "isa/scalar.h"
#include "kernel_operator_common_intf.h"
#include "kernel_utils_std.h"

// Device built-ins. block_idx counts AI cores: in a 1:2 kernel both AIVs of a core see the same number.
struct SimBlockIdxVariable {
  operator int64_t() const {  // NOLINT: reads as the variable it stands for
    return ascend_sim::device::Type() == ascend_sim::CoreType::kAic
               ? ascend_sim::device::BlockIdx()
               : ascend_sim::device::BlockIdx() / ascend_sim::device::SubBlockNum();
  }
};
struct SimBlockNumVariable {
  operator int64_t() const { return ascend_sim::device::BlockNum(); }  // NOLINT
};
static constexpr SimBlockIdxVariable block_idx{};
static constexpr SimBlockNumVariable block_num{};
inline int64_t get_block_idx() { return block_idx; }
inline int64_t get_block_num() { return block_num; }
inline int64_t get_subblockid() { return ascend_sim::device::SubBlockIdx(); }
inline int64_t get_subblockdim() { return ascend_sim::device::SubBlockNum(); }
inline void pipe_barrier(pipe_t pipe, ascend_sim::Site site = ascend_sim::Site::Here()) {
  ascend_sim::device::KernelBarrier(AscendC::SimPipe(pipe), site);
}
inline void set_flag(pipe_t from, pipe_t to, event_t id, ascend_sim::Site site = ascend_sim::Site::Here()) {
  ascend_sim::device::KernelSetFlag(AscendC::SimPipe(from), AscendC::SimPipe(to), id, site);
}
inline void wait_flag(pipe_t from, pipe_t to, event_t id, ascend_sim::Site site = ascend_sim::Site::Here()) {
  ascend_sim::device::KernelWaitFlag(AscendC::SimPipe(from), AscendC::SimPipe(to), id, site);
}

namespace AscendC {

// No atomics, norm mode, every lane: what TPipe's construction does, for kernels without one.
__aicore__ inline void InitSocState() {
  SetAtomicNone();
  SetMaskNorm();
  ResetMask();
}

__aicore__ inline int64_t GetTaskRatio() { return ascend_sim::device::SubBlockNum(); }
__aicore__ inline constexpr int16_t GetDataBlockSizeInBytes() { return 32; }
__aicore__ inline constexpr uint32_t GetVecLen() { return 256; }
__aicore__ inline constexpr uint32_t GetUBSizeInBytes() { return TOTAL_UB_SIZE; }
__aicore__ inline uint32_t GetRuntimeUBSize() {
  return static_cast<uint32_t>(ascend_sim::device::Capacity(ascend_sim::Buffer::kUb));
}
__aicore__ inline void Trap(Site site = Site::Here()) {
  ascend_sim::device::Report(static_cast<int>(ascend_sim::Rule::kMessage), site, "Trap", "the kernel called Trap()");
}

// The workspace of an operator: the first 16 MiB belong to the framework.
__aicore__ inline void SetSysWorkspace(GM_ADDR workspace) {
  ascend_sim::device::Regs().sys_workspace = reinterpret_cast<uint64_t>(workspace);
}
__aicore__ inline void SetSysWorkspaceForce(GM_ADDR workspace) { SetSysWorkspace(workspace); }
__aicore__ inline GM_ADDR GetSysWorkSpacePtr() {
  return reinterpret_cast<GM_ADDR>(ascend_sim::device::Regs().sys_workspace);
}
__aicore__ inline GM_ADDR GetUserWorkspace(GM_ADDR workspace) { return workspace + RESERVED_WORKSPACE; }

template <typename T>
__aicore__ inline T SimLoadTiling(const void* tiling, Site site = Site::Here()) {
  static_assert(std::is_trivially_copyable<T>::value, "a tiling struct is read as bytes");
  T data;
  ascend_sim::ScalarLoad(ascend_sim::Global{reinterpret_cast<uint64_t>(tiling), sizeof(T)}, 0, &data, sizeof(T), site);
  return data;
}

}  // namespace AscendC

// REGISTER_TILING_DEFAULT names the struct that GET_TILING_DATA reads in the same scope.
#define REGISTER_TILING_DEFAULT(tiling_struct) using SimTilingDefault = tiling_struct
#define GET_TILING_DATA(tiling_data, tiling_arg) \
  SimTilingDefault tiling_data = AscendC::SimLoadTiling<SimTilingDefault>(tiling_arg)
#define GET_TILING_DATA_WITH_STRUCT(tiling_struct, tiling_data, tiling_arg) \
  tiling_struct tiling_data = AscendC::SimLoadTiling<tiling_struct>(tiling_arg)
