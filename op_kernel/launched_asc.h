// What a <<<>>> of CANN >= 8.5 came to. The code that bisheng generates for it returns nothing: where the kernels'
// binary was refused or the launch failed, it prints. The runtime's last error is no substitute: some of its failures
// do not set it, and to read it clears what torch_npu looks at. So the build renames the functions of
// libascendc_runtime.a that the generated code calls (ld --wrap), and launched_asc.cpp keeps what they return.
#pragma once
#include <stdint.h>

namespace triangle {

// Before a <<<>>> on this thread.
void launch_begins();

// After it: 0, or an aclError. What registering the binary returned, where that failed: then nothing can be launched.
int32_t launch_result();

}  // namespace triangle
