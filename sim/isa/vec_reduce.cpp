#include "isa/vec_reduce.h"

#include "core/core.h"
#include "isa/vec_math.h"

namespace ascend_sim {

const char* VecReduce::name() const {
  static const char* names[3][3] = {{"PairReduceSum", "PairReduceMax", "PairReduceMin"},
                                    {"BlockReduceSum", "BlockReduceMax", "BlockReduceMin"},
                                    {"WholeReduceSum", "WholeReduceMax", "WholeReduceMin"}};
  return names[static_cast<int>(span)][static_cast<int>(op)];
}

uint32_t VecReduce::ResultBytes() const {
  const uint32_t bytes = BytesOf(type);
  switch (span) {
    case Span::kPair:
      return kRepeatBytes / 2;
    case Span::kBlock:
      return 8 * bytes;
    default:
      if (op == Op::kSum || order == Order::kOnlyValue) return bytes;
      return order == Order::kOnlyIndex ? 4 : 2 * bytes;
  }
}

void VecReduce::Validate(Check& check) const {
  if (type != DType::kF16 && type != DType::kF32) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
    return;
  }
  CheckShape(check, shape, Lanes());
  CheckOperand(check, "src", src, false);
  check.In("dst", dst, Buffer::kUb);
  check.Aligned("dst", dst, std::min(ResultBytes(), kBlockBytes), true);
  check.Range("dstRepStride", dst_repeat_stride, 0, 65535);
}

void VecReduce::Touch(Footprint& f) const {
  const uint32_t bytes = BytesOf(type), lanes = Lanes(), repeats = shape.Repeats(lanes);
  TouchWalk(f, false, "src", src, shape, bytes, lanes);
  const int64_t step = static_cast<int64_t>(dst_repeat_stride) * ResultBytes();
  // Which results exist may differ in the last repeat of counter mode only.
  const uint32_t alike = shape.counter && shape.mask[0] % lanes != 0 ? repeats - 1 : repeats;
  const auto add = [&](uint32_t first, uint32_t count) {
    if (count == 0) return;
    if (span == Span::kRepeat) {
      bool any = false;
      for (uint32_t lane = 0; lane < lanes; ++lane) any |= shape.Active(lanes, first, lane);
      if (any) f.Write("dst", dst, first * step, ResultBytes(), Dim{count, step});
      return;
    }
    const uint32_t group = span == Span::kPair ? 2 : kBlockBytes / bytes;
    uint32_t begin = 0, end = 0;  // results in one run
    for (uint32_t g = 0; g <= lanes / group; ++g) {
      bool any = false;
      for (uint32_t k = 0; g < lanes / group && k < group; ++k) any |= shape.Active(lanes, first, g * group + k);
      if (any) {
        if (end == begin) begin = end = g;
        ++end;
      } else if (end > begin) {
        f.Write("dst", dst, first * step + begin * bytes, (end - begin) * bytes, Dim{count, step});
        begin = end = 0;
      }
    }
  };
  add(0, alike);
  if (alike != repeats) add(alike, 1);
}

namespace {

// Rounds to the element type what the lanes add up to.
template <class T>
float Round(float x, bool saturate) {
  if constexpr (std::is_same<T, Half>::value) {
    const uint16_t bits = FloatToHalf(x);
    return HalfToFloat(saturate ? SaturateHalf(bits) : bits);
  }
  return x;
}

// Sums values[0..n) in place as a tree over neighbours; n is a power of two.
template <class T>
float Tree(float* values, uint32_t n, bool saturate) {
  for (; n > 1; n /= 2) {
    for (uint32_t i = 0; i < n / 2; ++i) values[i] = Round<T>(values[2 * i] + values[2 * i + 1], saturate);
  }
  return values[0];
}

template <class T>
T FromFloat(float x) {
  return T(x);  // exact: already rounded
}

// Lanes of one repeat as floats; left-out lanes become `rest`. The active ones as a bitmap.
template <class T>
uint32_t LoadRepeat(const VecShape& shape, const VecWalk& src, const Exec& exec, uint32_t r, float rest, float* values,
                    bool* active) {
  constexpr uint32_t lanes = kRepeatBytes / sizeof(T), per_block = kBlockBytes / sizeof(T);
  const int prefix = shape.Prefix(lanes, r);
  uint32_t count = 0;
  for (uint32_t b = 0; b < 8; ++b) {
    const T* from = exec.At<const T>(
        src.t,
        (static_cast<int64_t>(r) * src.repeat_stride + static_cast<int64_t>(b) * src.block_stride) * kBlockBytes);
    for (uint32_t k = 0; k < per_block; ++k) {
      const uint32_t lane = b * per_block + k;
      active[lane] = prefix >= 0 ? lane < static_cast<uint32_t>(prefix) : shape.Active(lanes, r, lane);
      values[lane] = active[lane] ? static_cast<float>(from[k]) : rest;
      count += active[lane];
    }
  }
  return count;
}

}  // namespace

