// API functions as function pointers and template arguments. Every API function ends in a call site; a pointer of
// CANN's type finds the form declared here, which has CANN's parameters and no other. Its result is a template
// parameter, which the pointer's type gives and a call does not: so no call ever meets it. In findings the site of a
// call through a pointer is the function's name.
//
// The type has to be known where the address is taken, as for any overloaded function: `auto` does not do.
#pragma once

#include <type_traits>

#include "kernel_operator_atomic_intf.h"
#include "kernel_operator_block_sync_intf.h"
#include "kernel_operator_cache_intf.h"
#include "kernel_operator_common_intf.h"
#include "kernel_operator_copy_intf.h"
#include "kernel_operator_data_copy_intf.h"
#include "kernel_operator_determine_compute_sync_intf.h"
#include "kernel_operator_fixpipe_intf.h"
#include "kernel_operator_mm_intf.h"
#include "kernel_operator_proposal_intf.h"
#include "kernel_operator_set_atomic_intf.h"
#include "kernel_operator_sys_var_intf.h"
#include "kernel_operator_vec_binary_intf.h"
#include "kernel_operator_vec_binary_scalar_intf.h"
#include "kernel_operator_vec_brcb_intf.h"
#include "kernel_operator_vec_cmpsel_intf.h"
#include "kernel_operator_vec_createvecindex_intf.h"
#include "kernel_operator_vec_duplicate_intf.h"
#include "kernel_operator_vec_gather_intf.h"
#include "kernel_operator_vec_gather_mask_intf.h"
#include "kernel_operator_vec_reduce_intf.h"
#include "kernel_operator_vec_ternary_scalar_intf.h"
#include "kernel_operator_vec_transpose_intf.h"
#include "kernel_operator_vec_unary_intf.h"
#include "kernel_operator_vec_vconv_intf.h"

// Result, name, template parameters, the same as arguments, parameters (by-value ones without const, which is not part
// of a type), the same as arguments. _0, _N, _T: without template or function parameters, or without one of them.
#define ASCEND_SIM_UNWRAP(...) __VA_ARGS__
#define ASCEND_SIM_THROUGH(Name) ascend_sim::Site{#Name " called through a pointer", 1}
#define ASCEND_SIM_POINTER(Result, Name, Head, Given, Params, Args)                         \
  template <ASCEND_SIM_UNWRAP Head, typename R, SimResultIs<R, Result> = 0>                 \
  __aicore__ inline R Name(ASCEND_SIM_UNWRAP Params) {                                      \
    return Name<ASCEND_SIM_UNWRAP Given>(ASCEND_SIM_UNWRAP Args, ASCEND_SIM_THROUGH(Name)); \
  }
#define ASCEND_SIM_POINTER_T(Result, Name, Head, Given)                     \
  template <ASCEND_SIM_UNWRAP Head, typename R, SimResultIs<R, Result> = 0> \
  __aicore__ inline R Name() {                                              \
    return Name<ASCEND_SIM_UNWRAP Given>(ASCEND_SIM_THROUGH(Name));         \
  }
#define ASCEND_SIM_POINTER_0(Result, Name)          \
  template <typename R, SimResultIs<R, Result> = 0> \
  __aicore__ inline R Name() {                      \
    return Name(ASCEND_SIM_THROUGH(Name));          \
  }
#define ASCEND_SIM_POINTER_N(Result, Name, Params, Args)           \
  template <typename R, SimResultIs<R, Result> = 0>                \
  __aicore__ inline R Name(ASCEND_SIM_UNWRAP Params) {             \
    return Name(ASCEND_SIM_UNWRAP Args, ASCEND_SIM_THROUGH(Name)); \
  }

template <typename R, typename Result>
using SimResultIs = typename std::enable_if<std::is_same<R, Result>::value, int>::type;

ASCEND_SIM_POINTER_N(void, pipe_barrier, (pipe_t a), (a))
ASCEND_SIM_POINTER_N(void, set_flag, (pipe_t a, pipe_t b, event_t c), (a, b, c))
ASCEND_SIM_POINTER_N(void, wait_flag, (pipe_t a, pipe_t b, event_t c), (a, b, c))

