// Capture of streams into graphs (aclmdlRI). Callers hold TheLock().
//
// What is pushed to a capturing stream is kept instead of run. A stream that waits for an event of the capture joins
// it, and must be joined back before the capture ends. A replay pushes everything that was kept to streams of the
// graph's own, behind the work of the stream that it is executed on, with records and waits made anew: so a wait that
// is missing inside a graph reads old data under `late` as it does outside.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "acl/acl_base.h"
#include "acl/acl_rt.h"
#include "acl/stream.h"

namespace ascend_sim {
namespace acl {

struct Graph {
  uint32_t id = 0;
  int32_t device = 0;
  Stream* origin = nullptr;
  aclmdlRICaptureMode mode = ACL_MODEL_RI_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;  // that began the capture
  aclmdlRICaptureStatus status = ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE;
  std::string why;                             // it is invalid
  std::vector<Stream*> streams;                // that take part, the origin first
  std::vector<std::pair<size_t, Task>> tasks;  // index into streams
  std::vector<Stream*> own;                    // that replays run on, one for each of streams
};

class Graphs {
 public:
  static Graphs& Get();

  aclError Begin(Stream* stream, aclmdlRICaptureMode mode);
  aclError End(Stream* stream, Graph** graph);
  Graph* Find(aclmdlRI handle) const;
  aclError Execute(Graph* graph, Stream* stream);
  aclError Destroy(Graph* graph);

  // Keeps a task of a stream that captures, or begins to by this task: true, and the result in *error. False: not so.
  bool Keep(Stream* stream, Task* task, aclError* error);

  // For calls that a capture does not allow; each that is refused spoils the capture. Waiting for a stream, asking
  // after it; the same for an event; for all of a device; and calls that are unsafe in the mode of the capture.
  aclError CheckStream(const Stream* stream, const char* caller);
  aclError CheckRecord(const std::shared_ptr<Record>& record, const char* caller);
  aclError CheckDevice(int32_t device, const char* caller);
  aclError CheckUnsafe(const char* caller);

 private:
  aclError Refuse(Graph* graph, aclError code, const std::string& text);
  void Retire(Graph* graph);

  std::map<Graph*, std::unique_ptr<Graph>> graphs_;
  std::vector<std::unique_ptr<Graph>> retired_;  // empty, kept because records name them
  std::map<Graph*, Graph*> capturing_;
  uint32_t next_id_ = 1;
};

// The mode of the calling thread, which limits what is unsafe on it (aclmdlRICaptureThreadExchangeMode).
aclmdlRICaptureMode& ThreadCaptureMode();

}  // namespace acl
}  // namespace ascend_sim
