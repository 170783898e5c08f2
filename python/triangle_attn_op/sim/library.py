"""Builds the kernels for the simulator on first use, from the project's sources, and loads them.

The build directory is TRIANGLE_SIM_BUILD, else a folder of the user's cache named after the source tree; ninja rebuilds
what changed. TRIANGLE_SOURCE names the source tree where the package does not lie in one (an installed wheel carries
the operator, not the simulator's sources).
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from ..ascend_sim import KernelLibrary, load


def source_tree() -> Path:
    """The project's root; FileNotFoundError says what is missing."""
    root = Path(os.environ.get("TRIANGLE_SOURCE", Path(__file__).resolve().parents[3]))
    for part in ("op_kernel/CMakeLists.txt", "sim/CMakeLists.txt", "op_host/tiling.cpp"):
        if not (root / part).exists():
            raise FileNotFoundError(
                f"triangle_attn_op.sim: {root / part} is missing: the simulator runs from a source checkout; "
                "set TRIANGLE_SOURCE to one"
            )
    return root


def build_directory(root: Path) -> Path:
    if "TRIANGLE_SIM_BUILD" in os.environ:
        return Path(os.environ["TRIANGLE_SIM_BUILD"])
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache_home / "triangle_attn_op" / f"sim-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


@cache
def build() -> Path:
    """The build directory, up to date. Once per process."""
    root = source_tree()
    directory = build_directory(root)
    for tool in ("cmake", "ninja"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(
                f"triangle_attn_op.sim: `{tool}` is needed to build the kernels: pip install {tool}"
            )
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "w") as lock:  # several processes may start at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "build.ninja").exists():
            _run(["cmake", "-S", str(root / "op_kernel"), "-B", str(directory), "-G", "Ninja"])
        _run(["ninja", "-C", str(directory), "libtriangle_kernels.so", "libtriangle_tiling.so"])
    return directory


@cache
def kernels() -> KernelLibrary:
    return load(build() / "libtriangle_kernels.so")


@cache
def tiling() -> ctypes.CDLL:
    """The host's tiling functions; their structs are in tiling.py."""
    lib = ctypes.CDLL(str(build() / "libtriangle_tiling.so"))
    lib.triangle_tiling_error.restype = ctypes.c_char_p
    return lib
