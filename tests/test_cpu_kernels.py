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
from triangle_attn_op import backends

ROOT = Path(__file__).resolve().parents[1]
ISAS = {"x86_64": ["avx512_bf16", "avx512", "avx2", "portable"], "aarch64": ["neon", "portable"]}.get(
    platform.machine(), ["portable"]
)
# Besides the default compiler, which builds the package: the oldest and another that CI has.
OTHER_COMPILERS = ["g++-11", "clang++-15"]
PACKAGE_BUILD = ROOT / "build" / "cmake"
LACKS_ISA = 77  # the test program's exit code

pytestmark = pytest.mark.xdist_group("cpu_kernels")  # one build serves them all


def find_cmake() -> str:
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert cmake, "cmake is in requirements-dev.txt"
    return cmake


def make(*command: str | Path) -> None:
    done = subprocess.run([find_cmake(), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def build(directory: Path, *options: str, target: str = "test_cpu_attention") -> Path:
    """Configures and builds a test program in `directory`; returns the program."""
    make("-S", ROOT / "tests" / "cpp", "-B", directory, *options)
    make("--build", directory, "--target", target, "-j2")
    return directory / target


def built_with_the_package(target: str = "test_cpu_attention") -> Path:
    """The test program of the package's own objects, where they were compiled here (an editable install)."""
    cache = PACKAGE_BUILD / "CMakeCache.txt"
    tool = re.search(r"^CMAKE_MAKE_PROGRAM:\w+=(.*)$", cache.read_text() if cache.exists() else "", re.M)
    if tool is None or not Path(tool[1]).exists():  # pip's build environment is gone after the build
        return build(ROOT / "build" / "cpp", target=target)
    make("--build", PACKAGE_BUILD, "--target", target, "-j2")
    return PACKAGE_BUILD / "tests" / "cpp" / target


@pytest.fixture(scope="module")
def program() -> Path:
    return built_with_the_package()


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


def bits(program: Path, isa: str) -> str:
    done = run([program, "--brief"], isa)
    assert done.returncode == 0, done.stdout
    return re.search(r"bits of all results: (\w+)", done.stdout)[1]  # type: ignore[index]


@pytest.mark.parametrize("compiler", OTHER_COMPILERS)
def test_another_compiler_gives_the_same_bits(program: Path, compiler: str) -> None:
    """All instruction sets compile without a warning; the best of this CPU and the portable one give the same bits.

    Optimised as the package is the best one alone, which is most of what a compiler has to do.
    """
    if not shutil.which(compiler) and not os.environ.get("CI"):
        pytest.skip(f"needs Debian's {compiler.replace('clang++', 'clang')}; in CI, .ci/run installs it")
    best = backends.cpu_isa()
    options = [f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_FLAGS=-Werror"]
    options += [f"-DTRIANGLE_CPU_OPTIMISATION_{isa}=-O0" for isa in ISAS if isa not in (best, "portable")]
    options += ["-DTRIANGLE_CPU_OPTIMISATION_portable=-O1"] * (best != "portable")
    other = build(ROOT / "build" / f"cpp-{compiler}", *options)
    for isa in {best, "portable"}:
        assert bits(other, isa) == bits(program, isa), isa


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [("GNU", "9.4.0", False), ("GNU", "10.2.1", True), ("Clang", "13.0.1", False), ("Clang", "14.0.6", True)],
)
def test_an_old_compiler_is_refused(name: str, version: str, accepted: bool) -> None:
    command = [find_cmake(), f"-DCMAKE_CXX_COMPILER_ID={name}", f"-DCMAKE_CXX_COMPILER_VERSION={version}"]
    command += ["-DCMAKE_CXX_COMPILER=/usr/bin/c++", "-P", str(ROOT / "cmake" / "CompilerVersion.cmake")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    message = " ".join(done.stderr.split())
    wanted = f"C++ compiler: expected g++ >= 10 or clang >= 14, found {name} {version} (/usr/bin/c++)"
    assert (done.returncode == 0, wanted in message) == (accepted, not accepted), done.stderr


def test_guard_pages() -> None:
    """Nothing beside a tensor is touched, and results do not depend on where it lies: this CPU's best kernels."""
    done = run([built_with_the_package("test_guards")], isa="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "48 cases, 0 failures" in done.stdout


def test_sanitizers() -> None:
    """The same under AddressSanitizer and UndefinedBehaviorSanitizer, which end the program at their first finding."""
    done = run([build(ROOT / "build" / "cpp-sanitize", "-DTRIANGLE_SANITIZE=ON", target="test_guards")], "portable")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "48 cases, 0 failures" in done.stdout


def test_unknown_isa_names_the_choices(program: Path) -> None:
    done = run([program], "sse9")
    assert done.returncode == LACKS_ISA
    assert re.search(r"TRIANGLE_ATTN_CPU_ISA: expected one of .*portable.*got 'sse9'", done.stdout)


@pytest.mark.parametrize("isa", ISAS)
def test_objects_share_no_symbol(program: Path, isa: str) -> None:
    """An inline function compiled for one instruction set must not be the one that the linker picks for all."""
    folder = PACKAGE_BUILD if program.is_relative_to(PACKAGE_BUILD) else program.parent
    objects = list((folder / "CMakeFiles" / f"triangle_cpu_{isa}.dir").rglob("kernels.cpp.o"))
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
    options = [
        f"-DCMAKE_TOOLCHAIN_FILE={ROOT}/cmake/aarch64-linux-gnu.cmake",
        "-DTRIANGLE_CPU_OPTIMISATION_portable=-O0",
    ]
    emulated = build(ROOT / "build" / "cpp-aarch64", *options)
    done = run(["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", emulated, "--emulated"], "neon")
    assert done.returncode == 0, done.stdout
    assert "instruction set: neon" in done.stdout
