"""model_kvcache: the kernels over a cache in the timing model, as model_forward; lengths and page numbers are real."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..ascend_sim import Report, Struct, socs
from . import library
from .attention import ALL_PHASES, core_count
from .model import Shape, timed
from .tiling import NO_WINDOW, CacheProblem, Problem, cache_tiling


@dataclass(frozen=True)
class ModelledCache:
    """Modelled launches of one call over a cache: what appends, and what attends.

    microseconds: of both. cache_bytes: keys and values that rows see, read once. hbm_share: those bytes in that time
    over HBM's bandwidth. report: of both launches.
    """

    shape: Shape
    page_size: int
    soc: str
    cores: int
    microseconds: float
    append_microseconds: float
    cache_bytes: int
    hbm_share: float
    report: Report


def model_kvcache(
    shape: Shape,
    *,
    page_size: int = 64,
    dtype: torch.dtype = torch.bfloat16,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    window_size_left: int | None = None,
    parameters: dict[str, float] | None = None,
    trace: bool = False,
) -> ModelledCache:
    """Times a call with k and v on `soc`: each of shape.batch sequences appends its shape.sq rows, the last of shape.sk
    keys, and attends. Pages [pages, page_size, Hkv, D], one sequence's after another's; q [B, Sq, Hq, D].

    `parameters` override the chip's, see `triangle_attn_op.ascend_sim.socs`.
    """
    batch, sq, sk, d = shape.batch, shape.sq, shape.sk, shape.d
    dv = d if shape.dv is None else shape.dv
    used = core_count(soc, cores)
    per = -(-sk // page_size)
    problem = _problem(shape, page_size, per, used, window_size_left)
    tiling, workspace_bytes = cache_tiling(problem)
    table = np.arange(batch * per, dtype=np.int32)
    lengths = np.full(batch, sk - sq, dtype=np.int32)
    rows, new = batch * sq * shape.heads_q * 2, batch * sq * shape.heads_kv * 2
    pages = batch * per * page_size * shape.heads_kv * 2
    launch: dict[str, Any] = {"soc": soc, "parameters": parameters, "trace": trace}
    appended = library.kernels().launch(
        "triangle_attn_cache_append",
        *(new * d, new * dv, pages * d, pages * dv, table, None, lengths, Struct(tiling)),
        block_dim=2 * used,
        timing_only=True,
        watchdog_seconds=600.0,
        **launch,
    )
    appended.raise_on_findings()
    kernel = f"triangle_attn_cache_{'fp16' if dtype is torch.float16 else 'bf16'}_{256 if max(d, dv) > 128 else 128}"
    attended = timed(
        (ALL_PHASES,),
        kernel,
        *(rows * d, pages * d, pages * dv, table, None, lengths, None, None, rows * dv, rows * 2, workspace_bytes),
        tiling=tiling,
        block_dim=used,
        **launch,
    )
    report = attended if trace else appended.followed_by(attended)
    microseconds = appended.microseconds + attended.microseconds
    seen = sk if window_size_left is None else min(sk, sq + window_size_left)
    cache_bytes = batch * seen * shape.heads_kv * (d + dv) * 2
    bandwidth = float(socs(library.kernels().path)["chips"][soc]["hbm_bandwidth"])
    return ModelledCache(
        shape=shape,
        page_size=page_size,
        soc=soc,
        cores=used,
        microseconds=microseconds,
        append_microseconds=appended.microseconds,
        cache_bytes=cache_bytes,
        hbm_share=cache_bytes / (microseconds * 1e-6) / bandwidth,
        report=report,
    )


def _problem(shape: Shape, page_size: int, per: int, cores: int, window_size_left: int | None) -> CacheProblem:
    def rows_of(rows: int, heads: int, columns: int) -> tuple[int, int, int]:
        """Strides of [B, S, H, D]: batch, head, row."""
        return rows * heads * columns, columns, heads * columns

    sq, hq, hkv, d = shape.sq, shape.heads_q, shape.heads_kv, shape.d
    dv = d if shape.dv is None else shape.dv
    strides = {"q": rows_of(sq, hq, d), "out": rows_of(sq, hq, dv), "lse": (hq * sq, sq, 1)}
    strides |= {"k": rows_of(page_size, hkv, d), "v": rows_of(page_size, hkv, dv)}
    forward = Problem(
        batch=shape.batch,
        heads_q=hq,
        heads_kv=hkv,
        sq=sq,
        sk=0,
        d=d,
        dv=dv,
        scale=1.0 / math.sqrt(d),
        cores=cores,
        strides=strides,
        window_left=NO_WINDOW if window_size_left is None else window_size_left,
        packed=False,
    )
    return CacheProblem(
        forward=forward,
        most_rows=sq,
        new_keys=sq,
        pages=shape.batch * per,
        page_size=page_size,
        room=per * page_size,
        table_row=per,
        length_step=1,
        new_k=rows_of(sq, hkv, d),
        new_v=rows_of(sq, hkv, dv),
    )
