// libtriangle_attn_measure.so's functions (launch.h), in the three ways of op_kernel/launch.cpp.
#if defined(TRIANGLE_LAUNCH_ASC)
#include "launch_asc.h"
#elif defined(TRIANGLE_LAUNCH_ASCENDC_LIBRARY)
#include "launch_ascendc_library.h"
#elif defined(TRIANGLE_LAUNCH_SIM)
#include "launch_sim.h"
#else
#error "one of TRIANGLE_LAUNCH_ASC, TRIANGLE_LAUNCH_ASCENDC_LIBRARY, TRIANGLE_LAUNCH_SIM must be defined"
#endif
#include "launch.h"

#ifndef TRIANGLE_CANN_VERSION
#error "TRIANGLE_CANN_VERSION must be defined: the version of the CANN that compiles the kernel, or \"none\""
#endif

#define TRIANGLE_EXPORT __attribute__((visibility("default")))

extern "C" {

TRIANGLE_EXPORT int32_t triangle_measure_abi(void) { return 1; }

TRIANGLE_EXPORT const char* triangle_measure_build(void) {
  return "cann=" TRIANGLE_CANN_VERSION ";way=" TRIANGLE_LAUNCH_WAY ";arch=dav-2201";
}

TRIANGLE_EXPORT int32_t triangle_measure_launch(uint32_t cores, void* memory, const TriangleMeasureWords* words,
                                                void* stream) {
  return queue_measure(cores, memory, *words, stream);
}

}  // extern "C"
