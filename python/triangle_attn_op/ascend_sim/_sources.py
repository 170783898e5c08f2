"""Where the simulator's sources are: inside an installed package, or in the source tree that the package lies in.

A wheel carries them (setup.py copies them to `_source`): a kernel needs the headers and a compiler anyway, so that
compiler makes the rest too, for the processor at hand.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType


@cache
def sources() -> Path:
    """The simulator's folder: core/, isa/, framework/, include/, acl/, cmake/. FileNotFoundError where it is not."""
    here = Path(__file__).resolve()
    candidates = [here.parent / "_source", here.parents[min(3, len(here.parents) - 1)] / "sim"]
    for candidate in candidates:
        if (candidate / "core" / "capi.h").exists():
            return candidate
    raise FileNotFoundError(
        f"the simulator's sources are neither in {candidates[0]} nor in {candidates[1]}: install triangle_attn_op again"
    )


@cache
def rewriter() -> ModuleType:
    """sim/cmake/asc_rewrite.py, which CMake runs as a script."""
    path = sources() / "cmake" / "asc_rewrite.py"
    spec = importlib.util.spec_from_file_location("ascend_sim_asc_rewrite", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
