// The kernels over a cache: the forward for the last rows of each sequence, and what appends new keys before it.
#include "append.h"
#include "forward.h"

namespace triangle {

template <class T, class Tile>
__aicore__ inline void cache_forward(const CacheArguments& arguments, const TriangleCacheTiling& tiling) {
  CacheSequences sequences(&tiling, arguments.table, arguments.cu_seq_q, arguments.lengths);
  const CachePlaces places(tiling, &sequences);
  const ForwardArguments forward_arguments = {
      arguments.q,   arguments.k,   arguments.v,         nullptr,          nullptr,        nullptr,
      arguments.out, arguments.lse, arguments.workspace, arguments.slopes, arguments.sinks};
  forward<T, Tile, TileBend<T, NoFloatMask>>(forward_arguments, tiling.forward,
                                             CacheOperands(&tiling, sequences, &places));
}

}  // namespace triangle

// One entry per dtype and tile. They bend scores where the tiling says so. table: int32, page numbers or entries, null
// where sequence b has entry b; cu_seq_q, slopes and sinks may be null where the tiling does not use them.
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_cache_fp16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleCacheWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::cache_forward<half, triangle::NarrowTile>(
      {q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_cache_fp16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleCacheWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::cache_forward<half, triangle::WideTile>(
      {q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_cache_bf16_128(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleCacheWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::cache_forward<bfloat16_t, triangle::NarrowTile>(
      {q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse, workspace}, triangle::tiling_of(tiling));
}
extern "C" TRIANGLE_SCHEDULED __global__ __aicore__ void triangle_attn_cache_bf16_256(
    GM_ADDR q, GM_ADDR k, GM_ADDR v, GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths, GM_ADDR slopes, GM_ADDR sinks,
    GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, TriangleCacheWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
  triangle::cache_forward<bfloat16_t, triangle::WideTile>(
      {q, k, v, table, cu_seq_q, lengths, slopes, sinks, out, lse, workspace}, triangle::tiling_of(tiling));
}

// Rows of new_k and new_v into the caches, whatever 16 bits they are; on any number of vector cores.
extern "C" __global__ __aicore__ void triangle_attn_cache_append(GM_ADDR new_k, GM_ADDR new_v, GM_ADDR k, GM_ADDR v,
                                                                 GM_ADDR table, GM_ADDR cu_seq_q, GM_ADDR lengths,
                                                                 TriangleCacheWords tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  if ASCEND_IS_AIV {
    const TriangleCacheTiling& cache = triangle::tiling_of(tiling);
    const triangle::CacheSequences sequences(&cache, table, cu_seq_q, lengths);
    triangle::CacheAppend<half> append(&cache, sequences, {new_k, new_v, k, v});
    append.run(static_cast<uint32_t>(AscendC::GetBlockIdx()), static_cast<uint32_t>(AscendC::GetBlockNum()));
  }
}
