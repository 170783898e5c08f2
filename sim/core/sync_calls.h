// The synchronisation calls a kernel made, and those a launch leaves out. Leaving one out is how a test finds out
// whether the kernel needs it and whether the checkers notice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/types.h"

namespace ascend_sim {

// A call is (file, line, name), the name with its pipes: "SetFlag<M_FIX>", "PipeBarrier<V>", "CrossCoreSetFlag",
// "SyncAll". Numbers of calls are Machine::SiteId's; 0 is none.
class SyncCalls {
 public:
  // What to leave out: "file.h:12", all calls of that line; "file.h:12 SetFlag<M_FIX>", those of that name;
  // "file.h:12 -> file.h:34", either with a name: flags set at the first and waited for at the second are taken, but
  // order nothing. The file is any end of its path that begins after a '/'. Returns "" or what is wrong with the text.
  std::string Ignore(const std::string& text);
  bool ignoring() const { return !rules_.empty(); }

  // Counts a call; true where it is left out. `file`, `line` and `name` are read at its first time.
  bool Call(uint32_t id, const char* file, uint32_t line, const char* name);
  // Counts a wait for what a set gave; true where it is left out. Knows only calls that Call() has counted.
  bool Pair(uint32_t set, uint32_t wait);

  const std::vector<uint64_t>& counts() const { return counts_; }                            // by id
  const std::map<std::pair<uint32_t, uint32_t>, uint64_t>& pairs() const { return pairs_; }  // (set, wait)
  struct Rule {
    std::string text;
    uint64_t times = 0;  // calls or pairs left out
    struct Side {
      std::string file, name;
      uint32_t line = 0;
    } first, second;  // second.line == 0: not a pair
  };
  const std::vector<Rule>& rules() const { return rules_; }

 private:
  std::vector<Rule> rules_;
  std::vector<uint64_t> counts_;
  std::vector<std::vector<uint32_t>> matches_;  // by id: 4 * rule + 1 the call, + 2 the set of a pair, + 3 its wait
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> pairs_;
};

// "SetFlag<MTE2_V>" and the like; the pointer is the same for the same words.
const char* FlagCallName(bool set, Pipe from, Pipe to);
const char* BarrierCallName(Pipe pipe);

}  // namespace ascend_sim
