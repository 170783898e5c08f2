// The cube core's part of the backward: for each section S = Q K^T and dP = dO V^T, and one section later
// dV += P^T dO, dK += dS^T Q, dQ += dS K, which Fixpipe adds to the fp32 accumulators.
#pragma once
#include "backward_sections.h"
#include "cube.h"

namespace triangle {

using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

// AIC <-> both AIVs, mode 2. The first two are set once per section, in order.
constexpr uint16_t kSectionScored = 0;    // AIC -> AIV: S and dP are in the ring slot
constexpr uint16_t kSectionWeighted = 1;  // AIV -> AIC: P and dS have replaced them
constexpr uint16_t kGradsSummed = 2;      // AIC -> AIV: this core's part of the accumulators is done

// L1, MTE2_MTE1 "loaded" and MTE1_MTE2 "free again": two slots each.
constexpr int32_t kEventAnchor = 0;
constexpr int32_t kEventStream = 2;
constexpr int32_t kEventWeights = 4;

struct BackwardAicBuffers {
  static constexpr uint32_t kElement = 2;                                          // bytes of fp16, bf16
  static constexpr uint32_t kWideTile = kGradBlock * WideTile::kWidth * kElement;  // [128, D or Dv]
  static constexpr uint32_t kSquareTile = kGradBlock * kGradBlock * kElement;
  static constexpr uint32_t kAnchor = 0;                            // 2 x (64 + 64) KiB: K and V, or Q and dO
  static constexpr uint32_t kStream = kAnchor + 2 * 2 * kWideTile;  // 2 x 64 KiB
  static constexpr uint32_t kWeights = kStream + 2 * kWideTile;     // 2 x 32 KiB: P, dS
  static constexpr uint32_t kL1End = kWeights + 2 * kSquareTile;
  static_assert(kL1End <= 512 * 1024 - 256, "L1 is 512 KiB, of which mixed kernels lose 256 B");
  static constexpr uint32_t kL0Tile = kSquareTile;
  static constexpr uint32_t kL0cTile = kGradBlock * kGradBlock * 4;
  static_assert(2 * kL0Tile <= 64 * 1024 && 2 * kL0cTile <= 128 * 1024, "two buffers each of L0A, L0B and L0C");
};

// L0A, ZZ, of the transpose of a dense NZ tile of `rows` rows and `columns` columns: its own order of fractals, each
// transposed.
template <class T>
__aicore__ inline void load_a_transposed(const AscendC::LocalTensor<T>& l0a, const AscendC::LocalTensor<T>& l1,
                                         int32_t rows, int32_t columns) {
  AscendC::LoadData2DParams params;
  params.repeatTimes = static_cast<uint8_t>(round_up(columns, 16) / 16 * (round_up(rows, 16) / 16));
  params.srcStride = 1;
  params.ifTranspose = true;
  AscendC::LoadData(l0a, l1, params);
}

template <class T>
class BackwardAic {
 public:
  __aicore__ inline BackwardAic(const TriangleBackwardTiling* tiling, const BackwardArguments& arguments,
                                const ForwardSequences& sequences, int64_t core)
      : tiling_(tiling),
        sequences_(sequences),
        q_{global<T>(arguments.q), &tiling->problem.q, tiling->problem.d},
        k_{global<T>(arguments.k), &tiling->problem.k, tiling->problem.d},
        v_{global<T>(arguments.v), &tiling->problem.v, tiling->problem.dv},
        dout_{global<T>(arguments.dout), &tiling->dout, tiling->problem.dv},
        workspace_(tiling, arguments.workspace, core),
        core_(core),
        d16_(round_up(tiling->problem.d, 16)),
        dv16_(round_up(tiling->problem.dv, 16)) {
    chip_.Init(Buffers::kL1End, 0);
  }

  __aicore__ inline void run() {
    free_all();
    run_pass(kByColumns);
    if (tiling_->deterministic) run_pass(kByRows);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kGradsSummed);
    take_all();
  }

 private:
  using Buffers = BackwardAicBuffers;
  using Local = AscendC::LocalTensor<T>;

  // One of q, k, v, dout.
  struct Input {
    AscendC::GlobalTensor<T> gm;
    const Strides* strides;
    int32_t columns;
  };

  __aicore__ inline void run_pass(BackwardPass pass) {
    SectionCursor scored = sections_of(tiling_, sequences_, pass, core_);
    Section ahead, section;
    bool pending = false;
    while (true) {
      const bool more = scored.next(&ahead);
      if (more) score(ahead);
      if (pending) sum_gradients(section);
      if (!more) break;
      section = ahead;
      pending = true;
    }
  }

  // ---- S and dP ----

