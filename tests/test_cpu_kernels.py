"""The CPU kernels' own C++ tests, once for each instruction set of this machine; and what their objects may export."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ISAS = {"x86_64": ["avx512_bf16", "avx512", "avx2", "portable"], "aarch64": ["neon", "portable"]}.get(
    platform.machine(), ["portable"]
)
LACKS_ISA = 77  # the test program's exit code

pytestmark = pytest.mark.xdist_group("cpu_kernels")  # one build serves them all


def build(directory: Path, *options: str) -> Path:
    """Configures and builds the test program in `directory`; returns the program."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert cmake, "cmake is in requirements-dev.txt"
    configure: list[str | Path] = [cmake, "-S", ROOT / "tests" / "cpp", "-B", directory, *options]
    for command in (configure, [cmake, "--build", directory, "--target", "test_cpu_attention", "-j2"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return directory / "test_cpu_attention"


@pytest.fixture(scope="module")
def program() -> Path:
    return build(ROOT / "build" / "cpp")


def run(command: list[str | Path], isa: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, "TRIANGLE_ATTN_CPU_ISA": isa}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("isa", ISAS)
def test_kernels(program: Path, isa: str) -> None:
    """Every case against fp64, forward and backward, and everything that must hold bit for bit."""
    # The whole table on the best instruction sets, the smaller problems on the others.
    done = run([program] if isa in (ISAS[0], "avx512") else [program, "--brief"], isa)
    if done.returncode == LACKS_ISA:
        pytest.skip(f"this CPU has no {isa}")
    assert done.returncode == 0, done.stdout
    assert f"instruction set: {isa}" in done.stdout


def test_unknown_isa_names_the_choices(program: Path) -> None:
    done = run([program], "sse9")
    assert done.returncode == LACKS_ISA
    assert re.search(r"TRIANGLE_ATTN_CPU_ISA: expected one of .*portable.*got 'sse9'", done.stdout)


@pytest.mark.parametrize("isa", ISAS)
def test_objects_share_no_symbol(program: Path, isa: str) -> None:
    """An inline function compiled for one instruction set must not be the one that the linker picks for all."""
    objects = list((program.parent / "CMakeFiles" / f"triangle_cpu_{isa}.dir").rglob("kernels.cpp.o"))
    assert len(objects) == 1
    symbols = subprocess.run(["nm", "-C", *objects], capture_output=True, text=True, check=True).stdout.splitlines()
    defined = [re.split(r" [A-Za-z] ", line, maxsplit=1)[1] for line in symbols if re.search(r" [TWVBDRu] ", line)]
    assert defined
    assert [name for name in defined if f"triangle::cpu::{isa}::" not in name] == []


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("aarch64-linux-gnu-g++") or not shutil.which("qemu-aarch64"),
    reason="needs Debian's g++-aarch64-linux-gnu and qemu-user",
)
def test_neon_in_an_emulator() -> None:
    emulated = build(ROOT / "build" / "cpp-aarch64", f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/aarch64-linux-gnu.cmake")
    done = run(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", emulated, "--brief"], "neon")
    assert done.returncode == 0, done.stdout
    assert "instruction set: neon" in done.stdout
