"""Builds the kernels for the simulator on first use, from the project's sources, and loads them.

The build directory is TRIANGLE_SIM_BUILD, else a folder of the user's cache named after the source tree; ninja rebuilds
what changed. TRIANGLE_SOURCE names the source tree where the package does not lie in one (an installed wheel carries
the simulator's sources, not the kernels').
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from functools import cache
from pathlib import Path

from ..ascend_sim import KernelLibrary, load
from ..ascend_sim._ninja import build as ninja_build
from ..ascend_sim._ninja import build_folder


def source_tree() -> Path:
    """The project's root; FileNotFoundError says what is missing."""
    root = Path(os.environ.get("TRIANGLE_SOURCE", Path(__file__).resolve().parents[3]))
    for part in ("op_kernel/CMakeLists.txt", "sim/CMakeLists.txt", "op_host/tiling.cpp"):
        if not (root / part).exists():
            raise FileNotFoundError(
                f"triangle_attn_op.sim: {root / part} is missing: the kernels are built from a source checkout; "
                "set TRIANGLE_SOURCE to one"
            )
    return root


def build_directory(root: Path) -> Path:
    """Made if it is not there; PermissionError where it is not the user's own."""
    return build_folder("TRIANGLE_SIM_BUILD", f"sim-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}")


@cache
def build() -> Path:
    """The build directory, up to date. Once per process."""
    root = source_tree()
    directory = build_directory(root)
    both = ["libtriangle_kernels.so", "libtriangle_measure.so"]
    libraries = ["sim/libascend_sim.so", *both, "libtriangle_tiling.so"]
    ninja_build(root / "op_kernel", directory, libraries, "triangle_attn_op.sim")
    return directory


@cache
def kernels() -> KernelLibrary:
    return load(build() / "libtriangle_kernels.so")


@cache
def measure() -> KernelLibrary:
    """The kernel of op_kernel/measure."""
    return load(build() / "libtriangle_measure.so")


@cache
def tiling() -> ctypes.CDLL:
    """The host's tiling functions; their structs are in tiling.py."""
    lib = ctypes.CDLL(str(build() / "libtriangle_tiling.so"))
    lib.triangle_tiling_error.restype = ctypes.c_char_p
    return lib
