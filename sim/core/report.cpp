#include "core/report.h"

#include <cstdio>
#include <map>

namespace ascend_sim {

std::string JsonQuote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

namespace {

std::string Number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string PlaceJson(const Machine& machine, const Place& place) {
  return "{\"file\":" + JsonQuote(place.file) + ",\"line\":" + std::to_string(place.line) +
         ",\"instruction\":" + JsonQuote(place.instruction) + ",\"core\":" + JsonQuote(machine.CoreName(place.core)) +
         ",\"pipe\":\"" + PipeName(place.pipe) + "\"}";
}

std::string FindingJson(const Machine& machine, const Finding& f) {
  const RuleInfo& info = InfoOf(f.rule);
  std::string json = "{\"rule\":" + JsonQuote(info.id) + ",\"npuchk\":" + JsonQuote(info.npuchk) +
                     ",\"fatal\":" + (info.fatal && !f.soft ? "true" : "false") +
                     ",\"message\":" + JsonQuote(f.message) + ",\"count\":" + std::to_string(f.count) +
                     ",\"site\":" + PlaceJson(machine, f.site) + ",\"other\":";
  json += f.other.line != 0 ? PlaceJson(machine, f.other) : "null";
  json += ",\"buffer\":\"" + std::string(BufferName(f.buffer)) + "\",\"region\":" + JsonQuote(f.region) +
          ",\"begin\":" + std::to_string(f.begin) + ",\"end\":" + std::to_string(f.end) + "}";
  return json;
}

std::string SyncJson(const Machine& machine) {
  const SyncCalls& sync = machine.sync_calls;
  std::map<uint32_t, size_t> place;  // of a call's number in the list
  std::string json = "{\"calls\":[";
  for (uint32_t id = 0; id < sync.counts().size(); ++id) {
    if (sync.counts()[id] == 0) continue;
    const Machine::SiteInfo& site = machine.SiteOf(id);
    json += std::string(place.empty() ? "" : ",") + "{\"file\":" + JsonQuote(site.file) +
            ",\"line\":" + std::to_string(site.line) + ",\"name\":" + JsonQuote(site.name) +
            ",\"count\":" + std::to_string(sync.counts()[id]) + "}";
    place.emplace(id, place.size());
  }
  json += "],\"pairs\":[";
  bool first = true;
  for (const auto& [pair, count] : sync.pairs()) {
    json += std::string(first ? "" : ",") + "[" + std::to_string(place.at(pair.first)) + "," +
            std::to_string(place.at(pair.second)) + "," + std::to_string(count) + "]";
    first = false;
  }
  json += "],\"ignored\":[";
  first = true;
  for (const SyncCalls::Rule& rule : sync.rules()) {
    json += std::string(first ? "" : ",") + "[" + JsonQuote(rule.text) + "," + std::to_string(rule.times) + "]";
    first = false;
  }
  return json + "]}";
}

}  // namespace

std::string ReportJson(const Machine& machine, bool completed) {
  std::string json = "{\"completed\":" + std::string(completed ? "true" : "false") + ",\"findings\":[";
  bool first = true;
  for (const Finding& f : machine.findings.all()) {
    if (!first) json += ",";
    first = false;
    json += FindingJson(machine, f);
  }
  Moment end;
  for (const auto& core : machine.cores) end.Later(machine.timeline.EndOf(core->index));
  const MemoryTotals& memory = machine.timeline.memory().totals();
  json += "],\"suppressed\":[";
  first = true;
  for (const Finding& f : machine.findings.suppressed()) {
    json += (first ? "" : ",") + FindingJson(machine, f);
    first = false;
  }
  json += "],\"dropped_findings\":" + std::to_string(machine.findings.dropped()) +
          ",\"soc\":" + JsonQuote(machine.soc.name) + ",\"ghz\":" + Number(machine.soc.ghz) +
          ",\"sustained_ghz\":" + Number(machine.soc.sustained_ghz) + ",\"cycles\":" + Number(end.at) +
          ",\"instructions\":" + std::to_string(machine.instructions()) +
          ",\"cube_steps\":" + std::to_string(machine.timeline.cube_steps()) +
          ",\"cube_flops\":" + std::to_string(machine.timeline.cube_flops()) + ",\"cube_peak_flops_per_second\":" +
          Number(machine.soc.cube_cycles > 0
                     ? machine.soc.aic_cores * machine.soc.ghz * 1e9 * 2 * 16 * 16 * 16 / machine.soc.cube_cycles
                     : 0) +
          ",\"trace_dropped\":" + std::to_string(machine.timeline.trace_dropped) +
          ",\"memory\":{\"read\":" + std::to_string(memory.read) + ",\"written\":" + std::to_string(memory.written) +
          ",\"hbm_read\":" + std::to_string(memory.hbm_read) +
          ",\"hbm_written\":" + std::to_string(memory.hbm_written) + "},\"critical_path\":{";
  first = true;
  for (int part = 0; part < kMomentParts; ++part) {
    if (end.parts[part] <= 0) continue;
    json += std::string(first ? "\"" : ",\"") + (part < kPipeCount ? "aic." : "aiv.") +
            PipeName(static_cast<Pipe>(part % kPipeCount)) + "\":" + Number(end.parts[part]);
    first = false;
  }
  json += "},\"sync\":" + SyncJson(machine) + ",\"path_bytes\":{";
  first = true;
  for (int p = 1; p < kPathCount; ++p) {
    const uint64_t bytes = machine.timeline.path_bytes()[p];
    if (bytes == 0) continue;
    if (!first) json += ",";
    first = false;
    json += JsonQuote(PathName(static_cast<Path>(p))) + ":" + std::to_string(bytes);
  }
  json += "},\"cores\":[";
  first = true;
  for (const auto& core : machine.cores) {
    if (!first) json += ",";
    first = false;
    json += "{\"name\":" + JsonQuote(machine.CoreName(core->index)) +
            ",\"cycles\":" + Number(machine.timeline.EndOf(core->index).at) + ",\"pipes\":{";
    bool first_pipe = true;
    for (int p = 0; p < kPipeCount; ++p) {
      const PipeTotals& totals = machine.timeline.totals(core->index, static_cast<Pipe>(p));
      if (totals.instructions == 0) continue;
      if (!first_pipe) json += ",";
      first_pipe = false;
      json += std::string("\"") + PipeName(static_cast<Pipe>(p)) + "\":{\"busy\":" + Number(totals.busy) +
              ",\"active\":" + Number(totals.active) + ",\"instructions\":" + std::to_string(totals.instructions) + "}";
    }
    json += "}}";
  }
  return json + "]}";
}

std::string FindingsText(const Machine& machine) {
  std::string text;
  for (const Finding& f : machine.findings.all()) {
    if (f.site.line != 0) text += std::string(f.site.file) + ":" + std::to_string(f.site.line) + ": ";
    const RuleInfo& info = InfoOf(f.rule);
    text += info.id;
    if (*info.npuchk != 0) text += std::string(" (") + info.npuchk + ")";
    text += ": " + f.message;
    if (f.count > 1) text += " [" + std::to_string(f.count) + " times]";
    text += "\n";
  }
  if (!machine.findings.suppressed().empty()) {
    text += "and " + std::to_string(machine.findings.suppressed().size()) + " suppressed\n";
  }
  if (machine.findings.dropped() > 0) {
    text += "and " + std::to_string(machine.findings.dropped()) + " further findings, which are not kept\n";
  }
  return text;
}

bool WriteTrace(const Machine& machine, const char* path) {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return false;
  const double us = 1.0 / (machine.soc.ghz * 1e3);
  std::fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", file);
  for (const auto& core : machine.cores) {
    std::fprintf(file, "{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":\"%s\"}},\n", core->index,
                 machine.CoreName(core->index).c_str());
    for (int p = 0; p < kPipeCount; ++p) {
      std::fprintf(file, "{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}},\n",
                   core->index, p, PipeName(static_cast<Pipe>(p)));
    }
  }
  bool first = true;
  for (const TraceEvent& e : machine.timeline.events) {
    const Machine::SiteInfo& site = machine.SiteOf(e.site);
    std::fprintf(file,
                 "%s{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"ts\":%.6f,\"dur\":%.6f,\"name\":%s,\"args\":{\"done\":%.6f,"
                 "\"site\":%s}}",
                 first ? "" : ",\n", e.core, static_cast<int>(e.pipe), e.start * us, (e.end - e.start) * us,
                 JsonQuote(site.name).c_str(), e.done * us,
                 JsonQuote(std::string(site.file) + ":" + std::to_string(site.line)).c_str());
    first = false;
  }
  std::fputs("\n]}\n", file);
  return std::fclose(file) == 0;
}

std::string SocsJson() {
  std::string json = "{\"chips\":{";
  bool first = true;
  for (const std::string& name : Soc::Names()) {
    Soc soc;
    Soc::Lookup(name, &soc);
    json += std::string(first ? "" : ",") + JsonQuote(name) + ":{";
    first = false;
    bool first_parameter = true;
    for (const SocParameter& row : SocParameters()) {
      json += std::string(first_parameter ? "" : ",") + JsonQuote(row.name) + ":" + Number(*row.member(soc));
      first_parameter = false;
    }
    json += "}";
  }
  json += "},\"parameters\":[";
  first = true;
  for (const SocParameter& row : SocParameters()) {
    json += std::string(first ? "" : ",") + "{\"name\":" + JsonQuote(row.name) + ",\"unit\":" + JsonQuote(row.unit) +
            ",\"source\":" + JsonQuote(row.source) + ",\"known\":\"" + KnownName(row.known) +
            "\",\"fitted\":" + (row.known == Known::kFitted ? "true" : "false") + "}";
    first = false;
  }
  return json + "]}";
}

}  // namespace ascend_sim
