"""attn_kvcache: the kernels over a cache on CPU tensors, through the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _checks, backends
from .._cache_checks import check_kvcache
from ..ascend_sim import Report, Struct
from . import library
from .attention import _memory, _nothing, core_count, launch_phases
from .tiling import NO_WINDOW, CacheProblem, Problem, cache_tiling

NAMES = ["q", "k", "v", "table", "cu_seq_q", "lengths", "slopes", "sinks", "out", "lse", "workspace"]
APPEND_NAMES = ["new_k", "new_v", "k", "v", "table", "cu_seq_q", "lengths"]
ALL_PHASES = 15  # kAllPhases of op_host/tiling.h: in one launch
_OUTPUTS = {"out", "lse", "workspace"}  # may not be read before they are written


def attn_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    *,
    k: Tensor | None = None,
    v: Tensor | None = None,
    block_table: Tensor | None = None,
    cu_seq_q: Tensor | None = None,
    max_q: int | None = None,
    cache_batch_idx: Tensor | None = None,
    scale: float | None = None,
    window_size_left: int | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    phases: Sequence[int] = (ALL_PHASES,),
    **launch: Any,
) -> tuple[Tensor, Tensor, Report]:
    """out, lse and the report of the launches; arguments as in `triangle_attention_with_kvcache`, for fp16 and bf16 CPU
    tensors. k and v are appended to the caches in place.

    q [B, Sq, Hq, D] or with cu_seq_q packed [T, Hq, D]; out like q with Dv columns, lse fp32 [B, Hq, Sq] or [T, Hq].
    Values of the int32 tensors are not checked, as on an NPU: the kernels clamp them. soc, cores, phases and `launch`
    are those of `attn_forward`.
    What the kernels do not support is a NotImplementedError, TypeError or ValueError that names the argument.
    """
    options = check_kvcache(
        q,
        k_cache,
        v_cache,
        cache_seqlens,
        k=k,
        v=v,
        block_table=block_table,
        cu_seq_q=cu_seq_q,
        max_q=max_q,
        cache_batch_idx=cache_batch_idx,
        scale=scale,
        window_size_left=window_size_left,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
        sinks=sinks,
    )
    if q.device.type != "cpu":
        raise ValueError(f"q: expected CPU tensors, got device {q.device}")
    why = backends.npu_refuses(str(q.dtype), q.shape[-1], v_cache.shape[-1], 0.0)
    if why:
        raise _checks.refusal(why)

    packed = cu_seq_q is not None
    q = q if q.stride(-1) == 1 or q.shape[-1] == 1 else q.contiguous()
    out = torch.zeros([*q.shape[:-1], v_cache.shape[-1]], dtype=q.dtype)
    lse = torch.full(q.shape[:-1] if packed else (q.shape[0], q.shape[2], q.shape[1]), -math.inf, dtype=torch.float32)
    used = core_count(soc, cores)
    make = _problem(q, k_cache, v_cache, cache_seqlens, k, v, block_table, cu_seq_q, cache_batch_idx, out, lse)
    problem = make(options, alibi_slopes, sinks, used)
    tiling, workspace_bytes = cache_tiling(problem)
    table = block_table if block_table is not None else cache_batch_idx
    ints = [None if t is None else _memory(t) for t in (table, cu_seq_q, cache_seqlens)]
    caches = [_memory(t) for t in (k_cache, v_cache)]
    options_of_launch: dict[str, Any] = {"soc": soc, "watchdog_seconds": 120.0} | launch
    lib = library.kernels()
    appended = None
    if k is not None and v is not None and k.numel() + v.numel() > 0:
        new = [t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous() for t in (k, v)]
        appended = lib.launch(
            "triangle_attn_cache_append",
            *(_memory(t) for t in new),
            *caches,
            *ints,
            Struct(tiling),
            block_dim=2 * used,
            names=APPEND_NAMES,
            unused_sites=True,
            **options_of_launch,
        )
        if not appended.ok:
            return out, lse, appended
    if lse.numel() == 0:
        return out, lse, appended or _nothing(soc)
    wide = max(q.shape[-1], v_cache.shape[-1]) > 128
    report = launch_phases(
        lib,
        phases,
        f"triangle_attn_cache_{'fp16' if q.dtype is torch.float16 else 'bf16'}_{256 if wide else 128}",
        _memory(q),
        *caches,
        *ints,
        None if alibi_slopes is None else alibi_slopes.float().contiguous(),
        None if sinks is None else sinks.float().contiguous(),
        out,
        lse,
        np.empty(workspace_bytes, dtype=np.uint8),
        tiling=tiling,
        block_dim=used,
        names=NAMES,
        unused_sites=appended is not None or len(phases) > 1,
        # Rows of no sequence keep what they were filled with.
        uninitialised=[i for i, name in enumerate(NAMES) if name in _OUTPUTS and not (packed and name != "workspace")],
        **options_of_launch,
    )
    return out, lse, report if appended is None else appended.followed_by(report)


def _by_head(t: Tensor) -> tuple[int, int, int]:
    """Strides of [B, S, H, D], a cache's too, or packed [T, H, D]."""
    return (t.stride(0), t.stride(2), t.stride(1)) if t.dim() == 4 else (0, t.stride(1), t.stride(0))


def _problem(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    k: Tensor | None,
    v: Tensor | None,
    block_table: Tensor | None,
    cu_seq_q: Tensor | None,
    cache_batch_idx: Tensor | None,
    out: Tensor,
    lse: Tensor,
) -> Callable[..., CacheProblem]:
    """From the options, slopes, sinks and cores to the problem."""
    packed = cu_seq_q is not None
    strides = {name: _by_head(t) for name, t in (("q", q), ("k", k_cache), ("v", v_cache), ("out", out))}
    strides["lse"] = (0, lse.stride(1), lse.stride(0)) if packed else (lse.stride(0), lse.stride(1), lse.stride(2))
    pages, page_size = k_cache.shape[:2]
    table = block_table if block_table is not None else cache_batch_idx
    room = page_size if block_table is None else page_size * block_table.shape[1]
    rows = q.shape[0] if packed else q.shape[1]

    def make(options: dict[str, Any], alibi_slopes: Tensor | None, sinks: Tensor | None, cores: int) -> CacheProblem:
        scale, window, most = options["scale"], options["window_size_left"], options["max_q"]
        forward = Problem(
            batch=cache_seqlens.shape[0],
            heads_q=q.shape[-2],
            heads_kv=k_cache.shape[2],
            sq=rows,
            sk=0,
            d=q.shape[-1],
            dv=v_cache.shape[-1],
            scale=1.0 / math.sqrt(q.shape[-1]) if scale is None else scale,
            cores=cores,
            strides=strides,
            window_left=NO_WINDOW if window is None else window,
            packed=packed,
            softcap=options["softcap"] or 0.0,
            alibi=alibi_slopes is not None,
            sinks=sinks is not None,
            slope_batch=alibi_slopes.shape[1] if alibi_slopes is not None and alibi_slopes.dim() == 2 else 0,
        )
        return CacheProblem(
            forward=forward,
            most_rows=rows if most is None else min(rows, most),
            new_keys=0 if k is None else 1 if packed else k.shape[1],
            pages=pages,
            page_size=max(page_size, 1),
            room=room if pages else 0,
            table_row=0 if table is None else table.stride(0),
            length_step=cache_seqlens.stride(0),
            new_k=(0, 0, 0) if k is None else _by_head(k),
            new_v=(0, 0, 0) if v is None else _by_head(v),
        )

    return make