  __aicore__ inline void score(const Section& section) {
    if (section.opens) load_anchor(section);
    for (int32_t block = 0; block < section.blocks(); ++block) {
      const int32_t rows = section.rows(block), keys = section.keys(block);
      product_transposed(section, block, q_, k_, 0, d16_, workspace_.template scores<float>(section, block), rows,
                         keys);
      product_transposed(section, block, dout_, v_, 1, dv16_, workspace_.template dprobs<float>(section, block), rows,
                         keys);
    }
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kSectionScored);
  }

  // [rows, keys] = a b^T over `depth` columns, where one of a (rows) and b (keys) is the anchor's part `part`.
  __aicore__ inline void product_transposed(const Section& section, int32_t block, const Input& a, const Input& b,
                                            int32_t part, int32_t depth, const AscendC::GlobalTensor<float>& dst,
                                            int32_t rows, int32_t keys) {
    const int32_t rows16 = round_up(rows, 16), keys16 = round_up(keys, 16);
    const int32_t slot =
        section.by_columns ? load_query_tile(section, block, a, 0, depth) : load_key_tile(section, block, b, 0, depth);
    const Local streamed = stream(slot), kept = anchor(section, part);
    const Local a_tile = section.by_columns ? streamed : kept, b_tile = section.by_columns ? kept : streamed;
    WaitFlag<HardEvent::MTE2_MTE1>(kEventStream + slot);
    const int32_t c = begin_c();
    for (int32_t d0 = 0; d0 < depth; d0 += kCubeTile) {
      const int32_t depth_now = min32(kCubeTile, depth - d0);
      const int32_t ab = begin_ab();
      load_b_transposed(l0b(ab), b_tile, keys, d0, depth_now);
      load_a(l0a(ab), a_tile, rows16, 0, rows, d0, depth_now);
      loaded_ab(ab);
      mmad(l0c(c), l0a(ab), l0b(ab), rows, keys16, depth_now, d0 == 0);
      SetFlag<HardEvent::M_MTE1>(ab);
    }
    SetFlag<HardEvent::MTE1_MTE2>(kEventStream + slot);
    finish_c(c, dst, rows, keys16, kGradBlock);
  }

  // ---- gradients ----

  __aicore__ inline void sum_gradients(const Section& section) {
    AscendC::CrossCoreWaitFlag(kSectionWeighted);
    AscendC::SetAtomicAdd<float>();
    if (section.by_columns) {
      const int32_t keys = section.keys(0);
      for (int32_t n0 = 0; n0 < dv16_; n0 += kCubeTile) {
        sum_over_rows(section, dout_, false, n0, min32(kCubeTile, dv16_ - n0),
                      workspace_.dv(section, section.key0(0))[n0], keys, dv16_);
      }
      for (int32_t n0 = 0; n0 < d16_; n0 += kCubeTile) {
        sum_over_rows(section, q_, true, n0, min32(kCubeTile, d16_ - n0), workspace_.dk(section, section.key0(0))[n0],
                      keys, d16_);
      }
      if (!tiling_->deterministic) add_to_rows(section);
    } else {
      for (int32_t n0 = 0; n0 < d16_; n0 += kCubeTile) {
        sum_over_keys(section, n0, min32(kCubeTile, d16_ - n0), workspace_.dq(section, section.row0(0))[n0]);
      }
    }
    AscendC::SetAtomicNone();
    if (section.closes) SetFlag<HardEvent::MTE1_MTE2>(kEventAnchor + anchor_slot(section));
  }

  // [keys, n] += sum over the section's block rows of w^T x: dV from P and dO, dK from dS and Q.
  __aicore__ inline void sum_over_rows(const Section& section, const Input& x, bool from_ds, int32_t n0, int32_t n,
                                       const AscendC::GlobalTensor<float>& dst, int32_t keys, int32_t pitch) {
    const int32_t c = begin_c();
    for (int32_t block = 0; block < section.blocks(); ++block) {
      const int32_t rows = section.rows(block);
      const int32_t w = load_weights(section, block, from_ds);
      const int32_t slot = load_query_tile(section, block, x, n0, n);
      const int32_t ab = begin_ab();
      WaitFlag<HardEvent::MTE2_MTE1>(kEventWeights + w);
      load_a_transposed(l0a(ab), weights(w), rows, keys);
      SetFlag<HardEvent::MTE1_MTE2>(kEventWeights + w);
      WaitFlag<HardEvent::MTE2_MTE1>(kEventStream + slot);
      load_b(l0b(ab), stream(slot), rows, n);
      SetFlag<HardEvent::MTE1_MTE2>(kEventStream + slot);
      loaded_ab(ab);
      mmad(l0c(c), l0a(ab), l0b(ab), keys, n, rows, block == 0);
      SetFlag<HardEvent::M_MTE1>(ab);
    }
    finish_c(c, dst, keys, n, pitch);
  }

  // dQ of each block row += dS K; other cores add to the same rows.
  __aicore__ inline void add_to_rows(const Section& section) {
    const int32_t keys = section.keys(0), keys16 = round_up(keys, 16);
    for (int32_t block = 0; block < section.blocks(); ++block) {
      const int32_t rows = section.rows(block);
      const int32_t w = load_weights(section, block, true);
      WaitFlag<HardEvent::MTE2_MTE1>(kEventWeights + w);
      for (int32_t n0 = 0; n0 < d16_; n0 += kCubeTile) {
        const int32_t n = min32(kCubeTile, d16_ - n0);
        const int32_t c = begin_c(), ab = begin_ab();
        load_a(l0a(ab), weights(w), round_up(rows, 16), 0, rows, 0, keys);
        load_b(l0b(ab), anchor(section, 0)[n0 * keys16], keys, n);
        loaded_ab(ab);
        mmad(l0c(c), l0a(ab), l0b(ab), rows, n, keys, true);
        SetFlag<HardEvent::M_MTE1>(ab);
        finish_c(c, workspace_.dq(section, section.row0(block))[n0], rows, n, d16_);
      }
      SetFlag<HardEvent::MTE1_MTE2>(kEventWeights + w);
    }
  }

  // dQ of the section's one block row += sum over its block columns of dS K.
  __aicore__ inline void sum_over_keys(const Section& section, int32_t n0, int32_t n,
                                       const AscendC::GlobalTensor<float>& dst) {
    const int32_t rows = section.rows(0);
    const int32_t c = begin_c();
    for (int32_t block = 0; block < section.blocks(); ++block) {
      const int32_t keys = section.keys(block);
      const int32_t w = load_weights(section, block, true);
      const int32_t slot = load_key_tile(section, block, k_, n0, n);
      const int32_t ab = begin_ab();
      WaitFlag<HardEvent::MTE2_MTE1>(kEventWeights + w);
      load_a(l0a(ab), weights(w), round_up(rows, 16), 0, rows, 0, keys);
      SetFlag<HardEvent::MTE1_MTE2>(kEventWeights + w);
      WaitFlag<HardEvent::MTE2_MTE1>(kEventStream + slot);
      load_b(l0b(ab), stream(slot), keys, n);
      SetFlag<HardEvent::MTE1_MTE2>(kEventStream + slot);
      loaded_ab(ab);
      mmad(l0c(c), l0a(ab), l0b(ab), rows, n, keys, block == 0);
      SetFlag<HardEvent::M_MTE1>(ab);
    }
    finish_c(c, dst, rows, n, d16_);
  }

  // ---- GM -> L1 ----

  // K and V of a column, or Q and dO of a row.
  __aicore__ inline void load_anchor(const Section& section) {
    const int32_t event = kEventAnchor + anchor_slot(section);
    WaitFlag<HardEvent::MTE1_MTE2>(event);
    if (section.by_columns) {
      load_input(anchor(section, 0), k_, section.batch, section.head_kv, section.first_k + section.key0(0),
                 section.keys(0), 0, d16_);
      load_input(anchor(section, 1), v_, section.batch, section.head_kv, section.first_k + section.key0(0),
                 section.keys(0), 0, dv16_);
    } else {
      load_input(anchor(section, 0), q_, section.batch, section.head_q, section.first_q + section.row0(0),
                 section.rows(0), 0, d16_);
      load_input(anchor(section, 1), dout_, section.batch, section.head_q, section.first_q + section.row0(0),
                 section.rows(0), 0, dv16_);
    }
    SetFlag<HardEvent::MTE2_MTE1>(event);
    WaitFlag<HardEvent::MTE2_MTE1>(event);
  }

  // Columns n0 .. n0 + n of a block's rows of q or dout, or of its keys of k or v: the stream slot.
  __aicore__ inline int32_t load_query_tile(const Section& section, int32_t block, const Input& x, int32_t n0,
                                            int32_t n) {
    return load_stream(x, section.batch, section.head_q, section.first_q + section.row0(block), section.rows(block), n0,
                       n);
  }
  __aicore__ inline int32_t load_key_tile(const Section& section, int32_t block, const Input& x, int32_t n0,
                                          int32_t n) {
    return load_stream(x, section.batch, section.head_kv, section.first_k + section.key0(block), section.keys(block),
                       n0, n);
  }
  __aicore__ inline int32_t load_stream(const Input& x, int64_t batch, int64_t head, int64_t row, int32_t rows,
                                        int32_t n0, int32_t n) {
    const int32_t slot = streams_used_++ & 1;
    WaitFlag<HardEvent::MTE1_MTE2>(kEventStream + slot);
    load_input(stream(slot), x, batch, head, row, rows, n0, n);
    SetFlag<HardEvent::MTE2_MTE1>(kEventStream + slot);
    return slot;
  }
  __aicore__ inline void load_input(const Local& dst, const Input& x, int64_t batch, int64_t head, int64_t row,
                                    int32_t rows, int32_t n0, int32_t n) {
    load_rows(dst, x.gm[row_offset(*x.strides, batch, head, row) + n0], x.strides->row, rows, min32(n, x.columns - n0));
  }
  // P or dS of a block.
  __aicore__ inline int32_t load_weights(const Section& section, int32_t block, bool ds) {
    const int32_t slot = weights_used_++ & 1;
    WaitFlag<HardEvent::MTE1_MTE2>(kEventWeights + slot);
    load_rows(weights(slot),
              ds ? workspace_.template dprobs<T>(section, block) : workspace_.template scores<T>(section, block),
              BackwardWorkspace::kPitch16, section.rows(block), section.keys(block));
    SetFlag<HardEvent::MTE2_MTE1>(kEventWeights + slot);
    return slot;
  }

  // ---- tiles and their events ----

  __aicore__ static inline int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
  __aicore__ static inline int32_t anchor_slot(const Section& section) {
    return static_cast<int32_t>(section.task & 1);
  }
  __aicore__ inline Local anchor(const Section& section, int32_t part) {
    return chip_.template L1<T>(Buffers::kAnchor + (2 * anchor_slot(section) + part) * Buffers::kWideTile,
                                Buffers::kWideTile / Buffers::kElement);
  }
  __aicore__ inline Local stream(int32_t slot) {
    return chip_.template L1<T>(Buffers::kStream + slot * Buffers::kWideTile, Buffers::kWideTile / Buffers::kElement);
  }
  __aicore__ inline Local weights(int32_t slot) {
    return chip_.template L1<T>(Buffers::kWeights + slot * Buffers::kSquareTile,
                                Buffers::kSquareTile / Buffers::kElement);
  }
  __aicore__ inline Local l0a(int32_t ab) {
    return chip_.template L0A<T>(ab * Buffers::kL0Tile, Buffers::kL0Tile / Buffers::kElement);
  }
  __aicore__ inline Local l0b(int32_t ab) {
    return chip_.template L0B<T>(ab * Buffers::kL0Tile, Buffers::kL0Tile / Buffers::kElement);
  }
  __aicore__ inline AscendC::LocalTensor<float> l0c(int32_t c) {
    return chip_.template L0C<float>(c * Buffers::kL0cTile, Buffers::kL0cTile / 4);
  }

  // L0A and L0B go together: MTE1_M "loaded", M_MTE1 "free again", ids 0 and 1.
  __aicore__ inline int32_t begin_ab() {
    const int32_t ab = ab_used_++ & 1;
    WaitFlag<HardEvent::M_MTE1>(ab);
    return ab;
  }
  __aicore__ inline void loaded_ab(int32_t ab) {
    SetFlag<HardEvent::MTE1_M>(ab);
    WaitFlag<HardEvent::MTE1_M>(ab);
  }
  // L0C: M_FIX "computed", FIX_M "free again", ids 0 and 1.
  __aicore__ inline int32_t begin_c() {
    const int32_t c = c_used_++ & 1;
    WaitFlag<HardEvent::FIX_M>(c);
    return c;
  }
  __aicore__ inline void finish_c(int32_t c, const AscendC::GlobalTensor<float>& dst, int32_t rows, int32_t n,
                                  int32_t pitch) {
    SetFlag<HardEvent::M_FIX>(c);
    WaitFlag<HardEvent::M_FIX>(c);
    store_tile(dst, l0c(c), rows, n, pitch);
    SetFlag<HardEvent::FIX_M>(c);
  }

  // Every buffer begins free; at the end each "free again" is taken back, so that no flag is left to the next kernel.
  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < 2; ++i) {
      SetFlag<HardEvent::MTE1_MTE2>(kEventAnchor + i);
      SetFlag<HardEvent::MTE1_MTE2>(kEventStream + i);
      SetFlag<HardEvent::MTE1_MTE2>(kEventWeights + i);
      SetFlag<HardEvent::M_MTE1>(i);
      SetFlag<HardEvent::FIX_M>(i);
    }
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::MTE1_MTE2>(kEventAnchor + i);
      WaitFlag<HardEvent::MTE1_MTE2>(kEventStream + i);
      WaitFlag<HardEvent::MTE1_MTE2>(kEventWeights + i);
      WaitFlag<HardEvent::M_MTE1>(i);
      WaitFlag<HardEvent::FIX_M>(i);
    }
  }

  const TriangleBackwardTiling* tiling_;
  ForwardSequences sequences_;
  OnChip chip_;
  Input q_, k_, v_, dout_;
  BackwardWorkspace workspace_;
  int64_t core_;
  int32_t d16_, dv16_;
  int32_t streams_used_ = 0, weights_used_ = 0, ab_used_ = 0, c_used_ = 0;
};

}  // namespace triangle
