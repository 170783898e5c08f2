// printf and DumpTensor of kernels: lines on stdout that begin with the core, such as "[aiv3] ".
#pragma once

#include "core/types.h"

namespace ascend_sim {

// Outside a launch it prints plainly, as the host's printf.
void KernelPrint(const char* format, ...) __attribute__((format(printf, 1, 2)));
// The first `count` elements. Instructions issued so far execute first; that orders nothing for the race checker.
void DumpElements(const Local& tensor, DType type, uint32_t description, uint32_t count, Site site);
void DumpElements(const Global& tensor, DType type, uint32_t description, uint32_t count, Site site);
// A failed assertion in a kernel stops the launch; on the host it aborts.
[[noreturn]] void AssertionFailed(const char* expression, Site site);
[[noreturn]] void AssertionFailed(const char* expression, Site site, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

}  // namespace ascend_sim
