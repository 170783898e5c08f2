"""The user's C++ compiler: which one, running several at a time, and what its errors come to in one line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAMES = (
    "g++",
    "clang++",
    "c++",
    *(f"clang++-{n}" for n in range(21, 13, -1)),
    *(f"g++-{n}" for n in range(15, 9, -1)),
)
# The oldest that the simulator is tried with (docs/build.md).
_OLDEST = {"g++": 10, "clang++": 14}


class CompileError(RuntimeError):
    """A source that does not compile: the compiler's first error. log: all it said."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Compiler:
    """kind: "g++" or "clang++"; version: its major number; identity: what its outputs depend on."""

    path: str
    kind: str
    version: int
    identity: str
    objcopy: str

    def kernel_flags(self) -> list[str]:
        """Of the dialect that kernels are written in."""
        own = ["-fno-gnu-unique"] if self.kind == "g++" else ["-Wno-extern-c-compat"]
        return ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-w", *own]


def find_compiler(name: str | None = None) -> Compiler:
    """The compiler of that name or path, else $CXX, else the first known one on PATH.

    FileNotFoundError says what to install, ValueError that one is too old.
    """
    wanted = name or os.environ.get("CXX")
    base = os.path.basename(wanted or "")
    if " " in (wanted or "") or ("g++" not in base and "clang" not in base and base != "c++"):
        wanted = name  # CXX may hold a launcher, flags, or something that is no host compiler, such as bisheng
    path = next((found for candidate in ([wanted] if wanted else _NAMES) if (found := shutil.which(candidate))), None)
    if path is None:
        raise FileNotFoundError(
            f"{f'compiler {wanted!r} is not there' if wanted else 'no C++ compiler is on PATH'}: kernels are compiled "
            "by g++ 10 or newer or clang++ 14 or newer: apt-get install g++, dnf install gcc-c++"
        )
    said = subprocess.run([path, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True)
    macros = dict(re.findall(r"#define (\w+) (.*)", said.stdout))
    kind = "clang++" if "__clang_major__" in macros else "g++"
    version = int(macros.get("__clang_major__") or macros.get("__GNUC__") or 0)
    if version < _OLDEST[kind]:
        raise ValueError(f"{path}: {kind} {version} is too old: {kind} {_OLDEST[kind]} or newer compiles kernels")
    objcopy = shutil.which("objcopy") or shutil.which(f"llvm-objcopy-{version}") or shutil.which("llvm-objcopy")
    if objcopy is None:
        raise FileNotFoundError("objcopy is not on PATH: apt-get install binutils (or llvm)")
    identity = f"{os.path.realpath(path)} {macros.get('__VERSION__', version)} {platform.machine()} {_processor()}"
    return Compiler(path, kind, version, identity, objcopy)


def _processor() -> str:
    """What -march=native makes of this processor: a home folder may be shared by different ones."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    return hashlib.sha256(
        "".join(sorted(set(re.findall(r"^(?:flags|Features)\s*:.*", text, re.M)))).encode()
    ).hexdigest()


def run_all(commands: Sequence[Sequence[str]], on_done: Callable[[int], None] = lambda done: None) -> None:
    """Runs commands, as many at a time as there are processors; CompileError with the first error of the first to fail.

    None is left running when this returns, whether by an error or by Ctrl-C.
    """
    waiting, running = list(commands), list[subprocess.Popen[str]]()
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < len(os.sched_getaffinity(0)):
                command = waiting.pop(0)
                running.append(
                    subprocess.Popen(
                        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
                    )
                )
            for process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    output, _ = process.communicate(timeout=0.05)
                    running.remove(process)
                    if process.returncode != 0:
                        raise CompileError(first_error(output, process.args, process.returncode), output)
                    done += 1
                    on_done(done)
                    break
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def first_error(output: str, command: object, code: int) -> str:
    """file:line: the first error of a compiler or linker, and the line of source that it shows."""
    lines = output.splitlines()
    for i, line in enumerate(lines):
        if re.search(r"(?:^|: )(?:fatal )?error:|undefined reference|undefined symbol|multiple definition", line):
            shown = [line]
            after = [*lines[i + 1 : i + 3], "", ""]  # g++ marks the line by a bar, clang by a caret under it
            if "|" in after[0] or "^" in after[1]:
                shown.append(lines[i + 1])
            return "\n".join(shown)
    program = command[0] if isinstance(command, (list, tuple)) and command else command
    ended = f"was killed by signal {-code}: too little memory?" if code < 0 else f"ended with {code}"
    return "\n".join([f"{program} {ended}", *lines[-3:]])


class Progress:
    """One line on stderr that says what takes so long: from the first second on a terminal, else once."""

    def __init__(self, text: str, total: int = 0) -> None:
        self.text, self.total = text, total
        self.terminal = sys.stderr.isatty()
        self.start = time.monotonic()
        self.shown = False

    def update(self, done: int) -> None:
        line = f"{self.text} [{done}/{self.total}]" if self.total else f"{self.text} {done:,}"
        if self.terminal:
            print(f"\r\033[K{line}, {time.monotonic() - self.start:.0f} s", end="", file=sys.stderr, flush=True)
        elif not self.shown:
            print(line, file=sys.stderr, flush=True)
        self.shown = True

    def close(self) -> None:
        if self.terminal and self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
