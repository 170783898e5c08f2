// The cube core's part of the backward: for each section S = Q K^T and dP = dO V^T, and two sections later dV += P^T
// dO, dK += dS^T Q, dQ += dS K, which Fixpipe adds to the fp32 accumulators.
//
// Scores fill L0C after every product and keep Fixpipe busy, dV and dK only once a section, and keep the cube busy. So
// both go block by block in turns: dV with S, then dK and dQ with dP.
#pragma once
#include "backward_cube.h"

namespace triangle {

// AIC <-> both AIVs, mode 2. The first two are set once per section, in order.
constexpr uint16_t kSectionScored = 0;    // AIC -> AIV: S and dP are in the ring slot
constexpr uint16_t kSectionWeighted = 1;  // AIV -> AIC: P and dS have replaced them
constexpr uint16_t kGradsSummed = 2;      // AIC -> AIV: this core's part of the accumulators is done

template <class T, class Tile, class Sequences>
class BackwardAic {
 public:
  __aicore__ inline BackwardAic(const TriangleBackwardTiling* tiling, const BackwardArguments& arguments,
                                const Sequences& sequences, int64_t core)
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
    cube_.Init();
  }

  __aicore__ inline void run() {
    cube_.free_all();
    run_pass(kByColumns);
    if (tiling_->deterministic) run_pass(kByRows);
    AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kGradsSummed);
    cube_.take_all();
  }

 private:
  using Cube = BackwardCube<T, Tile>;
  using Buffers = BackwardAicBuffers<Tile>;
  using Input = typename Cube::Input;
  using Local = AscendC::LocalTensor<T>;
  enum Gradient { kDv, kDk, kDq };

  // Scores two sections ahead of gradients, into the ring slot that these are reading: what a product overwrites was
  // loaded for an earlier product.
  __aicore__ inline void run_pass(BackwardPass pass) {
    SectionCursor<Sequences> cursor = sections_of(tiling_, sequences_, pass, core_);
    Section sections[kSectionSlots + 1];
    int32_t waiting = 0;             // sections scored and not yet summed
    int32_t scored = 0, summed = 0;  // places of the next ones
    bool more = true;
    while (more || waiting > 0) {
      Section& ahead = sections[scored];
      more = more && cursor.next(&ahead);
      const bool sums = waiting > 0 && (!more || waiting == kSectionSlots);
      step(sums ? &sections[summed] : nullptr, more ? &ahead : nullptr);
      if (more) {
        scored = next_slot(scored, kSectionSlots + 1);
        ++waiting;
      }
      if (sums) {
        summed = next_slot(summed, kSectionSlots + 1);
        --waiting;
      }
    }
  }

  // Gradients of `old` and scores of `ahead`; either may be null.
  __aicore__ inline void step(const Section* old, const Section* ahead) {
    if (old == nullptr && ahead == nullptr) return;
    const bool by_columns = old != nullptr ? old->by_columns : ahead->by_columns;
    if (old != nullptr) AscendC::CrossCoreWaitFlag(kSectionWeighted);
    if (ahead != nullptr && ahead->opens) load_anchor(*ahead);
    if (old != nullptr && old->opens && adds_to_rows(*old)) load_keys(*old);
    if (by_columns) {
      for (int32_t n0 = 0; n0 < dv16_; n0 += kCubeTile)
        sum_and_score(old, n0 + kCubeTile < dv16_ ? nullptr : ahead, kDv, n0, Cube::smaller(kCubeTile, dv16_ - n0));
      for (int32_t n0 = 0; n0 < d16_; n0 += kCubeTile)
        sum_and_score(old, n0 + kCubeTile < d16_ ? nullptr : ahead, kDk, n0, Cube::smaller(kCubeTile, d16_ - n0));
    } else {
      for (int32_t n0 = 0; n0 < d16_; n0 += kCubeTile)
        sum_and_score(old, n0 + kCubeTile < d16_ ? nullptr : ahead, kDq, n0, Cube::smaller(kCubeTile, d16_ - n0));
    }
    if (ahead != nullptr) {
      AscendC::CrossCoreSetFlag<2, PIPE_FIX>(kSectionScored);
      if (ahead->closes) cube_.end_use(Buffers::kEventAnchor + Cube::anchor_slot(*ahead));
    }
    if (old != nullptr && old->closes && adds_to_rows(*old)) cube_.end_use(Buffers::kEventKeys);
  }
  // dQ in the pass by columns: not in one order, so not on the deterministic path.
  __aicore__ inline bool adds_to_rows(const Section& section) const {
    return section.by_columns && !tiling_->deterministic;
  }

  __aicore__ static inline bool computes(const Section& section, int32_t block) {
    return !Sequences::kIntervals || (section.unseen >> block & 1) == 0;
  }

  // Columns n0 .. n0 + n of one gradient summed over the blocks of `old`, in turns with the scores of `ahead`.
  __aicore__ inline void sum_and_score(const Section* old, const Section* ahead, Gradient gradient, int32_t n0,
                                       int32_t n) {
    const int32_t sums = old != nullptr ? old->blocks() : 0, scores = ahead != nullptr ? ahead->blocks() : 0;
    if (sums > 0) cube_.begin_sum();
    // One sum ahead: two score products then lie between a sum's last block and the next sum's first, which waits until
    // Fixpipe has stored the one before.
    const int32_t lag = sums > 0 ? 1 : 0;
    for (int32_t block = 0; block < sums || block - lag < scores; ++block) {
      if (block < sums && computes(*old, block)) sum(*old, block, gradient, n0, n);
      const int32_t scored = block - lag;
      if (scored < 0 || scored >= scores || !computes(*ahead, scored)) continue;
      if (gradient != kDk) score(*ahead, scored, 0);
      if (gradient != kDv) score(*ahead, scored, 1);
    }
  }

  // ---- S and dP ----

  // Part 0: S = Q K^T, part 1: dP = dO V^T, [rows, keys]. One operand is the section's anchor.
  __aicore__ inline void score(const Section& section, int32_t block, int32_t part) {
    const int32_t rows = section.rows(block), keys = section.keys(block);
    const int32_t rows16 = round_up(rows, 16), keys16 = round_up(keys, 16), depth = part == 0 ? d16_ : dv16_;
    const int32_t slot = cube_.next_operands(), event = Buffers::kEventOperands + slot;
    cube_.begin_load(event);
    if (section.by_columns) {
      load_queries(slot, section, block, part == 0 ? q_ : dout_, 0, depth);
    } else {
      load_keys_of(slot, section, block, part == 0 ? k_ : v_, 0, depth);
    }
    cube_.end_load(event);
    if (block == 0 && part == 0 && section.opens) cube_.begin_use(Buffers::kEventAnchor + Cube::anchor_slot(section));
    cube_.begin_use(event);
    const Local streamed = cube_.input(slot), kept = cube_.anchor(section, part);
    const Local a = section.by_columns ? streamed : kept, b = section.by_columns ? kept : streamed;
    const AscendC::GlobalTensor<float> dst = part == 0 ? workspace_.template scores<float>(section, block)
                                                       : workspace_.template dprobs<float>(section, block);
    for (int32_t d0 = 0; d0 < depth; d0 += kCubeTile) {
      const int32_t now = Cube::smaller(kCubeTile, depth - d0);
      const int32_t ab = cube_.begin_ab();
      load_b_transposed(cube_.l0b(ab), b, keys, d0, now);
      load_a(cube_.l0a(ab), a, rows16, 0, rows, d0, now);
      cube_.loaded_ab(ab);
      cube_.multiply(ab, dst, rows, keys16, now, kGradBlock, d0 == 0, d0 + now >= depth);
      cube_.end_ab(ab);
    }
    cube_.end_use(event);
  }

  // ---- gradients ----

  // One block of dV = P^T dO, dK = dS^T Q (and with it, of its own, dQ += dS K) or dQ = dS K.
  __aicore__ inline void sum(const Section& section, int32_t block, Gradient gradient, int32_t n0, int32_t n) {
    const int32_t rows = section.rows(block), keys = section.keys(block);
    const int32_t slot = cube_.next_operands(), event = Buffers::kEventOperands + slot;
    cube_.begin_load(event);
    load_rows(
        cube_.weights(slot),
        gradient == kDv ? workspace_.template scores<T>(section, block) : workspace_.template dprobs<T>(section, block),
        BackwardWorkspace::kPitch16, rows, keys);
    if (gradient == kDq) {
      load_keys_of(slot, section, block, k_, n0, n);
    } else {
      load_queries(slot, section, block, gradient == kDv ? dout_ : q_, n0, n);
    }
    cube_.end_load(event);
    cube_.begin_use(event);

    const int32_t ab = cube_.begin_ab();
    const bool first = block == 0, last = block + 1 == section.blocks();
    if (gradient == kDq) {
      load_a(cube_.l0a(ab), cube_.weights(slot), round_up(rows, 16), 0, rows, 0, keys);
      load_b(cube_.l0b(ab), cube_.input(slot), keys, n);
      cube_.loaded_ab(ab);
      cube_.add_to_sum(ab, rows, n, keys, first);
    } else {
      load_a_transposed(cube_.l0a(ab), cube_.weights(slot), rows, keys);
      load_b(cube_.l0b(ab), cube_.input(slot), rows, n);
      cube_.loaded_ab(ab);
      cube_.add_to_sum(ab, keys, n, rows, first);
    }
    cube_.end_ab(ab);
    if (last && gradient == kDv)
      cube_.end_sum(workspace_.dv(section, section.key0(0))[n0], keys, n, dv16_, !section.stores);
    if (last && gradient == kDk)
      cube_.end_sum(workspace_.dk(section, section.key0(0))[n0], keys, n, d16_, !section.stores);
    if (last && gradient == kDq) cube_.end_sum(workspace_.dq(section, section.row0(0))[n0], rows, n, d16_, true);
    if (gradient == kDk && adds_to_rows(section)) add_to_rows(section, block, slot, n0, n);
    cube_.end_use(event);
  }

  // dQ of a block's rows += dS K, dS being loaded; other cores add to the same rows.
  __aicore__ inline void add_to_rows(const Section& section, int32_t block, int32_t slot, int32_t n0, int32_t n) {
    const int32_t rows = section.rows(block), keys = section.keys(block);
    if (block == 0 && n0 == 0 && section.opens) cube_.begin_use(Buffers::kEventKeys);
    const int32_t ab = cube_.begin_ab();
    load_a(cube_.l0a(ab), cube_.weights(slot), round_up(rows, 16), 0, rows, 0, keys);
    load_b(cube_.l0b(ab), cube_.keys()[n0 * round_up(keys, 16)], keys, n);
    cube_.loaded_ab(ab);
    AscendC::SetAtomicAdd<float>();
    cube_.multiply(ab, workspace_.dq(section, section.row0(block))[n0], rows, n, keys, d16_, true, true);
    AscendC::SetAtomicNone();
    cube_.end_ab(ab);
  }

  // ---- GM -> L1 ----

  // K and V of a column, or Q and dO of a row: what all scores of a task share.
  __aicore__ inline void load_anchor(const Section& section) {
    const int32_t event = Buffers::kEventAnchor + Cube::anchor_slot(section);
    cube_.begin_load(event);
    if (section.by_columns) {
      const int64_t key = section.first_k + section.key0(0);
      cube_.load_input(cube_.anchor(section, 0), k_, section.batch, section.head_kv, key, section.keys(0), 0, d16_);
      cube_.load_input(cube_.anchor(section, 1), v_, section.batch, section.head_kv, key, section.keys(0), 0, dv16_);
    } else {
      const int64_t row = section.first_q + section.row0(0);
      cube_.load_input(cube_.anchor(section, 0), q_, section.batch, section.head_q, row, section.rows(0), 0, d16_);
      cube_.load_input(cube_.anchor(section, 1), dout_, section.batch, section.head_q, row, section.rows(0), 0, dv16_);
    }
    cube_.end_load(event);
  }
  // K of a column again, for its dQ: two sections later than its scores.
  __aicore__ inline void load_keys(const Section& section) {
    cube_.begin_load(Buffers::kEventKeys);
    cube_.load_input(cube_.keys(), k_, section.batch, section.head_kv, section.first_k + section.key0(0),
                     section.keys(0), 0, d16_);
    cube_.end_load(Buffers::kEventKeys);
  }
  // Columns n0 .. n0 + n of a block's rows of q or dout, or of its keys of k or v.
  __aicore__ inline void load_queries(int32_t slot, const Section& section, int32_t block, const Input& x, int32_t n0,
                                      int32_t n) {
    cube_.load_input(cube_.input(slot), x, section.batch, section.head_q, section.first_q + section.row0(block),
                     section.rows(block), n0, n);
  }
  __aicore__ inline void load_keys_of(int32_t slot, const Section& section, int32_t block, const Input& x, int32_t n0,
                                      int32_t n) {
    cube_.load_input(cube_.input(slot), x, section.batch, section.head_kv, section.first_k + section.key0(block),
                     section.keys(block), n0, n);
  }

  const TriangleBackwardTiling* tiling_;
  Sequences sequences_;
  Cube cube_;
  Input q_, k_, v_, dout_;
  BackwardWorkspace workspace_;
  int64_t core_;
  int32_t d16_, dv16_;
};

}  // namespace triangle
