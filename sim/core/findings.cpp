#include "core/findings.h"

namespace ascend_sim {

const RuleInfo& InfoOf(Rule rule) {
  // In the order of enum Rule.
  static const RuleInfo rows[kRuleCount] = {
      {"race.read-after-write", "ErrorSync2", false},
      {"race.write-after-read", "ErrorSync1", false},
      {"race.write-after-write", "ErrorSync1", false},
      {"race.atomic-and-store", "ErrorSync1", false},
      {"nondeterministic-atomic", "", false},
      {"scalar-cache", "", false},
      {"uninitialised-read", "ErrorRead2", false},
      {"out-of-bounds-read", "ErrorRead3", true},
      {"out-of-bounds-write", "ErrorWrite2", true},
      {"misaligned-read", "ErrorRead4", true},
      {"misaligned-write", "ErrorWrite4", true},
      {"unallocated-read", "ErrorRead1", false},
      {"unallocated-write", "ErrorWrite1", false},
      {"capacity", "ErrorBuffer3", true},
      {"reserved-ub", "ErrorBuffer3", true},
      {"argument", "", true},
      {"portability", "", false},
      {"flag.set-twice", "ErrorSync4", false},
      {"flag.wait-without-set", "ErrorSync3", false},
      {"flag.left-set", "ErrorSync3", false},
      {"flag.id", "", true},
      {"atomic.left-set", "", false},
      {"end-barrier", "", false},
      {"cross-flag.id", "", true},
      {"cross-flag.overflow", "", false},
      {"cross-flag.half-handshake", "", false},
      {"cross-flag.left-set", "ErrorSync3", false},
      {"unit-flag", "", true},
      {"queue", "ErrorBuffer2", true},
      {"queue.position", "ErrorBuffer1", true},
      {"buffer.not-initialised", "ErrorBuffer0", true},
      {"buffer-pool.not-initialised", "ErrorBuffer4", true},
      {"leak", "ErrorLeak", false},
      {"double-free", "ErrorFree", false},
      {"wrong-core", "", true},
      {"not-implemented", "", true},
      {"deadlock", "", true},
      {"endless-loop", "", true},
      {"crash", "", true},
      {"launch", "", true},
      {"assertion", "", true},
  };
  return rows[static_cast<int>(rule)];
}

void Findings::Add(Finding finding) {
  std::string key = std::to_string(static_cast<int>(finding.rule)) + '|' + finding.site.file + ':' +
                    std::to_string(finding.site.line) + finding.site.instruction + '|' + finding.other.file + ':' +
                    std::to_string(finding.other.line) + finding.other.instruction + '|' +
                    std::to_string(static_cast<int>(finding.buffer));
  if (finding.site.line == 0) key += finding.message;
  auto at = index_.find(key);
  if (at != index_.end()) {
    ++all_[at->second].count;
    return;
  }
  if (all_.size() >= limit && !InfoOf(finding.rule).fatal) {
    ++dropped_;
    return;
  }
  index_.emplace(std::move(key), all_.size());
  all_.push_back(std::move(finding));
}

void Findings::Clear() {
  all_.clear();
  index_.clear();
  dropped_ = 0;
}

}  // namespace ascend_sim