struct ReduceKernels {
  template <class T>
  static void Run(const VecReduce& i, const Exec& exec) {
    using Op = VecReduce::Op;
    constexpr uint32_t lanes = kRepeatBytes / sizeof(T);
    const uint32_t repeats = i.shape.Repeats(lanes);
    const uint32_t group = i.span == VecReduce::Span::kPair    ? 2
                           : i.span == VecReduce::Span::kBlock ? kBlockBytes / sizeof(T)
                                                               : lanes;
    const float inf = std::numeric_limits<float>::infinity();
    // -0 is what adding changes nothing.
    const float rest = i.op == Op::kSum ? -0.0f : i.op == Op::kMax ? -inf : inf;
    float values[lanes];
    bool active[lanes];
    float best_of_all = 0;
    uint64_t best_index = 0;
    bool found = false;
    for (uint32_t r = 0; r < repeats; ++r) {
      if (LoadRepeat<T>(i.shape, i.src, exec, r, rest, values, active) == 0) continue;
      uint8_t* to = exec.At(i.dst, static_cast<int64_t>(r) * i.dst_repeat_stride * i.ResultBytes());
      for (uint32_t g = 0; g < lanes / group; ++g) {
        bool any = false;
        for (uint32_t k = 0; k < group; ++k) any |= active[g * group + k];
        if (!any) continue;
        float* part = values + g * group;
        T* out = reinterpret_cast<T*>(to) + g;
        if (i.op == Op::kSum) {
          *out = FromFloat<T>(Tree<T>(part, group, i.shape.saturate));
          continue;
        }
        uint32_t index = 0;
        while (!active[g * group + index]) ++index;
        for (uint32_t k = index + 1; k < group; ++k) {
          if (!active[g * group + k] || part[index] != part[index]) continue;
          const bool better = i.op == Op::kMax ? part[k] > part[index] : part[k] < part[index];
          if (better || part[k] != part[k]) index = k;
        }
        const T value = FromFloat<T>(part[index]);
        if (i.span != VecReduce::Span::kRepeat) {
          *out = value;
          continue;
        }
        Store<T>(to, value, index, i.order);
        const bool better = i.op == Op::kMax ? part[index] > best_of_all : part[index] < best_of_all;
        if (!found || better) {
          found = true;
          best_of_all = part[index];
          best_index = static_cast<uint64_t>(r) * lanes + index;
        }
      }
    }
    if (found) {
      exec.core().registers.max_min = ScalarBits(FromFloat<T>(best_of_all)) | best_index << 32;
    }
  }

 private:
  template <class T>
  static void Store(uint8_t* to, T value, uint32_t index, VecReduce::Order order) {
    using Order = VecReduce::Order;
    if (order == Order::kOnlyIndex) {
      std::memcpy(to, &index, 4);
      return;
    }
    if (order == Order::kOnlyValue) {
      std::memcpy(to, &value, sizeof(T));
      return;
    }
    const int at = order == Order::kIndexValue ? 1 : 0;
    std::memcpy(to + at * sizeof(T), &value, sizeof(T));
    std::memcpy(to + (1 - at) * sizeof(T), &index, sizeof(T));  // raw bits in the element's width
  }
};

void VecReduce::Execute(const Exec& exec) const {
  type == DType::kF16 ? ReduceKernels::Run<Half>(*this, exec) : ReduceKernels::Run<float>(*this, exec);
}

Cost VecReduce::GetCost() const {
  const VectorClass cls = span == Span::kRepeat ? VectorClass::kReduce : VectorClass::kScalar;
  return Cost::Vector(cls, shape.Repeats(Lanes()), shape.counter);
}
ASCEND_SIM_INSTRUCTION(VecReduce)

void VecAccumulate::Validate(Check& check) const {
  if (type != DType::kF16 && type != DType::kF32) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
    return;
  }
  CheckShape(check, shape, kRepeatBytes / BytesOf(type));
  CheckOperand(check, "src", src, false);
}
void VecAccumulate::Touch(Footprint& f) const {
  TouchWalk(f, false, "src", src, shape, BytesOf(type), kRepeatBytes / BytesOf(type));
}
namespace {
template <class T>
void Accumulate(const VecAccumulate& i, const Exec& exec) {
  constexpr uint32_t lanes = kRepeatBytes / sizeof(T);
  float values[lanes], sum = 0;
  bool active[lanes];
  for (uint32_t r = 0; r < i.shape.Repeats(lanes); ++r) {
    if (LoadRepeat<T>(i.shape, i.src, exec, r, -0.0f, values, active) == 0) continue;
    const float part = Tree<T>(values, lanes, i.shape.saturate);
    sum = r == 0 ? part : Round<T>(sum + part, i.shape.saturate);
  }
  exec.core().registers.accumulator = static_cast<int64_t>(ScalarBits(FromFloat<T>(sum)));
}
}  // namespace
void VecAccumulate::Execute(const Exec& exec) const {
  type == DType::kF16 ? Accumulate<Half>(*this, exec) : Accumulate<float>(*this, exec);
}
Cost VecAccumulate::GetCost() const {
  return Cost::Vector(VectorClass::kReduce, shape.Repeats(kRepeatBytes / BytesOf(type)), shape.counter);
}
ASCEND_SIM_INSTRUCTION(VecAccumulate)

}  // namespace ascend_sim
