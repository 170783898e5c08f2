// Stand-in for libascendc_runtime.a: the functions that CANN's generated host code calls. STAND_IN_REGISTRATION is what
// registering the kernels returns; a launch returns the number of the kernel plus 1000.
#include <stdint.h>
#include <stdlib.h>

extern "C" {
int stand_in_runtime();   // of libruntime.so
int stand_in_ascendcl();  // of libascendcl.so

uint32_t RegisterAscendBinary(const char*, size_t, uint32_t, void** handle) {
  const char* wanted = getenv("STAND_IN_REGISTRATION");
  const uint32_t status = wanted == nullptr ? 0 : uint32_t(atoi(wanted));
  if (status == 0) *handle = handle;
  return status + stand_in_runtime() + stand_in_ascendcl();
}
uint32_t LaunchAscendKernel(void*, const uint64_t key, const uint32_t, void**, uint32_t, const void*) {
  return static_cast<uint32_t>(key) + 1000;
}
uint32_t GetAscendCoreSyncAddr(void** address) { return *address = nullptr, 0; }
int UnregisterAscendBinary(void*) { return 0; }
void StartAscendProf(const char*, uint64_t*) {}
void ReportAscendProf(const char*, uint32_t, uint32_t, const uint64_t) {}
bool GetAscendProfStatus() { return false; }
uint32_t AllocAscendMemDevice(void** memory, uint64_t) { return *memory = nullptr, 0; }
uint32_t FreeAscendMemDevice(void*) { return 0; }
bool AscendCheckSoCVersion(const char*, char*) { return true; }
void AscendProfRegister() {}
}
