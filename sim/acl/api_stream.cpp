// ACL: streams, events, callbacks; and Enqueue and launches for the other libraries.
#include <unistd.h>

#include <cstring>
#include <thread>

#include "acl/acl.h"
#include "acl/api.h"
#include "acl/cores.h"
#include "acl/device.h"
#include "acl/graph.h"
#include "acl/launch.h"
#include "acl/settings.h"
#include "acl/stream.h"
#include "acl/work.h"
#include "core/machine.h"

using namespace ascend_sim::acl;

namespace {

constexpr double kWorkMicroseconds = 5;  // modelled time of work that is not a kernel: assumed, a small operator's

}  // namespace

namespace ascend_sim {
namespace acl {

Stream* FindStream(aclrtStream handle, const char* caller, aclError* error) {
  int32_t device = -1;
  if (handle == nullptr) {
    device = Devices::Get().Current(caller);
    if (device < 0) {
      *error = ACL_ERROR_RT_CONTEXT_NULL;
      return nullptr;
    }
  }
  Stream* stream = Streams::Get().Find(handle, device);
  if (stream == nullptr) *error = Fail(ACL_ERROR_RT_INVALID_HANDLE, std::string(caller) + ": unknown stream");
  return stream;
}

}  // namespace acl
}  // namespace ascend_sim

namespace {

Event* FindEvent(aclrtEvent handle, const char* caller, aclError* error) {
  Event* event = Streams::Get().FindEvent(handle);
  if (event == nullptr) *error = Fail(ACL_ERROR_RT_INVALID_HANDLE, std::string(caller) + ": unknown event");
  return event;
}

aclError PushCallback(const char* caller, void (*function)(void*), void* argument, aclrtStream stream) {
  aclError error = ACL_SUCCESS;
  Stream* found = FindStream(stream, caller, &error);
  if (found == nullptr) return error;
  Task task;
  task.name = caller;
  task.unlocked = true;
  task.run = [function, argument] {
    function(argument);
    return Outcome{};
  };
  return Streams::Get().Push(found, std::move(task));
}

}  // namespace

