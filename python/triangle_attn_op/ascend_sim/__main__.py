"""python -m triangle_attn_op.ascend_sim run kernel.cpp --kernel k --args out:float[2,512] in:x.npy

Compiles an Ascend C kernel with g++ or clang++, runs it on the simulated AI Core, prints outputs, findings and modelled
times. Exit code: 0, 1 where there are findings, 2 for what cannot be run; a program's own code otherwise.
"""

from __future__ import annotations

import sys

from .command import run_command

if __name__ == "__main__":
    sys.exit(run_command())
