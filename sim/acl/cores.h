// How many cores kernels may use: the chip's, less where a device is a part of one (ASCEND_SIM_CORES), less where a
// program limits a device or a stream. Callers hold TheLock().
#pragma once

#include <cstdint>

#include "acl/acl_rt.h"
#include "acl/stream.h"

namespace ascend_sim {
namespace acl {

// What a device has, whatever limits are set. An error for a chip that the simulator does not know.
aclError DeviceCores(const char* caller, aclrtDevResLimitType type, int64_t* value);

// AI cores that a kernel on the stream may use, 0 where it may use the whole chip. The simulator lets no more blocks
// run at a time, as a chip does whose other cores are busy: a kernel whose blocks wait for each other then deadlocks.
uint32_t FewerCores(const Stream& stream);

}  // namespace acl
}  // namespace ascend_sim
