// ReduceSum, ReduceMax and ReduceMin over a whole tensor: the steps the vector and the scalar unit take, with the
// barriers and flags CANN's own implementation has, so that hazards around them show as on the chip.
#include "core/core.h"
#include "core/device.h"
#include "core/machine.h"
#include "isa/scalar.h"
#include "isa/vec_reduce.h"

namespace ascend_sim {

namespace {

constexpr int kInternalFlag = 7;  // of the ids kernels leave alone

void Hand(Pipe from, Pipe to, Site site) {
  device::SetFlag(from, to, kInternalFlag, site);
  device::WaitFlag(from, to, kInternalFlag, site);
}
// The scalar unit wrote: vector and MTE3 may use it.
void Publish(Site site) {
  Hand(Pipe::kS, Pipe::kV, site);
  Hand(Pipe::kS, Pipe::kMte3, site);
}

Local Part(const Local& t, uint32_t bytes) {
  Local part = t;
  part.offset += bytes;
  part.bytes = t.bytes > bytes ? t.bytes - bytes : (t.bytes == 0 ? 0 : 1);
  return part;
}

uint32_t RoundUp(uint32_t value, uint32_t unit) { return (value + unit - 1) / unit * unit; }

class Steps {
 public:
  Steps(const ReduceAll& reduce, Site site)
      : r_(reduce), site_(site), bytes_(BytesOf(reduce.type)), lanes_(kRepeatBytes / bytes_) {}

  // One WholeReduce; more than 255 repeats are several.
  void Whole(const Local& dst, const Local& src, VecShape shape, int32_t repeats, uint32_t src_stride) const {
    const uint32_t result = r_.op == VecReduce::Op::kSum ? bytes_ : 2 * bytes_;
    for (int32_t done = 0; done < repeats; done += 255) {
      if (done != 0) Barrier();  // the source may be the work space
      shape.repeat = std::min(255, repeats - done);
      Issue(VecReduce{r_.op, VecReduce::Span::kRepeat, VecReduce::Order::kValueIndex, r_.type, 1, shape,
                      Part(dst, static_cast<uint32_t>(done) * result),
                      VecWalk{Part(src, static_cast<uint32_t>(done) * src_stride * kBlockBytes), 1,
                              static_cast<uint16_t>(src_stride)}},
            site_);
    }
  }
  void Barrier() const { device::Barrier(Pipe::kV, site_); }

  uint32_t Read(const Local& t, uint32_t element) const {
    uint32_t bits = 0;
    ScalarLoad(t, static_cast<int64_t>(element) * bytes_, &bits, bytes_, site_);
    return bits;
  }
  void Write(const Local& t, uint32_t element, uint32_t bits) const {
    ScalarStore(t, static_cast<int64_t>(element) * bytes_, &bits, bytes_, site_);
  }
  // dst[0] = work[0] by the scalar unit.
  void CopyFirst() const {
    Hand(Pipe::kV, Pipe::kS, site_);
    Write(r_.dst, 0, Read(r_.work, 0));
    Publish(site_);
  }

  void Sum(const VecShape& mask, int32_t repeats, uint32_t src_stride) const {
    if (repeats == 1) {
      Whole(r_.work, r_.src, mask, 1, src_stride);
      CopyFirst();
      return;
    }
    Whole(r_.work, r_.src, mask, repeats, src_stride);
    Barrier();
    VecShape counted = CountShape(static_cast<uint64_t>(repeats));
    counted.saturate = mask.saturate;
    Whole(r_.work, r_.work, counted, 1, 8);
    Barrier();
    const uint32_t left = (static_cast<uint32_t>(repeats) + lanes_ - 1) / lanes_;
    if (left == 1) {
      CopyFirst();
    } else {
      VecShape last = NormShape(std::min(left, lanes_), 1);
      last.saturate = mask.saturate;
      Whole(r_.dst, r_.work, last, 1, 8);
    }
  }

  // Values and their indices in pairs, level by level, until one pair is left.
  void Extreme(const VecShape& mask, int32_t repeats, uint32_t src_stride) const {
    if (repeats == 1) {
      if (r_.index) {
        Whole(r_.dst, r_.src, mask, 1, src_stride);
      } else {
        Whole(r_.work, r_.src, mask, 1, src_stride);
        CopyFirst();
      }
      return;
    }
    Whole(r_.work, r_.src, mask, repeats, src_stride);
    constexpr int kMaxLevels = 8;
    uint32_t starts[kMaxLevels] = {0};  // in elements of work
    int levels = 1;
    uint32_t pairs = static_cast<uint32_t>(repeats);
    while (pairs > 1 && levels < kMaxLevels) {
      Barrier();
      const uint32_t from = starts[levels - 1];
      const uint32_t to = r_.index ? from + RoundUp(2 * pairs, kBlockBytes / bytes_) : 0;
      const uint32_t full = 2 * pairs / lanes_, rest = 2 * pairs % lanes_;
      if (full != 0) Whole(At(to), At(from), Values(lanes_), static_cast<int32_t>(full), 8);
      if (full != 0 && rest != 0 && !r_.index) Barrier();  // in place: overwrites what the first one reads
      if (rest != 0) Whole(At(to + 2 * full), At(from + full * lanes_), Values(rest), 1, 8);
      pairs = full + (rest != 0);
      starts[levels++] = to;
    }
    if (!r_.index) {
      CopyFirst();
      return;
    }
    Hand(Pipe::kV, Pipe::kS, site_);
    const uint32_t value = Read(r_.work, starts[levels - 1]);
    // An index counts lanes of its repeat; lane 2k of a level holds the value whose index follows it one level down.
    uint32_t pair = 0;
    for (int level = levels - 1; level > 0; --level) {
      const uint32_t lane = device::TimingOnly() ? 0 : Read(r_.work, starts[level] + 2 * pair + 1);
      pair = pair * (lanes_ / 2) + lane / 2;
    }
    const uint32_t lane = device::TimingOnly() ? 0 : Read(r_.work, 2 * pair + 1);
    Write(r_.dst, 0, value);
    Write(r_.dst, 1, pair * src_stride * (kBlockBytes / bytes_) + lane);
    Publish(site_);
  }

