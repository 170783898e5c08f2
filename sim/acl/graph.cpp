#include "acl/graph.h"

#include <algorithm>
#include <set>

#include "acl/error.h"

namespace ascend_sim {
namespace acl {

aclmdlRICaptureMode& ThreadCaptureMode() {
  thread_local aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  return mode;
}

Graphs& Graphs::Get() {
  static Graphs* graphs = new Graphs;  // outlives every static destructor of the program
  return *graphs;
}

Graph* Graphs::Find(aclmdlRI handle) const {
  auto at = graphs_.find(static_cast<Graph*>(handle));
  return at == graphs_.end() ? nullptr : at->second.get();
}

aclError Graphs::Refuse(Graph* graph, aclError code, const std::string& text) {
  if (graph->status == ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE) {
    graph->status = ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED;
    graph->why = text;
  }
  return Fail(code, text);
}

aclError Graphs::Begin(Stream* stream, aclmdlRICaptureMode mode) {
  if (stream->capture != nullptr) {
    return Fail(ACL_ERROR_RT_STREAM_CAPTURED, "aclmdlRICaptureBegin: the stream captures already");
  }
  auto graph = std::make_unique<Graph>();
  graph->id = next_id_++;
  graph->device = stream->device;
  graph->origin = stream;
  graph->mode = mode;
  graph->thread = std::this_thread::get_id();
  graph->streams.push_back(stream);
  stream->capture = graph.get();
  Graph* handle = graph.get();
  graphs_[handle] = std::move(graph);
  capturing_[handle] = handle;
  return ACL_SUCCESS;
}

bool Graphs::Keep(Stream* stream, Task* task, aclError* error) {
  Graph* const of_event = task->wait != nullptr ? task->wait->graph : nullptr;
  Graph* graph = stream->capture;
  if (graph == nullptr && of_event == nullptr) return false;
  *error = ACL_SUCCESS;
  if (graph == nullptr) {
    if (capturing_.count(of_event) == 0) {
      *error = Fail(ACL_ERROR_RT_EVENT_CAPTURED, task->name + ": the event was recorded in a capture that has ended");
      return true;
    }
    graph = stream->capture = of_event;  // joins it
    if (std::find(graph->streams.begin(), graph->streams.end(), stream) == graph->streams.end()) {
      graph->streams.push_back(stream);
    }
  } else if (task->wait != nullptr && of_event != graph) {
    *error = Refuse(graph, ACL_ERROR_RT_CAPTURE_DEPENDENCY,
                    task->name + ": a stream that captures waits for an event recorded outside of the capture");
    return true;
  }
  if (task->record != nullptr) task->record->graph = graph;
  const size_t index = std::find(graph->streams.begin(), graph->streams.end(), stream) - graph->streams.begin();
  graph->tasks.emplace_back(index, std::move(*task));
  return true;
}

aclError Graphs::End(Stream* stream, Graph** result) {
  Graph* const graph = stream->capture;
  if (graph == nullptr) {
    return Fail(ACL_ERROR_RT_STREAM_NOT_CAPTURED, "aclmdlRICaptureEnd: the stream does not capture");
  }
  if (graph->origin != stream) {
    return Fail(ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED, "aclmdlRICaptureEnd: the capture began on another stream");
  }
  if (graph->mode != ACL_MODEL_RI_CAPTURE_MODE_RELAXED && graph->thread != std::this_thread::get_id()) {
    return Fail(ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD, "aclmdlRICaptureEnd: the capture began on another thread");
  }
  // A stream that joined has to end in an event that is waited for.
  std::set<const Record*> awaited;
  for (const auto& item : graph->tasks) awaited.insert(item.second.wait.get());
  for (size_t i = 1; i < graph->streams.size() && graph->status == ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE; ++i) {
    const Task* last = nullptr;
    for (const auto& item : graph->tasks) {
      if (item.first == i) last = &item.second;
    }
    if (last->record == nullptr || awaited.count(last->record.get()) == 0) {
      Refuse(graph, ACL_ERROR_RT_STREAM_UNJOINED,
             "aclmdlRICaptureEnd: stream " + std::to_string(graph->streams[i]->id) +
                 " joined the capture and was not joined back");
    }
  }
  for (Stream* member : graph->streams) member->capture = nullptr;
  capturing_.erase(graph);
  if (graph->status != ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE) {
    const std::string why = graph->why;
    Retire(graph);
    *result = nullptr;
    return Fail(ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED, "aclmdlRICaptureEnd: the capture is invalid: " + why);
  }
  graph->status = ACL_MODEL_RI_CAPTURE_STATUS_NONE;
  for (size_t i = 0; i < graph->streams.size(); ++i) graph->own.push_back(Streams::Get().Create(graph->device));
  *result = graph;
  return ACL_SUCCESS;
}

aclError Graphs::Execute(Graph* graph, Stream* stream) {
  if (stream->device != graph->device) {
    return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclmdlRIExecuteAsync: the graph and the stream belong to other devices");
  }
  for (Stream* own : graph->own) {
    if (Streams::Get().Find(own, graph->device) == nullptr) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, "aclmdlRIExecuteAsync: the graph's device was reset");
    }
  }
  const auto depend = [](Stream* later, Stream* earlier) {
    Task record, wait;
    record.name = wait.name = "aclmdlRIExecuteAsync";
    record.record = wait.wait = std::make_shared<Record>();
    const aclError error = Streams::Get().Push(earlier, std::move(record));
    return error != ACL_SUCCESS ? error : Streams::Get().Push(later, std::move(wait));
  };
  for (Stream* own : graph->own) {
    if (const aclError error = depend(own, stream)) return error;
  }
  std::map<const Record*, std::shared_ptr<Record>> anew;
  for (const auto& [index, kept] : graph->tasks) {
    Task task;
    task.name = kept.name;
    task.run = kept.run;
    task.unlocked = kept.unlocked;
    if (kept.record != nullptr) task.record = anew[kept.record.get()] = std::make_shared<Record>();
    if (kept.wait != nullptr) task.wait = anew.at(kept.wait.get());
    if (const aclError error = Streams::Get().Push(graph->own[index], std::move(task))) return error;
  }
  for (Stream* own : graph->own) {
    if (const aclError error = depend(stream, own)) return error;
  }
  return ACL_SUCCESS;
}

