// The AscendCL runtime calls that carry a kernel sample: device, memory, stream. Backed by the simulator.
#pragma once

#include "acl/acl_base.h"
#include "acl/acl_rt.h"

#ifdef __cplusplus
extern "C" {
#endif

aclError aclInit(const char* configPath);
aclError aclFinalize(void);

#ifdef __cplusplus
}
#endif
