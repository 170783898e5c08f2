#include "isa/vec_gather.h"

#include "core/core.h"
#include "core/device.h"
#include "core/engine.h"
#include "core/machine.h"
#include "isa/vec_reduce.h"

namespace ascend_sim {

namespace {

// The bytes of `t` as they will be when an instruction issued now on V executes; null where they cannot be read.
const uint8_t* BytesNow(const Local& t, uint64_t bytes) {
  Machine& machine = CurrentMachine();
  Core& core = CurrentCore();
  if (machine.options.timing_only || t.buffer != Buffer::kUb) return nullptr;
  if (t.offset + bytes > core.capacity[static_cast<int>(Buffer::kUb)]) return nullptr;
  EngineScope scope(machine);
  machine.order.Drain(core, Pipe::kV);
  return core.bases[static_cast<int>(Buffer::kUb)] + t.offset;
}

template <class I>
void IssueNow(const I& instruction, Site site) {
  IssueErased(&instruction, detail::OpsOf<I>(), site);
}

uint32_t Elements(const VecShape& shape, uint32_t lanes) {
  return shape.counter ? static_cast<uint32_t>(shape.mask[0]) : static_cast<uint32_t>(shape.repeat) * lanes;
}

// Reads of `bytes` at each offset, neighbours joined.
class JoinedReads {
 public:
  JoinedReads(Footprint& f, const Local& src, uint32_t bytes) : f_(f), src_(src), bytes_(bytes) {}
  ~JoinedReads() { Flush(); }
  void Add(int64_t at) {
    if (length_ != 0 && at == begin_ + length_) {
      length_ += bytes_;
      return;
    }
    if (length_ != 0 && at >= begin_ && at + bytes_ <= begin_ + length_) return;
    Flush();
    begin_ = at;
    length_ = bytes_;
  }

 private:
  void Flush() {
    if (length_ != 0) f_.Read("src", src_, begin_, static_cast<uint32_t>(length_));
    length_ = 0;
  }
  Footprint& f_;
  const Local& src_;
  uint32_t bytes_;
  int64_t begin_ = 0, length_ = 0;
};

void CheckType(Check& check, bool ok, DType type) {
  if (!ok) check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
}
void CheckTensor(Check& check, const char* name, const Local& t, bool write) {
  check.In(name, t, Buffer::kUb);
  check.Aligned(name, t, kBlockBytes, write);
}

}  // namespace

void VecGather::Validate(Check& check) const {
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  CheckType(check, bytes == 2 || bytes == 4, type);
  CheckShape(check, shape, lanes);
  CheckOperand(check, "dst", dst, true);
  CheckTensor(check, "src", src, false);
  CheckTensor(check, "srcOffset", offsets, false);
  if (base % bytes != 0) check.Fail(Rule::kArgument, "srcBaseAddr: %u is not a multiple of %u", base, bytes);
  if (host_offsets == nullptr || check.failed()) return;
  for (uint32_t k = 0; k < Elements(shape, lanes); ++k) {
    if (shape.Active(lanes, k / lanes, k % lanes) && host_offsets[k] % bytes != 0) {
      check.Fail(Rule::kArgument, "srcOffset: element %u is %u, not a multiple of %u", k, host_offsets[k], bytes);
      return;
    }
  }
}
void VecGather::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = kRepeatBytes / bytes;
  TouchWalk(f, false, "srcOffset", VecWalk{offsets, 1, static_cast<uint16_t>(lanes / 8)}, shape, 4, lanes);
  if (host_offsets != nullptr) {
    JoinedReads reads(f, src, bytes);
    for (uint32_t k = 0; k < Elements(shape, lanes); ++k) {
      if (shape.Active(lanes, k / lanes, k % lanes)) reads.Add(static_cast<int64_t>(base) + host_offsets[k]);
    }
  }
  TouchWalk(f, true, "dst", dst, shape, bytes, lanes);
}
namespace {
template <class T>
void GatherLanes(const VecGather& i, const Exec& exec) {
  constexpr uint32_t lanes = kRepeatBytes / sizeof(T);
  const VecWalk* const walks[1] = {&i.dst};
  const uint32_t bytes[1] = {sizeof(T)};
  const uint32_t* offsets = exec.At<const uint32_t>(i.offsets);
  ForEachRun(i.shape, lanes, walks, bytes, [&](const VecRun<1>& run) {
    T* d = exec.At<T>(i.dst.t, run.offset[0]);
    const uint32_t* o = offsets + run.repeat * lanes + run.lane;
    for (uint32_t k = 0; k < run.count; ++k) d[k] = *exec.At<const T>(i.src, static_cast<int64_t>(i.base) + o[k]);
  });
}
}  // namespace
void VecGather::Execute(const Exec& exec) const {
  BytesOf(type) == 2 ? GatherLanes<uint16_t>(*this, exec) : GatherLanes<uint32_t>(*this, exec);
}
Cost VecGather::GetCost() const {
  return Cost::Vector(VectorClass::kGather, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter);
}
void Issue(const VecGather& instruction, Site site) {
  VecGather known = instruction;
  const uint64_t elements = Elements(known.shape, kRepeatBytes / BytesOf(known.type));
  known.host_offsets = reinterpret_cast<const uint32_t*>(BytesNow(known.offsets, elements * 4));
  IssueNow(known, site);
}

