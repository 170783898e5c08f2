// Events, barriers, flags between cores, and what a kernel asks of its core.
#pragma once
#include "tensors.h"

__aicore__ void pipe_barrier(pipe_t pipe);
__aicore__ void set_flag(pipe_t from, pipe_t to, event_t id);
__aicore__ void wait_flag(pipe_t from, pipe_t to, event_t id);

namespace AscendC {

enum class HardEvent : uint8_t {
  MTE2_MTE1,
  MTE1_MTE2,
  MTE1_M,
  M_MTE1,
  MTE2_V,
  V_MTE2,
  MTE3_V,
  V_MTE3,
  M_V,
  V_M,
  V_V,
  MTE3_MTE1,
  MTE1_MTE3,
  MTE1_V,
  MTE2_M,
  M_MTE2,
  V_MTE1,
  M_FIX,
  FIX_M,
  MTE3_MTE2,
  MTE2_MTE3,
  S_V,
  V_S,
  S_MTE2,
  MTE2_S,
  S_MTE3,
  MTE3_S,
  MTE2_FIX,
  FIX_MTE2,
  FIX_S,
  M_S,
  FIX_MTE3,
  MAX,
};

template <HardEvent event>
__aicore__ void SetFlag(int32_t eventID);
template <HardEvent event>
__aicore__ void WaitFlag(int32_t eventID);
template <pipe_t pipe>
__aicore__ void PipeBarrier();
template <uint8_t modeId, pipe_t pipe>
__aicore__ void CrossCoreSetFlag(uint16_t flagId);
template <uint8_t modeId = 0, pipe_t pipe = PIPE_S>
__aicore__ void CrossCoreWaitFlag(uint16_t flagId);
template <bool isAIVOnly = true>
__aicore__ void SyncAll();

__aicore__ int64_t GetBlockIdx();
__aicore__ int64_t GetBlockNum();
__aicore__ int64_t GetSubBlockIdx();
__aicore__ int64_t GetSubBlockNum();
__aicore__ int64_t GetTaskRatio();
__aicore__ int64_t GetSystemCycle();
__aicore__ void InitSocState();
__aicore__ void SetSysWorkspace(GM_ADDR workspace);
__aicore__ GM_ADDR GetUserWorkspace(GM_ADDR workspace);

template <typename T>
__aicore__ void SetAtomicAdd();
__aicore__ void SetAtomicNone();

enum class CacheLine : uint64_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT };
template <typename T, CacheLine line, DcciDst dst>
__aicore__ void DataCacheCleanAndInvalid(const GlobalTensor<T>& dstTensor);

}  // namespace AscendC
