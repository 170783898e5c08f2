// Names of the event ids (one meaning per pair of pipes) and of the cross-core flags.
#pragma once
#include "compat.h"

namespace triangle {

// AIC <-> both AIVs, mode 2. Each is set once per chunk of keys, in the order of the chunks.
constexpr uint16_t kScoresReady = 0;  // AIC -> AIV: S of a chunk is in its ring slot
constexpr uint16_t kProbsReady = 1;   // AIV -> AIC: P has replaced it
constexpr uint16_t kOutReady = 2;     // AIC -> AIV: P V is in its ring slot

// AIC, L1: MTE2_MTE1 "loaded" and MTE1_MTE2 "free again".
constexpr int32_t kEventQ = 0;
constexpr int32_t kEventK = 1;  // and the next, for the second slot
template <class Tile>
constexpr int32_t kEventV = kEventK + Tile::kKSlots;
template <class Tile>
constexpr int32_t kEventP = kEventV<Tile> + Tile::kVSlots;
// AIC, L0: MTE1_M "loaded", of A and of the B before it, and M_MTE1 "free again".
constexpr int32_t kEventL0A = 0;  // and 1
constexpr int32_t kEventL0B = 2;  // and 3
// AIC, L0C: M_FIX "computed" and FIX_M "free again".
constexpr int32_t kEventL0C = 0;  // and 1

// AIV: MTE2_V "loaded" and V_MTE2 "free again".
constexpr int32_t kEventScores = 0;  // and 1: the score slots, also used by tiles of P V
constexpr int32_t kEventAcc = 2;     // the output accumulator
constexpr int32_t kEventFill = 3;    // a slot about to be loaded in part, filled first
constexpr int32_t kEventStats = 4;   // statistics of chunk partials
constexpr int32_t kEventBounds = 5;  // of intervals
// AIV: V_MTE3 "computed" and MTE3_V "free again".
constexpr int32_t kEventProbs = 0;  // and 1: the 16-bit slots, of P and of the result
constexpr int32_t kEventLse = 2;
constexpr int32_t kEventCutStats = 3;
// AIV, V_S and S_V: what a core reads of the largest scores.
constexpr int32_t kEventLarge = 0;

}  // namespace triangle
