"""Builds the test kernels on demand (ninja rebuilds only what changed) and loads them by file name.

ASCEND_SIM_BUILD names another build directory, for working on a copy beside a running test session.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _without_its_package(name: str) -> None:
    """Makes a folder of the package importable by itself. Not by a path: other names beside it (flash_attn) would then
    be found where real packages are looked for.
    """
    folder = ROOT / "python" / "triangle_attn_op" / name
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


# The simulator's Python side needs nothing of the operator, so its tests do not import the package around it.
_without_its_package("ascend_sim")
BUILD = Path(os.environ.get("ASCEND_SIM_BUILD", ROOT / "build" / "sim_tests"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}", pytrace=False)


def build(target: str) -> None:
    """Builds one target of the test kernels."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / ".lock", "w") as lock:  # parallel test workers share the build directory
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (BUILD / "build.ninja").exists():
            _run("cmake", "-S", str(ROOT / "tests/sim/kernels"), "-B", str(BUILD), "-G", "Ninja")
        _run("ninja", "-C", str(BUILD), target)


@pytest.fixture(scope="session")
def kernels() -> Callable[[str], Any]:
    """kernels("vector_add") is the library of tests/sim/kernels/vector_add.cpp, built and loaded."""
    import ascend_sim

    loaded: dict[str, Any] = {}
    failed: set[str] = set()

    def get(name: str) -> Any:
        if name in failed:  # not again for every test
            pytest.fail(f"lib{name}.so could not be built, see the first failure", pytrace=False)
        if name not in loaded:
            failed.add(name)
            build(f"lib{name}.so")
            loaded[name] = ascend_sim.load(BUILD / f"lib{name}.so")
            failed.discard(name)
        return loaded[name]

    return get


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    """sample("vector") is the program of tests/sim/samples/vector.asc, built."""

    def get(name: str) -> Path:
        build(f"sample_{name}")
        return BUILD / "samples" / f"sample_{name}"

    return get
