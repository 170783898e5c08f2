#include "core/watchdog.h"

#include <dlfcn.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace ascend_sim {

namespace {

constexpr double kTickSeconds = 0.05;
const int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
int TickSignal() { return SIGRTMIN + 5; }

Machine* g_watched = nullptr;
volatile uint64_t g_last_progress = 0;
volatile int g_stalled_ticks = 0;
volatile sig_atomic_t g_interrupted = 0;
struct sigaction g_old_interrupt;
int g_limit_ticks = 0;

void* ProgramCounter(void* context) {
  auto* u = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
  return reinterpret_cast<void*>(u->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<void*>(u->uc_mcontext.pc);
#else
  return nullptr;
#endif
}

}  // namespace

namespace {

enum class Division { kNone, kByZero, kOverflow };

#if defined(__x86_64__)
// The div or idiv at the program counter, as far as its divisor's value and its own length.
struct DivInstruction {
  size_t length = 0;  // 0: another instruction
  bool wide = false;  // not of 8 bits
  uint64_t divisor = 0;
};

DivInstruction DecodeDivision(const greg_t* registers) {
  constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  size_t at = 0;
  uint8_t rex = 0;
  size_t bytes = 4;
  for (; code[at] == 0x66 || (code[at] & 0xf0) == 0x40; ++at) {
    if (code[at] == 0x66) {
      bytes = 2;
    } else {
      rex = code[at];
    }
  }
  if ((rex & 8) != 0) bytes = 8;
  if ((code[at] & 0xfe) != 0xf6) return {};
  if ((code[at] & 1) == 0) bytes = 1;
  const uint8_t modrm = code[at + 1];
  if ((modrm >> 3 & 7) < 6) return {};  // neither div nor idiv
  const uint8_t mod = modrm >> 6, rm = modrm & 7;
  const int high = (rex & 1) * 8;
  DivInstruction found;
  found.length = at + 2;
  found.wide = bytes != 1;
  uint64_t value = 0;
  if (mod == 3) {
    const bool second_byte = bytes == 1 && rex == 0 && rm >= 4;  // AH, CH, DH, BH
    value = static_cast<uint64_t>(registers[kOrder[second_byte ? rm - 4 : rm + high]]) >> (second_byte ? 8 : 0);
  } else {
    uint64_t address = 0;
    uint8_t base = rm;
    if (rm == 4) {
      const uint8_t sib = code[found.length++];
      base = sib & 7;
      const int index = (sib >> 3 & 7) + (rex >> 1 & 1) * 8;
      if (index != 4) address += static_cast<uint64_t>(registers[kOrder[index]]) << (sib >> 6);
    }
    const bool no_base = mod == 0 && base == 5;
    int64_t displacement = 0;
    if (mod == 1) {
      displacement = static_cast<int8_t>(code[found.length]);
      found.length += 1;
    } else if (mod == 2 || no_base) {
      int32_t word;
      std::memcpy(&word, code + found.length, 4);
      displacement = word;
      found.length += 4;
    }
    if (no_base) {
      if (rm == 5) address += reinterpret_cast<uint64_t>(code + found.length);  // relative to the next instruction
    } else {
      address += static_cast<uint64_t>(registers[kOrder[base + high]]);
    }
    std::memcpy(&value, reinterpret_cast<const void*>(address + static_cast<uint64_t>(displacement)), bytes);
  }
  found.divisor = bytes == 8 ? value : value & ((uint64_t{1} << bytes * 8) - 1);
  return found;
}
#endif

// An integer division that trapped. By zero: the result is 0, as the scalar unit gives it. Otherwise the smallest
// integer by -1: the quotient wraps to the dividend, the remainder is 0. The kernel goes on after it.
Division SkipDivision(void* context) {
#if defined(__x86_64__)
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const DivInstruction division = DecodeDivision(registers);
  if (division.length == 0) return Division::kNone;
  const bool by_zero = division.divisor == 0;
  registers[REG_RIP] += static_cast<greg_t>(division.length);
  if (!division.wide) {  // quotient and remainder are both in AX
    registers[REG_RAX] = (registers[REG_RAX] & ~greg_t{0xffff}) | (by_zero ? 0 : 0x80);
  } else {
    if (by_zero) registers[REG_RAX] = 0;  // else the dividend is there already
    registers[REG_RDX] = 0;
  }
  return by_zero ? Division::kByZero : Division::kOverflow;
#else
  static_cast<void>(context);
  return Division::kNone;
#endif
}

}  // namespace

void Watchdog::OnFault(int signal, siginfo_t* info, void* context) {
  Machine* machine = g_watched;
  if (machine == nullptr || !machine->fiber_running) {  // not ours: let the default action end the process
    ::signal(signal, SIG_DFL);
    raise(signal);
    return;
  }
  const Division division = signal == SIGFPE ? SkipDivision(context) : Division::kNone;
  if (division != Division::kNone) {
    machine->trapped_divisions = machine->trapped_divisions + 1;
    if (division == Division::kOverflow) machine->overflowed_divisions = machine->overflowed_divisions + 1;
    return;
  }
  machine->fault.signal = signal;
  machine->fault.address = info->si_addr;
  machine->fault.pc = ProgramCounter(context);
  machine->fault.endless = false;
  siglongjmp(machine->fault_return, 1);
}

void Watchdog::OnTick(int, siginfo_t*, void* context) {
  Machine* machine = g_watched;
  if (machine == nullptr || !machine->fiber_running || machine->in_engine) return;
  if (g_interrupted != 0) {
    machine->fault.endless = true;
    siglongjmp(machine->fault_return, 1);
  }
  if (machine->progress != g_last_progress) {
    g_last_progress = machine->progress;
    g_stalled_ticks = 0;
    return;
  }
  g_stalled_ticks = g_stalled_ticks + 1;
  if (g_stalled_ticks < g_limit_ticks) return;
  machine->fault.signal = 0;
  machine->fault.pc = ProgramCounter(context);
  machine->fault.endless = true;
  siglongjmp(machine->fault_return, 1);
}

bool Watchdog::Interrupted() { return g_interrupted != 0; }

// The host's own handler still hears of it, and acts when the launch has returned.
void Watchdog::OnInterrupt(int signal) {
  g_interrupted = 1;
  if ((g_old_interrupt.sa_flags & SA_SIGINFO) == 0) g_old_interrupt.sa_handler(signal);
}

Watchdog::Watchdog(Machine& machine, double seconds) {
  static std::unique_ptr<char[]> stack(new char[1 << 16]);
  stack_t alternate{};
  alternate.ss_sp = stack.get();
  alternate.ss_size = 1 << 16;
  sigaltstack(&alternate, &old_stack_);
  struct sigaction action{};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_sigaction = &Watchdog::OnFault;
  for (size_t i = 0; i < 5; ++i) sigaction(kFaults[i], &action, &old_[i]);
  action.sa_sigaction = &Watchdog::OnTick;
  action.sa_flags |= SA_RESTART;
  sigaction(TickSignal(), &action, &old_[5]);
  // Ctrl-C: where the host handles it, as Python does, the launch ends early; elsewhere it ends the process as ever.
  g_interrupted = 0;
  sigaction(SIGINT, nullptr, &g_old_interrupt);
  handles_interrupt_ = (g_old_interrupt.sa_flags & SA_SIGINFO) == 0 && g_old_interrupt.sa_handler != SIG_DFL &&
                       g_old_interrupt.sa_handler != SIG_IGN;
  if (handles_interrupt_) {
    struct sigaction interrupt = g_old_interrupt;
    interrupt.sa_handler = &Watchdog::OnInterrupt;
    interrupt.sa_flags |= SA_ONSTACK;
    sigaction(SIGINT, &interrupt, nullptr);
  }
  g_watched = &machine;
  g_stalled_ticks = 0;
  g_limit_ticks = static_cast<int>(seconds / kTickSeconds) + 1;
  if (seconds > 0) {
    struct sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = TickSignal();
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
    event.sigev_notify_thread_id = static_cast<int>(syscall(SYS_gettid));
    has_timer_ = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
    if (has_timer_) {
      struct itimerspec spec{};
      spec.it_interval.tv_nsec = static_cast<long>(kTickSeconds * 1e9);
      spec.it_value = spec.it_interval;
      timer_settime(timer_, 0, &spec, nullptr);
    }
  }
}

Watchdog::~Watchdog() {
  if (has_timer_) timer_delete(timer_);
  g_watched = nullptr;
  if (handles_interrupt_) sigaction(SIGINT, &g_old_interrupt, nullptr);
  for (size_t i = 0; i < 5; ++i) sigaction(kFaults[i], &old_[i], nullptr);
  sigaction(TickSignal(), &old_[5], nullptr);
  // Leaving an alternate stack registered is harmless, leaving none where there was one is not.
  if ((old_stack_.ss_flags & SS_DISABLE) == 0) sigaltstack(&old_stack_, nullptr);
}

void Watchdog::UnblockSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (int s : kFaults) sigaddset(&set, s);
  sigaddset(&set, TickSignal());
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

std::string Watchdog::Describe(const Machine::Fault& fault, const Core& core) {
  char text[512];
  Dl_info where{};
  const char* function = dladdr(fault.pc, &where) != 0 && where.dli_sname != nullptr ? where.dli_sname : "";
  if ((fault.signal == SIGSEGV || fault.signal == SIGBUS) && core.fiber.OnGuardPage(fault.address)) {
    std::snprintf(text, sizeof text,
                  "the kernel overflowed its stack; its last call is given (launch option stack_bytes)");
  } else if (fault.signal == SIGSEGV || fault.signal == SIGBUS) {
    std::snprintf(text, sizeof text, "the kernel crashed: %s at address %p%s%s; its last call is given",
                  strsignal(fault.signal), fault.address, *function ? " in " : "", function);
  } else {
    std::snprintf(text, sizeof text, "the kernel crashed: %s%s%s; its last call is given", strsignal(fault.signal),
                  *function ? " in " : "", function);
  }
  return text;
}

}  // namespace ascend_sim
