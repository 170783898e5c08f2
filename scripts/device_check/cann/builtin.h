// What bisheng has built in and CANN's headers take for granted, for clang's CUDA mode. The names of instructions and
// of their modes come from CANN's own lists (trees.py): cann_modes.h and cann_instructions.h.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define DEVICE __attribute__((device))
#define __aicore__ DEVICE
#define __global__ __attribute__((global))
#define __mix__(...)
#define __cube__
#define __vector__
#define __schedmode__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __sync_noalias__
#define __sync_alias__
#define __check_sync_alias__
#define __sync_in__
#define __sync_out__
#define __in_pipe__(...)
#define __out_pipe__(...)
#define __inout_pipe__(...)
#define __simd_callee__ DEVICE
#define __simd_vf__ DEVICE
#define __BLOCK_LOCAL__ DEVICE
#define __WORKGROUP_LOCAL__ DEVICE

#define __gm__ __attribute__((address_space(1)))
#define __ubuf__ __attribute__((address_space(6)))
#define __cbuf__ __attribute__((address_space(7)))
#define __ca__ __attribute__((address_space(8)))
#define __cb__ __attribute__((address_space(9)))
#define __cc__ __attribute__((address_space(10)))
#define __fbuf__ __attribute__((address_space(11)))
#define __ssbuf__ __attribute__((address_space(12)))
#define __biasbuf__ __attribute__((address_space(13)))

typedef _Float16 half;
struct bfloat16_t {  // storage: the scalar unit does not compute with it
  uint16_t bits;
  bfloat16_t() = default;
  DEVICE constexpr bfloat16_t(int value) : bits(static_cast<uint16_t>(value)) {}
  DEVICE constexpr bfloat16_t(float value) : bits(static_cast<uint16_t>(value)) {}
  DEVICE constexpr bfloat16_t(double value) : bits(static_cast<uint16_t>(value)) {}
};

#include "cann_modes.h"
//
#include "cann_instructions.h"

// What the list of instructions lacks.
DEVICE void dcci(__ubuf__ void*, uint64_t, uint64_t);
DEVICE void dcci(__ubuf__ void*, uint64_t);
DEVICE void create_cbuf_matrix(__cbuf__ uint32_t*, int64_t, int);
DEVICE void icache_preload(int64_t);
DEVICE uint64_t __get_entry_sys_cnt();
DEVICE float sqrt(float);
DEVICE float abs(float);
template <class T>
DEVICE uint64_t ld_dev(__gm__ T*, int16_t);
template <class... A>
DEVICE void copy_ubuf_to_gm_align_v2(A...);
namespace bisheng {
namespace cce {
DEVICE void metrics_prof_start();
DEVICE void metrics_prof_stop();
template <class... A>
DEVICE void printf(A...);
}  // namespace cce
}  // namespace bisheng
namespace cce {
template <class... A>
DEVICE int printf(const char*, A...);
}
#define block_idx get_block_idx()
#define block_num get_block_num()
#define CANN_VERSION_STR ((__gm__ const char*)0)

typedef void* aclrtStream;
extern "C" int cudaConfigureCall(uint32_t blocks, void* l2ctrl, aclrtStream stream);
