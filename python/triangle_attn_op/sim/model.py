"""model_forward: the forward kernel in the timing model only: no data, no checks, any size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..ascend_sim import Report
from ..schedule.intervals import IntervalSchedule, plan_intervals
from . import library
from .attention import ALL_PHASES, BENT_NAMES, NAMES, core_count, kernel_name, launch_phases
from .intervals import WALK_TASKS, prepare
from .tiling import NO_WINDOW, BackwardTiling, Problem, Tiling, forward_tiling

_Tiling = TypeVar("_Tiling", Tiling, BackwardTiling)
_FLOATS = {"lse", "slopes", "sinks", "dsinks"}
_CUBE_FLOPS = 2 * 16 * 16 * 16  # per cycle and AI core


@dataclass(frozen=True)
class Shape:
    """Dense, contiguous [B, H, S, D], bottom-right."""

    batch: int
    heads_q: int
    heads_kv: int
    sq: int
    sk: int
    d: int
    dv: int | None = None

    def __str__(self) -> str:
        return f"[{self.batch}, {self.heads_q}/{self.heads_kv}, {self.sq}x{self.sk}, {self.d}]"


@dataclass(frozen=True)
class Modelled:
    """A modelled launch. blocks: of rows x 128 keys. cube_share: visible FLOPs (4 * D a pair; 2 (D + Dv)) over what the
    chip's cubes could do in the time. workspace_bytes: rings, and in the backward the fp32 sums of gradients
    (accumulator_bytes). compulsory_bytes: arguments read once and results written once. report: of the launch.
    """

    direction: str  # "forward", "backward"
    shape: Shape
    soc: str
    cores: int
    blocks: int
    block_rows: int
    visible_pairs: int
    visible_of_computed: float
    imbalance: float
    cycles: float
    microseconds: float
    tflops: float
    cube_share: float
    ring_bytes_per_core: int
    workspace_bytes: int
    accumulator_bytes: int
    compulsory_bytes: int
    report: Report


@dataclass(frozen=True)
class Bends:
    """What bends scores; its values do not matter to time. mask: bytes of an element of a float mask [Sq, Sk], or 0."""

    softcap: bool = False
    alibi: bool = False
    sinks: bool = False
    mask: int = 0

    def sizes(self, heads: int) -> dict[str, tuple[int, int, int]]:
        """Of the tensors that the kernels read, fp32: heads, rows, columns."""
        return {name: (heads, 1, 1) for name, used in (("slopes", self.alibi), ("sinks", self.sinks)) if used}


def model_forward(
    shape: Shape,
    *,
    dtype: torch.dtype = torch.bfloat16,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    window_size_left: int | None = None,
    diagonal: int | None = None,
    bends: Bends | None = None,
    startend_row_indices: Tensor | None = None,
    parameters: dict[str, float] | None = None,
    trace: bool = False,
) -> Modelled:
    """Times the kernel on `soc`; `parameters` override the chip's, see `triangle_attn_op.ascend_sim.socs`.

    startend_row_indices: as of `triangle_attention`, on the CPU; the launches that read it are run and count.
    """
    hq, hkv, sq, sk, d = shape.heads_q, shape.heads_kv, shape.sq, shape.sk, shape.d
    dv = d if shape.dv is None else shape.dv
    sizes = {"q": (hq, sq, d), "k": (hkv, sk, d), "v": (hkv, sk, dv), "out": (hq, sq, dv), "lse": (hq, sq, 1)}
    sizes |= (bends or Bends()).sizes(hq)
    used = core_count(soc, cores)
    problem = contiguous_problem(shape, sizes, used, window_size_left, diagonal, bends, startend_row_indices)
    tiling = forward_tiling(problem)
    launch: dict[str, Any] = {"soc": soc, "parameters": parameters}
    intervals = startend_row_indices is not None
    bytes_of = [tensor_bytes(shape, name, sizes) for name in (BENT_NAMES if problem.bent or intervals else NAMES)[:-1]]
    kernel = kernel_name(dtype, tiling.wide, problem.bent, intervals)
    if startend_row_indices is None:
        launch |= {"block_dim": used, "trace": trace}
        report = timed((ALL_PHASES,), kernel, *bytes_of, tiling.workspace_bytes, tiling=tiling.data, **launch)
        return modelled("forward", shape, tiling, report, tiling.rows, 2 * (d + dv), bytes_of, soc=soc, cores=used)
    planned = planned_intervals(problem, startend_row_indices, tiling.rows)
    workspace = np.zeros(tiling.workspace_bytes, dtype=np.uint8)
    prepared = prepared_intervals(startend_row_indices, workspace, [tiling.data], problem, **launch)
    launch |= {"block_dim": used, "trace": trace}
    walked = timed(WALK_TASKS, kernel, *bytes_of, workspace, tiling=tiling.data, **launch)
    report = walked if trace else prepared.followed_by(walked)
    counted = thinned(tiling, planned)
    return modelled("forward", shape, counted, report, tiling.rows, 2 * (d + dv), bytes_of, soc=soc, cores=used)


def planned_intervals(
    problem: Problem, startend_row_indices: Tensor, block_q: int, backward: bool = False
) -> IntervalSchedule:
    """What the device finds, found on the host."""
    return plan_intervals(
        (problem.batch, problem.heads_q, problem.heads_kv, problem.sq, problem.sk),
        startend_row_indices.numpy(),
        cores=problem.cores,
        block_q=block_q,
        diagonal=problem.diagonal,
        window_size_left=None if problem.window_left == NO_WINDOW else problem.window_left,
        backward=backward,
    )


def prepared_intervals(
    startend_row_indices: Tensor, workspace: NDArray[np.uint8], tilings: list[bytes], problem: Problem, **launch: Any
) -> Report:
    """The launches before a kernel with intervals, with data: what follows reads their tables."""
    report = prepare(
        library.kernels(),
        startend_row_indices,
        None,
        None,
        workspace,
        tilings,
        batch=problem.batch,
        cores=problem.cores,
        watchdog_seconds=600.0,
        **launch,
    )
    report.raise_on_findings()
    return report


def thinned(tiling: _Tiling, planned: IntervalSchedule) -> _Tiling:
    """The tiling's figures, of the blocks that intervals leave."""
    return dataclasses.replace(
        tiling, blocks=planned.blocks, visible_pairs=planned.visible_pairs, imbalance=planned.imbalance
    )


