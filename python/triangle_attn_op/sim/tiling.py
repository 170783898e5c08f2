"""The host's tilings (op_host/tiling.h, tiling_backward.h) through ctypes: a problem in, the struct that a kernel takes
by value out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import library

NO_WINDOW = -1
_STRIDES = ("q", "k", "v", "out", "lse", "mask")
_BACKWARD_STRIDES = ("dout", "dq", "dk", "dv")  # besides those


class _Problem(ctypes.Structure):
    """ForwardProblemC of op_host/tiling_c_api.cpp."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("batch", "heads_q", "heads_kv", "sq", "sk", "d", "dv")],
        ("scale", ctypes.c_double),
        *[
            (name, ctypes.c_int64)
            for name in ("bottom_right", "diagonal", "window_left", "packed", "documents", "has_mask", "cores")
        ],
        ("strides", ctypes.c_int64 * 3 * len(_STRIDES)),
        ("softcap", ctypes.c_double),
        *[(name, ctypes.c_int64) for name in ("alibi", "sinks", "mask_element", "mask_by_row", "slope_batch")],
        *[(name, ctypes.c_int64) for name in ("interval_bounds", "interval_heads")],
    ]


class _Figures(ctypes.Structure):
    """ForwardFiguresC."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in ("workspace_bytes", "ring_bytes", "blocks", "visible_pairs", "rows", "wide", "chunk")
        ],
        ("filler_tasks", ctypes.c_int64),
        ("imbalance", ctypes.c_double),
    ]


@dataclass(frozen=True)
class Problem:
    """sq, sk: packed: rows of q and of k. strides: elements from batch to batch, head to head, row to row. softcap and
    what follows it: ScoreBend and KeyIntervals of op_host/tiling.h.
    """

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
    softcap: float = 0.0
    alibi: bool = False
    sinks: bool = False
    mask_element: int = 0
    mask_by_row: bool = False
    slope_batch: int = 0
    interval_bounds: int = 0
    interval_heads: int = 1

    @property
    def bent(self) -> bool:
        """Whether it takes the kernels that bend scores (op_kernel/forward_bent.cpp)."""
        return bool(self.softcap or self.alibi or self.sinks or self.mask_element)

    def as_c(self) -> _Problem:
        c = _Problem()
        for field in _Problem._fields_:
            if field[0] != "strides":
                setattr(c, field[0], getattr(self, field[0]))
        self.put_strides(_STRIDES, c.strides)
        return c

    def put_strides(self, names: Sequence[str], rows: Any) -> None:
        """Into an array [names][3]; zeros for tensors that there are not."""
        for i, name in enumerate(names):
            for j, stride in enumerate(self.strides.get(name, (0, 0, 0))):
                rows[i][j] = stride


@dataclass(frozen=True)
class Tiling:
    """data: the kernel's struct. blocks: rows x 128 blocks computed, and visible_pairs: 0 for packed sequences, whose
    lengths only the device knows. filler_tasks: whole tasks set aside to level the shares (op_host/task_line.h).
    imbalance: busiest core over the mean, less 1.
    """

    data: bytes
    workspace_bytes: int
    ring_bytes: int
    blocks: int
    visible_pairs: int
    rows: int
    wide: bool
    chunk: int
    filler_tasks: int
    imbalance: float
    accumulator_bytes: int = 0  # none in the forward


def forward_tiling(problem: Problem) -> Tiling:
    """ValueError names the argument that does not fit the kernel."""
    lib = library.tiling()
    lib.triangle_forward_tiling_bytes.restype = ctypes.c_int64
    data = ctypes.create_string_buffer(lib.triangle_forward_tiling_bytes())
    figures = _Figures()
    if lib.triangle_forward_tiling(ctypes.byref(problem.as_c()), data, ctypes.byref(figures)) != 0:
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
        filler_tasks=figures.filler_tasks,
        imbalance=figures.imbalance,
    )


# ---- over a cache ----------------------------------------------------------------------------------------------------

_CACHE_NUMBERS = ("most_rows", "new_keys", "pages", "page_size", "room", "table_row", "length_step")


class _CacheProblem(ctypes.Structure):
    """CacheProblemC of op_host/tiling_c_api.cpp."""

    _fields_ = [
        ("forward", _Problem),
        ("strides", ctypes.c_int64 * 3 * 2),
        *[(name, ctypes.c_int64) for name in _CACHE_NUMBERS],
    ]


@dataclass(frozen=True)
class CacheProblem:
    """forward: batch sequences of sq rows, or packed sq rows of all. The other numbers: TriangleCacheTiling and
    CacheProblem of op_host/tiling_cache.h.
    """

    forward: Problem
    most_rows: int
    new_keys: int
    pages: int
    page_size: int
    room: int
    table_row: int
    length_step: int
    new_k: tuple[int, int, int]
    new_v: tuple[int, int, int]


def cache_tiling(problem: CacheProblem) -> tuple[bytes, int]:
    """The kernels' struct and the bytes of their workspace; ValueError names the argument that does not fit them."""
    lib = library.tiling()
    lib.triangle_cache_tiling_bytes.restype = ctypes.c_int64
    c = _CacheProblem(forward=problem.forward.as_c(), **{name: getattr(problem, name) for name in _CACHE_NUMBERS})
    for row, strides in zip(c.strides, (problem.new_k, problem.new_v)):
        row[:] = strides
    data = ctypes.create_string_buffer(lib.triangle_cache_tiling_bytes())
    workspace = ctypes.c_int64()
    if lib.triangle_cache_tiling(ctypes.byref(c), data, ctypes.byref(workspace)) != 0:
        raise ValueError(lib.triangle_tiling_error().decode())
    return data.raw, workspace.value


