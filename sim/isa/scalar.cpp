#include "isa/scalar.h"

#include "core/instruction.h"
#include "core/machine.h"

namespace ascend_sim {

namespace {

// Executes at issue: the scalar unit does not run behind itself. In timing-only runs on-chip buffers hold zeros.
template <class Operand>
struct Load {
  static constexpr const char* kName = "GetValue";
  static constexpr Pipe kPipe = Pipe::kS;
  Operand t;
  int64_t offset;
  uint32_t bytes;
  void* value;
  void Validate(Check&) const {}
  void Touch(Footprint& f) const { f.Read("tensor", t, offset, bytes); }
  void Execute(const Exec& exec) const { std::memcpy(value, exec.At(t, offset), bytes); }
  Cost GetCost() const { return Cost::Scalar(); }
};

template <class Operand>
struct Store {
  static constexpr const char* kName = "SetValue";
  static constexpr Pipe kPipe = Pipe::kS;
  Operand t;
  int64_t offset;
  uint32_t bytes;
  const void* value;
  void Validate(Check&) const {}
  void Touch(Footprint& f) const { f.Write("tensor", t, offset, bytes); }
  void Execute(const Exec& exec) const { std::memcpy(exec.At(t, offset), value, bytes); }
  Cost GetCost() const { return Cost::Scalar(); }
};

struct Atomic {
  static constexpr const char* kName = "scalar atomic";
  static constexpr Pipe kPipe = Pipe::kS;
  Global t;
  uint32_t bytes;
  void (*change)(void*, void*);
  void* context;
  void Validate(Check& check) const {
    if (t.address % bytes != 0) check.Fail(Rule::kMisalignedWrite, "the address is not a multiple of %u bytes", bytes);
  }
  void Touch(Footprint& f) const { f.Write("address", t, 0, bytes, {}, {}, {}, true); }
  void Execute(const Exec& exec) const {
    change(exec.At(t), context);
    if (!CurrentMachine().options.timing_only) {
      CurrentMachine().Publish(exec.core(), t.address / ScalarCaches::kLineBytes);
    }
  }
  Cost GetCost() const { return Cost::Scalar(); }
};

struct Clean {
  static constexpr const char* kName = "DataCacheCleanAndInvalid";
  static constexpr Pipe kPipe = Pipe::kS;
  Global t;
  bool entire;
  void Validate(Check&) const {}
  void Touch(Footprint&) const {}
  void Execute(const Exec& exec) const {
    Machine& machine = CurrentMachine();
    const uint64_t address = entire ? 0 : t.address;
    for (uint64_t line : machine.scalar_caches.Dirty(exec.core().index, address)) machine.Publish(exec.core(), line);
    machine.scalar_caches.CleanAndInvalidate(exec.core().index, address);
  }
  Cost GetCost() const { return Cost::Scalar(); }
};

template <class I>
void IssueScalar(const I& instruction, Site site) {
  IssueErased(&instruction, detail::OpsOf<I>(), site);
  if (CurrentMachine().options.timing_only) instruction.Execute(CurrentCore().exec());
}

}  // namespace

void ScalarLoad(const Local& t, int64_t offset, void* value, uint32_t bytes, Site site) {
  IssueScalar(Load<Local>{t, offset, bytes, value}, site);
}
void ScalarLoad(const Global& t, int64_t offset, void* value, uint32_t bytes, Site site) {
  IssueScalar(Load<Global>{t, offset, bytes, value}, site);
}
void ScalarStore(const Local& t, int64_t offset, const void* value, uint32_t bytes, Site site) {
  IssueScalar(Store<Local>{t, offset, bytes, value}, site);
}
void ScalarStore(const Global& t, int64_t offset, const void* value, uint32_t bytes, Site site) {
  IssueScalar(Store<Global>{t, offset, bytes, value}, site);
}

void ScalarAtomic(const Global& t, uint32_t bytes, void (*change)(void*, void*), void* context, Site site) {
  IssueScalar(Atomic{t, bytes, change, context}, site);
}

void CleanScalarCache(const Global& t, bool entire, Site site) {
  const Clean instruction{t, entire};
  IssueErased(&instruction, detail::OpsOf<Clean>(), site);
}

}  // namespace ascend_sim