Sizes = dict[str, tuple[int, int, int]]  # of each tensor: heads, rows, columns


def contiguous_problem(
    shape: Shape,
    sizes: Sizes,
    cores: int,
    window_size_left: int | None,
    diagonal: int | None,
    bends: Bends | None = None,
    startend_row_indices: Tensor | None = None,
) -> Problem:
    """Adds the mask to `sizes`, where there is one."""
    bends = bends or Bends()
    strides = {name: (h * s * w, s * w, w) for name, (h, s, w) in sizes.items()}
    if bends.mask:
        sizes["mask"] = (1, shape.sq, shape.sk * bends.mask // 2)
        strides["mask"] = (0, 0, shape.sk)
    return Problem(
        batch=shape.batch,
        heads_q=shape.heads_q,
        heads_kv=shape.heads_kv,
        sq=shape.sq,
        sk=shape.sk,
        d=shape.d,
        dv=shape.d if shape.dv is None else shape.dv,
        scale=shape.d**-0.5,
        cores=cores,
        strides=strides,
        bottom_right=False,
        diagonal=shape.sk - shape.sq if diagonal is None else diagonal,
        window_left=NO_WINDOW if window_size_left is None else window_size_left,
        softcap=50.0 if bends.softcap else 0.0,
        alibi=bends.alibi,
        sinks=bends.sinks,
        mask_element=bends.mask,
        interval_bounds=0 if startend_row_indices is None else startend_row_indices.shape[3],
        interval_heads=1 if startend_row_indices is None else startend_row_indices.shape[1],
    )


def tensor_bytes(shape: Shape, name: str, sizes: Sizes) -> int | None:
    """None for a tensor that the launch has not."""
    return shape.batch * math.prod(sizes[name]) * (4 if name in _FLOATS else 2) if name in sizes else None


def timed(
    phases: Sequence[int], kernel: str | Callable[[int], str], *arguments: Any, tiling: bytes, **launch: Any
) -> Report:
    """A launch, or one after the other, without data; `arguments`: bytes of tensors."""
    launch |= {"timing_only": True, "watchdog_seconds": 600.0, "tiling": tiling}
    report = launch_phases(library.kernels(), phases, kernel, *arguments, **launch)
    report.raise_on_findings()
    return report


def modelled(
    direction: str,
    shape: Shape,
    tiling: Tiling | BackwardTiling,
    report: Report,
    block_rows: int,
    flops_of_pair: int,
    bytes_of: Sequence[int | None],
    *,
    soc: str,
    cores: int,
) -> Modelled:
    """bytes_of: of the tensors, of which each is read or written once."""
    flops = flops_of_pair * tiling.visible_pairs
    seconds = report.microseconds * 1e-6
    peak = _CUBE_FLOPS * core_count(soc, None) * report.ghz * 1e9
    return Modelled(
        direction=direction,
        shape=shape,
        soc=soc,
        cores=cores,
        blocks=tiling.blocks,
        block_rows=block_rows,
        visible_pairs=tiling.visible_pairs,
        visible_of_computed=tiling.visible_pairs / max(tiling.blocks * block_rows * 128, 1),
        imbalance=tiling.imbalance,
        cycles=report.cycles,
        microseconds=report.microseconds,
        tflops=flops / seconds / 1e12 if seconds else 0.0,
        cube_share=flops / seconds / peak if seconds else 0.0,
        ring_bytes_per_core=tiling.ring_bytes // cores,
        workspace_bytes=tiling.workspace_bytes,
        accumulator_bytes=tiling.accumulator_bytes,
        compulsory_bytes=sum(size or 0 for size in bytes_of),
        report=report,
    )
