// The C interface of libtriangle_attn_measure.so: words and a stream in, a queued launch of measure.cpp's kernel out.
#pragma once
#include <stdint.h>

#include "words.h"

#ifdef __cplusplus
extern "C" {
#endif

// Changes with the words and their meanings.
int32_t triangle_measure_abi(void);

// As triangle_npu_build(): "cann=8.5.0;way=asc;arch=dav-2201". Static text.
const char* triangle_measure_build(void);

// Queues a launch on `cores` AI cores behind the work of `stream` (an aclrtStream): 0, or an aclError.
int32_t triangle_measure_launch(uint32_t cores, void* memory, const struct TriangleMeasureWords* words, void* stream);

#ifdef __cplusplus
}
#endif
