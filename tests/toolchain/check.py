"""Builds the NPU library with a stand-in for CANN's programs, and says what is wrong with how they were called.

    ASCEND_HOME_PATH=/usr/local/Ascend/cann python tests/toolchain/check.py
    python tests/toolchain/check.py --version 9.1.0 --cmake asc-devkit/cmake/asc

runs the same check with CANN's own CMake files, of an installation or of a source tree; tests/test_build.py runs it
with stand-ins for these too. Sources are compiled by clang as `make check-device` does, with the includes and macros of
the build; whether bisheng takes them, only bisheng knows.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cann

ROOT = Path(__file__).resolve().parents[2]
READ = runpy.run_path(str(ROOT / "python" / "triangle_attn_op" / "_cann.py"))
LINKAGE = runpy.run_path(str(ROOT / "scripts" / "check_linkage.py"))
INCLUDES = (str(ROOT / "op_kernel"), str(ROOT))
# The kernels in the order in which CANN 8.1 numbers them, and what launches of the plain ones return
# with runtime.cpp.
KERNELS = [f"triangle_attn_fwd_{k}{t}_{d}" for k in ("", "bent_") for t in ("bf16", "fp16") for d in (128, 256)]
KERNELS += ["triangle_attn_cache_append"]
KERNELS += [f"triangle_attn_cache_{t}_{d}" for t in ("bf16", "fp16") for d in (128, 256)]
KERNELS += [f"triangle_attn_fwd_intervals_{t}_{d}" for t in ("bf16", "fp16") for d in (128, 256)]
KERNELS += ["triangle_attn_intervals"]
KERNELS += [f"triangle_attn_bwd_{k}{t}" for k in ("", "bent_", "bent_rows_", "intervals_") for t in ("bf16", "fp16")]
LAUNCHES = {
    kernel: 1000 + number
    for number, kernel in enumerate(KERNELS)
    if not any(kind in kernel for kind in ("bent", "cache", "intervals"))
}
LAUNCHES["triangle_measure"] = 1000


@dataclass(frozen=True)
class Built:
    """stand_in: with the calls of this build; library: libtriangle_attn_npu.so, which has another one beside it."""

    stand_in: cann.StandIn
    version: str
    way: str
    library: Path


def environment(home: Path) -> dict[str, str]:
    """What `source set_env.sh` and the build tools of this Python set."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "ASCEND_HOME_PATH": str(home), "PATH": tools}


def build(stand_in: cann.StandIn, folder: Path) -> Built:
    """cmake/npu, configured and built in `folder`; RuntimeError with the output where it fails."""
    found = READ["find"](str(stand_in.home))
    env = environment(stand_in.home)
    configure = ["cmake", "-S", ROOT / "cmake" / "npu", "-B", folder, "-G", found.generator, "-Wno-dev"]
    configure += [f"-DTRIANGLE_KERNEL_WAY={found.way}", f"-DTRIANGLE_CANN_VERSION={found.version}"]
    configure += [f"-DTRIANGLE_OUTPUT_DIR={folder / 'out'}"]
    for command in (configure, ["cmake", "--build", folder, "-j", "1"]):
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
    return Built(stand_in, found.version, found.way, folder / "out" / "lib" / "libtriangle_attn_npu.so")


def problems(built: Built) -> list[str]:
    """What is wrong with the recorded command lines and with the libraries; empty where all is as it should be."""
    found = []
    for library in (built.library, built.library.with_name("libtriangle_attn_measure.so")):
        found += LINKAGE["problems"](library)
        # The process that opens the library has CANN's libraries, but not for everyone: it must name them itself.
        needed = [value for tag, value in LINKAGE["dynamic"](library) if tag == "NEEDED"]
        found += [f"{library.name}: does not name {n}" for n in ("libruntime.so", "libascendcl.so") if n not in needed]
    if built.way == "asc":
        return found + _asc_problems(built.stand_in, built.version) + _launch_problems(built)
    return found + _ascendc_library_problems(built.stand_in) + _launch_problems(built)


def _last(arguments: list[str], prefix: str) -> str | None:
    return next((a for a in reversed(arguments) if a.startswith(prefix)), None)


def _missing(name: str, arguments: list[str], wanted: list[str]) -> list[str]:
    return [f"{name}: {option} is missing" for option in wanted if option not in arguments]


def _common(name: str, arguments: list[str]) -> list[str]:
    found = _missing(name, arguments, [f"-I{folder}" for folder in INCLUDES])
    found += _missing(name, arguments, ["--cce-aicore-input-parameter-size=4096"])
    if (sync := _last(arguments, "--cce-auto-sync")) != "--cce-auto-sync=off":
        found.append(f"{name}: automatic synchronisation is decided by {sync}")
    if (level := _last(arguments, "-O")) != "-O3":
        found.append(f"{name}: optimisation level is {level}")
    if (standard := _last(arguments, "-std")) != "-std=c++17":
        found.append(f"{name}: the standard is {standard}")
    return found


def _asc_problems(stand_in: cann.StandIn, version: str) -> list[str]:
    calls = [call.arguments for call in stand_in.calls("bisheng")]
    compiles = [a for a in calls if "-c" in a]
    links = [a for a in calls if "-c" not in a]
    sources = [ROOT / "op_kernel" / "measure" / "launch.cpp", ROOT / "op_kernel" / "launch.cpp"]
    if len(compiles) != len(sources) or len(links) != len(sources):
        return [f"bisheng: expected a compilation and a link for each library, got {calls}"]
    found = []
    for source, compiled in zip(sources, sorted(compiles, key=lambda arguments: arguments[-1])):
        found += _asc_compile_problems(stand_in, version, compiled, source)
    for link in links:
        found += _missing("bisheng, linking", link, ["-shared"])
    return found


