#include "core/findings.h"

#include <fnmatch.h>

#include <fstream>
#include <sstream>

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
      {"division-by-zero", "", false},
      {"division-overflow", "", false},
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
  at = suppressed_index_.find(key);
  if (at != suppressed_index_.end()) {
    ++suppressed_[at->second].count;
    return;
  }
  const bool stops = InfoOf(finding.rule).fatal && !finding.soft;
  if (!stops && IsSuppressed(finding)) {
    suppressed_index_.emplace(std::move(key), suppressed_.size());
    suppressed_.push_back(std::move(finding));
    return;
  }
  if (all_.size() >= limit && !stops) {
    ++dropped_;
    return;
  }
  index_.emplace(std::move(key), all_.size());
  all_.push_back(std::move(finding));
}

const std::vector<std::string>& Findings::LinesOf(const std::string& file) {
  auto [at, is_new] = sources_.try_emplace(file);
  if (is_new) {
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) at->second.push_back(line);
  }
  return at->second;
}

bool Findings::IsSuppressed(const Finding& finding) {
  const std::string rule = InfoOf(finding.rule).id;
  if (finding.site.line == 0) return false;
  const std::vector<std::string>& lines = LinesOf(finding.site.file);
  if (finding.site.line <= lines.size()) {
    const std::string& text = lines[finding.site.line - 1];
    const std::string mark = "ascend_sim: ignore";
    const size_t at = text.find(mark);
    if (at != std::string::npos) {
      const size_t open = at + mark.size();
      if (open >= text.size() || text[open] != '(') return true;
      std::stringstream names(text.substr(open + 1, text.find(')', open) - open - 1));
      for (std::string name; std::getline(names, name, ',');) {
        name.erase(0, name.find_first_not_of(' '));
        if (fnmatch(name.c_str(), rule.c_str(), 0) == 0) return true;
      }
    }
  }
  const std::string place = std::string(finding.site.file) + ":" + std::to_string(finding.site.line);
  for (const auto& [of, where] : patterns_) {
    if (fnmatch(of.c_str(), rule.c_str(), 0) != 0) continue;
    for (const std::string& shown : {place, std::string(finding.site.file)}) {  // with a line, or the whole file
      if (fnmatch(where.c_str(), shown.c_str(), 0) == 0 || fnmatch(("*/" + where).c_str(), shown.c_str(), 0) == 0) {
        return true;
      }
    }
  }
  return false;
}

bool Findings::ReadSuppressions(const std::string& path) {
  std::ifstream in(path);
  if (!in) return false;
  for (std::string line; std::getline(in, line);) {
    std::stringstream words(line.substr(0, line.find('#')));
    std::string rule, place = "*";
    if (words >> rule) {
      words >> place;
      patterns_.emplace_back(rule, place);
    }
  }
  return true;
}

void Findings::Clear() {
  suppressed_.clear();
  suppressed_index_.clear();
  all_.clear();
  index_.clear();
  dropped_ = 0;
}

}  // namespace ascend_sim
