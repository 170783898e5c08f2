// C = A B^T of `size`, staged like the vendor's public matmul sample, and what a core has of it.
#pragma once

#include "common.h"

namespace {

constexpr int32_t kStagedM = 128, kStagedN = 256;

// The part of C of an AI core: its rows m0 .. m1 and columns n0 .. n1, tile by tile down the columns.
struct StagedShare {
  __aicore__ inline StagedShare(int32_t size, int32_t single_m, int32_t single_n, int32_t core) {
    const int32_t across = size / single_m;
    m0 = core % across * single_m;
    n0 = core / across * single_n;
    m1 = m0 + single_m;
    n1 = n0 + single_n < size ? n0 + single_n : size;
  }
  int32_t m0, m1, n0, n1;
};

// Base tiles 128 x 256 x 64, packets of 8 base tiles of A and 4 of B in L1, both double-buffered, unitFlag; each core
// has single_m x single_n of C, as T. Sizes are multiples of the tiles. stored() follows each tile's Fixpipe.
template <typename T, class Stored>
__aicore__ inline void StagedMatmul(GM_ADDR a, GM_ADDR b, GM_ADDR c, int32_t size, int32_t single_m, int32_t single_n,
                                    Stored stored) {
  constexpr int32_t kM = kStagedM, kN = kStagedN, kK = 64, kStepA = 8, kStepB = 4;
  constexpr uint32_t kPacketA = kM * kK * kStepA, kPacketB = kN * kK * kStepB;  // elements
  const GlobalTensor<half> ga = Gm<half>(a), gb = Gm<half>(b);
  const GlobalTensor<T> gc = Gm<T>(c);
  const StagedShare share(size, single_m, single_n, static_cast<int32_t>(GetBlockIdx()));
  LocalTensor<float> l0c(TPosition::CO1, 0, kM * kN);
  auto l1a = [](int32_t slot) { return LocalTensor<half>(TPosition::A1, slot * kPacketA * 2, kPacketA); };
  auto l1b = [](int32_t slot) { return LocalTensor<half>(TPosition::B1, 262144 + slot * kPacketB * 2, kPacketB); };
  for (int32_t id = 0; id < 4; ++id) SetFlag<HardEvent::MTE1_MTE2>(id);
  for (int32_t id = 0; id < 2; ++id) SetFlag<HardEvent::M_MTE1>(id);
  int32_t slot0 = 0;
  const int32_t steps = size / kK;
  for (int32_t n = share.n0; n < share.n1; n += kN) {
    for (int32_t m = share.m0; m < share.m1; m += kM) {
      auto fetch_a = [&](int32_t packet) {  // flags 0, 1
        const int32_t slot = packet & 1;
        WaitFlag<HardEvent::MTE1_MTE2>(slot);
        LoadRows(l1a(slot), ga[static_cast<uint64_t>(m) * size + packet * kK * kStepA], kM, kK * kStepA, size);
        SetFlag<HardEvent::MTE2_MTE1>(slot);
      };
      auto fetch_b = [&](int32_t packet) {  // flags 2, 3
        const int32_t slot = packet & 1;
        WaitFlag<HardEvent::MTE1_MTE2>(slot + 2);
        LoadRows(l1b(slot), gb[static_cast<uint64_t>(n) * size + packet * kK * kStepB], kN, kK * kStepB, size);
        SetFlag<HardEvent::MTE2_MTE1>(slot + 2);
      };
      fetch_a(0);
      fetch_b(0);
      int32_t next_a = 1, next_b = 1;
      for (int32_t k = 0; k < steps; ++k) {
        const int32_t in_a = k % kStepA, in_b = k % kStepB, slot_a = k / kStepA & 1, slot_b = k / kStepB & 1;
        LocalTensor<half> l0a(TPosition::A2, slot0 * 32768, kM * kK), l0b(TPosition::B2, slot0 * 32768, kN * kK);
        WaitFlag<HardEvent::M_MTE1>(slot0);
        if (in_a == 0) WaitFlag<HardEvent::MTE2_MTE1>(slot_a);
        if (in_b == 0) WaitFlag<HardEvent::MTE2_MTE1>(slot_b + 2);
        LoadTile(l0a, l1a(slot_a)[in_a * kK * kM], kM, kK);
        LoadTileB(l0b, l1b(slot_b)[in_b * kK * kN], kN, kK);
        if (in_a + 1 == kStepA) SetFlag<HardEvent::MTE1_MTE2>(slot_a);
        if (in_b + 1 == kStepB) SetFlag<HardEvent::MTE1_MTE2>(slot_b + 2);
        Hand<HardEvent::MTE1_M>(slot0);
        Mmad(l0c, l0a, l0b, MmadParams(kM, kN, kK, k + 1 == steps ? 3 : 2, false, k == 0));
        SetFlag<HardEvent::M_MTE1>(slot0);
        slot0 ^= 1;
        if ((k == 0 || in_b + 1 == kStepB) && next_b * kStepB < steps) fetch_b(next_b++);
        if ((k == 0 || in_a + 1 == kStepA) && next_a * kStepA < steps) fetch_a(next_a++);
      }
      StoreTile(gc[static_cast<uint64_t>(m) * size + n], l0c, kM, kN, size, 3);
      stored();
    }
  }
  for (int32_t id = 0; id < 4; ++id) WaitFlag<HardEvent::MTE1_MTE2>(id);
  for (int32_t id = 0; id < 2; ++id) WaitFlag<HardEvent::M_MTE1>(id);
}

}  // namespace