#define ACL_FIND_EVENT(function, name, handle)              \
  Event* const name = FindEvent(handle, #function, &error); \
  if (name == nullptr) return error

extern "C" {

aclError aclrtCreateStream(aclrtStream* stream) {
  ACL_ENTER(aclrtCreateStream);
  ACL_REQUIRE_POINTER(aclrtCreateStream, stream);
  const int32_t device = Devices::Get().Current("aclrtCreateStream");
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *stream = Streams::Get().Create(device);
  return ACL_SUCCESS;
}
// Priority and flags (fast launch, fast synchronisation) concern speed only.
aclError aclrtCreateStreamWithConfig(aclrtStream* stream, uint32_t, uint32_t) {
  ACL_ENTER(aclrtCreateStreamWithConfig);
  ACL_REQUIRE_POINTER(aclrtCreateStreamWithConfig, stream);
  const int32_t device = Devices::Get().Current("aclrtCreateStreamWithConfig");
  if (device < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  *stream = Streams::Get().Create(device);
  return ACL_SUCCESS;
}
aclError aclrtDestroyStream(aclrtStream stream) {
  ACL_ENTER(aclrtDestroyStream);
  ACL_REQUIRE_POINTER(aclrtDestroyStream, stream);
  ACL_FIND_STREAM(aclrtDestroyStream);
  return Streams::Get().Destroy(found, false);
}
aclError aclrtDestroyStreamForce(aclrtStream stream) {
  ACL_ENTER(aclrtDestroyStreamForce);
  ACL_REQUIRE_POINTER(aclrtDestroyStreamForce, stream);
  ACL_FIND_STREAM(aclrtDestroyStreamForce);
  return Streams::Get().Destroy(found, true);
}
aclError aclrtSynchronizeStream(aclrtStream stream) {
  ACL_ENTER(aclrtSynchronizeStream);
  ACL_FIND_STREAM(aclrtSynchronizeStream);
  return Streams::Get().Finish(found, "aclrtSynchronizeStream");
}
// Modelled devices do not hang: what does not end, the watchdog ends. So the timeout is not needed.
aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t) {
  ACL_ENTER(aclrtSynchronizeStreamWithTimeout);
  ACL_FIND_STREAM(aclrtSynchronizeStreamWithTimeout);
  return Streams::Get().Finish(found, "aclrtSynchronizeStreamWithTimeout");
}
aclError aclrtSynchronizeDevice(void) {
  ACL_ENTER(aclrtSynchronizeDevice);
  const int32_t device = Devices::Get().Current("aclrtSynchronizeDevice");
  return device < 0 ? ACL_ERROR_RT_CONTEXT_NULL : Streams::Get().FinishDevice(device, "aclrtSynchronizeDevice");
}
aclError aclrtSynchronizeDeviceWithTimeout(int32_t) {
  ACL_ENTER(aclrtSynchronizeDeviceWithTimeout);
  const int32_t device = Devices::Get().Current("aclrtSynchronizeDeviceWithTimeout");
  return device < 0 ? ACL_ERROR_RT_CONTEXT_NULL
                    : Streams::Get().FinishDevice(device, "aclrtSynchronizeDeviceWithTimeout");
}
aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus* status) {
  ACL_ENTER(aclrtStreamQuery);
  ACL_REQUIRE_POINTER(aclrtStreamQuery, status);
  ACL_FIND_STREAM(aclrtStreamQuery);
  if (const aclError captures = Graphs::Get().CheckStream(found, "aclrtStreamQuery")) return captures;
  *status = Streams::Get().Query(found) ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY;
  return ACL_SUCCESS;
}
aclError aclrtStreamGetId(aclrtStream stream, int32_t* streamId) {
  ACL_ENTER(aclrtStreamGetId);
  ACL_REQUIRE_POINTER(aclrtStreamGetId, streamId);
  ACL_FIND_STREAM(aclrtStreamGetId);
  *streamId = found->id;
  return ACL_SUCCESS;
}
aclError aclrtSetStreamFailureMode(aclrtStream stream, uint64_t mode) {
  ACL_ENTER(aclrtSetStreamFailureMode);
  ACL_FIND_STREAM(aclrtSetStreamFailureMode);
  if (mode == ACL_STOP_ON_FAILURE) return ACL_SUCCESS;  // what streams here always do
  return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, "aclrtSetStreamFailureMode: only ACL_STOP_ON_FAILURE is emulated");
}

