// Reads and compares CANN's version numbers; the C functions at the end are for Python and the tests.
#include "npu/cann_version.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace triangle::npu {
namespace {

// The fields between '.' and '-', in lower case.
std::vector<std::string> fields_of(const std::string& text) {
  std::vector<std::string> fields(1);
  for (const char c : text) {
    if (c == '.' || c == '-') {
      fields.emplace_back();
    } else {
      fields.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return fields;
}

bool read_number(const std::string& text, int32_t* out) {
  if (text.empty() || text.size() > 6) return false;
  int32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  *out = value;
  return true;
}

// `beta2`, or `beta` with the number in a field of its own or without one.
bool read_stage(const std::vector<std::string>& fields, size_t at, CannVersion* version) {
  const struct {
    const char* name;
    CannVersion::Stage stage;
  } kStages[] = {{"alpha", CannVersion::kAlpha}, {"beta", CannVersion::kBeta}, {"rc", CannVersion::kCandidate}};
  for (const auto& [name, stage] : kStages) {
    if (fields[at].rfind(name, 0) != 0) continue;
    version->stage = stage;
    const std::string rest = fields[at].substr(std::char_traits<char>::length(name));
    if (!rest.empty()) return at + 1 == fields.size() && read_number(rest, &version->stage_number);
    if (at + 1 == fields.size()) return true;
    return at + 2 == fields.size() && read_number(fields[at + 1], &version->stage_number);
  }
  return false;
}

bool before_8_5(const CannVersion& version) { return version.major < 8 || (version.major == 8 && version.minor < 5); }

std::string advice(const std::string& run) {
  return run.empty() ? "install the triangle_attn_op wheel whose name has the version of the installed CANN"
                     : "install the triangle_attn_op wheel built for CANN " + run +
                           " (its name has +cann...), or build it there";
}

}  // namespace

std::array<int32_t, 6> CannVersion::key() const {
  // 9.0.0.alpha1, 9.0.0.beta2, 9.0.0.rc1, 9.0.0; 8.0.RC3.alpha1, 8.0.RC3, 8.0.0.
  return {major, minor, patch, candidate == 0 ? INT32_MAX : candidate, stage, stage_number};
}

bool CannVersion::parse(const std::string& text) {
  const std::vector<std::string> fields = fields_of(text);
  CannVersion read;
  if (fields.size() < 3 || !read_number(fields[0], &read.major) || !read_number(fields[1], &read.minor)) return false;
  if (fields[2].rfind("rc", 0) == 0) {
    if (!read_number(fields[2].substr(2), &read.candidate)) return false;
  } else if (!read_number(fields[2], &read.patch)) {
    return false;
  }
  if (fields.size() > 3 && !read_stage(fields, 3, &read)) return false;
  *this = read;
  return true;
}

CannComparison compare_cann(const std::string& build, const std::string& run) {
  CannVersion built, running;
  const std::string head =
      "the NPU kernels were built with CANN " + (build.empty() ? "of an unknown version" : build) + ", ";
  if (run.empty()) {
    return {CannMatch::kWarn,
            head + "the version of the CANN in this process cannot be found out; if a call fails, " + advice("")};
  }
  if (!built.parse(build) || !running.parse(run)) {
    if (!build.empty() && build == run) return {};
    return {CannMatch::kWarn, head + "this process has CANN " + run +
                                  "; these versions cannot be compared; if a call fails, " + advice(run)};
  }
  if (built.key() == running.key()) return {};
  const std::string differs = head + "this process has CANN " + run;
  if (running.major < built.major || (before_8_5(running) && !before_8_5(built))) {
    return {CannMatch::kRefuse, differs + ", whose runtime lacks functions that kernels of " +
                                    std::to_string(built.major) + "." + std::to_string(built.minor) +
                                    " call: " + advice(run)};
  }
  if (running.key() < built.key()) {
    return {CannMatch::kWarn, differs + ", which is older: functions may be missing; if a call fails, " + advice(run)};
  }
  return {CannMatch::kWarn, differs +
                                ", which is newer: CANN means to run older kernels, this project has not tried "
                                "this pair; if a call fails, " +
                                advice(run)};
}

std::string cann_in_wheel_names(const std::string& version) {
  std::string name;
  bool stage = false;  // the field before is alpha, beta or rc without a number
  for (const std::string& field : fields_of(version)) {
    int32_t number = 0;
    name += (name.empty() || (stage && read_number(field, &number)) ? "" : ".") + field;
    stage = field == "alpha" || field == "beta" || field == "rc";
  }
  return name;
}

}  // namespace triangle::npu

#define TRIANGLE_EXPORT extern "C" __attribute__((visibility("default")))

// out: the 6 numbers of key(). Returns 1, or 0 where the text is no version.
TRIANGLE_EXPORT int32_t triangle_cann_version(const char* text, int32_t* out) {
  triangle::npu::CannVersion version;
  if (text == nullptr || !version.parse(text)) return 0;
  const auto key = version.key();
  std::copy(key.begin(), key.end(), out);
  return 1;
}

// Returns a CannMatch; the comparison's text goes to buffer, cut at size bytes with the 0 at its end.
TRIANGLE_EXPORT int32_t triangle_cann_compare(const char* build, const char* run, char* buffer, int32_t size) {
  const auto comparison = triangle::npu::compare_cann(build, run);
  if (size > 0) buffer[comparison.text.copy(buffer, static_cast<size_t>(size - 1))] = '\0';
  return static_cast<int32_t>(comparison.match);
}

// The version as wheels' names have it, in buffer, cut at size bytes with the 0 at its end.
TRIANGLE_EXPORT void triangle_cann_in_wheel_names(const char* version, char* buffer, int32_t size) {
  const std::string name = triangle::npu::cann_in_wheel_names(version);
  if (size > 0) buffer[name.copy(buffer, static_cast<size_t>(size - 1))] = '\0';
}
