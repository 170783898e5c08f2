// Stand-in for the host code that bisheng generates for <<<>>>: it registers the kernels' binary, launches through
// libascendc_runtime.a, prints where either fails, and returns nothing. STAND_IN_8_5: by the functions of CANN 8.5.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

extern "C" {
int32_t AscendDevBinaryRegister(const void*, size_t, void** handle);
int32_t AscendKernelLaunchWithFlagV2(const char* name, uint32_t, void**, uint32_t, const void*);
int32_t AscendDevBinaryLazyRegister(const char*, size_t, void** handle);
int32_t AscendGetFuncFromBinary(void* binary, const char* name, void** function);
int32_t AscendLaunchKernelWithHostArgs(void* function, uint32_t, void*, void*, size_t, uint32_t);
void AscendProfRegister();
}

static void* registered() {
  void* handle = nullptr;
#ifdef STAND_IN_8_5
  if (AscendDevBinaryRegister("", 0, &handle) != 0) printf("registration failed\n");
#else
  if (AscendDevBinaryLazyRegister("", 0, &handle) != 0) printf("registration failed\n");
#endif
  AscendProfRegister();
  return handle;
}

void stand_in_launch(const char* name, uint32_t blocks, void* stream) {
  static void* const binary = registered();
#ifdef STAND_IN_8_5
  if (binary != nullptr) AscendKernelLaunchWithFlagV2(name, blocks, nullptr, 0, stream);
#else
  void* function = nullptr;
  if (AscendGetFuncFromBinary(binary, name, &function) != 0) return;
  AscendLaunchKernelWithHostArgs(function, blocks, stream, nullptr, 0, 0);
#endif
}
