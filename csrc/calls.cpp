// The counters behind triangle_attn_op.last_backend() and call_counts(), read through a small C interface (ctypes).
#include "calls.h"

#include <cstring>
#include <map>
#include <mutex>

namespace triangle {
namespace {
std::mutex mutex;
std::map<std::string, long long> counts;  // "cpu/avx512 forward" -> calls
std::string last;

int copy_out(const std::string& text, char* buffer, int size) {
  if (buffer != nullptr && size > 0) {
    const size_t n = std::min(text.size(), static_cast<size_t>(size) - 1);
    std::memcpy(buffer, text.data(), n);
    buffer[n] = '\0';
  }
  return static_cast<int>(text.size());
}
}  // namespace

void record_call(const std::string& backend, const char* op) {
  const std::lock_guard<std::mutex> lock(mutex);
  last = backend + ' ' + op;
  ++counts[last];
}

}  // namespace triangle

#define TRIANGLE_EXPORT extern "C" __attribute__((visibility("default")))

// Both return the text's length without its terminator, whatever fits is copied.
TRIANGLE_EXPORT int triangle_last_call(char* buffer, int size) {
  const std::lock_guard<std::mutex> lock(triangle::mutex);
  return triangle::copy_out(triangle::last, buffer, size);
}

// One line a kind of call: "<backend> <op> <count>\n".
TRIANGLE_EXPORT int triangle_call_counts(char* buffer, int size) {
  const std::lock_guard<std::mutex> lock(triangle::mutex);
  std::string text;
  for (const auto& [name, count] : triangle::counts) text += name + ' ' + std::to_string(count) + '\n';
  return triangle::copy_out(text, buffer, size);
}
