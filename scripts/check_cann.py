#!/usr/bin/env python3
"""Compiles kernel sources with the headers of a real CANN by plain g++, for both core types: no NPU, no bisheng.

    ASCEND_HOME_PATH=/usr/local/Ascend/ascend-toolkit/latest scripts/check_cann.py [sources ...]

It answers whether every call of the kernels exists in CANN with those types; it checks no value. Both generations of
the headers are known: 8.x (ascendc/include/basic_api/interface) and 9.x (include/basic_api next to impl/basic_api).
What g++ needs besides, CANN's CPU-debugging headers (tikicpulib.h; for 9.x also stub_fun.h of 8.x), is looked for in
the same places. ASCEND_HOME_PATH may name several directories, separated by ':', such as source trees of the API.

A source says `// check_cann: 9.x` where it needs that generation, and `// check_cann: no, because ...` where it uses
what only the simulator has. Without sources: those of op_kernel/, the simulator's test kernels and samples. Exit code
1 when one fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = {"AIC": "CUBE", "AIV": "VEC"}
ACL_HEADERS = ROOT / "sim" / "acl" / "include"

# k<<<...>>>(args) as asc_rewrite.py writes it: the arguments must convert, nothing runs.
LAUNCH_SHIM = """#pragma once
namespace ascend_sim {
enum class KernelType { kUnset, kAicOnly, kAivOnly, kMix10, kMix01, kMix11, kMix12 };
namespace asc {
template <KernelType kType, auto kKernel> struct Launch;
template <KernelType kType, class... Params, void (*kKernel)(Params...)> struct Launch<kType, kKernel> {
  template <class L2 = int> explicit Launch(unsigned, L2 = {}, void* = nullptr) {}
  void operator()(Params...) const {}
};
}  // namespace asc
}  // namespace ascend_sim
"""
# Attributes of 9.x kernels, where the CPU-debugging headers lack them.
ATTRIBUTES = "-D__vector__=", "-D__cube__=", "-D__mix__(...)="


@dataclass(frozen=True)
class Layout:
    """One generation of the headers: its name, and the options of g++ that select it."""

    name: str
    options: tuple[str, ...]
    shims: tuple[tuple[str, str], ...] = ()  # files written into a folder that is searched first


@dataclass(frozen=True)
class Result:
    """One source with one layout and core type. errors: the compiler's, empty where it accepts the source."""

    source: Path
    layout: str
    core: str
    errors: tuple[str, ...]


def find(homes: list[Path], name: str, parent: str) -> Iterator[Path]:
    """Files called `name` whose folder ends in `parent`, below the given directories."""
    for home in homes:
        for folder, _, files in os.walk(home, followlinks=True):
            if name in files and folder.endswith(parent):
                yield Path(folder) / name


def layouts(homes: list[Path]) -> list[Layout]:
    """The generations of headers found below `homes`."""
    found = []
    debug = [path.parent for path in find(homes, "tikicpulib.h", "include")]
    old_debug = next((d for d in debug if (d / "stub_fun.h").exists()), None)
    new_debug = next((d for d in debug if (d / "kernel_raise_signal.h").exists()), None)
    common = ("-DASCENDC_CPU_DEBUG=1", "-D__CCE_KT_TEST__=1", "-D__CCE_AICORE__=220", "-D__DAV_C220__")
    old = next(find(homes, "kernel_tpipe.h", "basic_api/interface"), None)
    if old is not None and old_debug is not None:
        api = old.parents[1]
        folders = [old_debug, api, api / "impl", api / "interface", api.parent / "highlevel_api"]
        found.append(Layout("8.x", common + tuple(f"-I{folder}" for folder in folders)))
    new = next(
        (p for p in find(homes, "kernel_tpipe.h", "include/basic_api") if (p.parents[2] / "impl").is_dir()), None
    )
    if new is not None and new_debug is not None and old_debug is not None:
        root = new.parents[2]
        folders = [new_debug, root / "include", root / "include" / "basic_api", root]
        shims = (
            ("kernel_operator.h", '#pragma once\n#include "kernel_basic_intf.h"\n'),
            ("stub_fun.h", (old_debug / "stub_fun.h").read_text(encoding="utf-8", errors="replace")),
        )
        options = (*common, "-D__NPU_ARCH__=2201", *(f"-I{folder}" for folder in folders))
        found.append(Layout("9.x", options, shims))
    return found


