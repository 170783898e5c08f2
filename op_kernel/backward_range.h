// fp16's range: dS = P * (dP - delta) may exceed 65504, or vanish, where dQ and dK do not. So the dS of the query heads
// that share a key/value head is stored times one power of two, and dQ and dK are multiplied by its inverse in fp32.
// The power comes from a bound, |dP - delta| <= max |dO| * max |V| + max |delta| over the rows of a sequence, so it
// does not depend on the schedule, nor on what else is in the batch.
#pragma once
#include "backward_rows.h"

namespace triangle {

constexpr int32_t kEventBound = 0;  // V_S: the bound is there; S_V: it has been read

template <class T>
class BackwardRange {
 public:
  __aicore__ inline BackwardRange(const TriangleBackwardTiling* tiling, GM_ADDR workspace,
                                  const ForwardSequences& sequences, BackwardUb* ub, int64_t vector_core)
      : tiling_(tiling), workspace_(workspace), sequences_(sequences), ub_(*ub), vector_core_(vector_core) {}

  // After BackwardRows::prepare of all cores; before the main pass of any.
  __aicore__ inline void run() {
    free_all();
    const int64_t all = sequences_.count() * tiling_->batch;
    int64_t head = vector_core_;
    for (int64_t sequence = 0; sequence < all; ++sequence) {
      for (; head < tiling_->heads_kv; head += 2 * tiling_->problem.cores) choose(sequence, head);
      head -= tiling_->heads_kv;
    }
    take_all();
  }

 private:
  static constexpr int32_t kAtOnce = 32 * BackwardAivBuffers::kLanes;  // values
  static constexpr int32_t kMostExponent = 60;  // |dP - delta| < 2^41 from finite fp16; also keeps 2^-exponent normal

  // One key/value head of one sequence: of the batch, or the document.
  __aicore__ inline void choose(int64_t sequence, int64_t head_kv) {
    const TriangleForwardTiling& p = tiling_->problem;
    const int64_t batch = p.packed ? 0 : sequence, group = tiling_->group;
    Range q, k;
    q.end = p.total_q;
    k.end = p.total_k;
    if (p.packed) {
      q = sequences_.rows_q(sequence);
      k = sequences_.rows_k(sequence);
    }
    const int64_t first_head = batch * tiling_->heads_q + head_kv * group;
    const int64_t key_row = (batch * tiling_->heads_kv + head_kv) * p.total_k + k.begin;

    const Floats gradient = begin_largest(0), delta = begin_largest(1), value = begin_largest(2);
    for (int64_t head = first_head; head < first_head + group; ++head) {
      largest(gradient, values(tiling_->factor_offset, head * p.total_q + q.begin), q.size());
      largest(delta, values(tiling_->delta_offset, head * p.total_q + q.begin), q.size());
    }
    largest(value, values(tiling_->key_norm_offset, key_row), k.size());
    barrier();
    reduce(gradient);
    reduce(delta);
    reduce(value);
    AscendC::Sqrt(gradient, gradient, 1);
    AscendC::Sqrt(value, value, 1);
    barrier();
    AscendC::Mul(gradient, gradient, value, 1);
    barrier();
    AscendC::Add(gradient, gradient, delta, 1);
    SetFlag<HardEvent::V_S>(kEventBound);
    WaitFlag<HardEvent::V_S>(kEventBound);
    // The bound is below 2^exponent.
    const int32_t bits = gradient.template ReinterpretCast<int32_t>().GetValue(0);
    SetFlag<HardEvent::S_V>(kEventBound);
    WaitFlag<HardEvent::S_V>(kEventBound);
    const int32_t exponent = static_cast<int32_t>(clamp64((bits >> 23) - 127 + 1, -kMostExponent, kMostExponent));

    for (int64_t head = first_head; head < first_head + group; ++head) {
      fill(values(tiling_->factor_offset, head * p.total_q + q.begin), -exponent, q.size());
      fill(values(tiling_->undo_q_offset, head * p.total_q + q.begin), exponent - kProbExponent, q.size());
    }
    fill(values(tiling_->undo_k_offset, key_row), exponent - kProbExponent, k.size());
  }

