// The language of Ascend C as clang's CUDA mode can hold it: what bisheng has built in and g++ does not check.
//
// A function of a core is a CUDA device function, and each of the chip's memories is an address space of its own: a
// pointer into one converts to no other. CHECK_AIC or CHECK_AIV says which core type is compiled.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define __aicore__ __attribute__((device))
#define __global__ __attribute__((global))
#define __mix__(...)
#define __cube__
#define __vector__
#define __schedmode__(...)
#define __inout_pipe__(...)
#define __in_pipe__(...)
#define __out_pipe__(...)

#define __gm__ __attribute__((address_space(1)))
#define __ubuf__ __attribute__((address_space(6)))
#define __cbuf__ __attribute__((address_space(7)))
#define __ca__ __attribute__((address_space(8)))
#define __cb__ __attribute__((address_space(9)))
#define __cc__ __attribute__((address_space(10)))
#define __fbuf__ __attribute__((address_space(11)))

// A macro in every CANN: one declaration declares one pointer.
#define GM_ADDR __gm__ uint8_t*

typedef _Float16 half;
struct bfloat16_t {  // storage: the scalar unit does not compute with it
  uint16_t bits;
  bfloat16_t() = default;
  __aicore__ explicit constexpr bfloat16_t(float) : bits(0) {}
};

typedef enum { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_ALL, PIPE_FIX = 10 } pipe_t;
typedef enum { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 } event_t;

// The headers of 8.1 to 8.3 make every inline function always_inline; a kernel has to undo that after including them.
#ifdef CHECK_ALWAYS_INLINE
#define inline inline __attribute__((always_inline))
#endif

namespace AscendC {
constexpr int32_t AIC = 1;
constexpr int32_t AIV = 2;
#if defined(CHECK_AIC)
constexpr int32_t g_coreType = AIC;
#elif defined(CHECK_AIV)
constexpr int32_t g_coreType = AIV;
#else  // the host's pass
constexpr int32_t g_coreType = 0;
#endif
}  // namespace AscendC

// On the device a constant: the other core's branch is no code at all.
#define ASCEND_IS_AIC constexpr(AscendC::g_coreType == AscendC::AIC)
#define ASCEND_IS_AIV constexpr(AscendC::g_coreType == AscendC::AIV)
#define ASCEND_IS_NOT_AIC constexpr(AscendC::g_coreType != AscendC::AIC)
#define ASCEND_IS_NOT_AIV constexpr(AscendC::g_coreType != AscendC::AIV)

#define KERNEL_TYPE_AIC_ONLY 1
#define KERNEL_TYPE_AIV_ONLY 2
#define KERNEL_TYPE_MIX_AIC_1_0 3
#define KERNEL_TYPE_MIX_AIV_1_0 4
#define KERNEL_TYPE_MIX_AIC_1_1 5
#define KERNEL_TYPE_MIX_AIC_1_2 6
#define KERNEL_TASK_TYPE_DEFAULT(type) static_assert((type) > 0, "a kernel type")

// An instruction that the other core type does not have is declared all the same, for code that is never generated;
// a call that is generated is an error.
#define CHECK_NO_CUBE __attribute__((error("an instruction of the cube core, in code of a vector core")))
#define CHECK_NO_VECTOR __attribute__((error("an instruction of the vector cores, in code of the cube core")))
#ifdef CHECK_AIV
#define CUBE_INSTRUCTION __aicore__ CHECK_NO_CUBE
#else
#define CUBE_INSTRUCTION __aicore__
#endif
#ifdef CHECK_AIC
#define VECTOR_INSTRUCTION __aicore__ CHECK_NO_VECTOR
#else
#define VECTOR_INSTRUCTION __aicore__
#endif

// ---- launches: k<<<blocks, l2ctrl, stream>>>(...) on the host
typedef void* aclrtStream;
extern "C" int cudaConfigureCall(uint32_t blocks, void* l2ctrl, aclrtStream stream);
