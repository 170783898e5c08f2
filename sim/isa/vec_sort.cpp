#include "isa/vec_sort.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/core.h"

namespace ascend_sim {

namespace {

constexpr uint32_t kElementBytes = 8, kSorted = 32;

struct Element {
  uint8_t bytes[kElementBytes];
};
static_assert(sizeof(Element) == kElementBytes, "moved as a whole");

float ValueOf(const Element& element, DType type) {
  if (type == DType::kF16) {
    uint16_t bits;
    std::memcpy(&bits, element.bytes, 2);
    return HalfToFloat(bits);
  }
  float value;
  std::memcpy(&value, element.bytes, 4);
  return value;
}

void CheckType(Check& check, DType type) {
  if (type != DType::kF16 && type != DType::kF32) {
    check.Fail(Rule::kArgument, "element type %s is not supported", DTypeName(type));
  }
}

}  // namespace

void VecSort32::Validate(Check& check) const {
  CheckType(check, type);
  check.Range("repeatTime", repeat, 0, 255);
  check.In("dst", dst, Buffer::kUb);
  check.Aligned("dst", dst, 32, true);
  check.Aligned("src0", values, 32, false);
  check.Aligned("src1", indices, 32, false);
}
void VecSort32::Touch(Footprint& f) const {
  const auto count = static_cast<uint32_t>(repeat) * kSorted;
  f.Read("src0", values, 0, count * BytesOf(type));
  f.Read("src1", indices, 0, count * 4);
  f.Write("dst", dst, 0, count * kElementBytes);
}
void VecSort32::Execute(const Exec& exec) const {
  const uint32_t bytes = BytesOf(type);
  std::vector<Element> sorted(kSorted);
  for (int32_t r = 0; r < repeat; ++r) {
    for (uint32_t i = 0; i < kSorted; ++i) {
      sorted[i] = Element{};
      std::memcpy(sorted[i].bytes, exec.At(values, (r * kSorted + i) * bytes), bytes);
      std::memcpy(sorted[i].bytes + 4, exec.At(indices, (r * kSorted + i) * 4), 4);
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [&](const Element& a, const Element& b) { return ValueOf(a, type) > ValueOf(b, type); });
    std::memcpy(exec.At(dst, r * kSorted * kElementBytes), sorted.data(), kSorted * kElementBytes);
  }
}
Cost VecSort32::GetCost() const { return Cost::Vector(VectorClass::kGather, static_cast<uint32_t>(repeat), false); }
ASCEND_SIM_INSTRUCTION(VecSort32)

uint32_t VecMrgSort::Total() const {
  uint32_t total = 0;
  for (int i = 0; i < 4; ++i) total += (valid >> i & 1) != 0 ? lengths[i] : 0;
  return total;
}
void VecMrgSort::Validate(Check& check) const {
  CheckType(check, type);
  check.Range("validBit", valid, 1, 15);
  check.Range("repeatTimes", repeat, 1, 255);
  for (int i = 0; i < 4; ++i) check.Range("elementLengths", lengths[i], 0, 4095);
  check.Require(repeat == 1 || (valid == 15 && !suspend), "more than one repeat takes four lists, without suspension");
  check.Aligned("dst", dst, 32, true);
}
void VecMrgSort::Touch(Footprint& f) const {
  static const char* names[] = {"src1", "src2", "src3", "src4"};
  const Dim repeats{repeat, static_cast<int64_t>(Total()) * kElementBytes};
  for (int i = 0; i < 4; ++i) {
    if ((valid >> i & 1) != 0) f.Read(names[i], lists[i], 0, lengths[i] * kElementBytes, repeats);
  }
  f.Write("dst", dst, 0, Total() * kElementBytes, repeats);
}
void VecMrgSort::Execute(const Exec& exec) const {
  uint32_t taken[4] = {};
  for (uint32_t r = 0; r < repeat; ++r) {
    const int64_t offset = static_cast<int64_t>(r) * Total() * kElementBytes;
    std::vector<Element> merged;
    std::fill(taken, taken + 4, 0u);
    for (bool ended = false; !ended;) {
      int best = -1;
      Element chosen{};
      for (int i = 0; i < 4; ++i) {
        if ((valid >> i & 1) == 0 || taken[i] == lengths[i]) continue;
        Element head;
        std::memcpy(&head, exec.At(lists[i], offset + taken[i] * kElementBytes), kElementBytes);
        if (best < 0 || ValueOf(head, type) > ValueOf(chosen, type)) best = i, chosen = head;
      }
      if (best < 0) break;
      merged.push_back(chosen);
      ended = ++taken[best] == lengths[best] && suspend;
    }
    std::memcpy(exec.At(dst, offset), merged.data(), merged.size() * kElementBytes);
  }
  uint64_t& result = exec.core().registers.merged;
  result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<uint64_t>(taken[i]) << (16 * i);
}
Cost VecMrgSort::GetCost() const { return Cost::Vector(VectorClass::kGather, (Total() * repeat + 31) / 32, false); }
ASCEND_SIM_INSTRUCTION(VecMrgSort)

}  // namespace ascend_sim
