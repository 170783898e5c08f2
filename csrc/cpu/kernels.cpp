// The table of one instruction set's kernels. Compiled once per instruction set; see sources.cmake.
#include "csrc/cpu/kernels.h"

#include <type_traits>

#include "csrc/cpu/backward_tile.h"
#include "csrc/cpu/forward_tile.h"

namespace triangle::cpu::TRIANGLE_ISA {

template <class E>
size_t forward_scratch(int dim, int dim_v) {
  return ForwardScratch<E>().lay_out(nullptr, dim, dim_v);
}
template <class E>
size_t backward_scratch(int dim, int dim_v) {
  return BackwardScratch<E>().lay_out(nullptr, nullptr, nullptr, dim, dim_v);
}
template <class E>
size_t row_panels(int dim, int dim_v) {
  Arena arena;
  BackwardScratch<E>().lay_out_rows(arena, dim, dim_v);
  return arena.used;
}
template <class E>
size_t column_panels(int dim, int dim_v) {
  Arena arena;
  BackwardScratch<E>().lay_out_column(arena, dim, dim_v);
  return arena.used;
}

template <class E>
void pack_k(const Common& common, const Keys& keys, int64_t k0, int64_t k1) {
  using G = Tiles<Sum<E>>;
  for (; k0 < k1; k0 += G::kKeyBlock) {
    E* to = static_cast<E*>(const_cast<void*>(keys.packed_k)) + k0 * padded(common.dim, kStep<E>);
    pack_block_k<E>(common, keys, k0, int(smaller<int64_t>(G::kKeyBlock, k1 - k0)), to);
  }
}
template <class E>
void pack_v(const Common& common, const Keys& keys, int64_t k0, int64_t k1) {
  using G = Tiles<Sum<E>>;
  for (; k0 < k1; k0 += G::kKeyBlock) {
    E* to = static_cast<E*>(const_cast<void*>(keys.packed_v)) + k0 * padded(common.dim_v, G::kNr);
    pack_block_v<E>(common, keys, k0, int(smaller<int64_t>(G::kKeyBlock, k1 - k0)), to);
  }
}

template <class E>
void exp_all(const void* x, void* y, int64_t n) {
  using T = Sum<E>;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const int count = int(smaller<int64_t>(kLanes<T>, n - i));
    store_part<T>(to + i, exp_for_operands<E>(load_part<T>(from + i, count)), count);
  }
}

template <class E>
void tanh_all(const void* x, void* y, int64_t n) {
  using T = Sum<E>;
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < n; i += kLanes<T>) {
    const int count = int(smaller<int64_t>(kLanes<T>, n - i));
    store_part<T>(to + i, tanh(load_part<T>(from + i, count)), count);
  }
}

template <class E>
double micro_kernel_rate(int repeats, void* scratch) {
  using G = Tiles<Sum<E>>;
  constexpr int inner = 2 * G::kNr * kStep<E>;
  Product<E> g;
  E* const a = static_cast<E*>(scratch);  // [inner / nr][mr][nr], then b [inner / step][nr][step], then c [mr][nr]
  E* const b = a + inner * G::kMr;
  g.a = a;
  g.a_panel = G::kMr * G::kNr;
  g.b = b;
  g.c = reinterpret_cast<Sum<E>*>(b + inner * G::kNr);
  g.k = inner;
  static_assert(inner * (G::kMr + G::kNr) * sizeof(E) + G::kMr * G::kNr * sizeof(Sum<E>) <= 65536);
  std::memset(scratch, 0, 65536);
  for (int i = 0; i < repeats; ++i) multiply<E>(G::kMr, G::kNr, g);
  return double(repeats) * inner * G::kMr * G::kNr;
}

template <class E>
constexpr Kernels make_table() {
  using G = Tiles<Sum<E>>;
  static_assert(G::kNr % kStep<E> == 0 && G::kKeyBlock % G::kNr == 0 && G::kChunk % G::kKeyBlock == 0 &&
                G::kKeysBackward % G::kNr == 0);
  static_assert(G::kKeyBlock == G::kKeysBackward);  // blocks of hidden rows serve both
  static_assert(larger(G::kRowsForward, G::kRowsBackward) / G::kMr + 8 <= MicroTiles::kMost);
  Kernels k{};
  k.nr = G::kNr;
  k.key_block = G::kKeyBlock;
  k.chunk = G::kChunk;
  k.rows_forward = G::kRowsForward;
  k.rows_backward = G::kRowsBackward;
  k.keys_backward = G::kKeysBackward;
  k.step = kStep<E>;
  k.element = sizeof(Sum<E>);
  k.operand = sizeof(E);
  k.forward_scratch = forward_scratch<E>;
  k.backward_scratch = backward_scratch<E>;
  k.row_panels = row_panels<E>;
  k.column_panels = column_panels<E>;
  k.pack_k = pack_k<E>;
  k.pack_v = pack_v<E>;
  k.forward_tile = forward_tile<E>;
  k.merge_tile = merge_tile<E>;
  k.deltas = deltas<E>;
  k.begin_column = begin_column<E>;
  k.column_rows = column_rows<E>;
  k.column_dq = column_dq<E>;
  k.end_column = end_column<E>;
  k.write_dq = write_dq<E>;
  k.micro_kernel = micro_kernel_rate<E>;
  k.exp = exp_all<E>;
  k.tanh = tanh_all<E>;
  return k;
}

// Of the DType of q, k and v. Where bf16 has instructions of its own, only its table is made: dispatch.cpp takes the
// others from the instruction set below.
const Kernels& kernels(DType dtype) {
#if defined(__AVX512BF16__)
  static constexpr Kernels pairs = make_table<BFloat16>();
  (void)dtype;
  return pairs;
#else
  static constexpr Kernels single = make_table<float>();
  static constexpr Kernels wide = make_table<double>();
  return dtype == DType::kFloat64 ? wide : single;
#endif
}

}  // namespace triangle::cpu::TRIANGLE_ISA
