// What the Ascend C headers ask of the engine besides issuing instructions: who am I, flags, barriers, registers.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace ascend_sim {

struct Registers;

namespace device {

bool Running();  // on a fiber of a launch
CoreType Type();
int64_t BlockIdx();  // CANN's GetBlockIdx: AIVs of a mixed kernel count 0..2N-1
int64_t BlockNum();  // launched AI cores
int64_t SubBlockIdx();
int64_t SubBlockNum();  // AIVs per AIC of this kernel; 1 on an AIC
int64_t PhysicalCore();
uint64_t Cycle();  // the scalar unit's simulated clock
bool TimingOnly();
// What the scalar unit computes costs no time, but for what a kernel tells of: a division of 64 bits, which is a long
// routine there.
void ScalarDivision();
uint64_t Capacity(Buffer buffer);      // of this core; 0 where it has none
uint8_t* HostAddress(const Local& t);  // raw bytes, unchecked

Registers& Regs();

void SetFlag(Pipe from, Pipe to, int id, Site site);
void WaitFlag(Pipe from, Pipe to, int id, Site site);
void Barrier(Pipe pipe, Site site);
void CrossSet(int mode, Pipe pipe, int id, Site site);
void CrossWait(int id, Site site);
// The same as calls that the kernel writes: counted, and left out where the launch says so (core/sync_calls.h). Those
// above are for API functions that synchronise on their own account.
void KernelSetFlag(Pipe from, Pipe to, int id, Site site);
void KernelWaitFlag(Pipe from, Pipe to, int id, Site site);
void KernelBarrier(Pipe pipe, Site site);
void KernelCrossSet(int mode, Pipe pipe, int id, Site site);
void KernelCrossWait(int id, Site site);
void ResetUnitFlags();  // SetFixPipeConfig(..., isUnitFlag = true)
// Kernels have ids 0..10; the rest belong to SyncAll. Stops the launch otherwise.
int UserCrossId(int id, Site site);
// IBSet (put) and IBWait on the 32 bytes at a GM address. zeroed: the kernel's host has to have set them to 0.
void ExchangeSlot(const char* name, uint64_t address, bool put, Site site, bool zeroed = true);
// Hard SyncAll; aiv_only: in a mixed kernel only the AIVs meet.
void SyncAll(bool aiv_only, Site site);

void*& CurrentTPipe();  // the running core's, see framework/pipe_state.h
uint32_t Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site);
void Free(uint32_t handle, Site site);

// Reports a finding at this call. `rule` is one of core/findings.h; a fatal one does not return.
void Report(int rule, Site site, const char* call, const char* format, ...) __attribute__((format(printf, 4, 5)));
[[noreturn]] void NotImplemented(const char* call, Site site);
// For names that CANN declares for all chips and documents for others than these.
[[noreturn]] void OfOtherChips(const char* call, Site site);

}  // namespace device
}  // namespace ascend_sim