def _asc_compile_problems(stand_in: cann.StandIn, version: str, arguments: list[str], launch: Path) -> list[str]:
    source = arguments[-1]
    wanted = ["--npu-arch=dav-2201", "-fPIC", "-DTRIANGLE_LAUNCH_ASC", f'-DTRIANGLE_CANN_VERSION="{version}"']
    wanted += [f"-I{stand_in.home / 'include'}"]
    batch = tuple(int(part) for part in version.split(".")[:2]) >= (9, 1)  # __schedmode__ is documented from there on
    if batch != ("-DTRIANGLE_BATCH_SCHEDULING" in arguments):
        return [f"bisheng: -DTRIANGLE_BATCH_SCHEDULING is {'missing' if batch else 'given'} for CANN {version}"]
    found = _common("bisheng", arguments) + _missing("bisheng", arguments, wanted)
    if not source.endswith(".asc"):
        found.append(f"bisheng: compiles {source}, not an .asc source")
    elif Path(source).read_text().split() != ["#include", f'"{launch}"']:
        found.append(f"{source}: expected to include {launch}, got {Path(source).read_text()}")
    return found


def _ascendc_library_problems(stand_in: cann.StandIn) -> list[str]:
    compiles = [c.arguments for c in stand_in.calls("ascendc_compiler") if "-c" in c.arguments]
    compiles = [a for a in compiles if "-E" not in a]
    found = []
    for kernel in ("forward", "backward", "measure"):
        for core in ("vec", "cube"):
            name = f"ascendc_compiler, {kernel} for dav-c220-{core}"
            mine = [a for a in compiles if f"--cce-aicore-arch=dav-c220-{core}" in a and f"{kernel}.cpp" in a[-1]]
            if not mine:
                found.append(f"{name}: not compiled")
            for arguments in mine:
                found += _common(name, arguments)
                found += _missing(name, arguments, ["-DTRIANGLE_LAUNCH_ASCENDC_LIBRARY", "--cce-aicore-only"])
    return found


def _launch_problems(built: Built) -> list[str]:
    found = []
    try:
        text, returned = call_library(built)
    except subprocess.CalledProcessError as error:
        return [f"{built.library.name}: {error.stderr.strip().splitlines()[-1]}"]
    if text != f"cann={built.version};way={built.way};arch=dav-2201":
        found.append(f"triangle_npu_build: {text}")
    if returned != list(LAUNCHES.values()):
        found.append(f"launches of {list(LAUNCHES)} returned {returned}")
    if (returned := call_library(built, registration=7)[1]) != [7] * len(LAUNCHES):
        found.append(f"launches of kernels that were not registered returned {returned}")
    return found


def call_library(built: Built, registration: int = 0) -> tuple[str, list[int]]:
    """What a library answers in a process of its own: its build text, and what a launch of each kernel returns.
    registration: what registering the kernels' binary returns.
    """
    program = (
        "import ctypes, sys\n"
        "library = ctypes.CDLL(sys.argv[1])\n"
        "library.triangle_npu_build.restype = ctypes.c_char_p\n"
        "print('built', library.triangle_npu_build().decode())\n"
        "memory = ctypes.create_string_buffer(1 << 16)\n"
        "for bf16, wide in ((1, 0), (1, 1), (0, 0), (0, 1)):\n"
        "    print('returned', library.triangle_npu_forward(bf16, wide, 20, memory, memory, None))\n"
        "for bf16 in (1, 0):\n"
        "    print('returned', library.triangle_npu_backward(bf16, 20, memory, memory, None))\n"
        "measure = ctypes.CDLL(sys.argv[1].replace('_npu.so', '_measure.so'))\n"
        "print('returned', measure.triangle_measure_launch(20, memory, memory, None))\n"
    )
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": str(built.stand_in.home / "lib64"),
        "STAND_IN_REGISTRATION": str(registration),
    }
    command = [sys.executable, "-c", program, str(built.library)]
    text = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout  # CANN's prints too
    return re.findall(r"^built (.*)$", text, re.M)[0], [int(n) for n in re.findall(r"^returned (-?\d+)$", text, re.M)]


def main() -> int:
    """Runs the check with CANN's own CMake files; exit code 1 and a line for each thing that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmake", type=Path, help="CANN's folder ascendc_kernel_cmake; default: of ASCEND_HOME_PATH")
    parser.add_argument("--version", help="of the CANN it belongs to; default: of ASCEND_HOME_PATH")
    arguments = parser.parse_args()
    folder, version = arguments.cmake, arguments.version
    if folder is None or version is None:
        found = READ["find"]()
        if found is None:
            parser.error("ASCEND_HOME_PATH is not set: give --cmake and --version")
        version = version or found.version
        folder = folder or found.home / "compiler" / "tikcpp" / "ascendc_kernel_cmake"
    scratch = Path(tempfile.mkdtemp(prefix="triangle-build-"))
    try:
        wrong = problems(build(cann.make(scratch / "cann", version, folder.resolve()), scratch / "build"))
    finally:
        shutil.rmtree(scratch)
    for line in wrong:
        print(line)
    print(f"{'FAILED' if wrong else 'accepted'}: CANN {version} with the CMake files of {folder}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
