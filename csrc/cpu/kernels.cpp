// The table of one instruction set's kernels. Compiled once per instruction set; see sources.cmake.
#include "csrc/cpu/kernels.h"

#include <type_traits>

#include "csrc/cpu/backward_tile.h"
#include "csrc/cpu/forward_tile.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class T>
size_t forward_scratch(int dim, int dim_v) {
  return ForwardScratch<T>().lay_out(nullptr, dim, dim_v);
}
template <class T>
size_t backward_scratch(int dim, int dim_v) {
  return BackwardScratch<T>().lay_out(nullptr, dim, dim_v);
}

template <class T>
void pack_k(const Common& common, const Keys& keys, int64_t k0, int64_t k1) {
  T* to = static_cast<T*>(const_cast<void*>(keys.packed_k)) + k0 * common.dim;
  pack_block_k<T>(common, keys, k0, int(k1 - k0), to);
}
template <class T>
void pack_v(const Common& common, const Keys& keys, int64_t k0, int64_t k1) {
  constexpr int block = Tiles<T>::kKeyBlock;
  for (; k0 < k1; k0 += block) {
    T* to = static_cast<T*>(const_cast<void*>(keys.packed_v)) + k0 * padded(common.dim_v, Tiles<T>::kNr);
    pack_block_v<T>(common, keys, k0, int(smaller<int64_t>(block, k1 - k0)), to);
  }
}

template <class T>
void exp_all(const void* x, void* y, int64_t n) {
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const int count = int(smaller<int64_t>(kLanes<T>, n - i));
    store_part<T>(to + i, exp(load_part<T>(from + i, count)), count);
  }
}

template <class T>
double micro_kernel_rate(int repeats, void* scratch) {
  using G = Tiles<T>;
  constexpr int inner = 2 * G::kNr;
  Product<T> g;
  g.a = static_cast<T*>(scratch);  // [2][mr][nr], then b [inner][nr], then c [mr][nr]
  g.a_panel = G::kMr * G::kNr;
  g.b = g.a + 2 * g.a_panel;
  g.c = static_cast<T*>(scratch) + 2 * g.a_panel + inner * G::kNr;
  g.k = inner;
  static_assert((3 * G::kMr + inner) * G::kNr * sizeof(T) <= 65536);
  std::memset(scratch, 0, 65536);
  for (int i = 0; i < repeats; ++i) multiply<T>(G::kMr, G::kNr, g);
  return double(repeats) * inner * G::kMr * G::kNr;
}

template <class T>
constexpr Kernels make_table() {
  using G = Tiles<T>;
  static_assert(G::kKeyBlock % G::kNr == 0 && G::kChunk % G::kKeyBlock == 0 && G::kKeysBackward % G::kNr == 0);
  static_assert(larger(G::kRowsForward, G::kRowsBackward) / G::kMr + 8 <= MicroTiles::kMost);
  Kernels k{};
  k.nr = G::kNr;
  k.key_block = G::kKeyBlock;
  k.chunk = G::kChunk;
  k.rows_forward = G::kRowsForward;
  k.rows_backward = G::kRowsBackward;
  k.keys_backward = G::kKeysBackward;
  k.element = sizeof(T);
  k.forward_scratch = forward_scratch<T>;
  k.backward_scratch = backward_scratch<T>;
  k.pack_k = pack_k<T>;
  k.pack_v = pack_v<T>;
  k.forward_tile = forward_tile<T>;
  k.merge_tile = merge_tile<T>;
  k.deltas = deltas<T>;
  k.begin_column = begin_column<T>;
  k.column_rows = column_rows<T>;
  k.column_dq = column_dq<T>;
  k.end_column = end_column<T>;
  k.write_dq = write_dq<T>;
  k.micro_kernel = micro_kernel_rate<T>;
  k.exp = exp_all<T>;
  return k;
}

const Kernels& kernels(bool fp64) {
  static constexpr Kernels single = make_table<float>();
  static constexpr Kernels wide = make_table<double>();
  return fp64 ? wide : single;
}

}  // namespace triangle::cpu::TRIANGLE_ISA
