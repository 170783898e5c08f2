"""clang in CUDA mode: a compiler that tells host from device functions and one memory from another, as bisheng does.

bisheng is a clang 15. CUDA mode has the same two kinds of functions (`__aicore__` is `__device__`), one compilation for
the host and one for each core type, and numbered address spaces for the memories. The target is x86-64: what is
measured there stands in for the scalar unit's code, whose own compiler is not public.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

VERSIONS = (15, 16, 17, 18, 19, 14)  # the nearest to bisheng first
INSTALL = "apt-get install clang-15 (or set CLANG to a clang 14 to 19)"
TRIPLE = "x86_64-unknown-linux-gnu"
CORES = ("AIC", "AIV")
HOST = "host"

# Kernels are `__global__ __aicore__`, and clang takes one of the two.
BOTH = re.compile(r"__attribute__\(\(global\)\)\s+__attribute__\(\(device\)\)")
KERNEL = re.compile(r"__attribute__\(\(global\)\)\s+void\s+(\w+)\(")
# A plain constant beside each kernel says how many bytes its arguments have.
ARGUMENTS = """
template <class... A> struct CheckArguments {
  static constexpr bool kArePod = (__is_pod(A) && ...);
  static constexpr unsigned long kBytes = (((sizeof(A) + 7) / 8 * 8) + ... + 0);
};
template <class... A> __attribute__((device)) CheckArguments<A...> check_arguments(void (*)(A...));
"""
ARGUMENTS_OF = (
    'static_assert(decltype(check_arguments({0}))::kArePod, "an argument of {0} is no POD");'
    ' extern "C" __attribute__((device, used)) const unsigned long check_arguments_{0} ='
    " decltype(check_arguments({0}))::kBytes;\n"
)


@dataclass(frozen=True)
class Unit:
    """A source and how it is compiled. options: of the preprocessor; measured: its kernels are held to the budgets."""

    source: Path
    way: str
    options: tuple[str, ...] = ()
    measured: bool = False


@dataclass
class Compiled:
    """What one compilation gave. errors: the compiler's, empty where it accepts; code: LLVM IR before optimisation."""

    unit: Unit
    core: str
    errors: list[str] = field(default_factory=list)
    code: str = ""


class Clang:
    """One clang, by its command."""

    def __init__(self, command: str) -> None:
        self.command = command

    @classmethod
    def find(cls) -> Clang | None:
        """$CLANG, else Debian's names, else `clang` of a version that will do; None where there is none."""
        wanted = os.environ.get("CLANG")
        for name in [wanted] if wanted else [*(f"clang-{n}" for n in VERSIONS), "clang"]:
            if name and shutil.which(name) and cls(name).version in VERSIONS:
                return cls(name)
        return None

    @cached_property
    def version(self) -> int:
        match = re.search(r"clang version (\d+)", self._run(["--version"]).stdout)
        return int(match.group(1)) if match else 0

    @cached_property
    def includes(self) -> list[str]:
        """Where C++ headers of the system are, as the driver knows."""
        text = self._run(["-x", "c++", "-E", "-v", os.devnull]).stderr
        match = re.search(r"search starts here:\n(.*?)End of search", text, re.S)
        options = []
        for folder in re.findall(r"^ (\S+)$", match.group(1) if match else "", re.M):
            kind = "-internal-isystem" if "c++" in folder or "clang" in folder else "-internal-externc-isystem"
            options += [kind, folder]
        return options

    def _run(self, arguments: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.command, *arguments], input=text, capture_output=True, text=True)

    def _language(self, core: str) -> list[str]:
        options = ["-cc1", "-triple", TRIPLE, "-aux-triple", TRIPLE, "-std=c++17", "-fgnuc-version=4.2.1"]
        options += ["-Wno-everything", "-ferror-limit", "20"]
        # A constexpr function is the host's all the same; clang's default is laxer.
        options += ["-fno-cuda-host-device-constexpr"]
        if self.version == 14:  # has no _Float16 on x86-64 otherwise
            options += ["-target-feature", "+avx512fp16"]
        return options if core == HOST else [*options, "-fcuda-is-device"]

    def preprocess(self, unit: Unit, core: str) -> Compiled:
        """The source as one text, or errors."""
        options = [*self._language(core), *self.includes, *unit.options]
        done = self._run([*options, "-x", "cuda", "-E", str(unit.source)])
        text = BOTH.sub("__attribute__((global))", done.stdout)
        return Compiled(unit, core, errors_of(done), text)

    def front_end(self, unit: Unit, core: str) -> Compiled:
        """Compiles for a core type or for the host, up to LLVM IR that nothing has optimised."""
        result = self.preprocess(unit, core)
        if result.errors:
            return result
        text = result.code
        kernels = sorted(set(KERNEL.findall(text))) if core != HOST else []
        if kernels and unit.measured:
            text += '\n# 1 "the arguments of the kernels"\n' + ARGUMENTS
            text += "".join(ARGUMENTS_OF.format(kernel) for kernel in kernels)
        options = [*self._language(core), "-x", "cuda-cpp-output"]
        if core == HOST:
            done = self._run([*options, "-fsyntax-only", "-"], text)
        else:
            # Line tables so that findings have places; -O2 so that the optimiser may work on the result later.
            lines = ["-debug-info-kind=line-tables-only", "-dwarf-version=4"]
            done = self._run([*options, *lines, "-O2", "-disable-llvm-passes", "-emit-llvm", "-o", "-", "-"], text)
        return Compiled(unit, core, errors_of(done), done.stdout)

    def optimise(self, code: str) -> str:
        """LLVM IR after -O2."""
        done = self._run(["-cc1", "-triple", TRIPLE, "-x", "ir", "-O2", "-emit-llvm", "-o", "-", "-"], code)
        return self._output(done)

    def assemble(self, optimised: str, folder: Path) -> tuple[Path, Path]:
        """An object of optimised LLVM IR, and the list of its functions' stack frames."""
        output, frames = folder / "kernel.o", folder / "kernel.su"
        options = ["-cc1", "-triple", TRIPLE, "-x", "ir", "-O2", "-disable-llvm-passes", "-emit-obj"]
        options += ["-mframe-pointer=none", "-stack-usage-file", str(frames), "-o", str(output), "-"]
        self._output(self._run(options, optimised))
        return output, frames

    def _output(self, done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode != 0:
            raise RuntimeError(f"{self.command}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def errors_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The errors of a compiler's output, each with a reason that the notes after it give for a call that is not
    possible; its last lines where it failed without any.
    """
    if done.returncode == 0:
        return []
    errors: list[tuple[str, list[str]]] = []
    for line in done.stderr.splitlines():
        note = re.search(r"note: candidate .* not viable: (.*)", line)
        if re.search(r"\berror: ", line):
            errors.append((re.sub(r"static assertion failed due to requirement '.*': ", "", line), []))
        elif errors and note:
            errors[-1][1].append(note.group(1))
    told = []
    for error, reasons in errors:
        reasons.sort(key=lambda reason: "__host__" not in reason)  # the likeliest first
        told.append(": ".join([error, *reasons[:1]]))
    return told or done.stderr.splitlines()[-3:]