def wanted(source: Path) -> str:
    """What the source says of itself: "", "9.x" or "no, because ..."."""
    match = re.search(r"//\s*check_cann:\s*(.*)", source.read_text(encoding="utf-8"))
    return match.group(1).strip() if match else ""


def compile_one(source: Path, layout: Layout, core: str, compiler: str, extra: list[str]) -> Result:
    """Lets the compiler check one source for one core type."""
    with tempfile.TemporaryDirectory() as folder:
        shim = Path(folder)
        (shim / "ascend_sim").mkdir()
        (shim / "ascend_sim" / "asc_launch.h").write_text(LAUNCH_SHIM)
        for name, text in layout.shims:
            (shim / name).write_text(text)
        unit = source
        if source.suffix == ".asc":
            unit = shim / (source.stem + ".cpp")
            rewrite = [sys.executable, str(ROOT / "sim" / "cmake" / "asc_rewrite.py"), str(source), str(unit)]
            done = subprocess.run(rewrite, capture_output=True, text=True)
            if done.returncode != 0:
                return Result(source, layout.name, core, tuple(done.stderr.splitlines()))
        command = [
            *(compiler, "-std=c++17", "-fsyntax-only", "-w", "-fmax-errors=20", f"-D__DAV_C220_{CORES[core]}__"),
            *(f"-I{shim}", *layout.options, *ATTRIBUTES, f"-I{source.parent}", f"-I{ACL_HEADERS}", *extra, str(unit)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    errors = tuple(line for line in done.stderr.splitlines() if " error: " in line)
    if done.returncode != 0 and not errors:
        errors = tuple(done.stderr.splitlines()[-3:])
    return Result(source, layout.name, core, errors)


def default_sources() -> list[Path]:
    """The NPU kernels, then the test kernels and samples of the simulator."""
    own = [p for p in sorted((ROOT / "op_kernel").glob("*.cpp")) if "KERNEL_TASK_TYPE_DEFAULT" in p.read_text()]
    tests = ROOT / "tests" / "sim"
    return own + sorted((tests / "kernels").glob("*.cpp")) + sorted((tests / "samples").glob("*.asc"))


def main() -> int:
    """Checks and prints one line a source, layout and core type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--home", default=os.environ.get("ASCEND_HOME_PATH"), help="default: $ASCEND_HOME_PATH")
    parser.add_argument("--layout", choices=["8.x", "9.x"], help="only this generation of headers")
    parser.add_argument("--core", choices=sorted(CORES), help="only this core type")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--option", action="append", default=[], help="passed to the compiler; repeatable")
    arguments = parser.parse_args()
    if not arguments.home:
        parser.error("ASCEND_HOME_PATH is not set: name the CANN installation there or with --home")
    homes = [Path(home) for home in arguments.home.split(":")]
    found = layouts(homes)
    if not found:
        parser.error(f"{arguments.home}: found no CANN headers (kernel_tpipe.h and, for CPU debugging, tikicpulib.h)")
    found = [layout for layout in found if arguments.layout in (None, layout.name)]
    if not found:
        parser.error(f"{arguments.home}: has no headers of generation {arguments.layout}")
    failures = 0
    for source in arguments.sources or default_sources():
        note = wanted(source)
        if note.startswith("no"):
            print(f"skipped  {source.name}: {note}")
            continue
        for layout in found:
            if note and note != layout.name:
                print(f"skipped  {source.name} with {layout.name}: needs {note}")
                continue
            for core in [arguments.core] if arguments.core else sorted(CORES):
                result = compile_one(source.resolve(), layout, core, arguments.compiler, arguments.option)
                print(f"{'FAILED ' if result.errors else 'accepted'} {source.name} with {layout.name} for {core}")
                for error in result.errors:
                    print(f"    {error}")
                failures += bool(result.errors)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
