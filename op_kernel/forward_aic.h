// The cube core's part of the forward: for each stage S = Q K^T, and two stages later P V.
#pragma once
#include "operands.h"

namespace triangle {

using AscendC::HardEvent;
using AscendC::SetFlag;
using AscendC::WaitFlag;

template <class T, class Tile, class Operands>  // TensorOperands, or another of its kind
class ForwardAic {
 public:
  __aicore__ inline ForwardAic(const TriangleForwardTiling* tiling, const ForwardArguments& arguments,
                               const Operands& operands, const Share& share, int64_t core)
      : tiling_(tiling),
        operands_(operands),
        q_(global<T>(arguments.q)),
        k_(global<T>(arguments.k)),
        v_(global<T>(arguments.v)),
        workspace_(tiling, arguments.workspace, core),
        ahead_(tiling, operands.sequences(), share),
        scores_(tiling, operands.sequences(), share),
        outputs_(tiling, operands.sequences(), share),
        d16_(round_up(tiling->d, 16)),
        dv16_(round_up(tiling->dv, 16)) {
    chip_.Init(Buffers::kL1End, 0);
  }

  __aicore__ inline void run() {
    free_all();
    for (int32_t slot = 0; slot < Tile::kKSlots; ++slot) load_next_k();
    int64_t made = 0, used = 0;
    Stage stage;
    bool more = scores_.next_with_keys(&stage);
    while (more || used < made) {
      if (used < made) load_v_early();
      if (more) {
        make_scores(stage);
        ++made;
        more = scores_.next_with_keys(&stage);
      }
      if (made - used == kRingSlots || !more) {
        make_output();
        ++used;
      }
    }
    take_all();
  }

 private:
  using Buffers = AicBuffers<Tile>;

  // ---- S = Q K^T ----

  __aicore__ inline void make_scores(const Stage& stage) {
    if (stage.opens) load_q(stage);
    Columns columns[Tile::kRowTiles];
    for (int32_t r = 0; r < Tile::kRowTiles; ++r)
      columns[r] = Operands::columns(stage, tile_row(stage, r), tile_rows(stage, r));
    const AscendC::GlobalTensor<float> out = workspace_.scores(stage);
    for (int32_t slot_key = 0; slot_key < stage.keys; slot_key += Tile::kKSlotKeys) {
      const int32_t slot = k_used_++ % Tile::kKSlots;
      WaitFlag<HardEvent::MTE2_MTE1>(kEventK + slot);
      for (int32_t in_slot = 0; in_slot < Tile::kKSlotKeys && slot_key + in_slot < stage.keys; in_slot += kBlockKeys) {
        const int32_t key = slot_key + in_slot;
        const int32_t keys = min32(kBlockKeys, stage.keys - key);
        const AscendC::LocalTensor<T> k_tile = chip_.template L1<T>(
            Buffers::kK + slot * Buffers::kKBytes + in_slot * d16_ * Buffers::kElement, round_up(keys, 16) * d16_);
        score_block(stage, columns, key, keys, k_tile, out);
      }
      SetFlag<HardEvent::MTE1_MTE2>(kEventK + slot);
      load_next_k();
    }
    if (stage.closes) SetFlag<HardEvent::MTE1_MTE2>(kEventQ);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kScoresReady);
  }

