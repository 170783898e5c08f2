#include "isa/vec_index.h"

#include "core/device.h"
#include "isa/scalar.h"
#include "isa/vec_math.h"
#include "isa/vec_scalar.h"

namespace ascend_sim {

namespace {

constexpr int kInternalFlag = 7;  // of the ids kernels leave alone

uint64_t Plus(DType type, uint64_t first, uint32_t n) {
  switch (type) {
    case DType::kF16:
      return ScalarBits(Half(static_cast<float>(ScalarFrom<Half>(first)) + static_cast<float>(n)));
    case DType::kF32:
      return ScalarBits(ScalarFrom<float>(first) + static_cast<float>(n));
    case DType::kI16:
      return ScalarBits(static_cast<int16_t>(ScalarFrom<int16_t>(first) + static_cast<int>(n)));
    default:
      return ScalarBits(static_cast<int32_t>(ScalarFrom<uint32_t>(first) + n));
  }
}

uint64_t Number(DType type, uint32_t n) { return Plus(type, 0, n); }

class Steps {
 public:
  Steps(const VecIndex& index, Site site)
      : index_(index), site_(site), bytes_(BytesOf(index.type)), per_block_(kBlockBytes / bytes_) {}

  void Scalar(uint32_t lane) const {
    const uint64_t value = Plus(index_.type, index_.first, lane);
    const int64_t block = static_cast<int64_t>(lane / per_block_) * index_.dst.block_stride;
    ScalarStore(index_.dst.t, block * kBlockBytes + static_cast<int64_t>(lane % per_block_) * bytes_, &value, bytes_,
                site_);
  }
  void ScalarDone() const {
    device::SetFlag(Pipe::kS, Pipe::kV, kInternalFlag, site_);
    device::WaitFlag(Pipe::kS, Pipe::kV, kInternalFlag, site_);
  }
  // dst at `to` = dst at `from` + n, offsets in blocks.
  void Adds(int64_t to, int64_t from, uint32_t n, const VecShape& shape, uint16_t block_stride) const {
    Issue(VecScalar{VecScalar::Op::kAdds, index_.type, false, Number(index_.type, n), shape,
                    VecWalk{At(to), block_stride, 8}, VecWalk{At(from), block_stride, 8}},
          site_);
    device::Barrier(Pipe::kV, site_);
  }
  uint32_t per_block() const { return per_block_; }
  uint32_t lanes() const { return per_block_ * 8; }

 private:
  Local At(int64_t block) const {
    Local t = index_.dst.t;
    const uint32_t bytes = static_cast<uint32_t>(block) * kBlockBytes;
    t.offset += bytes;
    t.bytes = t.bytes > bytes ? t.bytes - bytes : (t.bytes == 0 ? 0 : 1);
    return t;
  }
  const VecIndex& index_;
  Site site_;
  uint32_t bytes_, per_block_;
};

bool Supported(DType type) {
  return type == DType::kF16 || type == DType::kF32 || type == DType::kI16 || type == DType::kI32;
}
bool CheckType(const VecIndex& index, Site site) {
  if (Supported(index.type)) return true;
  device::Report(static_cast<int>(Rule::kArgument), site, "CreateVecIndex", "element type %s is not supported",
                 DTypeName(index.type));
  return false;
}

}  // namespace

void IssueIndexCount(const VecIndex& index, uint32_t count, Site site) {
  if (!CheckType(index, site) || count == 0) return;
  const Steps steps(index, site);
  const uint32_t per_block = steps.per_block(), lanes = steps.lanes();
  for (uint32_t lane = 0; lane < per_block; ++lane) steps.Scalar(lane);  // the whole block, however small the count
  steps.ScalarDone();
  for (uint32_t done = per_block; done < std::min(count, lanes); done += per_block) {
    const uint32_t n = std::min(per_block, count - done);
    steps.Adds(done / per_block, done / per_block - 1, per_block, NormShape(n, 1), 1);
  }
  for (uint32_t done = lanes; done < count; done += lanes) {
    const uint32_t n = std::min(lanes, count - done);
    steps.Adds(done / per_block, done / per_block - 8, lanes, NormShape(n, 1), 1);
  }
}

void IssueIndexRepeats(const VecIndex& index, const VecShape& shape, Site site) {
  if (!CheckType(index, site) || shape.repeat <= 0) return;
  const Steps steps(index, site);
  const uint32_t lanes = steps.lanes();
  if (shape.contiguous > lanes) {
    device::Report(static_cast<int>(Rule::kArgument), site, "CreateVecIndex", "mask is %u, expected 0 to %u",
                   shape.contiguous, lanes);
    return;
  }
  VecShape one = shape;
  one.repeat = 1;
  one.counter = false;
  if (shape.contiguous != 0) {
    const uint32_t per_block = steps.per_block();
    for (uint32_t lane = 0; lane < std::min(per_block, shape.contiguous); ++lane) steps.Scalar(lane);
    steps.ScalarDone();
    for (uint32_t done = per_block; done < shape.contiguous; done += per_block) {
      const int64_t block = static_cast<int64_t>(done / per_block) * index.dst.block_stride;
      steps.Adds(block, block - index.dst.block_stride, per_block,
                 NormShape(std::min(per_block, shape.contiguous - done), 1), 1);
    }
  } else {
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      if (one.Active(lanes, 0, lane)) steps.Scalar(lane);
    }
    steps.ScalarDone();
  }
  for (int64_t r = 1; r < shape.repeat; ++r) {
    steps.Adds(r * index.dst.repeat_stride, (r - 1) * index.dst.repeat_stride, lanes, one, index.dst.block_stride);
  }
}

}  // namespace ascend_sim
