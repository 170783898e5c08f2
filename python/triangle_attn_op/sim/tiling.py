"""The host's tiling (op_host/tiling.h) through ctypes: a problem in, the struct that the kernel takes by value out."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from . import library

NO_WINDOW = -1


class _Problem(ctypes.Structure):
    """ForwardProblemC of op_host/tiling_c_api.cpp."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("batch", "heads_q", "heads_kv", "sq", "sk", "d", "dv")],
        ("scale", ctypes.c_double),
        *[
            (name, ctypes.c_int64)
            for name in ("bottom_right", "diagonal", "window_left", "packed", "documents", "has_mask", "cores")
        ],
        ("strides", ctypes.c_int64 * 3 * 6),
    ]


class _Figures(ctypes.Structure):
    """ForwardFiguresC."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in ("workspace_bytes", "ring_bytes", "blocks", "visible_pairs", "rows", "wide", "chunk")
        ],
        ("imbalance", ctypes.c_double),
    ]


@dataclass(frozen=True)
class Problem:
    """sq, sk: packed: rows of q and of k. strides: elements from batch to batch, head to head, row to row."""

    batch: int
    heads_q: int
    heads_kv: int
    sq: int
    sk: int
    d: int
    dv: int
    scale: float
    cores: int
    strides: dict[str, tuple[int, int, int]]
    bottom_right: bool = True
    diagonal: int = 0
    window_left: int = NO_WINDOW
    packed: bool = False
    documents: int = 0
    has_mask: bool = False


@dataclass(frozen=True)
class Tiling:
    """data: the kernel's struct. blocks: rows x 128 blocks computed, and visible_pairs: 0 for packed sequences, whose
    lengths only the device knows. imbalance: busiest core over the mean, less 1.
    """

    data: bytes
    workspace_bytes: int
    ring_bytes: int
    blocks: int
    visible_pairs: int
    rows: int
    wide: bool
    chunk: int
    imbalance: float


def forward_tiling(problem: Problem) -> Tiling:
    """ValueError names the argument that does not fit the kernel."""
    lib = library.tiling()
    lib.triangle_forward_tiling_bytes.restype = ctypes.c_int64
    lib.triangle_tiling_error.restype = ctypes.c_char_p
    c = _Problem()
    for field in _Problem._fields_:
        if field[0] != "strides":
            setattr(c, field[0], getattr(problem, field[0]))
    for i, name in enumerate(("q", "k", "v", "out", "lse", "mask")):
        for j, stride in enumerate(problem.strides.get(name, (0, 0, 0))):
            c.strides[i][j] = stride
    data = ctypes.create_string_buffer(lib.triangle_forward_tiling_bytes())
    figures = _Figures()
    if lib.triangle_forward_tiling(ctypes.byref(c), data, ctypes.byref(figures)) != 0:
        raise ValueError(lib.triangle_tiling_error().decode())
    return Tiling(
        data=data.raw,
        workspace_bytes=figures.workspace_bytes,
        ring_bytes=figures.ring_bytes,
        blocks=figures.blocks,
        visible_pairs=figures.visible_pairs,
        rows=figures.rows,
        wide=bool(figures.wide),
        chunk=figures.chunk,
        imbalance=figures.imbalance,
    )
