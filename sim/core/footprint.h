// Which bytes an instruction reads and writes. The engine checks these regions against capacities, tensor and GM
// extents, the uninitialised-read map and the race detector, so an instruction only has to state them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"

namespace ascend_sim {

enum class Access : uint8_t { kRead, kWrite, kAtomic };

// `bytes` contiguous bytes, repeated count0 times at stride0 bytes, that repeated count1 times at stride1, and so on.
// Counts of 1 leave a dimension out. offset is inside the buffer, or a host address for GM. Strides may be 0 or
// negative.
struct Region {
  Buffer buffer;
  Access access;
  uint8_t operand;  // index into Footprint::operands: its name and extent
  uint32_t bytes;
  uint64_t offset;
  uint32_t count[3];
  int64_t stride[3];
  bool carry = false;  // undefined bytes are no finding: they travel, see Carry in core/instruction.h
};

struct Dim {
  uint32_t count = 1;
  int64_t stride = 0;
};

class Footprint {
 public:
  struct Operand {
    const char* name;
    Local local;
    Global global;
  };

  // offset is relative to the operand; bytes 0 or a count of 0 adds nothing.
  void Read(const char* name, const Local& t, int64_t offset, uint32_t bytes, Dim d0 = {}, Dim d1 = {}, Dim d2 = {}) {
    AddLocal(Access::kRead, name, t, offset, bytes, d0, d1, d2);
  }
  // Whole fractals, part of which may never have been written: the instruction's Carry marks them in the destination.
  void ReadCarried(const char* name, const Local& t, int64_t offset, uint32_t bytes, Dim d0 = {}, Dim d1 = {},
                   Dim d2 = {}) {
    const size_t before = regions.size();
    AddLocal(Access::kRead, name, t, offset, bytes, d0, d1, d2);
    if (regions.size() > before) regions.back().carry = true;
  }
  void Write(const char* name, const Local& t, int64_t offset, uint32_t bytes, Dim d0 = {}, Dim d1 = {}, Dim d2 = {}) {
    AddLocal(Access::kWrite, name, t, offset, bytes, d0, d1, d2);
  }
  void Read(const char* name, const Global& t, int64_t offset, uint32_t bytes, Dim d0 = {}, Dim d1 = {}, Dim d2 = {}) {
    AddGlobal(Access::kRead, name, t, offset, bytes, d0, d1, d2);
  }
  // atomic: an atomic add (max, min) into GM; does not race with its like.
  void Write(const char* name, const Global& t, int64_t offset, uint32_t bytes, Dim d0 = {}, Dim d1 = {}, Dim d2 = {},
             bool atomic = false) {
    AddGlobal(atomic ? Access::kAtomic : Access::kWrite, name, t, offset, bytes, d0, d1, d2);
  }

  // The unit flag protocol on L0C: one bit per 512 B. A producer (Mmad) waits for every bit of `t` to be 0; with
  // `flip` it leaves them 1. A consumer (Fixpipe) waits for 1 and, with flip, leaves 0. Stands for SetFlag/WaitFlag
  // between pipes M and FIX. `columns` repeats the bytes for tiles that do not fill their L0C column.
  enum class Unit : uint8_t { kNone, kProduce, kConsume };
  void UnitFlag(Unit role, bool flip, const Local& t, int64_t offset, uint32_t bytes, Dim columns = {}) {
    unit = role;
    unit_flip = flip;
    unit_offset = static_cast<uint32_t>(t.offset + offset);
    unit_bytes = bytes;
    unit_columns = columns;
  }

  // This instruction may follow the one before it in the same pipe without a PipeBarrier even where they share data
  // (M: an Mmad large enough that the next one cannot overtake it).
  bool in_order = false;

  Unit unit = Unit::kNone;
  bool unit_flip = false;
  uint32_t unit_offset = 0, unit_bytes = 0;
  Dim unit_columns;

  std::vector<Region> regions;
  std::vector<Operand> operands;

  void Clear() {
    regions.clear();
    operands.clear();
    in_order = false;
    unit = Unit::kNone;
  }

 private:
  void AddLocal(Access access, const char* name, const Local& t, int64_t offset, uint32_t bytes, Dim d0, Dim d1,
                Dim d2) {
    const int index = OperandIndex(name);
    operands[index].local = t;
    Add(t.buffer, access, index, static_cast<uint64_t>(static_cast<int64_t>(t.offset) + offset), bytes, d0, d1, d2);
  }
  void AddGlobal(Access access, const char* name, const Global& t, int64_t offset, uint32_t bytes, Dim d0, Dim d1,
                 Dim d2) {
    const int index = OperandIndex(name);
    operands[index].global = t;
    Add(Buffer::kGm, access, index, t.address + static_cast<uint64_t>(offset), bytes, d0, d1, d2);
  }
  int OperandIndex(const char* name) {
    for (size_t i = operands.size(); i-- > 0;) {
      if (operands[i].name == name) return static_cast<int>(i);
    }
    operands.push_back(Operand{name, {}, {}});
    return static_cast<int>(operands.size()) - 1;
  }
  void Add(Buffer buffer, Access access, int operand, uint64_t offset, uint32_t bytes, Dim d0, Dim d1, Dim d2) {
    if (bytes == 0 || d0.count == 0 || d1.count == 0 || d2.count == 0) return;
    // Fold dimensions that continue the run: full tiles become one contiguous region, which checks fastest.
    Dim dims[3] = {d0, d1, d2};
    int used = 0;
    Dim kept[3];
    for (const Dim& d : dims) {
      if (d.count == 1 || d.stride == 0) continue;  // a stride of 0 touches the same bytes again
      if (used == 0 && d.stride == static_cast<int64_t>(bytes) &&
          static_cast<uint64_t>(bytes) * d.count < (1ull << 32)) {
        bytes *= d.count;
      } else {
        kept[used++] = d;
      }
    }
    Region region{buffer, access, static_cast<uint8_t>(operand), bytes, offset, {1, 1, 1}, {0, 0, 0}};
    for (int i = 0; i < used; ++i) {
      region.count[i] = kept[i].count;
      region.stride[i] = kept[i].stride;
    }
    regions.push_back(region);
  }
};

}  // namespace ascend_sim
