// ACL: capture into graphs and their replay.
#include <thread>

#include "acl/acl.h"
#include "acl/api.h"
#include "acl/graph.h"

using namespace ascend_sim::acl;

#define ACL_FIND_GRAPH(function)                    \
  Graph* const graph = Graphs::Get().Find(modelRI); \
  if (graph == nullptr) return Fail(ACL_ERROR_RT_PARAM_INVALID, #function ": unknown graph")

extern "C" {

aclError aclmdlRICaptureBegin(aclrtStream stream, aclmdlRICaptureMode mode) {
  ACL_ENTER(aclmdlRICaptureBegin);
  if (stream == nullptr) {
    return Fail(ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT, "aclmdlRICaptureBegin: the default stream cannot capture");
  }
  ACL_FIND_STREAM(aclmdlRICaptureBegin);
  return Graphs::Get().Begin(found, mode);
}
aclError aclmdlRICaptureGetInfo(aclrtStream stream, aclmdlRICaptureStatus* status, aclmdlRI* modelRI) {
  ACL_ENTER(aclmdlRICaptureGetInfo);
  ACL_REQUIRE_POINTER(aclmdlRICaptureGetInfo, status);
  ACL_FIND_STREAM(aclmdlRICaptureGetInfo);
  *status = found->capture != nullptr ? found->capture->status : ACL_MODEL_RI_CAPTURE_STATUS_NONE;
  if (modelRI != nullptr) *modelRI = found->capture;
  return ACL_SUCCESS;
}
aclError aclmdlRICaptureEnd(aclrtStream stream, aclmdlRI* modelRI) {
  ACL_ENTER(aclmdlRICaptureEnd);
  ACL_REQUIRE_POINTER(aclmdlRICaptureEnd, modelRI);
  ACL_FIND_STREAM(aclmdlRICaptureEnd);
  Graph* graph = nullptr;
  const aclError wrong = Graphs::Get().End(found, &graph);
  *modelRI = graph;
  return wrong;
}
aclError aclmdlRICaptureThreadExchangeMode(aclmdlRICaptureMode* mode) {
  ACL_ENTER(aclmdlRICaptureThreadExchangeMode);
  ACL_REQUIRE_POINTER(aclmdlRICaptureThreadExchangeMode, mode);
  std::swap(*mode, ThreadCaptureMode());
  return ACL_SUCCESS;
}
aclError aclmdlRIExecuteAsync(aclmdlRI modelRI, aclrtStream stream) {
  ACL_ENTER(aclmdlRIExecuteAsync);
  ACL_FIND_GRAPH(aclmdlRIExecuteAsync);
  ACL_FIND_STREAM(aclmdlRIExecuteAsync);
  return Graphs::Get().Execute(graph, found);
}
aclError aclmdlRIDestroy(aclmdlRI modelRI) {
  ACL_ENTER(aclmdlRIDestroy);
  ACL_FIND_GRAPH(aclmdlRIDestroy);
  return Graphs::Get().Destroy(graph);
}
aclError aclmdlRIGetId(aclmdlRI modelRI, uint32_t* modelRIId) {
  ACL_ENTER(aclmdlRIGetId);
  ACL_REQUIRE_POINTER(aclmdlRIGetId, modelRIId);
  ACL_FIND_GRAPH(aclmdlRIGetId);
  *modelRIId = graph->id;
  return ACL_SUCCESS;
}

// Attributes of a stream concern what profilers are told, and speed.
aclError aclrtSetStreamAttribute(aclrtStream stream, int, void*) {
  ACL_ENTER(aclrtSetStreamAttribute);
  ACL_FIND_STREAM(aclrtSetStreamAttribute);
  return ACL_SUCCESS;
}

}  // extern "C"
