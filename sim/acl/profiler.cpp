// libmsprofiler.so: ranges of msprof, which say what operator a launch is of. Nothing is timed; each range becomes a
// line of the report, with what the simulator itself knows of it:
//
//   {"range":"name","type":"name","blocks":24,"kernels":1,"thread":7,"tensors":[{"output":0,"type":1,"shape":[1,2]}]}
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "acl/error.h"
#include "acl/launch.h"
#include "core/report.h"

using ascend_sim::JsonQuote;
using ascend_sim::acl::Fail;
using ascend_sim::acl::QueuedByThisThread;

extern "C" {

// acl/acl_prof.h
struct aclprofTensor {
  uint32_t type, format, dataType, shapeDim, shape[8];
};
struct aclprofTensorInfo {
  uint64_t opNameId, opTypeId;
  uint32_t resv, tensorNum, kernelType, blockNums;
  void* stream;
  aclprofTensor* tensors;
};
struct aclprofEventAttributes {
  uint16_t version, size;
  uint32_t messageType;
  aclprofTensorInfo* tensorInfo;
};

}  // extern "C"

namespace {

std::mutex g_mutex;
std::map<uint64_t, std::string> g_names;
// One for the process, as in CANN, which reads it when it is popped.
aclprofEventAttributes* g_range = nullptr;
pid_t g_thread = 0;
uint64_t g_queued = 0;

std::string Tensors(const aclprofTensorInfo& info) {
  std::string text;
  for (uint32_t i = 0; i < info.tensorNum; ++i) {
    const aclprofTensor& t = info.tensors[i];
    text += (i == 0 ? "{\"output\":" : ",{\"output\":") + std::to_string(t.type) +
            ",\"type\":" + std::to_string(t.dataType) + ",\"shape\":[";
    for (uint32_t j = 0; j < std::min(t.shapeDim, 8U); ++j) text += (j == 0 ? "" : ",") + std::to_string(t.shape[j]);
    text += "]}";
  }
  return text;
}

}  // namespace

extern "C" {

uint64_t aclprofStr2Id(const char* message) {
  const std::lock_guard<std::mutex> guard(g_mutex);
  const uint64_t id = std::hash<std::string>()(message);
  g_names[id] = message;
  return id;
}

aclError aclprofRangePushEx(aclprofEventAttributes* attr) {
  const std::lock_guard<std::mutex> guard(g_mutex);
  if (attr == nullptr || attr->messageType != 0 || attr->version != 1 || attr->size != sizeof(void*))
    return Fail(ACL_ERROR_INVALID_PARAM, "aclprofRangePushEx: expected a message of tensors, version 1");
  if (g_range != nullptr) return Fail(ACL_ERROR_INVALID_PARAM, "aclprofRangePushEx: the range before it is not popped");
  g_range = attr;
  g_thread = gettid();
  g_queued = QueuedByThisThread();
  return ACL_SUCCESS;
}

aclError aclprofRangePop() {
  const std::lock_guard<std::mutex> guard(g_mutex);
  if (g_range == nullptr || g_thread != gettid())
    return Fail(ACL_ERROR_INVALID_PARAM, "aclprofRangePop: expected a range that this thread has pushed");
  const aclprofTensorInfo& info = *g_range->tensorInfo;
  ascend_sim::acl::WriteReport("{\"range\":" + JsonQuote(g_names[info.opNameId]) + ",\"type\":" +
                               JsonQuote(g_names[info.opTypeId]) + ",\"blocks\":" + std::to_string(info.blockNums) +
                               ",\"kernels\":" + std::to_string(QueuedByThisThread() - g_queued) +
                               ",\"thread\":" + std::to_string(g_thread) + ",\"tensors\":[" + Tensors(info) + "]}");
  g_range = nullptr;
  return ACL_SUCCESS;
}

}  // extern "C"