aclError aclrtCreateEventExWithFlag(aclrtEvent* event, uint32_t flag) {
  ACL_ENTER(aclrtCreateEventExWithFlag);
  ACL_REQUIRE_POINTER(aclrtCreateEventExWithFlag, event);
  if ((flag & ACL_EVENT_EXTERNAL) != 0) {
    return Fail(ACL_ERROR_FEATURE_UNSUPPORTED, "aclrtCreateEventExWithFlag: ACL_EVENT_EXTERNAL is not emulated");
  }
  if (Devices::Get().Current("aclrtCreateEventExWithFlag") < 0) return ACL_ERROR_RT_CONTEXT_NULL;
  Event* made = Streams::Get().CreateEvent();
  made->timed = (flag & ACL_EVENT_TIME_LINE) != 0;
  *event = made;
  return ACL_SUCCESS;
}
aclError aclrtCreateEventWithFlag(aclrtEvent* event, uint32_t flag) { return aclrtCreateEventExWithFlag(event, flag); }
aclError aclrtCreateEvent(aclrtEvent* event) { return aclrtCreateEventExWithFlag(event, ACL_EVENT_TIME_LINE); }
aclError aclrtDestroyEvent(aclrtEvent event) {
  ACL_ENTER(aclrtDestroyEvent);
  aclError error = ACL_SUCCESS;
  ACL_FIND_EVENT(aclrtDestroyEvent, found, event);
  Streams::Get().DestroyEvent(found);
  return ACL_SUCCESS;
}
aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
  ACL_ENTER(aclrtRecordEvent);
  ACL_FIND_STREAM(aclrtRecordEvent);
  ACL_FIND_EVENT(aclrtRecordEvent, recorded, event);
  Task task;
  task.name = "aclrtRecordEvent";
  task.record = recorded->last = std::make_shared<Record>();
  return Streams::Get().Push(found, std::move(task));
}
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
  ACL_ENTER(aclrtStreamWaitEvent);
  ACL_FIND_STREAM(aclrtStreamWaitEvent);
  ACL_FIND_EVENT(aclrtStreamWaitEvent, awaited, event);
  if (awaited->last == nullptr) return ACL_SUCCESS;  // never recorded: nothing to wait for
  Task task;
  task.name = "aclrtStreamWaitEvent";
  task.wait = awaited->last;
  return Streams::Get().Push(found, std::move(task));
}
aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
  ACL_ENTER(aclrtResetEvent);
  ACL_FIND_STREAM(aclrtResetEvent);
  ACL_FIND_EVENT(aclrtResetEvent, reset, event);
  static_cast<void>(found);
  static_cast<void>(reset);
  return Fail(ACL_ERROR_FEATURE_UNSUPPORTED,
              "aclrtResetEvent: events record anew by themselves; external events are not emulated");
}
aclError aclrtSynchronizeEvent(aclrtEvent event) {
  ACL_ENTER(aclrtSynchronizeEvent);
  aclError error = ACL_SUCCESS;
  ACL_FIND_EVENT(aclrtSynchronizeEvent, found, event);
  return Streams::Get().FinishRecord(found->last, "aclrtSynchronizeEvent");
}
aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus* status) {
  ACL_ENTER(aclrtQueryEventStatus);
  ACL_REQUIRE_POINTER(aclrtQueryEventStatus, status);
  aclError error = ACL_SUCCESS;
  ACL_FIND_EVENT(aclrtQueryEventStatus, found, event);
  if (const aclError captured = Graphs::Get().CheckRecord(found->last, "aclrtQueryEventStatus")) return captured;
  *status =
      Streams::Get().Query(found->last) ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
  return ACL_SUCCESS;
}
aclError aclrtEventGetTimestamp(aclrtEvent event, uint64_t* timestamp) {
  ACL_ENTER(aclrtEventGetTimestamp);
  ACL_REQUIRE_POINTER(aclrtEventGetTimestamp, timestamp);
  aclError error = ACL_SUCCESS;
  ACL_FIND_EVENT(aclrtEventGetTimestamp, found, event);
  if (found->last == nullptr || !found->last->done) {
    return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "aclrtEventGetTimestamp: the event is not recorded");
  }
  *timestamp = static_cast<uint64_t>(found->last->time);
  return ACL_SUCCESS;
}
aclError aclrtEventElapsedTime(float* ms, aclrtEvent startEvent, aclrtEvent endEvent) {
  ACL_ENTER(aclrtEventElapsedTime);
  ACL_REQUIRE_POINTER(aclrtEventElapsedTime, ms);
  aclError error = ACL_SUCCESS;
  ACL_FIND_EVENT(aclrtEventElapsedTime, start, startEvent);
  ACL_FIND_EVENT(aclrtEventElapsedTime, end, endEvent);
  for (const Event* event : {start, end}) {
    if (!event->timed) {
      return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID,
                  "aclrtEventElapsedTime: the event was created without ACL_EVENT_TIME_LINE");
    }
    if (event->last == nullptr || !event->last->done) {
      return Fail(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "aclrtEventElapsedTime: an event is not recorded");
    }
  }
  *ms = static_cast<float>((end->last->time - start->last->time) / 1e3);
  return ACL_SUCCESS;
}