namespace AscendC {

template <typename T>
using SimLocal = const LocalTensor<T>&;
template <typename T>
using SimGlobal = const GlobalTensor<T>&;

// ---- Flags, barriers, other cores ----------------------------------------------------------------------------------
ASCEND_SIM_POINTER(void, SetFlag, (HardEvent event), (event), (int32_t a), (a))
ASCEND_SIM_POINTER(void, WaitFlag, (HardEvent event), (event), (int32_t a), (a))
ASCEND_SIM_POINTER_T(void, PipeBarrier, (pipe_t pipe), (pipe))
ASCEND_SIM_POINTER(void, CrossCoreSetFlag, (uint8_t modeId, pipe_t pipe), (modeId, pipe), (uint16_t a), (a))
ASCEND_SIM_POINTER(void, CrossCoreWaitFlag, (uint8_t modeId = 0, pipe_t pipe = PIPE_S), (modeId, pipe), (uint16_t a),
                   (a))
ASCEND_SIM_POINTER_N(void, WaitEvent, (uint16_t a), (a))
ASCEND_SIM_POINTER_T(void, SyncAll, (bool isAIVOnly = true), (isAIVOnly))
ASCEND_SIM_POINTER_N(void, InitDetermineComputeWorkspace, (GlobalTensor<int32_t> & a, LocalTensor<int32_t>& b), (a, b))
ASCEND_SIM_POINTER_N(void, WaitPreBlock, (GlobalTensor<int32_t> & a, LocalTensor<int32_t>& b), (a, b))
ASCEND_SIM_POINTER_N(void, NotifyNextBlock, (GlobalTensor<int32_t> & a, LocalTensor<int32_t>& b), (a, b))
ASCEND_SIM_POINTER(void, SyncAll, (bool isAIVOnly = true), (isAIVOnly),
                   (SimGlobal<int32_t> a, SimLocal<int32_t> b, int32_t c), (a, b, c))
ASCEND_SIM_POINTER(void, IBSet, (bool isAIVOnly = true), (isAIVOnly),
                   (SimGlobal<int32_t> a, SimLocal<int32_t> b, int32_t c, int32_t d), (a, b, c, d))
ASCEND_SIM_POINTER(void, IBWait, (bool isAIVOnly = true), (isAIVOnly),
                   (SimGlobal<int32_t> a, SimLocal<int32_t> b, int32_t c, int32_t d), (a, b, c, d))

// ---- Caches, atomics, modes ----------------------------------------------------------------------------------------
ASCEND_SIM_POINTER(void, DataCacheCleanAndInvalid, (typename T, CacheLine entireType, DcciDst dcciDst),
                   (T, entireType, dcciDst), (SimGlobal<T> a), (a))
ASCEND_SIM_POINTER(void, DataCacheCleanAndInvalid, (typename T, CacheLine entireType), (T, entireType),
                   (SimGlobal<T> a), (a))
ASCEND_SIM_POINTER(T, AtomicAdd, (typename T), (T), (__gm__ T * a, T b), (a, b))
ASCEND_SIM_POINTER(T, AtomicMax, (typename T), (T), (__gm__ T * a, T b), (a, b))
ASCEND_SIM_POINTER(T, AtomicMin, (typename T), (T), (__gm__ T * a, T b), (a, b))
ASCEND_SIM_POINTER(T, AtomicCas, (typename T), (T), (__gm__ T * a, T b, T c), (a, b, c))
ASCEND_SIM_POINTER(T, AtomicExch, (typename T), (T), (__gm__ T * a, T b), (a, b))
ASCEND_SIM_POINTER(T, ReadGmByPassDCache, (typename T), (T), (__gm__ T * a), (a))
ASCEND_SIM_POINTER(void, WriteGmByPassDCache, (typename T), (T), (__gm__ T * a, T b), (a, b))
ASCEND_SIM_POINTER_T(void, SetAtomicType, (typename T), (T))
ASCEND_SIM_POINTER_T(void, SetAtomicAdd, (typename T), (T))
ASCEND_SIM_POINTER_T(void, SetAtomicMax, (typename T), (T))
ASCEND_SIM_POINTER_T(void, SetAtomicMin, (typename T), (T))
ASCEND_SIM_POINTER_T(void, SetStoreAtomicConfig, (AtomicDtype type, AtomicOp op), (type, op))

// ---- Copies --------------------------------------------------------------------------------------------------------
ASCEND_SIM_POINTER(void, Copy, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, const uint64_t c[], uint8_t d, const CopyRepeatParams& e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, Copy, (typename T, bool isSetMask = true), (T, isSetMask),
                   (SimLocal<T> a, SimLocal<T> b, uint64_t c, uint8_t d, const CopyRepeatParams& e), (a, b, c, d, e))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimLocal<T> a, SimGlobal<T> b, const DataCopyParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimLocal<T> a, SimGlobal<T> b, uint32_t c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimLocal<T> a, SimGlobal<T> b, const Nd2NzParams& c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimGlobal<T> a, SimLocal<T> b, const DataCopyParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimGlobal<T> a, SimLocal<T> b, uint32_t c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, const DataCopyParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, const DataCopyParams& c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, uint32_t c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopyPad, (typename T), (T),
                   (SimLocal<T> a, SimGlobal<T> b, const DataCopyExtParams& c, const DataCopyPadExtParams<T>& d),
                   (a, b, c, d))
ASCEND_SIM_POINTER(void, DataCopyPad, (typename T), (T),
                   (SimLocal<T> a, SimGlobal<T> b, const DataCopyParams& c, const DataCopyPadParams& d), (a, b, c, d))
