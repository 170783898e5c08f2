"""Finds and loads the shared library that holds the operators, the CPU kernels and the block schedule."""

from __future__ import annotations

import ctypes
import importlib
from functools import cache
from pathlib import Path

import torch

from . import _torch


@cache
def path() -> Path:
    """Path of the extension library; ImportError where the package was not built."""
    library = Path(__file__).with_name("_C.abi3.so")
    if not library.exists():
        raise ImportError(
            f"triangle_attn_op: {library.name} is missing from the installed package; "
            "build it with `pip install --no-build-isolation .`"
        )
    return library


@cache
def load() -> ctypes.CDLL:
    """Registers the operators with PyTorch (once) and returns the library for its plain C functions. ImportError where
    the library was built for another torch: it would call functions that this one does not have.
    """
    try:
        built = importlib.import_module("triangle_attn_op._build_info").TORCH
    except ModuleNotFoundError:  # not built by setup.py
        built = torch.__version__
    text = _torch.mismatch(built, torch.__version__)
    if text is not None:
        raise ImportError(text)
    torch.ops.load_library(str(path()))
    return ctypes.CDLL(str(path()))


def text(function: str) -> str:
    """Calls a C function of the form `int f(char* buffer, int size)` and returns its text."""
    call = getattr(load(), function)
    size = call(None, 0) + 1
    buffer = ctypes.create_string_buffer(size)
    call(buffer, size)
    return buffer.value.decode()
