#include "core/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace ascend_sim {

namespace {
size_t Page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
// Wider than the frames of ordinary functions, so that an overflow does not step over it.
constexpr size_t kGuardBytes = 256 * 1024;
}  // namespace

Fiber::~Fiber() {
  if (stack_ != nullptr) munmap(stack_, stack_bytes_ + kGuardBytes);
}

void Fiber::Start(size_t stack_bytes, void (*entry)(void*), void* argument) {
  stack_bytes = (stack_bytes + Page() - 1) / Page() * Page();
  if (stack_ != nullptr && stack_bytes != stack_bytes_) {
    munmap(stack_, stack_bytes_ + kGuardBytes);
    stack_ = nullptr;
  }
  if (stack_ == nullptr) {
    void* base = mmap(nullptr, stack_bytes + kGuardBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    stack_ = static_cast<uint8_t*>(base);
    stack_bytes_ = stack_bytes;
    mprotect(stack_, kGuardBytes, PROT_NONE);
  }
  entry_ = entry;
  argument_ = argument;
  getcontext(&self_);
  self_.uc_stack.ss_sp = stack_ + kGuardBytes;
  self_.uc_stack.ss_size = stack_bytes_;
  self_.uc_link = nullptr;
  const auto self = reinterpret_cast<uintptr_t>(this);
  makecontext(&self_, reinterpret_cast<void (*)()>(&Fiber::Trampoline), 2, static_cast<unsigned>(self >> 32),
              static_cast<unsigned>(self));
}

void Fiber::Resume() { swapcontext(&scheduler_, &self_); }
void Fiber::Yield() { swapcontext(&self_, &scheduler_); }

bool Fiber::OnGuardPage(const void* address) const {
  return stack_ != nullptr && address >= stack_ && address < stack_ + kGuardBytes;
}

void Fiber::Trampoline(unsigned high, unsigned low) {
  auto* fiber = reinterpret_cast<Fiber*>((static_cast<uintptr_t>(high) << 32) | low);
  fiber->entry_(fiber->argument_);
}

}  // namespace ascend_sim