  // One block of keys against every row tile that sees it.
  __aicore__ inline void score_block(const Stage& stage, const Columns* columns, int32_t key, int32_t keys,
                                     const AscendC::LocalTensor<T>& k_tile, const AscendC::GlobalTensor<float>& out) {
    const int32_t rows16 = round_up(stage.rows, 16), keys16 = round_up(keys, 16);
    const AscendC::LocalTensor<T> q_tile = chip_.template L1<T>(Buffers::kQ, rows16 * d16_);
    int32_t c[Tile::kRowTiles];
    for (int32_t d0 = 0; d0 < d16_; d0 += kCubeTile) {
      const int32_t depth = min32(kCubeTile, d16_ - d0);
      const int32_t b = begin_b();
      const AscendC::LocalTensor<T> l0b = chip_.template L0B<T>(b * Buffers::kL0Tile, kCubeTile * kCubeTile);
      load_b_transposed(l0b, k_tile, keys, d0, depth);
      for (int32_t r = 0; r < Tile::kRowTiles; ++r) {
        if (key < columns[r].col0 || key >= columns[r].col0 + columns[r].cols) continue;
        const int32_t rows = tile_rows(stage, r);
        const int32_t a = begin_a();
        const AscendC::LocalTensor<T> l0a = chip_.template L0A<T>(a * Buffers::kL0Tile, kCubeTile * kCubeTile);
        load_a(l0a, q_tile, rows16, tile_row(stage, r), rows, d0, depth);
        loaded_a(a);
        if (d0 == 0) c[r] = begin_c();
        mmad(l0c(c[r]), l0a, l0b, rows, keys16, depth, d0 == 0);
        SetFlag<HardEvent::M_MTE1>(kEventL0A + a);
        if (d0 + kCubeTile >= d16_) {
          finish_c(c[r], out[static_cast<uint64_t>(tile_row(stage, r)) * kChunkKeys + key], rows, keys16, kChunkKeys);
        }
      }
      SetFlag<HardEvent::M_MTE1>(kEventL0B + b);
    }
  }

  // ---- P V ----