# ---- the backward's --------------------------------------------------------------------------------------------------


class _BackwardProblem(ctypes.Structure):
    """BackwardProblemC of op_host/tiling_c_api.cpp."""

    _fields_ = [
        ("forward", _Problem),
        ("strides", ctypes.c_int64 * 3 * len(_BACKWARD_STRIDES)),
        ("deterministic", ctypes.c_int64),
        ("has_dlse", ctypes.c_int64),
    ]


class _BackwardFigures(ctypes.Structure):
    """BackwardFiguresC."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in ("workspace_bytes", "ring_bytes", "accumulator_bytes", "blocks", "visible_pairs")
        ],
        ("filler_columns", ctypes.c_int64),
        ("filler_rows", ctypes.c_int64),
        ("imbalance", ctypes.c_double),
    ]


@dataclass(frozen=True)
class BackwardTiling:
    """data: the kernel's struct. blocks: 128 x 128, computed once; blocks and visible_pairs 0 for packed sequences.
    workspace_bytes: rings of all cores (ring_bytes), lse and delta, and the fp32 accumulators (accumulator_bytes).
    filler_columns, filler_rows: block columns and rows set aside to level the shares of the deterministic passes.
    """

    data: bytes
    workspace_bytes: int
    ring_bytes: int
    accumulator_bytes: int
    blocks: int
    visible_pairs: int
    filler_columns: int
    filler_rows: int
    imbalance: float


def backward_tiling(problem: Problem, *, deterministic: bool = False, has_dlse: bool = False) -> BackwardTiling:
    """ValueError names the argument that does not fit the kernel."""
    lib = library.tiling()
    lib.triangle_backward_tiling_bytes.restype = ctypes.c_int64
    c = _BackwardProblem(forward=problem.as_c(), deterministic=deterministic, has_dlse=has_dlse)
    problem.put_strides(_BACKWARD_STRIDES, c.strides)
    data = ctypes.create_string_buffer(lib.triangle_backward_tiling_bytes())
    figures = _BackwardFigures()
    if lib.triangle_backward_tiling(ctypes.byref(c), data, ctypes.byref(figures)) != 0:
        raise ValueError(lib.triangle_tiling_error().decode())
    return BackwardTiling(
        data=data.raw, **{field[0]: getattr(figures, field[0]) for field in _BackwardFigures._fields_}
    )


def interval_tiling(tiling: BackwardTiling, line: int) -> bytes:
    """What the launch is told that counts the blocks of the backward's pass `line`."""
    lib = library.tiling()
    lib.triangle_forward_tiling_bytes.restype = ctypes.c_int64
    data = ctypes.create_string_buffer(lib.triangle_forward_tiling_bytes())
    lib.triangle_interval_tiling(tiling.data, ctypes.c_int64(line), data)
    return data.raw
