// Streams and events. A stream is a queue; nothing runs by itself: the host's waits and queries, and pushes where
// ASCEND_SIM_STREAMS says so, run what is queued, on the thread that asked. Callers hold TheLock().
//
//   eager   a task runs when it is pushed
//   late    a task runs when the host must have it; of unordered streams the one with the youngest work runs first
//   random  after each push some tasks of any stream run; waiting runs streams in any order (ASCEND_SIM_SEED)
//
// Every order respects streams and events, so a program with all its waits has one result; one that lacks a wait reads
// old data under late, every time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "acl/acl_base.h"

namespace ascend_sim {
namespace acl {

struct Stream;
struct Graph;

// What one task came to. microseconds are modelled time on the device.
struct Outcome {
  aclError code = ACL_SUCCESS;
  std::string text;
  double microseconds = 0;
};

// One aclrtRecordEvent.
struct Record {
  bool done = false;
  aclError error = ACL_SUCCESS;  // of the work before it
  std::string text;              // of the error
  uint64_t failure = 0;          // Stream::failure then
  double time = 0;               // microseconds since the process began to use devices, modelled
  Stream* stream = nullptr;
  Graph* graph = nullptr;  // the capture that it belongs to (graph.h); then it never comes to pass
};

struct Task {
  std::string name;
  std::function<Outcome()> run;
  std::shared_ptr<Record> record, wait;  // a task is one of: run, record, wait
  bool unlocked = false;                 // host callbacks run without TheLock()
  uint64_t number = 0;
  double not_before = 0;
};

struct Stream {
  int32_t id = 0, device = 0;
  std::deque<Task> queue;
  double clock = 0;
  aclError error = ACL_SUCCESS;  // of a task, until it is reported
  std::string error_text;
  uint64_t failure = 0;  // counts its errors
  bool busy = false;     // runs an unlocked task
  std::thread::id runner;
  Graph* capture = nullptr;         // that keeps what is pushed
  uint32_t core_limit[2] = {0, 0};  // cube and vector cores that its kernels may use, 0: as the device's
};

struct Event {
  std::shared_ptr<Record> last;  // null: never recorded
  bool timed = false;
};

class Streams {
 public:
  static Streams& Get();

  Stream* Create(int32_t device);
  Stream* Default(int32_t device);
  // Null for a handle that is no stream. `handle` null: the default stream of `device`.
  Stream* Find(aclrtStream handle, int32_t device);
  // Runs what is queued, or drops it; returns what the stream's work came to.
  aclError Destroy(Stream* stream, bool force);
  void DestroyAll(int32_t device);

  Event* CreateEvent();
  Event* FindEvent(aclrtEvent handle) const;
  void DestroyEvent(Event* event);

  aclError Push(Stream* stream, Task task);
  // Run until the stream, all streams of a device, the record is done; report and clear the streams' errors.
  aclError Finish(Stream* stream, const char* caller);
  aclError FinishDevice(int32_t device, const char* caller);
  aclError FinishRecord(std::shared_ptr<Record> record, const char* caller);
  // Whether it was done when asked; runs one task towards it, so that polling ends.
  bool Query(Stream* stream);
  bool Query(const std::shared_ptr<Record>& record);

  double host_time() const { return host_time_; }
  uint64_t dropped() const { return dropped_; }
  size_t stream_count() const { return streams_.size(); }
  size_t event_count() const { return events_.size(); }

 private:
  Streams();
  using Goal = std::function<bool()>;
  // Runs tasks until the goal holds; next chooses the stream whose work is wanted.
  aclError RunUntil(const Goal& goal, const std::function<Stream*()>& next);
  // The stream whose front must run before `stream` can go on; null when it is empty.
  Stream* Runnable(Stream* stream) const;
  void RunFront(Stream* stream);
  void FailStream(Stream* stream, aclError code, const std::string& text);
  void Complete(Record* record, const Stream* stream);
  Stream* AnyRunnable();
  Stream* YoungestRunnable(int32_t device);
  void RunSome();
  aclError Report(Stream* stream, const char* caller);

  std::map<Stream*, std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Stream>> retired_;  // kept, so that no new stream gets the address of a stale handle
  std::map<Event*, std::unique_ptr<Event>> events_;
  std::map<int32_t, Stream*> defaults_;
  std::condition_variable_any changed_;
  std::mt19937_64 random_;
  uint64_t next_number_ = 0, dropped_ = 0;
  int32_t next_id_ = 1;
  double host_time_ = 0;  // the latest modelled time the host has waited for
};

// The stream of a handle (null: the current device's default stream), or null with the error set.
Stream* FindStream(aclrtStream handle, const char* caller, aclError* error);

}  // namespace acl
}  // namespace ascend_sim