ASCEND_SIM_POINTER(void, DataCopyPad, (typename T), (T), (SimGlobal<T> a, SimLocal<T> b, const DataCopyExtParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopyPad, (typename T), (T), (SimGlobal<T> a, SimLocal<T> b, const DataCopyParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T), (SimGlobal<T> a, SimLocal<T> b, const Nz2NdParamsFull& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T),
                   (SimLocal<T> a, SimGlobal<T> b, const SliceInfo c[], const SliceInfo d[], uint32_t e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, DataCopy, (typename T), (T),
                   (SimGlobal<T> a, SimLocal<T> b, const SliceInfo c[], const SliceInfo d[], uint32_t e),
                   (a, b, c, d, e))
ASCEND_SIM_POINTER(void, DataCopy, (typename T, typename U), (T, U),
                   (SimGlobal<T> a, SimLocal<U> b, const DataCopyCO12DstParams& c), (a, b, c))
ASCEND_SIM_POINTER(void, DataCopy, (typename T, typename U), (T, U),
                   (SimLocal<T> a, SimLocal<U> b, const DataCopyCO12DstParams& c), (a, b, c))

// ---- The cube ------------------------------------------------------------------------------------------------------
ASCEND_SIM_POINTER(void, SetFixPipeConfig, (typename T, bool setRelu = false), (T, setRelu), (SimLocal<T> a, bool b),
                   (a, b))
ASCEND_SIM_POINTER(void, SetFixPipeConfig, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, bool c), (a, b, c))
ASCEND_SIM_POINTER_N(void, SetNdParaImpl, (uint64_t a), (a))
ASCEND_SIM_POINTER_N(void, SetFixpipeNz2ndFlag, (uint16_t a, uint16_t b, uint16_t c), (a, b, c))
ASCEND_SIM_POINTER(void, Fixpipe, (typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR), (T, U, config),
                   (SimGlobal<T> a, SimLocal<U> b, const FixpipeParamsV220& c), (a, b, c))
ASCEND_SIM_POINTER(void, Fixpipe,
                   (typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR, typename S = uint64_t,
                    typename std::enable_if<std::is_same<S, uint64_t>::value, bool>::type = true),
                   (T, U, config, S), (SimGlobal<T> a, SimLocal<U> b, SimLocal<S> c, const FixpipeParamsV220& d),
                   (a, b, c, d))
ASCEND_SIM_POINTER(void, Fixpipe, (typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR), (T, U, config),
                   (SimLocal<T> a, SimLocal<U> b, const FixpipeParamsV220& c), (a, b, c))
ASCEND_SIM_POINTER(void, Fixpipe,
                   (typename T, typename U, const FixpipeConfig& config = CFG_ROW_MAJOR, typename S = uint64_t,
                    typename std::enable_if<std::is_same<S, uint64_t>::value, bool>::type = true),
                   (T, U, config, S), (SimLocal<T> a, SimLocal<U> b, SimLocal<S> c, const FixpipeParamsV220& d),
                   (a, b, c, d))
ASCEND_SIM_POINTER(void, LoadData, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, const LoadData2DParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, LoadData, (typename T), (T), (SimLocal<T> a, SimGlobal<T> b, const LoadData2DParams& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, LoadDataWithTranspose, (typename T), (T),
                   (SimLocal<T> a, SimLocal<T> b, const LoadData2dTransposeParams& c), (a, b, c))
ASCEND_SIM_POINTER(void, LoadData,
                   (typename T, const IsResetLoad3dConfig& defaultConfig = IS_RESER_LOAD3D_DEFAULT_CONFIG,
                    typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),
                   (T, defaultConfig, U), (SimLocal<T> a, SimLocal<T> b, const LoadData3DParamsV2<U>& c), (a, b, c))
ASCEND_SIM_POINTER(void, LoadData, (typename T), (T), (SimLocal<T> a, SimLocal<T> b, const LoadData3DParamsV2Pro& c),
                   (a, b, c))
ASCEND_SIM_POINTER(void, InitConstValue,
                   (typename T, typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),
                   (T, U), (SimLocal<T> a, const InitConstValueParams<U>& b), (a, b))
ASCEND_SIM_POINTER(void, Fill,
                   (typename T, typename U = T, typename std::enable_if<std::is_same<T, U>::value, bool>::type = true),
                   (T, U), (SimLocal<T> a, const InitConstValueParams<U>& b), (a, b))
ASCEND_SIM_POINTER(void, Mmad, (typename T, typename U, typename S), (T, U, S),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<S> c, const MmadParams& d), (a, b, c, d))
ASCEND_SIM_POINTER(void, Mmad, (typename T, typename U, typename S, typename V), (T, U, S, V),
                   (SimLocal<T> a, SimLocal<U> b, SimLocal<S> c, SimLocal<V> d, const MmadParams& e), (a, b, c, d, e))
ASCEND_SIM_POINTER_N(void, SetHF32Mode, (bool a), (a))
ASCEND_SIM_POINTER_N(void, SetHF32Mode, (HF32Mode a), (a))

}  // namespace AscendC

#include "ascend_sim/pointer_forms_vector.h"  // with these macros

#undef ASCEND_SIM_POINTER_0
#undef ASCEND_SIM_POINTER_N
#undef ASCEND_SIM_POINTER_T
#undef ASCEND_SIM_POINTER
#undef ASCEND_SIM_THROUGH
#undef ASCEND_SIM_UNWRAP
