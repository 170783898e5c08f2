// The contract of an instruction. An instruction is a plain struct of its operands (trivially copyable, it may be
// executed long after it was issued) with five short functions:
//
//   static constexpr const char* kName;                 // as in the kernel's source; or `const char* name() const`
//   static constexpr Pipe kPipe;                        // or `Pipe pipe() const`
//   void Validate(Check& check) const;                  // documented limits; each failure names operand and value
//   void Touch(Footprint& footprint) const;             // bytes read and written
//   void Execute(const Exec& exec) const;               // on the real bytes
//   Cost GetCost() const;                               // facts for the timeline
//   void Carry(Shadow* shadows) const;                  // optional: bytes written undefined (by Buffer), see
//   ReadCarried
//
// Its .cpp ends with ASCEND_SIM_INSTRUCTION(Name), its header declares `void Issue(const Name&, Site)`.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/cost.h"
#include "core/findings.h"
#include "core/footprint.h"
#include "core/types.h"

namespace ascend_sim {

class Core;
class Shadow;

constexpr size_t kMaxInstructionBytes = 256;

// Collects violations of an instruction's documented limits.
class Check {
 public:
  Check(Core& core, Pipe pipe, const char* name, Site site) : core_(core), pipe_(pipe), name_(name), site_(site) {}

  // The same; does not stop the launch where it is lenient.
  void FailLenient(Rule rule, const char* format, ...) __attribute__((format(printf, 3, 4)));
  // printf-style. Prefer the named forms below.
  void Fail(Rule rule, const char* format, ...) __attribute__((format(printf, 3, 4)));
  void Range(const char* what, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) RangeFailed(what, value, low, high);
  }
  void Require(bool ok, const char* what) {
    if (!ok) Fail(Rule::kArgument, "%s", what);
  }
  // Start address of an operand in bytes.
  void Aligned(const char* operand, const Local& t, uint32_t alignment, bool write) {
    if (t.offset % alignment != 0) AlignmentFailed(operand, t.offset, alignment, write);
  }
  void In(const char* operand, const Local& t, Buffer buffer) {
    if (t.buffer != buffer) BufferFailed(operand, t.buffer, buffer);
  }
  const Core& core() const { return core_; }
  bool failed() const { return failed_; }

 private:
  void Add(Rule rule, bool soft, const char* text);
  void RangeFailed(const char* what, int64_t value, int64_t low, int64_t high);
  void AlignmentFailed(const char* operand, uint64_t offset, uint32_t alignment, bool write);
  void BufferFailed(const char* operand, Buffer got, Buffer want);
  Core& core_;
  Pipe pipe_;
  const char* name_;
  Site site_;
  bool failed_ = false;
};

// What an instruction may touch when it executes.
class Exec {
 public:
  Exec(uint8_t* const* bases, Core& core) : bases_(bases), core_(core) {}
  template <class T = uint8_t>
  T* At(const Local& t, int64_t byte_offset = 0) const {
    return reinterpret_cast<T*>(bases_[static_cast<int>(t.buffer)] + t.offset + byte_offset);
  }
  template <class T = uint8_t>
  T* At(const Global& t, int64_t byte_offset = 0) const {
    return reinterpret_cast<T*>(t.address + static_cast<uint64_t>(byte_offset));
  }
  Core& core() const { return core_; }

 private:
  uint8_t* const* bases_;
  Core& core_;
};

// An instruction without its type, as the engine keeps it.
struct InstructionOps {
  uint32_t bytes;
  const char* (*name)(const void*);
  Pipe (*pipe)(const void*);
  void (*validate)(const void*, Check&);
  void (*touch)(const void*, Footprint&);
  void (*execute)(const void*, const Exec&);
  Cost (*cost)(const void*);
  void (*carry)(const void*, Shadow*);  // null: everything written is defined
};

// Checks, records, times and (now or later) executes one instruction on the running core.
void IssueErased(const void* instruction, const InstructionOps& ops, Site site);

namespace detail {
template <class I, class = void>
struct PipeOf {
  static Pipe Get(const I&) { return I::kPipe; }
};
template <class I>
struct PipeOf<I, std::void_t<decltype(std::declval<const I&>().pipe())>> {
  static Pipe Get(const I& instruction) { return instruction.pipe(); }
};

template <class I, class = void>
struct NameOf {
  static const char* Get(const I&) { return I::kName; }
};
template <class I>
struct NameOf<I, std::void_t<decltype(std::declval<const I&>().name())>> {
  static const char* Get(const I& instruction) { return instruction.name(); }
};

template <class I, class = void>
struct CarryOf {
  static constexpr void (*kFunction)(const void*, Shadow*) = nullptr;
};
template <class I>
struct CarryOf<I, std::void_t<decltype(std::declval<const I&>().Carry(std::declval<Shadow*>()))>> {
  static void Call(const void* i, Shadow* shadows) { static_cast<const I*>(i)->Carry(shadows); }
  static constexpr void (*kFunction)(const void*, Shadow*) = &Call;
};

template <class I>
const InstructionOps& OpsOf() {
  static_assert(std::is_trivially_copyable<I>::value, "an instruction is kept as bytes until it executes");
  static_assert(sizeof(I) <= kMaxInstructionBytes, "raise kMaxInstructionBytes");
  static const InstructionOps ops = {
      sizeof(I),
      [](const void* i) { return NameOf<I>::Get(*static_cast<const I*>(i)); },
      [](const void* i) { return PipeOf<I>::Get(*static_cast<const I*>(i)); },
      [](const void* i, Check& check) { static_cast<const I*>(i)->Validate(check); },
      [](const void* i, Footprint& footprint) { static_cast<const I*>(i)->Touch(footprint); },
      [](const void* i, const Exec& exec) { static_cast<const I*>(i)->Execute(exec); },
      [](const void* i) { return static_cast<const I*>(i)->GetCost(); },
      CarryOf<I>::kFunction,
  };
  return ops;
}
}  // namespace detail

#define ASCEND_SIM_INSTRUCTION(Name) \
  void Issue(const Name& instruction, Site site) { IssueErased(&instruction, detail::OpsOf<Name>(), site); }

}  // namespace ascend_sim
