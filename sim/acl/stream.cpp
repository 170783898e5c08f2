#include "acl/stream.h"

#include <algorithm>
#include <vector>

#include "acl/error.h"
#include "acl/graph.h"
#include "acl/memory.h"
#include "acl/settings.h"

namespace ascend_sim {
namespace acl {

namespace {
constexpr size_t kQueueLength = 1024;  // a longer queue makes the host wait, as the device's does
}

Streams::Streams() : random_(TheSettings().seed) {}

Streams& Streams::Get() {
  static Streams* streams = new Streams;  // outlives every static destructor of the program
  return *streams;
}

Stream* Streams::Create(int32_t device) {
  auto stream = std::make_unique<Stream>();
  stream->id = next_id_++;
  stream->device = device;
  Stream* handle = stream.get();
  streams_[handle] = std::move(stream);
  return handle;
}

Stream* Streams::Default(int32_t device) {
  Stream*& stream = defaults_[device];
  if (stream == nullptr) stream = Create(device);
  return stream;
}

Stream* Streams::Find(aclrtStream handle, int32_t device) {
  if (handle == nullptr) return Default(device);
  auto at = streams_.find(static_cast<Stream*>(handle));
  return at == streams_.end() ? nullptr : at->second.get();
}

aclError Streams::Destroy(Stream* stream, bool force) {
  aclError error = ACL_SUCCESS;
  if (force) {
    dropped_ += stream->queue.size();
    FailStream(stream, ACL_SUCCESS, "its stream was destroyed by force");
  } else {
    error = Finish(stream, "aclrtDestroyStream");
  }
  for (auto at = defaults_.begin(); at != defaults_.end(); ++at) {
    if (at->second != stream) continue;
    defaults_.erase(at);
    break;
  }
  auto at = streams_.find(stream);
  retired_.push_back(std::move(at->second));
  streams_.erase(at);
  return error;
}

void Streams::DestroyAll(int32_t device) {
  std::vector<Stream*> gone;
  for (const auto& item : streams_) {
    if (item.first->device == device) gone.push_back(item.first);
  }
  for (Stream* stream : gone) Destroy(stream, true);
}

Event* Streams::CreateEvent() {
  auto event = std::make_unique<Event>();
  Event* handle = event.get();
  events_[handle] = std::move(event);
  return handle;
}

Event* Streams::FindEvent(aclrtEvent handle) const {
  auto at = events_.find(static_cast<Event*>(handle));
  return at == events_.end() ? nullptr : at->second.get();
}

void Streams::DestroyEvent(Event* event) { events_.erase(event); }

aclError Streams::Push(Stream* stream, Task task) {
  aclError captured = ACL_SUCCESS;
  if (Graphs::Get().Keep(stream, &task, &captured)) return captured;
  task.number = next_number_++;
  task.not_before = host_time_;
  if (task.record != nullptr) task.record->stream = stream;
  if (stream->error != ACL_SUCCESS) {  // the stream stopped; the host hears of it when it waits
    if (task.record != nullptr) {
      task.record->done = true;
      task.record->error = stream->error;
      task.record->text = stream->error_text;
      task.record->failure = stream->failure;
    }
    ++dropped_;
    return ACL_SUCCESS;
  }
  stream->queue.push_back(std::move(task));
  const StreamOrder order = TheSettings().streams;
  if (order == StreamOrder::kRandom) RunSome();
  const size_t allowed = order == StreamOrder::kEager ? 0 : kQueueLength;
  return RunUntil([stream, allowed] { return stream->queue.size() <= allowed; }, [stream] { return stream; });
}

aclError Streams::Finish(Stream* stream, const char* caller) {
  if (const aclError captures = Graphs::Get().CheckStream(stream, caller)) return captures;
  const bool random = TheSettings().streams == StreamOrder::kRandom;
  const aclError stuck = RunUntil([stream] { return stream->queue.empty() && !stream->busy; },
                                  [this, stream, random] { return random ? AnyRunnable() : stream; });
  if (stuck != ACL_SUCCESS) return stuck;
  host_time_ = std::max(host_time_, stream->clock);
  return Report(stream, caller);
}

aclError Streams::FinishDevice(int32_t device, const char* caller) {
  if (const aclError captures = Graphs::Get().CheckDevice(device, caller)) return captures;
  const auto idle = [this, device] {
    for (const auto& item : streams_) {
      if (item.first->device == device && (!item.first->queue.empty() || item.first->busy)) return false;
    }
    return true;
  };
  const bool random = TheSettings().streams == StreamOrder::kRandom;
  const aclError stuck =
      RunUntil(idle, [this, device, random] { return random ? AnyRunnable() : YoungestRunnable(device); });
  if (stuck != ACL_SUCCESS) return stuck;
  aclError error = ACL_SUCCESS;
  std::string text;
  for (const auto& item : streams_) {
    Stream* stream = item.first;
    if (stream->device != device) continue;
    host_time_ = std::max(host_time_, stream->clock);
    if (stream->error != ACL_SUCCESS) {
      error = stream->error;
      text += (text.empty() ? "" : "\n") + stream->error_text;
      stream->error = ACL_SUCCESS;
    }
  }
  return error == ACL_SUCCESS ? ACL_SUCCESS : Fail(error, std::string(caller) + ": " + text);
}

aclError Streams::FinishRecord(std::shared_ptr<Record> record, const char* caller) {
  if (record == nullptr) return ACL_SUCCESS;
  if (const aclError captured = Graphs::Get().CheckRecord(record, caller)) return captured;
  const bool random = TheSettings().streams == StreamOrder::kRandom;
  const aclError stuck = RunUntil([&record] { return record->done; },
                                  [this, &record, random] { return random ? AnyRunnable() : record->stream; });
  if (stuck != ACL_SUCCESS) return stuck;
  host_time_ = std::max(host_time_, record->time);
  if (record->error == ACL_SUCCESS) return ACL_SUCCESS;
  auto at = streams_.find(record->stream);
  if (at != streams_.end() && at->second->failure == record->failure) at->second->error = ACL_SUCCESS;  // reported here
  return Fail(record->error, std::string(caller) + ": " + record->text);
}

bool Streams::Query(Stream* stream) {
  if (stream->queue.empty() && !stream->busy) return true;
  Stream* next = Runnable(stream);
  if (next != nullptr && !next->busy) RunFront(next);
  return false;
}

bool Streams::Query(const std::shared_ptr<Record>& record) {
  if (record == nullptr || record->done) return true;
  Stream* next = Runnable(record->stream);
  if (next != nullptr && !next->busy) RunFront(next);
  return false;
}

aclError Streams::RunUntil(const Goal& goal, const std::function<Stream*()>& next) {
  while (!goal()) {
    Stream* wanted = next();
    Stream* stream = wanted != nullptr ? Runnable(wanted) : nullptr;
    if (stream != nullptr && !stream->busy) {
      RunFront(stream);
      continue;
    }
    const Stream* blocker = stream;
    if (blocker == nullptr) {  // only streams that run a host callback are left
      for (const auto& item : streams_) {
        if (item.first->busy) blocker = item.first;
      }
    }
    if (blocker == nullptr) return Fail(ACL_ERROR_RT_INTERNAL_ERROR, "the streams are stuck: none can go on");
    if (blocker->runner == std::this_thread::get_id()) {
      return Fail(ACL_ERROR_RT_PARAM_INVALID, "a host callback waits for the stream that runs it");
    }
    changed_.wait(TheLock());
  }
  return ACL_SUCCESS;
}

Stream* Streams::Runnable(Stream* stream) const {
  // Records are pushed before the waits for them, so this ends.
  while (!stream->queue.empty()) {
    const Record* wait = stream->queue.front().wait.get();
    if (stream->busy || wait == nullptr || wait->done) return stream;
    stream = wait->stream;
  }
  return stream->busy ? stream : nullptr;
}

void Streams::RunFront(Stream* stream) {
  Task task = std::move(stream->queue.front());
  stream->queue.pop_front();
  stream->clock = std::max(stream->clock, task.not_before);
  if (task.wait != nullptr) {
    stream->clock = std::max(stream->clock, task.wait->time);
    if (task.wait->error != ACL_SUCCESS) {
      FailStream(stream, task.wait->error, "waited for an event that failed: " + task.wait->text);
    }
  } else if (task.record != nullptr) {
    Complete(task.record.get(), stream);
  } else {
    Outcome outcome;
    if (task.unlocked) {
      stream->busy = true;
      stream->runner = std::this_thread::get_id();
      TheLock().unlock();
      outcome = task.run();
      TheLock().lock();
      stream->busy = false;
    } else {
      outcome = task.run();
    }
    stream->clock += outcome.microseconds;
    if (outcome.code != ACL_SUCCESS) FailStream(stream, outcome.code, task.name + ": " + outcome.text);
  }
  changed_.notify_all();
}

// Drops what is queued. Streams that wait for records of this one fail when they get there.
void Streams::FailStream(Stream* stream, aclError code, const std::string& text) {
  if (code != ACL_SUCCESS) {
    stream->error = code;
    stream->error_text = text;
    ++stream->failure;
    dropped_ += stream->queue.size();
  }
  for (Task& task : stream->queue) {
    if (task.record == nullptr) continue;
    task.record->error = code != ACL_SUCCESS ? code : ACL_ERROR_RT_STREAM_CONTEXT;  // none: it was destroyed
    task.record->text = text;
    task.record->failure = stream->failure;
    Complete(task.record.get(), stream);
  }
  stream->queue.clear();
}

void Streams::Complete(Record* record, const Stream* stream) {
  record->done = true;
  record->time = stream->clock;
}

Stream* Streams::AnyRunnable() {
  std::vector<Stream*> ready;
  for (const auto& item : streams_) {
    Stream* stream = item.first->queue.empty() ? nullptr : Runnable(item.first);
    if (stream != nullptr && !stream->busy) ready.push_back(stream);
  }
  if (ready.empty()) return nullptr;
  // By id, not by address: the order must not depend on where the heap put them.
  std::sort(ready.begin(), ready.end(), [](const Stream* a, const Stream* b) { return a->id < b->id; });
  return ready[random_() % ready.size()];
}

Stream* Streams::YoungestRunnable(int32_t device) {
  Stream* best = nullptr;
  for (const auto& item : streams_) {
    if (item.first->device != device || item.first->queue.empty()) continue;
    Stream* stream = Runnable(item.first);
    if (stream == nullptr || stream->busy) continue;
    if (best == nullptr || stream->queue.front().number > best->queue.front().number) best = stream;
  }
  return best;
}

void Streams::RunSome() {
  for (uint64_t count = random_() % 3; count > 0; --count) {
    Stream* stream = AnyRunnable();
    if (stream == nullptr) return;
    RunFront(stream);
  }
}

aclError Streams::Report(Stream* stream, const char* caller) {
  if (stream->error == ACL_SUCCESS) return ACL_SUCCESS;
  const aclError error = stream->error;
  stream->error = ACL_SUCCESS;
  return Fail(error, std::string(caller) + ": " + stream->error_text);
}

}  // namespace acl
}  // namespace ascend_sim
