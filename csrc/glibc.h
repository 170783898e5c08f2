// Functions that newer versions of glibc have under a second version of their name, bound to the first: dlopen and its
// kin moved into libc.so.6 (2.34), log lost its error handling (2.29). A library linked here then loads with glibc 2.28
// (manylinux_2_28) too. Include it where one of them is called.
#pragma once
#include <cstdlib>  // defines __GLIBC__ there

#if defined(__GLIBC__) && defined(__x86_64__)
#define TRIANGLE_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__GLIBC__) && defined(__aarch64__)
#define TRIANGLE_FIRST_GLIBC "GLIBC_2.17"
#endif

#if defined(TRIANGLE_FIRST_GLIBC)
__asm__(".symver dlopen, dlopen@" TRIANGLE_FIRST_GLIBC);
__asm__(".symver dlsym, dlsym@" TRIANGLE_FIRST_GLIBC);
__asm__(".symver dlclose, dlclose@" TRIANGLE_FIRST_GLIBC);
__asm__(".symver dlerror, dlerror@" TRIANGLE_FIRST_GLIBC);
__asm__(".symver dladdr, dladdr@" TRIANGLE_FIRST_GLIBC);
__asm__(".symver log, log@" TRIANGLE_FIRST_GLIBC);
#endif
