"""Runs Ascend C kernels on a simulated AI Core: results, findings and modelled time.

>>> library = build("vector_add.cpp", include=["common"])
>>> report = library.launch("vector_add", x, y, out, block_dim=2)
>>> report.raise_on_findings()
"""

import sys

try:
    import numpy  # noqa: F401
except ImportError:
    if sys.argv[:1] == ["-m"]:  # python -m imports this first
        print("the simulator needs numpy: pip install numpy", file=sys.stderr)
        raise SystemExit(2) from None
    raise ImportError("the simulator needs numpy: pip install numpy") from None

from ._building import build, build_program
from ._compiler import CompileError
from .launch import Kernel, KernelLibrary, LaunchError, Struct, load, socs
from .pipes import PIPES
from .report import Finding, KernelError, Place, Report, SyncCall

__all__ = [
    "PIPES",
    "CompileError",
    "Finding",
    "Kernel",
    "KernelError",
    "KernelLibrary",
    "LaunchError",
    "Place",
    "Report",
    "Struct",
    "SyncCall",
    "build",
    "build_program",
    "load",
    "socs",
]