  __aicore__ inline AscendC::GlobalTensor<float> values(int64_t offset, int64_t row) const {
    return global<float>(workspace_ + offset + 4 * row);
  }

  __aicore__ inline Floats begin_largest(int32_t i) {
    const Floats result = ub_.dp(0)[i * kAtOnce];
    AscendC::Duplicate(result, 0.0f, kAtOnce);
    return result;
  }
  // result[i % kAtOnce] = max over i of |src[i]|
  __aicore__ inline void largest(const Floats& result, const AscendC::GlobalTensor<float>& src, int64_t count) {
    for (int64_t at = 0; at < count; at += kAtOnce) {
      const int32_t now = static_cast<int32_t>(min64(kAtOnce, count - at));
      const int32_t slot = loads_++ & 1;
      const Floats loaded = ub_.s(slot);
      WaitFlag<HardEvent::V_MTE2>(kEventTile + slot);
      AscendC::DataCopyPad(loaded, src[at], AscendC::DataCopyExtParams(1, static_cast<uint32_t>(now * 4), 0, 0, 0),
                           AscendC::DataCopyPadExtParams<float>(false, 0, 0, 0.0f));
      SetFlag<HardEvent::MTE2_V>(kEventTile + slot);
      WaitFlag<HardEvent::MTE2_V>(kEventTile + slot);
      AscendC::Abs(loaded, loaded, now);
      barrier();
      AscendC::Max(result, result, loaded, now);
      SetFlag<HardEvent::V_MTE2>(kEventTile + slot);
    }
  }
  // tile[0] = the largest of its kAtOnce values
  __aicore__ inline void reduce(const Floats& tile) {
    const Floats parts = ub_.dp(0)[3 * kAtOnce];
    AscendC::WholeReduceMax(parts, tile, BackwardAivBuffers::kLanes, kAtOnce / BackwardAivBuffers::kLanes, 1, 1, 8,
                            AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    barrier();
    AscendC::WholeReduceMax(tile, parts, kAtOnce / BackwardAivBuffers::kLanes, 1, 1, 1, 8,
                            AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    barrier();
  }

  // count values 2^exponent
  __aicore__ inline void fill(const AscendC::GlobalTensor<float>& dst, int32_t exponent, int64_t count) {
    const Floats tile = ub_.dp(1);
    WaitFlag<HardEvent::MTE3_V>(kEventResult);
    AscendC::Duplicate(tile.template ReinterpretCast<int32_t>(), (127 + exponent) << 23, kAtOnce);
    SetFlag<HardEvent::V_MTE3>(kEventResult);
    WaitFlag<HardEvent::V_MTE3>(kEventResult);
    for (int64_t at = 0; at < count; at += kAtOnce) {
      const int32_t now = static_cast<int32_t>(min64(kAtOnce, count - at));
      AscendC::DataCopyPad(dst[at], tile, AscendC::DataCopyExtParams(1, static_cast<uint32_t>(now * 4), 0, 0, 0));
    }
    SetFlag<HardEvent::MTE3_V>(kEventResult);
  }

  __aicore__ inline void free_all() {
    for (int32_t i = 0; i < 2; ++i) SetFlag<HardEvent::V_MTE2>(kEventTile + i);
    SetFlag<HardEvent::MTE3_V>(kEventResult);
  }
  __aicore__ inline void take_all() {
    for (int32_t i = 0; i < 2; ++i) WaitFlag<HardEvent::V_MTE2>(kEventTile + i);
    WaitFlag<HardEvent::MTE3_V>(kEventResult);
  }

  const TriangleBackwardTiling* tiling_;
  GM_ADDR workspace_;
  ForwardSequences sequences_;
  BackwardUb& ub_;
  int64_t vector_core_;
  int32_t loads_ = 0;
};

}  // namespace triangle
