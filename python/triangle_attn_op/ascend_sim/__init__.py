"""Runs Ascend C kernels on a simulated AI Core: results, findings and modelled time.

>>> library = load("build/libvector_add.so")
>>> report = library.launch("vector_add", x, y, out, block_dim=2)
>>> report.raise_on_findings()
"""

from .launch import Kernel, KernelLibrary, Struct, load, socs
from .report import PIPES, Finding, KernelError, Place, Report, SyncCall

__all__ = [
    "PIPES",
    "Finding",
    "Kernel",
    "KernelError",
    "KernelLibrary",
    "Place",
    "Report",
    "Struct",
    "SyncCall",
    "load",
    "socs",
]
