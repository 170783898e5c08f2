// Functions that must exist for torch_npu to load, and are not emulated: each returns an error that names it.
//
//   ASCEND_SIM_UNSUPPORTED(aclmdlInitDump, ACL_ERROR_API_NOT_SUPPORT)   what it returns
//
// Defined without parameters: C callers pass theirs and clean up after themselves.
#pragma once

#include <cstdint>

#include "acl/acl_base.h"
#include "acl/work.h"

#define ASCEND_SIM_UNSUPPORTED(name, value)                                                        \
  extern "C" intptr_t name(void) {                                                                 \
    ::ascend_sim::acl::Fail(ACL_ERROR_API_NOT_SUPPORT, #name " is not emulated by the simulator"); \
    return value;                                                                                  \
  }
