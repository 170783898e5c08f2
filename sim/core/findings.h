// What the checkers report: a rule, both places in the kernel's source, and the bytes concerned.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/types.h"

namespace ascend_sim {

enum class Rule : uint8_t {
  kRaceReadAfterWrite,
  kRaceWriteAfterRead,
  kRaceWriteAfterWrite,
  kRaceAtomicStore,
  kNondeterministicAtomic,
  kScalarCache,  // GM through the scalar unit's cache, which is not coherent
  kUninitialisedRead,
  kOutOfBoundsRead,
  kOutOfBoundsWrite,
  kMisalignedRead,
  kMisalignedWrite,
  kUnallocatedRead,
  kUnallocatedWrite,
  kCapacity,
  kReservedUb,
  kArgument,     // a parameter outside its documented range or combination
  kPortability,  // works here, but a later CANN's documentation forbids it
  kFlagSetTwice,
  kFlagWaitWithoutSet,
  kFlagLeftSet,
  kFlagId,
  kAtomicLeftSet,
  kEndBarrier,  // a kernel that ends before its instructions do
  kCrossFlagId,
  kCrossFlagOverflow,
  kCrossFlagHalf,
  kCrossFlagLeftSet,
  kUnitFlag,
  kQueue,          // EnQue/DeQue/AllocTensor/FreeTensor out of protocol
  kQueuePosition,  // tensor's position or queue is not the one it was made for
  kBufferNotInitialised,
  kPoolNotInitialised,
  kLeak,
  kDoubleFree,
  kWrongCore,  // an instruction issued on a core type that does not have it
  kNotImplemented,
  kDeadlock,
  kEndlessLoop,
  kCrash,
  kLaunch,
  kMessage,  // a kernel assertion
  kDivisionByZero,
  kDivisionOverflow,  // the smallest integer by -1
};
constexpr int kRuleCount = static_cast<int>(Rule::kDivisionOverflow) + 1;

struct RuleInfo {
  const char* id;      // "race.read-after-write"
  const char* npuchk;  // "ErrorSync2", or "" where npuchk has no such rule
  bool fatal;          // the kernel cannot sensibly go on: the launch stops here
};
const RuleInfo& InfoOf(Rule rule);

// One side of a finding. core < 0: no core (launch-level).
struct Place {
  const char* file = "";
  uint32_t line = 0;
  const char* instruction = "";
  int core = -1;
  Pipe pipe = Pipe::kS;
};

struct Finding {
  Rule rule;
  Place site;   // the access or call that shows the fault
  Place other;  // the earlier access, set or allocation it conflicts with (line 0: none)
  Buffer buffer = Buffer::kGm;
  uint64_t begin = 0, end = 0;  // byte range in the buffer; for GM relative to the region
  std::string region;           // GM region name
  std::string message;
  uint64_t count = 1;
  bool soft = false;  // does not stop the launch, whatever its rule says (LaunchOptions::lenient)
};

class Findings {
 public:
  // Reports once per (rule, site, other site, buffer); repeats only count.
  void Add(Finding finding);
  const std::vector<Finding>& all() const { return all_; }
  bool empty() const { return all_.empty(); }
  void Clear();
  // Findings that the kernel's author has looked at: those of a line with the comment `ascend_sim: ignore`, or
  // `ascend_sim: ignore(rule)`, and those that a line of this file names: `rule file:line`, with * and ?, # for
  // comments. False where the file cannot be read. What stops the launch is never suppressed.
  bool ReadSuppressions(const std::string& path);
  const std::vector<Finding>& suppressed() const { return suppressed_; }
  uint64_t limit = 1000;  // distinct findings kept; one that stops the launch always is
  uint64_t dropped() const { return dropped_; }

 private:
  std::vector<Finding> all_;
  std::map<std::string, size_t> index_;
  bool IsSuppressed(const Finding& finding);
  const std::vector<std::string>& LinesOf(const std::string& file);
  uint64_t dropped_ = 0;
  std::vector<Finding> suppressed_;
  std::map<std::string, size_t> suppressed_index_;
  std::vector<std::pair<std::string, std::string>> patterns_;  // rule, file:line
  std::map<std::string, std::vector<std::string>> sources_;
};

}  // namespace ascend_sim
