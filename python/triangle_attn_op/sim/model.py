"""model_forward: the forward kernel in the timing model only: no data, no checks, any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..ascend_sim import Report, Struct
from . import library
from .attention import core_count, kernel_name
from .tiling import NO_WINDOW, Problem, forward_tiling

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


def model_forward(
    shape: Shape,
    *,
    dtype: torch.dtype = torch.bfloat16,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    window_size_left: int | None = None,
    diagonal: int | None = None,
    parameters: dict[str, float] | None = None,
    trace: bool = False,
) -> Modelled:
    """Times the kernel on `soc`; `parameters` override the chip's, see `triangle_attn_op.ascend_sim.socs`."""
    lib = library.kernels()
    used = core_count(soc, cores)
    dv = shape.d if shape.dv is None else shape.dv

    def contiguous(heads: int, rows: int, width: int) -> tuple[int, int, int]:
        return heads * rows * width, rows * width, width

    tiling = forward_tiling(
        Problem(
            batch=shape.batch,
            heads_q=shape.heads_q,
            heads_kv=shape.heads_kv,
            sq=shape.sq,
            sk=shape.sk,
            d=shape.d,
            dv=dv,
            scale=shape.d**-0.5,
            cores=used,
            strides={
                "q": contiguous(shape.heads_q, shape.sq, shape.d),
                "k": contiguous(shape.heads_kv, shape.sk, shape.d),
                "v": contiguous(shape.heads_kv, shape.sk, dv),
                "out": contiguous(shape.heads_q, shape.sq, dv),
                "lse": contiguous(shape.heads_q, shape.sq, 1),
            },
            bottom_right=False,
            diagonal=shape.sk - shape.sq if diagonal is None else diagonal,
            window_left=NO_WINDOW if window_size_left is None else window_size_left,
        )
    )

    def size(heads: int, rows: int, width: int, element: int) -> int:
        return shape.batch * heads * rows * width * element

    args: list[Any] = [
        size(shape.heads_q, shape.sq, shape.d, 2),
        size(shape.heads_kv, shape.sk, shape.d, 2),
        size(shape.heads_kv, shape.sk, dv, 2),
        None,
        None,
        None,
        size(shape.heads_q, shape.sq, dv, 2),
        size(shape.heads_q, shape.sq, 1, 4),
        tiling.workspace_bytes,
        Struct(tiling.data),
    ]
    report = lib.launch(
        kernel_name(dtype, tiling.wide),
        *args,
        block_dim=used,
        soc=soc,
        parameters=parameters,
        timing_only=True,
        trace=trace,
        watchdog_seconds=600.0,
    )
    report.raise_on_findings()
    flops = 2 * (shape.d + dv) * tiling.visible_pairs
    seconds = report.microseconds * 1e-6
    peak = _CUBE_FLOPS * core_count(soc, None) * report.ghz * 1e9
    return Modelled(
        direction="forward",
        shape=shape,
        soc=soc,
        cores=used,
        blocks=tiling.blocks,
        block_rows=tiling.rows,
        visible_pairs=tiling.visible_pairs,
        visible_of_computed=tiling.visible_pairs / max(tiling.blocks * tiling.rows * 128, 1),
        imbalance=tiling.imbalance,
        cycles=report.cycles,
        microseconds=report.microseconds,
        tflops=flops / seconds / 1e12 if seconds else 0.0,
        cube_share=flops / seconds / peak if seconds else 0.0,
        ring_bytes_per_core=tiling.ring_bytes // used,
        workspace_bytes=tiling.workspace_bytes,
        accumulator_bytes=0,
        compulsory_bytes=sum(size for size in args[:-2] if size is not None),
        report=report,
    )
