// L2 and HBM as all cores of the chip share them: which lines of global memory L2 holds, and how much of the chip's
// bandwidth is taken at any time.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/cost.h"
#include "core/soc.h"

namespace ascend_sim {

struct MemoryTotals {
  uint64_t read = 0, written = 0;          // bytes the cores moved
  uint64_t hbm_read = 0, hbm_written = 0;  // bytes of lines L2 fetched and gave up
};

class MemorySystem {
 public:
  void Reset(const Soc& soc);

  struct Transfer {
    double end;   // the last byte has passed
    bool missed;  // part of it came from HBM
  };
  // A DMA between GM and `core` that would run at `rate` bytes per cycle from `start` on if it had L2 to itself.
  Transfer Move(const Cost& cost, bool write, double rate, double start, int core);

  const MemoryTotals& totals() const { return totals_; }

 private:
  // The pieces of a transfer in GM.
  struct Pieces {
    uint32_t count;
    uint64_t bytes;
    int64_t stride;
  };
  static Pieces PiecesOf(const Cost& cost);
  // How many times the bytes of a read count, for the 512 B lines that its pieces only touch.
  double Misaligned(const Cost& cost) const;
  struct Touched {
    uint64_t hbm_bytes;  // HBM has to move for it
    double shared;       // bytes of lines other cores read lately, weighed by how lately
  };
  Touched Touch(const Cost& cost, bool write, double start, int core);

  // The chip's bandwidth is a ledger of time slots: a transfer takes, slot after slot, what its own rate and what
  // earlier-issued transfers of all cores leave.
  struct Slot {
    int64_t number = -1;
    float moved = 0, read = 0, hbm = 0, shared = 0;
  };
  static constexpr double kSlotCycles = 256;
  static constexpr size_t kSlots = 1u << 15;

  static constexpr uint64_t kLine = 512, kPageLines = 4096;
  // A line stays until L2's capacity has been filled anew since its last use; per line the number of fills then. Of
  // reads in short pieces: the last core, when, and when a core other than it read last; times in kSlotCycles, 0:
  // never.
  struct Page {
    uint32_t last_use[kPageLines] = {};
    uint32_t read_slot[kPageLines] = {};
    uint32_t other_slot[kPageLines] = {};
    uint16_t reader[kPageLines] = {};
  };
  Page* PageOf(uint64_t page);

  double read_rate_ = 1, mixed_rate_ = 1, hbm_rate_ = 1, gm_burst_ = 0, ddr_read_ = 1, ddr_nd2nz_ = 1;  // per cycle
  double unaligned_ = 1, shared_rate_ = 1, shared_piece_ = 0, shared_window_ = 0, shared_now_ = 0, shared_later_ = 1;
  uint64_t capacity_ = 0;  // lines
  uint32_t fills_ = 1;
  bool warm_ = false;
  std::vector<Slot> slots_;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t cached_number_[16];
  Page* cached_[16] = {};
  MemoryTotals totals_;
};

}  // namespace ascend_sim
