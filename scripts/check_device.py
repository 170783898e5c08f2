#!/usr/bin/env python3
"""Compiles the kernels as code of the device by clang, and says what they take of a core: no NPU, no bisheng.

    make check-device
    make check-cann ASCEND_HOME_PATH=/usr/local/Ascend/cann
    scripts/check_device.py [--headers TREE:TREE] [sources ...]

g++ cannot tell host from device or one memory from another; clang's CUDA mode can, and is what bisheng is made of. All
of op_kernel/ is compiled for both core types and for the host, with the launch sources of all three ways, against
declarations of our own (scripts/device_check/include). What the front end lets through is looked for in LLVM IR
(scripts/device_check/rules.py), and each kernel is held to budgets (scripts/device_check/budgets.py). Exit code 1 where
something is wrong; without a clang 0, with CI=true 1.

With headers of a real CANN (--headers, or ASCEND_HOME_PATH) the sources are compiled with these too, as code of the
device; sources that are named, with these only.
"""

import sys

from device_check.main import main

if __name__ == "__main__":
    sys.exit(main())