aclError Graphs::Destroy(Graph* graph) {
  if (capturing_.count(graph) != 0) {
    return Fail(ACL_ERROR_RT_MODEL_CAPTURED, "aclmdlRIDestroy: the graph is being captured");
  }
  aclError error = ACL_SUCCESS;
  for (Stream* own : graph->own) {
    if (Streams::Get().Find(own, graph->device) == nullptr) continue;  // the device was reset
    if (const aclError failed = Streams::Get().Destroy(own, false)) error = failed;
  }
  Retire(graph);
  return error;
}

void Graphs::Retire(Graph* graph) {
  graph->tasks.clear();
  auto at = graphs_.find(graph);
  retired_.push_back(std::move(at->second));
  graphs_.erase(at);
}

aclError Graphs::CheckStream(const Stream* stream, const char* caller) {
  if (stream->capture == nullptr) return ACL_SUCCESS;
  return Refuse(stream->capture, ACL_ERROR_RT_STREAM_CAPTURED, std::string(caller) + ": the stream captures a graph");
}

aclError Graphs::CheckRecord(const std::shared_ptr<Record>& record, const char* caller) {
  if (record == nullptr || record->graph == nullptr) return ACL_SUCCESS;
  const std::string text = std::string(caller) + ": the event is recorded in a graph";
  if (capturing_.count(record->graph) == 0) return Fail(ACL_ERROR_RT_EVENT_CAPTURED, text);
  return Refuse(record->graph, ACL_ERROR_RT_EVENT_CAPTURED, text);
}

aclError Graphs::CheckDevice(int32_t device, const char* caller) {
  for (const auto& item : capturing_) {
    if (item.first->device != device) continue;
    return Refuse(item.first, ACL_ERROR_RT_STREAM_CAPTURED,
                  std::string(caller) + ": a stream of the device captures a graph");
  }
  return ACL_SUCCESS;
}

aclError Graphs::CheckUnsafe(const char* caller) {
  const aclmdlRICaptureMode mine = ThreadCaptureMode();
  if (mine == ACL_MODEL_RI_CAPTURE_MODE_RELAXED) return ACL_SUCCESS;
  for (const auto& item : capturing_) {
    Graph* const graph = item.first;
    const bool own = graph->thread == std::this_thread::get_id() && graph->mode != ACL_MODEL_RI_CAPTURE_MODE_RELAXED;
    const bool any = mine == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL && graph->mode == ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
    if (!own && !any) continue;
    return Refuse(graph, ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT,
                  std::string(caller) + ": not allowed while a stream captures a graph in this mode");
  }
  return ACL_SUCCESS;
}

}  // namespace acl
}  // namespace ascend_sim
