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

// An integer division that trapped: the result is 0, as the scalar unit gives it, and the kernel goes on after it.
bool SkipDivision(void* context) {
#if defined(__x86_64__)
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  size_t at = 0;
  while (code[at] == 0x66 || (code[at] & 0xf0) == 0x40) ++at;  // operand size, REX
  if ((code[at] & 0xfe) != 0xf6) return false;
  const uint8_t modrm = code[at + 1];
  if ((modrm >> 3 & 7) < 6) return false;  // neither div nor idiv
  const uint8_t mod = modrm >> 6, rm = modrm & 7;
  size_t length = at + 2;
  if (mod != 3) {
    const bool sib = rm == 4;
    const uint8_t base = sib ? code[length] & 7 : rm;
    length += sib ? 1 : 0;
    length += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
  }
  registers[REG_RIP] += static_cast<greg_t>(length);
  if ((code[at] & 1) == 0) {  // of 8 bits: quotient and remainder are both in AX
    registers[REG_RAX] &= ~greg_t{0xffff};
    return true;
  }
  registers[REG_RAX] = 0;
  registers[REG_RDX] = 0;
  return true;
#else
  static_cast<void>(context);
  return false;
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
  if (signal == SIGFPE && SkipDivision(context)) {
    machine->divisions_by_zero = machine->divisions_by_zero + 1;
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
