// CANN's version numbers, and whether kernels built with one CANN run under another.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace triangle::npu {

// 8.1.RC1, 8.3.RC1.alpha002, 8.5.0, 9.0.0.beta2, 9.1.0-beta.2, 9.1.0-beta: every form that CANN has used, in any case.
struct CannVersion {
  enum Stage : int32_t { kAlpha = 0, kBeta = 1, kCandidate = 2, kRelease = 3 };

  int32_t major = 0, minor = 0;
  int32_t patch = 0;      // 0 in 8.1.RC1: up to 8.3 the third field counts candidates
  int32_t candidate = 0;  // n of the third field RCn, 0 without
  int32_t stage = kRelease;
  int32_t stage_number = 0;

  // In the order in which CANN came out.
  std::array<int32_t, 6> key() const;
  bool parse(const std::string& text);  // false, and unchanged, where it is none of the forms
};

enum class CannMatch : int32_t { kSame = 0, kWarn = 1, kRefuse = 2 };

struct CannComparison {
  CannMatch match = CannMatch::kSame;
  std::string text;  // "" where they are the same; else what differs, what may happen and what to do
};

// build: the CANN that compiled libtriangle_attn_npu.so; run: the one in this process (aclsysGetCANNVersion; "" where
// that does not tell). Refused is what cannot work: the library has CANN's launch code of `build` in it, which calls
// runtime functions by name. A newer CANN keeps the old names; an older one lacks the new ones, so
//   - `run` of an older major version is refused, and
//   - so is `run` before 8.5 where `build` is 8.5 or newer: these register and launch kernels by other functions
//     (aclrtBinaryLoadFromData, aclrtLaunchKernelWithHostArgs).
// Anything else that differs is a warning, unreadable versions too.
CannComparison compare_cann(const std::string& build, const std::string& run);

// As the name of a wheel has it: _cann.py's in_wheel_names(), which names wheels before there is a library, does the
// same, and a test compares them. Lower case, dots between the fields, a stage and its number in one: 8.1.RC1
// -> 8.1.rc1; 9.1.0-beta.2, and what the runtime makes of it, 9.1.0.beta2 -> 9.1.0.beta2.
std::string cann_in_wheel_names(const std::string& version);

}  // namespace triangle::npu
