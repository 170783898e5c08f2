#include "core/memory_system.h"

#include <algorithm>

namespace ascend_sim {

void MemorySystem::Reset(const Soc& soc) {
  const double hertz = 1e9 * soc.ghz;
  read_rate_ = soc.l2_read_bandwidth / hertz;
  mixed_rate_ = soc.l2_mixed_bandwidth / hertz;
  hbm_rate_ = soc.hbm_bandwidth / hertz;
  gm_burst_ = soc.gm_burst;
  ddr_read_ = soc.ddr_read;
  capacity_ = static_cast<uint64_t>(soc.l2_bytes / static_cast<double>(kLine));
  warm_ = soc.l2_warm != 0;
  fills_ = 1;
  slots_.assign(kSlots, Slot{});
  pages_.clear();
  std::fill(std::begin(cached_number_), std::end(cached_number_), ~0ull);
  totals_ = MemoryTotals{};
}

MemorySystem::Transfer MemorySystem::Move(const Cost& cost, bool write, double rate, double start) {
  if (cost.bytes == 0) return {start, false};
  const uint64_t hbm_bytes = cost.gm != 0 ? Touch(cost, write) : 0;
  const auto bytes = static_cast<double>(cost.bytes);
  const double hbm_per_byte = static_cast<double>(hbm_bytes) / bytes;
  // Alone: what L2 holds at the core's own rate, the rest at a core's rate from HBM; a written line is not fetched.
  double alone = bytes / rate;
  if (!write && hbm_bytes != 0) {
    alone = std::max(0.0, bytes - static_cast<double>(hbm_bytes)) / rate + static_cast<double>(hbm_bytes) / ddr_read_;
  }
  alone = std::max(alone, cost.bursts * gm_burst_);
  const double own = bytes / alone;
  double at = start, left = bytes;
  while (true) {
    const auto number = static_cast<int64_t>(at / kSlotCycles);
    const double slot_end = static_cast<double>(number + 1) * kSlotCycles;
    Slot& slot = slots_[static_cast<size_t>(number) % kSlots];
    if (slot.number < number) slot = Slot{number, 0, 0, 0};
    double room = std::min(left, own * (slot_end - at));
    const double wanted = room;
    if (slot.number == number) {  // else a time so far back that its slot is gone: nothing left to share
      room = std::min(room, mixed_rate_ * kSlotCycles - slot.moved);
      if (!write) room = std::min(room, read_rate_ * kSlotCycles - slot.read);
      if (hbm_bytes != 0) room = std::min(room, (hbm_rate_ * kSlotCycles - slot.hbm) / hbm_per_byte);
      room = std::max(room, 0.0);
      slot.moved += static_cast<float>(room);
      if (!write) slot.read += static_cast<float>(room);
      slot.hbm += static_cast<float>(room * hbm_per_byte);
    }
    left -= room;
    if (left <= 1e-6 * bytes) {
      at += room / own;
      break;
    }
    at = room < wanted ? slot_end : std::max(slot_end, at + room / own);
  }
  (write ? totals_.written : totals_.read) += cost.bytes;
  (write ? totals_.hbm_written : totals_.hbm_read) += hbm_bytes;
  return {at, hbm_bytes != 0 && !write};
}

// Marks the lines of a transfer as used. Returns the bytes HBM has to move for it: lines read that L2 does not hold,
// and, once L2 is full, a line given up for each line newly written.
uint64_t MemorySystem::Touch(const Cost& cost, bool write) {
  uint64_t lines = 0;
  uint32_t pieces = std::max(cost.bursts, 1u);
  uint64_t piece = cost.bytes / pieces;
  int64_t stride = cost.gm_stride;
  if (stride == static_cast<int64_t>(piece)) {
    piece = cost.bytes;
    pieces = 1;
  }
  for (uint32_t i = 0; i < pieces; ++i) {
    const uint64_t begin = cost.gm + static_cast<uint64_t>(stride * static_cast<int64_t>(i));
    const uint64_t last = (begin + std::max<uint64_t>(piece, 1) - 1) / kLine;
    for (uint64_t line = begin / kLine; line <= last; ++line) {
      uint32_t& use = PageOf(line / kPageLines)->last_use[line % kPageLines];
      const bool held = use != 0 && fills_ - use < capacity_;
      if (!held) {
        ++fills_;
        const bool full = fills_ > capacity_;
        if (write ? full : !(warm_ && use == 0 && !full)) ++lines;
      }
      use = fills_;
    }
  }
  return lines * kLine;
}

MemorySystem::Page* MemorySystem::PageOf(uint64_t number) {
  const size_t at = number % 16;
  if (cached_number_[at] == number) return cached_[at];
  std::unique_ptr<Page>& page = pages_[number];
  if (page == nullptr) page = std::make_unique<Page>();
  cached_number_[at] = number;
  cached_[at] = page.get();
  return page.get();
}

}  // namespace ascend_sim
