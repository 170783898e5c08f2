#include "core/sync_calls.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ascend_sim {

namespace {

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// "file.h:12" or "file.h:12 SetFlag<M_FIX>"; false where it is neither.
bool ParseSide(const std::string& text, SyncCalls::Rule::Side* side) {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string::npos) return false;
  side->file = text.substr(0, colon);
  const size_t space = std::min(text.find(' ', colon), text.size());
  const std::string digits = text.substr(colon + 1, space - colon - 1);
  if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos) return false;
  side->line = static_cast<uint32_t>(std::atoi(digits.c_str()));
  side->name = Trimmed(text.substr(space));
  return side->line != 0;
}

bool Matches(const SyncCalls::Rule::Side& side, const std::string& file, uint32_t line, const std::string& name) {
  if (side.line != line || (!side.name.empty() && side.name != name) || file.size() < side.file.size()) return false;
  const size_t rest = file.size() - side.file.size();
  return file.compare(rest, std::string::npos, side.file) == 0 && (rest == 0 || file[rest - 1] == '/');
}

}  // namespace

std::string SyncCalls::Ignore(const std::string& text) {
  Rule rule;
  rule.text = text;
  const size_t arrow = text.find("->");
  const bool pair = arrow != std::string::npos;
  if (!ParseSide(Trimmed(text.substr(0, arrow)), &rule.first) ||
      (pair && !ParseSide(Trimmed(text.substr(arrow + 2)), &rule.second))) {
    return "expected 'file:line', 'file:line Call<PIPES>' or two of them joined by '->', got '" + text + "'";
  }
  rules_.push_back(std::move(rule));
  return "";
}

bool SyncCalls::Call(uint32_t id, const char* file, uint32_t line, const char* name) {
  if (id >= counts_.size()) {
    counts_.resize(id + 1, 0);
    matches_.resize(id + 1);
  }
  if (counts_[id]++ == 0) {
    for (uint32_t r = 0; r < rules_.size(); ++r) {
      const Rule& rule = rules_[r];
      const bool pair = rule.second.line != 0;
      if (Matches(rule.first, file, line, name)) matches_[id].push_back(4 * r + (pair ? 2 : 1));
      if (pair && Matches(rule.second, file, line, name)) matches_[id].push_back(4 * r + 3);
    }
  }
  bool ignored = false;
  for (const uint32_t match : matches_[id]) {
    if (match % 4 != 1) continue;
    ++rules_[match / 4].times;
    ignored = true;
  }
  return ignored;
}

bool SyncCalls::Pair(uint32_t set, uint32_t wait) {
  if (set == 0 || wait == 0) return false;
  ++pairs_[{set, wait}];
  bool ignored = false;
  for (const uint32_t first : matches_[set]) {
    for (const uint32_t second : matches_[wait]) {
      if (first % 4 != 2 || second != first + 1) continue;
      ++rules_[first / 4].times;
      ignored = true;
    }
  }
  return ignored;
}

const char* FlagCallName(bool set, Pipe from, Pipe to) {
  static const auto names = [] {
    std::array<std::string, 2 * kPipeCount * kPipeCount> all;
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      all[i] = std::string(i < kPipeCount * kPipeCount ? "WaitFlag<" : "SetFlag<") +
               PipeName(static_cast<Pipe>(i / kPipeCount % kPipeCount)) + "_" +
               PipeName(static_cast<Pipe>(i % kPipeCount)) + ">";
    }
    return all;
  }();
  return names[(static_cast<int>(set) * kPipeCount + static_cast<int>(from)) * kPipeCount + static_cast<int>(to)]
      .c_str();
}

const char* BarrierCallName(Pipe pipe) {
  static const auto names = [] {
    std::array<std::string, kPipeCount + 1> all;
    for (int i = 0; i <= kPipeCount; ++i) all[i] = std::string("PipeBarrier<") + PipeName(static_cast<Pipe>(i)) + ">";
    return all;
  }();
  return names[static_cast<int>(pipe)].c_str();
}

}  // namespace ascend_sim
