// Which backend ran which call: every kernel launch is counted here, so that a user (and a test) can ask instead of
// guessing.
#pragma once
#include <string>

namespace triangle {

// backend: for example "cpu/avx512"; op: "forward" or "backward".
void record_call(const std::string& backend, const char* op);

}  // namespace triangle
