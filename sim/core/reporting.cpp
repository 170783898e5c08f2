// How the machine names things and records findings; the registry of allocations.
#include "core/engine.h"

namespace ascend_sim {

std::string Machine::CoreName(int index) const {
  if (index < 0 || static_cast<size_t>(index) >= cores.size()) return "-";
  const Core& core = *cores[static_cast<size_t>(index)];
  if (core.type == CoreType::kAic) return Format("aic%d", core.group);
  return Format("aiv%d", core.group * aiv_per_group_ + core.sub_block);
}

void Machine::Report(Rule rule, Site site, const char* instruction, Pipe pipe, const std::string& message) {
  Finding finding;
  finding.rule = rule;
  finding.site = Place{site.file, site.line, instruction, g_core == nullptr ? -1 : g_core->index, pipe};
  finding.message = message;
  Report(std::move(finding));
}

void Machine::Report(Finding finding) {
  const bool fatal = InfoOf(finding.rule).fatal && !finding.soft;
  findings.Add(std::move(finding));
  if (fatal) StopLaunch();
}

void Machine::ReportLenient(Rule rule, Site site, const char* instruction, Pipe pipe, const std::string& message) {
  Finding finding;
  finding.rule = rule;
  finding.site = Place{site.file, site.line, instruction, g_core == nullptr ? -1 : g_core->index, pipe};
  finding.message = message;
  finding.soft = options.lenient;
  Report(std::move(finding));
}

void Machine::ReportDivisions() {
  const uint32_t overflowed = overflowed_divisions, by_zero = trapped_divisions - overflowed;
  trapped_divisions = 0;
  overflowed_divisions = 0;
  Finding finding;
  finding.site = Place{g_core->last_site.file, g_core->last_site.line, g_core->last_name, g_core->index, Pipe::kS};
  if (by_zero != 0) {
    finding.rule = Rule::kDivisionByZero;
    finding.count = by_zero;
    finding.message = "the kernel divided an integer by zero after this call; the scalar unit gives 0";
    Report(finding);
  }
  if (overflowed != 0) {
    finding.rule = Rule::kDivisionOverflow;
    finding.count = overflowed;
    finding.message =
        "the kernel divided the smallest integer of its type by -1 after this call, which C++ does not define; here it "
        "gives the dividend, and the remainder 0";
    Report(finding);
  }
}

// Kernel frames are abandoned, not unwound: their destructors would issue instructions.
void Machine::StopLaunch() {
  stopped_ = true;
  g_core->state = Core::State::kDead;
  g_core->fiber.Yield();
  std::abort();
}

uint32_t Machine::SiteId(Site site, const char* name) {
  const SiteKey key{site.file, site.line, name};
  SiteCache& cached = site_cache_[SiteHash()(key) >> 4 & 1023];
  if (cached.key == key) return cached.id;
  auto at = site_ids_.find(key);
  if (at == site_ids_.end()) {
    at = site_ids_.emplace(key, static_cast<uint32_t>(sites_.size())).first;
    sites_.push_back(SiteInfo{site.file, site.line, name});
  }
  cached.key = key;
  cached.id = at->second;
  return at->second;
}

Place Machine::PlaceOf(Who who, uint32_t seq) const {
  const int core = who / kClocksPerCore;
  const auto pipe = static_cast<Pipe>(who % kClocksPerCore);
  const std::vector<uint32_t>& log = cores[static_cast<size_t>(core)]->sites[static_cast<int>(pipe)];
  const SiteInfo& info = seq >= 1 && seq <= log.size() ? sites_[log[seq - 1]] : sites_[0];
  return Place{info.file, info.line, info.name, core, pipe};
}

uint32_t Allocations::Allocate(Buffer buffer, uint32_t offset, uint32_t bytes, Site site) {
  entries_.push_back(Entry{buffer, offset, bytes, true, site, Site{}});
  return static_cast<uint32_t>(entries_.size());
}

void Allocations::Free(uint32_t handle, Site site) {
  Entry* entry = Find(handle);
  if (entry == nullptr) return;
  if (!entry->live) {
    Finding finding;
    finding.rule = Rule::kDoubleFree;
    finding.site = Place{site.file, site.line, "FreeTensor", CurrentCore().index, Pipe::kS};
    finding.other = Place{entry->freed.file, entry->freed.line, "FreeTensor", CurrentCore().index, Pipe::kS};
    finding.message = "the tensor was freed already";
    CurrentMachine().Report(std::move(finding));
    return;
  }
  entry->live = false;
  entry->freed = site;
}

}  // namespace ascend_sim