  void Repeats(const VecShape& mask, int32_t repeats, uint32_t src_stride) const {
    r_.op == VecReduce::Op::kSum ? Sum(mask, repeats, src_stride) : Extreme(mask, repeats, src_stride);
  }

  // Max and Min of what does not fill a repeat, joined with what stands in dst.
  void Tail(uint32_t whole, uint32_t rest, bool saturate) const {
    Hand(Pipe::kV, Pipe::kS, site_);
    const uint32_t body = Read(r_.dst, 0), body_index = r_.index ? Read(r_.dst, 1) : 0;
    VecShape shape = NormShape(rest, 1);
    shape.saturate = saturate;
    Hand(Pipe::kS, Pipe::kV, site_);
    Steps({r_.op, r_.type, r_.dst, Part(r_.src, whole * lanes_ * bytes_), r_.work, r_.index}, site_)
        .Extreme(shape, 1, 8);
    Hand(Pipe::kV, Pipe::kS, site_);
    const uint32_t tail = Read(r_.dst, 0), tail_index = r_.index ? Read(r_.dst, 1) : 0;
    Write(r_.work, 0, body);
    Write(r_.work, 1, tail);
    Hand(Pipe::kS, Pipe::kV, site_);
    Steps({r_.op, r_.type, r_.dst, r_.work, r_.work, r_.index}, site_).Extreme(NormShape(2, 1), 1, 8);
    if (!r_.index) return;
    Hand(Pipe::kV, Pipe::kS, site_);
    const uint32_t last = Read(r_.dst, 1);
    Write(r_.dst, 1, last == 1 ? whole * lanes_ + tail_index : body_index);
    Publish(site_);
  }

 private:
  Local At(uint32_t element) const { return Part(r_.work, element * bytes_); }
  // The values among `lanes` lanes of value-index pairs.
  VecShape Values(uint32_t lanes) const {
    VecShape shape = NormShape(lanes, 1);
    shape.mask[0] &= 0x5555555555555555ull;
    shape.mask[1] &= 0x5555555555555555ull;
    return shape;
  }

  ReduceAll r_;
  Site site_;
  uint32_t bytes_, lanes_;
};

}  // namespace

void IssueReduceCount(const ReduceAll& reduce, const VecShape& shape, uint32_t count, Site site) {
  const Steps steps(reduce, site);
  if (reduce.op == VecReduce::Op::kSum) {
    Issue(VecAccumulate{reduce.type, shape, VecWalk{reduce.src, 1, 8}}, site);
    if (shape.mask[0] == 0) return;
    Hand(Pipe::kV, Pipe::kS, site);
    steps.Write(reduce.dst, 0, static_cast<uint32_t>(ReadResult(ResultRegister::kAccumulator, "ReduceSum", site)));
    Publish(site);
    return;
  }
  if (count > 192 * 1024) {  // before any step: a negative count as unsigned
    device::Report(static_cast<int>(Rule::kArgument), site,
                   reduce.op == VecReduce::Op::kMax ? "ReduceMax" : "ReduceMin", "count is %d",
                   static_cast<int32_t>(count));
    return;
  }
  if (count == 0) return;
  const uint32_t lanes = kRepeatBytes / BytesOf(reduce.type), whole = count / lanes, rest = count % lanes;
  VecShape mask = NormShape(whole == 0 ? rest : lanes, 1);
  mask.saturate = shape.saturate;
  steps.Repeats(mask, std::max(1, static_cast<int32_t>(whole)), 8);
  if (whole != 0 && rest != 0) steps.Tail(whole, rest, shape.saturate);
}

void IssueReduceRepeats(const ReduceAll& reduce, const VecShape& mask, int32_t repeats, int32_t src_repeat_stride,
                        Site site) {
  if (repeats <= 0) return;
  Steps(reduce, site).Repeats(mask, repeats, static_cast<uint32_t>(src_repeat_stride));
}

namespace {
struct ReadRegister {
  static constexpr Pipe kPipe = Pipe::kS;
  const char* called;
  ResultRegister which;
  uint64_t* value;
  const char* name() const { return called; }
  void Validate(Check&) const {}
  void Touch(Footprint&) const {}
  void Execute(const Exec& exec) const {
    const Registers& regs = exec.core().registers;
    *value = which == ResultRegister::kAccumulator ? static_cast<uint64_t>(regs.accumulator)
             : which == ResultRegister::kMaxMin    ? regs.max_min
                                                   : regs.remaining;
  }
  Cost GetCost() const { return Cost::Scalar(); }
};
}  // namespace

uint64_t ReadResult(ResultRegister which, const char* name, Site site) {
  uint64_t value = 0;
  const ReadRegister read{name, which, &value};
  IssueErased(&read, detail::OpsOf<ReadRegister>(), site);
  return value;
}

}  // namespace ascend_sim
