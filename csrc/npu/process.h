// Functions of libraries that are in the process already, found by name. torch_npu and CANN are loaded RTLD_LOCAL: no
// search by RTLD_DEFAULT finds them, and this package links neither.
#pragma once
#include <dlfcn.h>

#include "glibc.h"

namespace triangle::npu {

// Null where the library is not loaded or has no such symbol.
template <class Function>
Function* find(const char* library, const char* symbol) {
  void* handle = dlopen(library, RTLD_NOLOAD | RTLD_LAZY);
  if (handle == nullptr) return nullptr;
  void* function = dlsym(handle, symbol);
  dlclose(handle);  // it stays: somebody else loaded it
  return reinterpret_cast<Function*>(function);
}

// A function of CANN's runtime.
template <class Function>
Function* acl(const char* symbol) {
  return find<Function>("libascendcl.so", symbol);
}

}  // namespace triangle::npu
