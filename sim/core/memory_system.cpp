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
  ddr_nd2nz_ = soc.ddr_nd2nz;
  unaligned_ = soc.unaligned_pitch;
  shared_rate_ = soc.shared_line;
  shared_piece_ = soc.shared_piece;
  shared_window_ = soc.shared_window;
  shared_now_ = soc.shared_now;
  shared_later_ = soc.shared_later;
  capacity_ = static_cast<uint64_t>(soc.l2_bytes / static_cast<double>(kLine));
  warm_ = soc.l2_warm != 0;
  fills_ = 1;
  slots_.assign(kSlots, Slot{});
  pages_.clear();
  std::fill(std::begin(cached_number_), std::end(cached_number_), ~0ull);
  totals_ = MemoryTotals{};
}

MemorySystem::Transfer MemorySystem::Move(const Cost& cost, bool write, double rate, double start, int core) {
  if (cost.bytes == 0) return {start, false};
  const Touched touched = cost.gm != 0 ? Touch(cost, write, start, core) : Touched{0, 0};
  const double stretch = write ? 1 : Misaligned(cost);
  const double bytes = static_cast<double>(cost.bytes) * stretch;
  const double hbm_bytes = static_cast<double>(touched.hbm_bytes) * stretch;
  const double hbm_per_byte = hbm_bytes / bytes, shared_per_byte = touched.shared / bytes;
  // Alone: what L2 holds at the core's own rate, the rest at a core's rate from HBM; a written line is not fetched.
  double alone = bytes / rate;
  if (!write && hbm_bytes != 0)
    alone = std::max(0.0, bytes - hbm_bytes) / rate + hbm_bytes / (cost.nd2nz ? ddr_nd2nz_ : ddr_read_);
  alone = std::max(alone, cost.bursts * gm_burst_);
  const double own = bytes / alone;
  double at = start, left = bytes;
  while (true) {
    const auto number = static_cast<int64_t>(at / kSlotCycles);
    const double slot_end = static_cast<double>(number + 1) * kSlotCycles;
    Slot& slot = slots_[static_cast<size_t>(number) % kSlots];
    if (slot.number < number) slot = Slot{number, 0, 0, 0, 0};
    double room = std::min(left, own * (slot_end - at));
    const double wanted = room;
    if (slot.number == number) {  // else a time so far back that its slot is gone: nothing left to share
      room = std::min(room, mixed_rate_ * kSlotCycles - slot.moved);
      if (!write) room = std::min(room, read_rate_ * kSlotCycles - slot.read);
      if (hbm_bytes != 0) room = std::min(room, (hbm_rate_ * kSlotCycles - slot.hbm) / hbm_per_byte);
      if (touched.shared != 0) room = std::min(room, (shared_rate_ * kSlotCycles - slot.shared) / shared_per_byte);
      room = std::max(room, 0.0);
      slot.moved += static_cast<float>(room);
      if (!write) slot.read += static_cast<float>(room);
      slot.hbm += static_cast<float>(room * hbm_per_byte);
      slot.shared += static_cast<float>(room * shared_per_byte);
    }
    left -= room;
    if (left <= 1e-6 * bytes) {
      at += room / own;
      break;
    }
    at = room < wanted ? slot_end : std::max(slot_end, at + room / own);
  }
  (write ? totals_.written : totals_.read) += cost.bytes;
  (write ? totals_.hbm_written : totals_.hbm_read) += touched.hbm_bytes;
  return {at, touched.hbm_bytes != 0 && !write};
}

MemorySystem::Pieces MemorySystem::PiecesOf(const Cost& cost) {
  const uint32_t count = std::max(cost.bursts, 1u);
  const uint64_t bytes = cost.bytes / count;
  if (cost.gm_stride == static_cast<int64_t>(bytes)) return {1, cost.bytes, cost.gm_stride};
  return {count, bytes, cost.gm_stride};
}

double MemorySystem::Misaligned(const Cost& cost) const {
  const Pieces pieces = PiecesOf(cost);
  if (cost.gm == 0 || pieces.count == 1 || pieces.stride % static_cast<int64_t>(kLine) == 0) return 1;
  const auto length = static_cast<double>(pieces.bytes), line = static_cast<double>(kLine);
  // Starts are anywhere in a line: on average one line is touched besides those that the bytes fill.
  return std::min(unaligned_, (length + line) / length);
}

// Marks the lines of a transfer as used. HBM moves lines read that L2 does not hold, and, once L2 is full, a line given
// up for each line newly written.
MemorySystem::Touched MemorySystem::Touch(const Cost& cost, bool write, double start, int core) {
  uint64_t lines = 0;
  double shared = 0;
  const Pieces pieces = PiecesOf(cost);
  const bool watched = !write && static_cast<double>(pieces.bytes) < shared_piece_;
  const auto now = 1 + static_cast<uint32_t>(start / kSlotCycles);
  for (uint32_t i = 0; i < pieces.count; ++i) {
    const uint64_t begin = cost.gm + static_cast<uint64_t>(pieces.stride * static_cast<int64_t>(i));
    const uint64_t last = (begin + std::max<uint64_t>(pieces.bytes, 1) - 1) / kLine;
    for (uint64_t line = begin / kLine; line <= last; ++line) {
      Page& page = *PageOf(line / kPageLines);
      const size_t at = line % kPageLines;
      uint32_t& use = page.last_use[at];
      const bool held = use != 0 && fills_ - use < capacity_;
      if (!held) {
        ++fills_;
        const bool full = fills_ > capacity_;
        if (write ? full : !(warm_ && use == 0 && !full)) ++lines;
      }
      use = fills_;
      if (!watched) continue;
      if (page.reader[at] != core) page.other_slot[at] = page.read_slot[at];
      page.reader[at] = static_cast<uint16_t>(core);
      page.read_slot[at] = now;
      const double age = (static_cast<double>(now) - page.other_slot[at]) * kSlotCycles;
      if (page.other_slot[at] == 0 || age > shared_window_) continue;
      const double bytes = static_cast<double>(std::min(pieces.bytes, kLine));
      shared += bytes * (age <= shared_now_ ? 1 : shared_later_);
    }
  }
  return {lines * kLine, shared};
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
