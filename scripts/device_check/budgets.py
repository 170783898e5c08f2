"""What a kernel takes of a core, and the most that it may.

Everything is measured on clang's x86-64 code after -O2, a stand-in for bisheng's: same front end, same optimiser, fewer
registers. Functions that a kernel shares with others count for each.

code       bytes of the kernel's function and of all that it calls; calls of the API count as calls
stack      the deepest path of frames and return addresses; the API's own frames do not count, unless the headers that
           were given have their bodies
arguments  sizeof of each parameter, rounded up to 8
depth      functions on the longest path of calls, the kernel included, after inlining
divisions  64-bit divisions and remainders in LLVM IR: each is a long routine of the scalar unit. One in a function that
           the kernel calls in several places counts for each place
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from .clang import Clang
from .ir import Module, parse

DIVISION = re.compile(r"= [su](?:div|rem) (?:exact )?i64 ")
CALL_BYTES = 8  # a return address


@dataclass(frozen=True)
class Measure:
    """Of one kernel on one core type; bytes, bytes, bytes, functions, instructions."""

    code: int
    stack: int
    arguments: int
    depth: int
    divisions: int


BUDGET = Measure(code=40 * 1024, stack=12 * 1024, arguments=4096, depth=12, divisions=8)
# Declarations of our own have no bodies: what the API's inline functions add shows with CANN's headers only. It was
# 1,500 to 3,900 bytes a kernel with every tree of headers that was tried (docs/build.md), so a kernel that passes here,
# where there is no CANN, passes there.
API_CODE = 4 * 1024
OWN_BUDGET = replace(BUDGET, code=BUDGET.code - API_CODE)
UNITS = {"code": "bytes", "stack": "bytes", "arguments": "bytes", "depth": "calls", "divisions": "64-bit divisions"}


def excesses(measure: Measure, budget: Measure = BUDGET) -> list[str]:
    """What is above the budget, a line each."""
    return [
        f"{name}: {getattr(measure, name)} {unit}, at most {getattr(budget, name)} expected"
        for name, unit in UNITS.items()
        if getattr(measure, name) > getattr(budget, name)
    ]


def measure(clang: Clang, code: str) -> dict[str, Measure]:
    """Each kernel of a module that the front end gave."""
    optimised = clang.optimise(code)
    module = parse(optimised)
    kernels = {
        name.removeprefix("check_arguments_"): int(definition.split("i64 ")[1].split(",")[0])
        for name, definition in module.data.items()
        if name.startswith("check_arguments_")
    }
    if not kernels:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        output, frames = clang.assemble(optimised, Path(folder))
        sizes = _sizes(output)
        stacks = _frames(frames)
    result = {}
    for kernel, arguments in kernels.items():
        names = module.reachable(kernel)
        stack, depth = _deepest(module, kernel, stacks)
        divisions = _divisions(module, names)
        result[kernel] = Measure(sum(sizes.get(name, 0) for name in names), stack, arguments, depth, divisions)
    return result


def _divisions(module: Module, names: list[str]) -> int:
    """Places of the functions `names` where a division is done: where it stands, or where its function is called."""
    calls = Counter(callee for name in names for callee, _ in module.functions[name].calls)
    return sum(
        max(calls[name], 1) * sum(bool(DIVISION.search(line)) for line in module.functions[name].lines)
        for name in names
    )


def _sizes(output: Path) -> dict[str, int]:
    done = subprocess.run(["nm", "--print-size", str(output)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4 and row[2] in "tTwW"}


def _frames(frames: Path) -> dict[str, int]:
    rows = [line.split("\t") for line in frames.read_text().splitlines()]
    return {row[0].rsplit(":", 1)[1]: int(row[1]) for row in rows}


def _deepest(module: Module, kernel: str, stacks: dict[str, int]) -> tuple[int, int]:
    """Bytes and functions of the deepest paths below a kernel; there is no recursion."""
    known: dict[str, tuple[int, int]] = {}

    def below(name: str) -> tuple[int, int]:
        if name not in known:
            parts = [below(callee) for callee, _ in module.functions[name].calls if callee in module.functions]
            known[name] = (
                stacks.get(name, 0) + CALL_BYTES + max((part[0] for part in parts), default=0),
                1 + max((part[1] for part in parts), default=0),
            )
        return known[name]

    return below(kernel)
