#include "cores.h"

#include <algorithm>

#include "op_host/tiling.h"
#include "problem.h"
#include "process.h"

namespace triangle::npu {
namespace {

// Kinds of cores, as aclrtDevResLimitType, aclrtDevAttr and aclGetDeviceCapability number them.
struct Kind {
  int limit, attribute, capability;
};
constexpr Kind kCube{0, 101, 0};  // where cube and vector cores are apart, AI cores are cube cores
constexpr Kind kVector{1, 201, 1};

// The stream's limit falls back on the device's by itself, and that on the chip's. A CANN without limits (8.1) has the
// other two.
struct Functions {
  int32_t (*of_stream)(void*, int, uint32_t*) = acl<int32_t(void*, int, uint32_t*)>("aclrtGetStreamResLimit");
  int32_t (*of_device)(int32_t, int, uint32_t*) = acl<int32_t(int32_t, int, uint32_t*)>("aclrtGetDeviceResLimit");
  int32_t (*attribute)(uint32_t, int, int64_t*) = acl<int32_t(uint32_t, int, int64_t*)>("aclrtGetDeviceInfo");
  int32_t (*capability)(uint32_t, int, int64_t*) = acl<int32_t(uint32_t, int, int64_t*)>("aclGetDeviceCapability");
};

// Cores of one kind, 0 where nothing tells.
int64_t cores_of(const Kind& kind, int32_t device_index, void* stream) {
  static const Functions ask;
  uint32_t limit = 0;
  if (ask.of_stream != nullptr && ask.of_stream(stream, kind.limit, &limit) == 0 && limit > 0) return limit;
  if (ask.of_device != nullptr && ask.of_device(device_index, kind.limit, &limit) == 0 && limit > 0) return limit;
  const auto device = static_cast<uint32_t>(device_index);
  int64_t cores = 0;
  if (ask.attribute != nullptr && ask.attribute(device, kind.attribute, &cores) == 0 && cores > 0) return cores;
  if (ask.capability != nullptr && ask.capability(device, kind.capability, &cores) == 0 && cores > 0) return cores;
  return 0;
}

}  // namespace

int64_t ai_cores(int32_t device_index, void* stream) {
  const int64_t cube = cores_of(kCube, device_index, stream), vector = cores_of(kVector, device_index, stream);
  const int64_t cores = vector > 0 ? std::min(cube, vector / 2) : cube;
  check(cores > 0,
        "npu: a kernel needs an AI core, one cube core with two vector cores; CANN allows this stream of npu:",
        device_index, " ", cube, " cube and ", vector, " vector cores");
  return std::min<int64_t>(cores, kMaxCores);
}

}  // namespace triangle::npu
