// Stand-in for libascendc_runtime.a: the functions that CANN's generated host code calls. STAND_IN_REGISTRATION is what
// registering the kernels returns; a launch returns the number of the kernel plus 1000.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern "C" {
int stand_in_runtime();   // of libruntime.so
int stand_in_ascendcl();  // of libascendcl.so
}

// The kernels in the order in which CANN 8.1 numbers them.
static int32_t launch(const char* name) {
  if (strcmp(name, "triangle_measure") == 0) return 1000;  // the only one of its library
  const char* names[] = {"fwd_bf16_128",
                         "fwd_bf16_256",
                         "fwd_fp16_128",
                         "fwd_fp16_256",
                         "fwd_bent_bf16_128",
                         "fwd_bent_bf16_256",
                         "fwd_bent_fp16_128",
                         "fwd_bent_fp16_256",
                         "cache_append",
                         "cache_bf16_128",
                         "cache_bf16_256",
                         "cache_fp16_128",
                         "cache_fp16_256",
                         "fwd_intervals_bf16_128",
                         "fwd_intervals_bf16_256",
                         "fwd_intervals_fp16_128",
                         "fwd_intervals_fp16_256",
                         "intervals",
                         "bwd_bf16",
                         "bwd_fp16",
                         "bwd_bent_bf16",
                         "bwd_bent_fp16",
                         "bwd_bent_rows_bf16",
                         "bwd_bent_rows_fp16",
                         "bwd_intervals_bf16",
                         "bwd_intervals_fp16"};
  for (int i = 0; i < 26; ++i)
    if (strcmp(name + strlen("triangle_attn_"), names[i]) == 0) return 1000 + i;
  return 1;
}

extern "C" {

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

// CANN 8.5: registration and launch.
int32_t AscendDevBinaryRegister(const void*, size_t, void** handle) { return RegisterAscendBinary("", 0, 0, handle); }
int32_t AscendKernelLaunchWithFlagV2(const char* name, uint32_t, void**, uint32_t, const void*) { return launch(name); }

// CANN 9: a function of the binary between the two.
int32_t AscendDevBinaryLazyRegister(const char*, size_t, void** handle) {
  return RegisterAscendBinary("", 0, 0, handle);
}
int32_t AscendGetFuncFromBinary(void* binary, const char* name, void** function) {
  *function = const_cast<char*>(name);
  return binary == nullptr ? 107000 : 0;
}
int32_t AscendLaunchKernelWithHostArgs(void* function, uint32_t, void*, void*, size_t, uint32_t) {
  return launch(static_cast<const char*>(function));
}
}