  __aicore__ inline void make_output() {
    if (!v_issued_) load_v_early();
    const Stage& stage = output_;
    AscendC::CrossCoreWaitFlag(kProbsReady);
    const AscendC::GlobalTensor<float> out = workspace_.out(stage);
    // Slots of P and V in the order of use; the first ones are on their way.
    int32_t p_issued = 0;
    for (; p_issued < Tile::kPSlots && p_issued < p_count(stage); ++p_issued) load_p(stage, p_issued);
    int32_t p_used = 0, v_used = 0;
    for (int32_t r = 0; r < Tile::kRowTiles; ++r) {
      const int32_t rows = tile_rows(stage, r);
      const Columns columns = Operands::columns(stage, tile_row(stage, r), rows);
      if (columns.cols == 0) continue;
      if (!kVResident) WaitFlag<HardEvent::MTE2_MTE1>(kEventP<Tile>);
      for (int32_t n0 = 0; n0 < dv16_; n0 += kCubeTile) {
        const int32_t n = min32(kCubeTile, dv16_ - n0);
        const int32_t c = begin_c();
        for (int32_t key = 0; key < columns.cols; key += kBlockKeys) {
          const int32_t keys = min32(kBlockKeys, columns.cols - key);
          const int32_t in_p = key % Tile::kPSlotKeys, p_slot = kVResident ? p_used % Tile::kPSlots : 0;
          if (kVResident && in_p == 0) WaitFlag<HardEvent::MTE2_MTE1>(kEventP<Tile> + p_slot);
          const int32_t v_key = key + columns.col0;  // V's slots are anchored at the stage's first key
          const int32_t in_v = kVResident ? v_key : key % Tile::kVSlotKeys;
          const int32_t v_slot = kVResident ? 0 : v_used % Tile::kVSlots;
          if (!kVResident && in_v == 0) WaitFlag<HardEvent::MTE2_MTE1>(kEventV<Tile> + v_slot);

          const int32_t b = begin_b();
          const AscendC::LocalTensor<T> l0b = chip_.template L0B<T>(b * Buffers::kL0Tile, kCubeTile * kCubeTile);
          load_b(l0b, v_tile(v_slot, in_v, keys, n), keys, n);
          const int32_t a = begin_a();
          const AscendC::LocalTensor<T> l0a = chip_.template L0A<T>(a * Buffers::kL0Tile, kCubeTile * kCubeTile);
          load_a(l0a, p_tile(p_slot, rows), round_up(rows, 16), 0, rows, in_p, keys);
          loaded_a(a);
          mmad(l0c(c), l0a, l0b, rows, n, keys, key == 0);
          SetFlag<HardEvent::M_MTE1>(kEventL0A + a);
          SetFlag<HardEvent::M_MTE1>(kEventL0B + b);

          const bool last_key = key + kBlockKeys >= columns.cols;
          if (kVResident && (last_key || in_p + kBlockKeys == Tile::kPSlotKeys)) {
            SetFlag<HardEvent::MTE1_MTE2>(kEventP<Tile> + p_slot);
            ++p_used;
            if (p_issued < p_count(stage)) load_p(stage, p_issued++);
          }
          if (!kVResident && (last_key || in_v + kBlockKeys == Tile::kVSlotKeys)) {
            SetFlag<HardEvent::MTE1_MTE2>(kEventV<Tile> + v_slot);
            ++v_used;
            if (v_loaded_ < v_count(stage)) load_v(stage, v_loaded_++);
          }
        }
        finish_c(c, out[static_cast<uint64_t>(tile_row(stage, r)) * dv16_ + n0], rows, n, dv16_);
      }
      if (!kVResident) SetFlag<HardEvent::MTE1_MTE2>(kEventP<Tile>);
    }
    if (kVResident) SetFlag<HardEvent::MTE1_MTE2>(kEventV<Tile>);
    v_issued_ = false;
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kOutReady);
  }

  // V of the next stage to be finished: ahead of the scores that separate it from its use.
  __aicore__ inline void load_v_early() {
    if (v_issued_ || !outputs_.next_with_keys(&output_)) return;
    v_issued_ = true;
    for (v_loaded_ = 0; v_loaded_ < Tile::kVSlots && v_loaded_ < v_count(output_); ++v_loaded_)
      load_v(output_, v_loaded_);
  }

  // ---- GM -> L1 ----

  __aicore__ inline void load_q(const Stage& stage) {
    WaitFlag<HardEvent::MTE1_MTE2>(kEventQ);
    operands_.load_queries(chip_.template L1<T>(Buffers::kQ, Buffers::kQBytes / Buffers::kElement), q_, stage);
    SetFlag<HardEvent::MTE2_MTE1>(kEventQ);
    WaitFlag<HardEvent::MTE2_MTE1>(kEventQ);
  }

  // The next slot of K, in the order in which the stages use them, whichever stage it belongs to.
  __aicore__ inline void load_next_k() {
    if (k_key_ >= k_stage_.keys) {
      if (!ahead_.next_with_keys(&k_stage_)) {
        k_stage_.keys = 0;
        return;
      }
      k_key_ = 0;
    }
    const int32_t slot = k_loaded_++ % Tile::kKSlots;
    WaitFlag<HardEvent::MTE1_MTE2>(kEventK + slot);
    for (int32_t in_slot = 0; in_slot < Tile::kKSlotKeys && k_key_ < k_stage_.keys; in_slot += kBlockKeys) {
      const int32_t keys = min32(kBlockKeys, k_stage_.keys - k_key_);
      operands_.load_keys(
          chip_.template L1<T>(Buffers::kK + slot * Buffers::kKBytes + in_slot * d16_ * Buffers::kElement,
                               kBlockKeys * d16_),
          k_, tiling_->k, k_stage_, k_stage_.key0() + k_key_, keys, 0, tiling_->d);
      k_key_ += keys;
    }
    SetFlag<HardEvent::MTE2_MTE1>(kEventK + slot);
  }

  // Slot `i` of a stage's V. Resident: all keys and columns. Streamed: column tile after column tile, each in slots of
  // kVSlotKeys keys.
  __aicore__ inline int32_t v_slots_of_column_tile(const Stage& stage) const {
    return (stage_columns(stage).cols + Tile::kVSlotKeys - 1) / Tile::kVSlotKeys;
  }
  __aicore__ inline int32_t v_count(const Stage& stage) const {
    return kVResident ? 1 : v_slots_of_column_tile(stage) * ((dv16_ + kCubeTile - 1) / kCubeTile);
  }
  // Streamed tiles serve one row tile, so its columns are the stage's; resident ones serve all.
  __aicore__ inline Columns stage_columns(const Stage& stage) const {
    if (!kVResident) return Operands::columns(stage, 0, stage.rows);
    Columns all;
    all.cols = stage.keys;
    return all;
  }
  __aicore__ inline void load_v(const Stage& stage, int32_t i) {
    const Columns columns = stage_columns(stage);
    const int32_t per_tile = v_slots_of_column_tile(stage);
    const int32_t slot = i % Tile::kVSlots, n0 = kVResident ? 0 : i / per_tile * kCubeTile;
    const int32_t n = min32(kCubeTile, tiling_->dv - n0), n16 = round_up(n, 16);
    const int32_t first = kVResident ? 0 : i % per_tile * Tile::kVSlotKeys;
    WaitFlag<HardEvent::MTE1_MTE2>(kEventV<Tile> + slot);
    for (int32_t key = first; key < first + Tile::kVSlotKeys && key < columns.cols; key += kBlockKeys) {
      operands_.load_keys(v_tile(slot, key - first, kBlockKeys, n16), v_, tiling_->v, stage,
                          stage.key0() + columns.col0 + key, min32(kBlockKeys, columns.cols - key), n0, n);
    }
    if (!kVResident)
      SetFlag<HardEvent::MTE2_MTE1>(kEventV<Tile> + slot);  // resident: loaded before P, which is waited for
  }

  // Slot `i` of a stage's P: row tile after row tile, each in slots of kPSlotKeys keys.
  __aicore__ inline int32_t p_count(const Stage& stage) const {
    int32_t count = 0;
    for (int32_t r = 0; r < Tile::kRowTiles; ++r) count += p_count_of(stage, r);
    return count;
  }
  __aicore__ inline int32_t p_count_of(const Stage& stage, int32_t r) const {
    const int32_t cols = Operands::columns(stage, tile_row(stage, r), tile_rows(stage, r)).cols;
    return (cols + Tile::kPSlotKeys - 1) / Tile::kPSlotKeys;
  }
  __aicore__ inline void load_p(const Stage& stage, int32_t i) {
    int32_t r = 0, slot = i % Tile::kPSlots;
    for (; i >= p_count_of(stage, r); ++r) i -= p_count_of(stage, r);
    const int32_t rows = tile_rows(stage, r), key = i * Tile::kPSlotKeys;
    const Columns columns = Operands::columns(stage, tile_row(stage, r), rows);
    WaitFlag<HardEvent::MTE1_MTE2>(kEventP<Tile> + slot);
    load_rows(p_tile(slot, rows),
              workspace_.template probs<T>(
                  stage)[static_cast<uint64_t>(tile_row(stage, r)) * Workspace::kProbsPitch + columns.col0 + key],
              Workspace::kProbsPitch, rows, min32(Tile::kPSlotKeys, columns.cols - key));
    SetFlag<HardEvent::MTE2_MTE1>(kEventP<Tile> + slot);
  }

  // ---- tiles and their events ----

  static constexpr bool kVResident = Tile::kVSlots == 1;  // else P is
  static_assert((Tile::kVSlots == 1) != (Tile::kPSlots == 1), "one of P and V is resident, the other streams");
  static_assert(kVResident || Tile::kRowTiles == 1, "streamed V serves one row tile");

  __aicore__ static inline int32_t min32(int32_t a, int32_t b) { return a < b ? a : b; }
  __aicore__ static inline int32_t tile_row(const Stage& stage, int32_t r) {
    return r == 0 ? 0 : first_half_rows(stage.rows);
  }
  __aicore__ static inline int32_t tile_rows(const Stage& stage, int32_t r) {
    if (Tile::kRowTiles == 1) return stage.rows;
    const int32_t half = first_half_rows(stage.rows);
    return r == 0 ? half : stage.rows - half;
  }
  __aicore__ inline AscendC::LocalTensor<T> v_tile(int32_t slot, int32_t key, int32_t keys, int32_t n16) {
    return chip_.template L1<T>(Buffers::kV + slot * Buffers::kVBytes + key * n16 * Buffers::kElement,
                                round_up(keys, 16) * n16);
  }
  __aicore__ inline AscendC::LocalTensor<T> p_tile(int32_t slot, int32_t rows) {
    return chip_.template L1<T>(Buffers::kP + slot * Buffers::kPBytes, round_up(rows, 16) * Tile::kPSlotKeys);
  }
  __aicore__ inline AscendC::LocalTensor<float> l0c(int32_t c) {
    return chip_.template L0C<float>(c * Buffers::kL0cTile, kCubeTile * kCubeTile);
  }

  __aicore__ inline int32_t begin_a() {
    const int32_t a = a_used_++ & 1;
    WaitFlag<HardEvent::M_MTE1>(kEventL0A + a);
    return a;
  }
  // And B, which was loaded before.
  __aicore__ inline void loaded_a(int32_t a) {
    SetFlag<HardEvent::MTE1_M>(kEventL0A + a);
    WaitFlag<HardEvent::MTE1_M>(kEventL0A + a);
  }
  __aicore__ inline int32_t begin_b() {
    const int32_t b = b_used_++ & 1;
    WaitFlag<HardEvent::M_MTE1>(kEventL0B + b);
    return b;
  }
  __aicore__ inline int32_t begin_c() {
    const int32_t c = c_used_++ & 1;
    WaitFlag<HardEvent::FIX_M>(kEventL0C + c);
    return c;
  }
  __aicore__ inline void finish_c(int32_t c, const AscendC::GlobalTensor<float>& dst, int32_t rows, int32_t n,
                                  int32_t pitch) {
    SetFlag<HardEvent::M_FIX>(kEventL0C + c);
    WaitFlag<HardEvent::M_FIX>(kEventL0C + c);
    store_tile(dst, l0c(c), rows, n, pitch);
    SetFlag<HardEvent::FIX_M>(kEventL0C + c);
  }

  // Every buffer begins free; at the end each "free again" is taken back, so that no flag is left to the next kernel.
  __aicore__ inline void free_all() {
    SetFlag<HardEvent::MTE1_MTE2>(kEventQ);
    for (int32_t i = 0; i < Tile::kKSlots; ++i) SetFlag<HardEvent::MTE1_MTE2>(kEventK + i);
    for (int32_t i = 0; i < Tile::kVSlots; ++i) SetFlag<HardEvent::MTE1_MTE2>(kEventV<Tile> + i);
    for (int32_t i = 0; i < Tile::kPSlots; ++i) SetFlag<HardEvent::MTE1_MTE2>(kEventP<Tile> + i);
    for (int32_t i = 0; i < 2; ++i) {
      SetFlag<HardEvent::M_MTE1>(kEventL0A + i);
      SetFlag<HardEvent::M_MTE1>(kEventL0B + i);
      SetFlag<HardEvent::FIX_M>(kEventL0C + i);
    }
  }
  __aicore__ inline void take_all() {
    WaitFlag<HardEvent::MTE1_MTE2>(kEventQ);
    for (int32_t i = 0; i < Tile::kKSlots; ++i) WaitFlag<HardEvent::MTE1_MTE2>(kEventK + i);
    for (int32_t i = 0; i < Tile::kVSlots; ++i) WaitFlag<HardEvent::MTE1_MTE2>(kEventV<Tile> + i);
    for (int32_t i = 0; i < Tile::kPSlots; ++i) WaitFlag<HardEvent::MTE1_MTE2>(kEventP<Tile> + i);
    for (int32_t i = 0; i < 2; ++i) {
      WaitFlag<HardEvent::M_MTE1>(kEventL0A + i);
      WaitFlag<HardEvent::M_MTE1>(kEventL0B + i);
      WaitFlag<HardEvent::FIX_M>(kEventL0C + i);
    }
  }

  const TriangleForwardTiling* tiling_;
  Operands operands_;
  OnChip chip_;
  AscendC::GlobalTensor<T> q_, k_, v_;
  Workspace workspace_;
  StageCursor<typename Operands::Sequences> ahead_, scores_, outputs_;  // of the K loads, of S, of P V
  int32_t d16_, dv16_;
  Stage k_stage_, output_;
  int32_t k_key_ = 0, k_loaded_ = 0, k_used_ = 0, v_loaded_ = 0;
  int32_t a_used_ = 0, b_used_ = 0, c_used_ = 0;
  bool v_issued_ = false;
};

}  // namespace triangle