void VecGatherBlocks::Validate(Check& check) const {
  CheckType(check, type == DType::kU16 || type == DType::kU32, type);
  CheckOperand(check, "dst", dst, true);
  CheckTensor(check, "src", src, false);
  CheckTensor(check, "offset", offsets, false);
  for (uint32_t k = 0; host_offsets != nullptr && k < repeat * 8u; ++k) {
    if (host_offsets[k] % kBlockBytes != 0) {
      check.Fail(Rule::kArgument, "offset: element %u is %u, not a multiple of 32", k, host_offsets[k]);
      return;
    }
  }
}
void VecGatherBlocks::Touch(Footprint& f) const {
  f.Read("offset", offsets, 0, repeat * 32u);
  {
    JoinedReads reads(f, src, kBlockBytes);
    for (uint32_t k = 0; host_offsets != nullptr && k < repeat * 8u; ++k) reads.Add(host_offsets[k]);
  }
  f.Write("dst", dst.t, 0, kBlockBytes, Dim{8, static_cast<int64_t>(dst.block_stride) * kBlockBytes},
          Dim{repeat, static_cast<int64_t>(dst.repeat_stride) * kBlockBytes});
}
void VecGatherBlocks::Execute(const Exec& exec) const {
  const uint32_t* o = exec.At<const uint32_t>(offsets);
  for (uint32_t k = 0; k < repeat * 8u; ++k) {
    const int64_t block =
        static_cast<int64_t>(k / 8) * dst.repeat_stride + static_cast<int64_t>(k % 8) * dst.block_stride;
    std::memcpy(exec.At(dst.t, block * kBlockBytes), exec.At(src, o[k]), kBlockBytes);
  }
}
Cost VecGatherBlocks::GetCost() const { return Cost::Vector(VectorClass::kGather, repeat, false); }
void Issue(const VecGatherBlocks& instruction, Site site) {
  VecGatherBlocks known = instruction;
  known.host_offsets = reinterpret_cast<const uint32_t*>(BytesNow(known.offsets, known.repeat * 32u));
  IssueNow(known, site);
}

