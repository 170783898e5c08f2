"""Builds and loads the kernels of sim/timing, which validate and sensitivity run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from .launch import KernelLibrary, load


@cache
def timing_library() -> KernelLibrary:
    """The library of sim/timing/timing.cpp, brought up to date once per process.

    ASCEND_SIM_TIMING_BUILD names the build directory, by default one in the user's cache. FileNotFoundError where the
    package does not lie in a source tree or a build tool is missing, RuntimeError where the build fails.
    """
    root = Path(__file__).resolve().parents[3]
    source = root / "sim" / "timing"
    if not (source / "CMakeLists.txt").exists():
        raise FileNotFoundError(f"{source}: missing; the timing kernels are built from a source checkout")
    cache_home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    default = cache_home / "triangle_attn_op" / f"timing-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
    build = Path(os.environ.get("ASCEND_SIM_TIMING_BUILD", default))
    for tool in ("cmake", "ninja"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"`{tool}` is needed to build the timing kernels: pip install {tool}")
    build.mkdir(parents=True, exist_ok=True)
    with open(build / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (build / "build.ninja").exists():
            _run(["cmake", "-S", str(source), "-B", str(build), "-G", "Ninja"])
        _run(["ninja", "-C", str(build), "libtiming.so"])
    return load(build / "libtiming.so")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
