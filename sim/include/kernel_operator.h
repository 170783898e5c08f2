// What an Ascend C kernel includes.
#pragma once

#include "kernel_basic_intf.h"
#include "kernel_pop_stack_buffer.h"
#if !__has_include("lib/pad/broadcast.h") && !__has_include("include/adv_api/pad/broadcast.h") && \
                                                            !__has_include("adv_api/pad/broadcast.h")
#include "ascend_sim/high_level.h"
#endif