bool VecGatherMask::Picks(uint32_t r, uint64_t element) const {
  switch (pattern) {
    case 0: {
      if (host_bits == nullptr) return false;
      const uint64_t at = static_cast<uint64_t>(r) * bits_repeat_stride * kBlockBytes * 8 + element;
      return (host_bits[at >> 3] >> (at & 7)) & 1;
    }
    case 1:
    case 2:
      return element % 2 == pattern - 1u;
    case 7:
      return true;
    default:
      return element % 4 == pattern - 3u;
  }
}
uint64_t VecGatherMask::Remaining() const {
  uint64_t picked = 0;
  for (uint32_t r = 0; r < repeat; ++r) {
    for (uint64_t e = 0; e < PerRepeat(); ++e) picked += Picks(r, e);
  }
  return picked;
}
void VecGatherMask::Validate(Check& check) const {
  CheckType(check, BytesOf(type) == 2 || BytesOf(type) == 4, type);
  check.Range("src1Pattern", pattern, 0, 7);
  if (counter) check.Range("mask", count, 1, 192 * 1024);
  CheckOperand(check, "src0", src, false);
  CheckTensor(check, "dst", dst, true);
  if (pattern == 0) CheckTensor(check, "src1Pattern", bits, false);
}
void VecGatherMask::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type);
  const uint64_t per_repeat = PerRepeat();
  const uint32_t blocks = static_cast<uint32_t>(per_repeat * bytes / kBlockBytes);
  const uint32_t rest = static_cast<uint32_t>(per_repeat * bytes % kBlockBytes);
  const int64_t block_step = static_cast<int64_t>(src.block_stride) * kBlockBytes;
  const Dim repeats{repeat, static_cast<int64_t>(src.repeat_stride) * kBlockBytes};
  if (blocks != 0) f.Read("src0", src.t, 0, kBlockBytes, Dim{blocks, block_step}, repeats);
  f.Read("src0", src.t, blocks * block_step, rest, repeats);
  if (pattern == 0) {
    f.Read("src1Pattern", bits, 0, static_cast<uint32_t>((per_repeat + 7) / 8),
           Dim{repeat, static_cast<int64_t>(bits_repeat_stride) * kBlockBytes});
  }
  f.Write("dst", dst, 0, static_cast<uint32_t>(Remaining() * bytes));
}
void VecGatherMask::Execute(const Exec& exec) const {
  const uint32_t bytes = BytesOf(type), per_block = kBlockBytes / bytes;
  uint8_t* to = exec.At(dst);
  uint64_t picked = 0;
  for (uint32_t r = 0; r < repeat; ++r) {
    for (uint64_t e = 0; e < PerRepeat(); ++e) {
      if (!Picks(r, e)) continue;
      const int64_t block =
          static_cast<int64_t>(r) * src.repeat_stride + static_cast<int64_t>(e / per_block) * src.block_stride;
      std::memmove(to + picked++ * bytes,
                   exec.At(src.t, block * kBlockBytes + static_cast<int64_t>(e % per_block * bytes)), bytes);
    }
  }
  exec.core().registers.remaining = picked;
}
Cost VecGatherMask::GetCost() const {
  const uint64_t lanes = kRepeatBytes / BytesOf(type);
  return Cost::Vector(VectorClass::kGather, static_cast<uint32_t>(repeat * ((PerRepeat() + lanes - 1) / lanes)),
                      counter);
}
uint64_t IssueGatherMask(const VecGatherMask& instruction, Site site) {
  VecGatherMask known = instruction;
  if (known.pattern == 0 && known.repeat != 0) {
    const uint64_t last = (known.repeat - 1ull) * known.bits_repeat_stride * kBlockBytes + (known.PerRepeat() + 7) / 8;
    known.host_bits = BytesNow(known.bits, last);
  }
  IssueNow(known, site);
  constexpr int kInternalFlag = 7;
  device::SetFlag(Pipe::kV, Pipe::kS, kInternalFlag, site);
  device::WaitFlag(Pipe::kV, Pipe::kS, kInternalFlag, site);
  return device::TimingOnly() ? known.Remaining() : ReadResult(ResultRegister::kRemaining, "GatherMask", site);
}

}  // namespace ascend_sim