aclError aclrtLaunchHostFunc(aclrtStream stream, aclrtHostFunc fn, void* args) {
  ACL_ENTER(aclrtLaunchHostFunc);
  ACL_REQUIRE_POINTER(aclrtLaunchHostFunc, fn);
  return PushCallback("aclrtLaunchHostFunc", fn, args, stream);
}
// A callback runs on the thread that lets the stream go on, not on the one that subscribed, and always blocks the
// stream.
aclError aclrtLaunchCallback(aclrtCallback fn, void* userData, aclrtCallbackBlockType, aclrtStream stream) {
  ACL_ENTER(aclrtLaunchCallback);
  ACL_REQUIRE_POINTER(aclrtLaunchCallback, fn);
  return PushCallback("aclrtLaunchCallback", fn, userData, stream);
}
aclError aclrtSubscribeReport(uint64_t, aclrtStream stream) {
  ACL_ENTER(aclrtSubscribeReport);
  ACL_FIND_STREAM(aclrtSubscribeReport);
  return ACL_SUCCESS;
}
aclError aclrtUnSubscribeReport(uint64_t, aclrtStream stream) {
  ACL_ENTER(aclrtUnSubscribeReport);
  ACL_FIND_STREAM(aclrtUnSubscribeReport);
  return ACL_SUCCESS;
}
// No callback waits for this call, see aclrtLaunchCallback; the thread that polls must not spin.
aclError aclrtProcessReport(int32_t timeout) {
  std::this_thread::sleep_for(std::chrono::milliseconds(timeout > 0 ? timeout : 1));
  return Fail(ACL_ERROR_RT_WAIT_TIMEOUT, "aclrtProcessReport: no callback waits");
}

aclError ascend_sim_acl_launch(const char* kernel, int type, uint32_t blocks, void* stream, void* const* args,
                               const uint64_t* arg_bytes, uint32_t arg_count, const char* file, uint32_t line) {
  std::lock_guard<std::recursive_mutex> guard(TheLock());
  ACL_FIND_STREAM(ascend_sim_acl_launch);
  const auto kind = static_cast<ascend_sim::KernelType>(type);
  auto launch = std::make_shared<Launch>();
  launch->kernel = kernel;
  launch->type = kind == ascend_sim::KernelType::kUnset ? "" : ascend_sim::KernelTypeName(kind);
  launch->file = file;
  launch->line = line;
  launch->blocks = blocks;
  launch->device = found->device;
  launch->stream = found->id;
  launch->thread = gettid();
  launch->aic_cores = FewerCores(*found);
  for (uint32_t i = 0; i < arg_count; ++i) {
    const auto* bytes = static_cast<const uint8_t*>(args[i]);
    launch->args.emplace_back(bytes, bytes + arg_bytes[i]);
  }
  Task task;
  task.name = std::string("kernel ") + kernel;
  task.run = [launch] { return launch->Run(); };
  ++QueuedByThisThread();
  return Streams::Get().Push(found, std::move(task));
}

}  // extern "C"

namespace ascend_sim {
namespace acl {

aclError Enqueue(aclrtStream stream, const char* name, std::function<std::string()> work) {
  std::lock_guard<std::recursive_mutex> guard(TheLock());
  ACL_FIND_STREAM(Enqueue);
  Task task;
  task.name = name;
  task.run = [work = std::move(work), name = task.name] {
    Outcome outcome;
    outcome.microseconds = kWorkMicroseconds;
    if (Injected(name.c_str(), &outcome.code)) {
      outcome.text = "failure injected by ASCEND_SIM_FAIL";
      return outcome;
    }
    outcome.text = work();
    if (!outcome.text.empty()) outcome.code = ACL_ERROR_RT_AICORE_EXCEPTION;
    return outcome;
  };
  return Streams::Get().Push(found, std::move(task));
}

}  // namespace acl
}  // namespace ascend_sim
