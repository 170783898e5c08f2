// The language extensions of Ascend C that plain C++ lacks: function and address-space markers, core type, kernel type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ascend_sim/kernel_type_marker.h"
#include "core/device.h"
#include "core/types.h"

#define __aicore__
#define __global__
#ifndef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))
#endif
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#endif
#ifndef unlikely
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif
// Marks for CANN's profiler; the simulator's trace has every instruction.
#define TRACE_START(...) static_cast<void>(0)
#define TRACE_STOP(...) static_cast<void>(0)
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__
#define __inout_pipe__(...)
#define __in_pipe__(...)
#define __out_pipe__(...)
#ifndef __restrict
#define __restrict __restrict__
#endif
// 9.x kernel attributes; ascend_sim_add_kernel reads them from the source text.
#define __mix__(...)
#define __cube__
#define __vector__

using half = ascend_sim::Half;
using bfloat16_t = ascend_sim::Bf16;
#define GM_ADDR __gm__ uint8_t*

typedef enum {
  PIPE_S = 0,
  PIPE_V,
  PIPE_M,
  PIPE_MTE1,
  PIPE_MTE2,
  PIPE_MTE3,
  PIPE_ALL,
  PIPE_FIX = 10,
} pipe_t;

typedef enum { EVENT_ID0 = 0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 } event_t;

namespace AscendC {
constexpr int32_t AIC = 1;
constexpr int32_t AIV = 2;
}  // namespace AscendC
// Kernels name it with and without AscendC.
#if defined(__DAV_C220_CUBE__)
constexpr int32_t g_coreType = AscendC::AIC;
#elif defined(__DAV_C220_VEC__)
constexpr int32_t g_coreType = AscendC::AIV;
#else
#error "compile kernels through ascend_sim_add_kernel: one of __DAV_C220_CUBE__ and __DAV_C220_VEC__ must be defined"
#endif

namespace AscendC {
using ::g_coreType;

constexpr ascend_sim::Pipe SimPipe(pipe_t pipe) {
  switch (pipe) {
    case PIPE_S:
      return ascend_sim::Pipe::kS;
    case PIPE_V:
      return ascend_sim::Pipe::kV;
    case PIPE_M:
      return ascend_sim::Pipe::kM;
    case PIPE_MTE1:
      return ascend_sim::Pipe::kMte1;
    case PIPE_MTE2:
      return ascend_sim::Pipe::kMte2;
    case PIPE_MTE3:
      return ascend_sim::Pipe::kMte3;
    case PIPE_FIX:
      return ascend_sim::Pipe::kFix;
    case PIPE_ALL:
      return ascend_sim::Pipe::kAll;
  }
  return ascend_sim::Pipe::kAll;
}
}  // namespace AscendC

// As on the device: usable as `if ASCEND_IS_AIC { ... }`, the other core's branch is not compiled in templates.
#define ASCEND_IS_AIC constexpr(AscendC::g_coreType == AscendC::AIC)
#define ASCEND_IS_AIV constexpr(AscendC::g_coreType == AscendC::AIV)

// Order of ascend_sim::KernelType.
#define KERNEL_TYPE_AIC_ONLY 1
#define KERNEL_TYPE_AIV_ONLY 2
#define KERNEL_TYPE_MIX_AIC_1_0 3
#define KERNEL_TYPE_MIX_AIV_1_0 4
#define KERNEL_TYPE_MIX_AIC_1_1 5
#define KERNEL_TYPE_MIX_AIC_1_2 6
#define KERNEL_TASK_TYPE_DEFAULT(value) ASCEND_SIM_KERNEL_TYPE(value)
#define KERNEL_TASK_TYPE(key, value) ASCEND_SIM_KERNEL_TYPE(value)
