"""Builds and loads the kernels of sim/timing, which validate and sensitivity run."""

from __future__ import annotations

import os
from functools import cache

from . import _ninja
from ._building import build
from ._sources import sources
from .launch import KernelLibrary, load


@cache
def timing_library() -> KernelLibrary:
    """The library of sim/timing, brought up to date once per process.

    ASCEND_SIM_TIMING_BUILD names a CMake folder to build it in; else the front door compiles it. FileNotFoundError
    where a build tool is missing, RuntimeError where the build fails.
    """
    folder = sources() / "timing"
    if os.environ.get("ASCEND_SIM_TIMING_BUILD"):
        directory = _ninja.build_folder("ASCEND_SIM_TIMING_BUILD", "")
        _ninja.build(folder, directory, ["sim/libascend_sim.so", "libtiming.so"], "ascend_sim")
        return load(directory / "libtiming.so")
    return build([folder / name for name in ("timing.cpp", "matmul_tiled.cpp", "published.cpp")])
