"""attn_backward: the backward kernel on CPU tensors, through the simulator; model_backward: only its modelled time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..ascend_sim import Report
from . import library
from .attention import (
    ALL_PHASES,
    Options,
    _like,
    _mask_rows,
    _memory,
    _nothing,
    _strides,
    check_arguments,
    core_count,
    launch_phases,
    mask_memory,
    problem_of,
    score_vectors,
)
from .intervals import prepare
from .model import (
    Bends,
    Modelled,
    Shape,
    contiguous_problem,
    modelled,
    planned_intervals,
    prepared_intervals,
    tensor_bytes,
    thinned,
    timed,
)
from .tiling import backward_tiling, interval_tiling

_NAMES = [
    *("dout", "q", "k", "v", "out", "lse", "dlse", "mask", "cu_seq_q", "cu_seq_k"),
    *("dq", "dk", "dv", "workspace"),
]
_BENT_NAMES = [*_NAMES[:10], "slopes", "sinks", *_NAMES[10:13], "dsinks", "workspace"]
_OUTPUTS = {"dq", "dk", "dv", "dsinks", "workspace"}  # may not be read before they are written
_BLOCK = 128
_WALK_SECTIONS = 4  # kWalkSections of op_host/tiling.h


def attn_backward(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    dlse: Tensor | None = None,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
    cu_seq_q: Tensor | None = None,
    cu_seq_k: Tensor | None = None,
    max_q: int | None = None,
    max_k: int | None = None,
    deterministic: bool | None = None,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    order: str = "eager",
    seed: int = 0,
    determinism: bool = False,
    trace: bool = False,
    parameters: dict[str, float] | None = None,
    ignore_sites: Sequence[str] = (),
    phases: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Report]:
    """dq, dk, dv, each in its input's memory order, dsinks and the launch's report; arguments and errors as in
    `attn_forward`. dsinks fp32 [Hq], [0] without sinks.

    dout and out [B, Hq, Sq, Dv], lse and dlse (the gradient of lse) fp32 [B, Hq, Sq]; packed [Tq, Hq, Dv], [Tq, Hq].
    deterministic: the path whose bits depend neither on the schedule nor on the number of cores; by default
    `torch.are_deterministic_algorithms_enabled()`.
    determinism: the report names atomic additions of different cores to one place, whose order is open.
    """
    options: Options = {
        "scale": scale,
        "alignment": alignment,
        "diagonal": diagonal,
        "window_size_left": window_size_left,
        "dropout_p": dropout_p,
        "alibi_slopes": alibi_slopes,
        "softcap": softcap,
        "sinks": sinks,
        "startend_row_indices": startend_row_indices,
    }
    packed = check_arguments(q, k, v, attn_mask, cu_seq_q, cu_seq_k, max_q, max_k, options)
    _check_results(dout, q, v, out, lse, dlse, packed)
    deterministic = torch.are_deterministic_algorithms_enabled() if deterministic is None else deterministic

    dout, q, k, v, out = (t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous() for t in (dout, q, k, v, out))
    lse = lse.contiguous()
    dlse = None if dlse is None else dlse.contiguous()
    mask = None if attn_mask is None else _mask_rows(attn_mask, q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    dq, dk, dv = (_like(t, t.shape[-1]) for t in (q, k, v))
    slopes, sinks_read = score_vectors(options)
    dsinks = torch.empty(0 if sinks is None else q.shape[1])
    if out.numel() == 0 or dq.numel() == 0 or (dk.numel() == 0 and sinks is None):
        return dq.zero_(), dk.zero_(), dv.zero_(), dsinks.zero_(), _nothing(soc)
    if packed:  # as the operator on an NPU does for rows of no document
        for t in (dq, dk, dv):
            t.zero_()
    named = {"q": q, "k": k, "v": v, "out": out, "dout": dout, "dq": dq, "dk": dk, "dv": dv}
    strides = {name: _strides(t, packed) for name, t in named.items()}
    strides["lse"] = (0, lse.stride(1), lse.stride(0)) if packed else (lse.stride(0), lse.stride(1), lse.stride(2))
    if mask is not None:
        strides["mask"] = (mask.stride(0), mask.stride(1), mask.stride(2))
    used = core_count(soc, cores)
    problem = problem_of(q, k, v, cu_seq_q, mask, strides, used, options)
    tiling = backward_tiling(problem, deterministic=deterministic, has_dlse=dlse is not None)
    lib, bounds = library.kernels(), options["startend_row_indices"]
    intervals = bounds is not None
    takes_bends = problem.bent or intervals
    names = _BENT_NAMES if takes_bends else _NAMES
    unwritten = _OUTPUTS if dsinks.numel() else _OUTPUTS - {"dsinks"}
    workspace = np.empty(tiling.workspace_bytes, dtype=np.uint8)
    launch: dict[str, Any] = {
        "soc": soc,
        "order": order,
        "seed": seed,
        "trace": trace,
        "parameters": parameters,
        "watchdog_seconds": 120.0,
        "ignore_sites": ignore_sites,
    }
    prepared = None
    if bounds is not None:
        counted = [interval_tiling(tiling, line) for line in range(2 if deterministic else 1)]
        prepared = prepare(
            lib, bounds, cu_seq_q, cu_seq_k, workspace, counted, batch=problem.batch, cores=used, **launch
        )
        if not prepared.ok:
            return dq, dk, dv, dsinks, prepared
        unwritten = unwritten - {"workspace"}
        launch["unused_sites"] = True
    report = launch_phases(
        lib,
        phases_of(takes_bends) if phases is None else phases,
        kernel_by_phase(q.dtype, takes_bends, intervals),
        *(_memory(t) for t in (dout, q, k, v, out)),
        lse,
        dlse,
        mask_memory(mask),
        None if cu_seq_q is None else cu_seq_q.contiguous(),
        None if cu_seq_k is None else cu_seq_k.contiguous(),
        *((slopes, sinks_read) if takes_bends else ()),
        *(_memory(t) for t in (dq, dk, dv)),
        *((dsinks if dsinks.numel() else None,) if takes_bends else ()),
        workspace,
        tiling=tiling.data,
        block_dim=used,
        determinism=determinism,
        names=names,
        uninitialised=[i for i, name in enumerate(names) if name in unwritten],
        **launch,
    )
    return dq, dk, dv, dsinks, report if prepared is None else prepared.followed_by(report)


def model_backward(
    shape: Shape,
    *,
    dtype: torch.dtype = torch.bfloat16,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    window_size_left: int | None = None,
    diagonal: int | None = None,
    bends: Bends | None = None,
    startend_row_indices: Tensor | None = None,
    deterministic: bool = False,
    parameters: dict[str, float] | None = None,
    trace: bool = False,
) -> Modelled:
    """As `model_forward`, for the backward: its FLOPs are 2 (3 D + 2 Dv) a visible pair on either path."""
    hq, hkv, sq, sk, d = shape.heads_q, shape.heads_kv, shape.sq, shape.sk, shape.d
    dv = d if shape.dv is None else shape.dv
    sizes = {
        **{name: (hq, sq, d) for name in ("q", "dq")},
        **{name: (hkv, sk, d) for name in ("k", "dk")},
        **{name: (hkv, sk, dv) for name in ("v", "dv")},
        **{name: (hq, sq, dv) for name in ("out", "dout")},
        "lse": (hq, sq, 1),
        **(bends or Bends()).sizes(hq),
        **({"dsinks": (hq, 1, 1)} if bends is not None and bends.sinks else {}),
    }
    used = core_count(soc, cores)
    problem = contiguous_problem(shape, sizes, used, window_size_left, diagonal, bends, startend_row_indices)
    tiling = backward_tiling(problem, deterministic=deterministic)
    launch: dict[str, Any] = {"soc": soc, "parameters": parameters}
    intervals = startend_row_indices is not None
    bent = problem.bent or intervals
    bytes_of = [tensor_bytes(shape, name, sizes) for name in (_BENT_NAMES if bent else _NAMES)[:-1]]
    kernel = kernel_by_phase(dtype, bent, intervals)
    workspace: int | NDArray[np.uint8] = tiling.workspace_bytes
    prepared = None
    if startend_row_indices is not None:
        workspace = np.zeros(tiling.workspace_bytes, dtype=np.uint8)
        lines = [interval_tiling(tiling, line) for line in range(2 if deterministic else 1)]
        prepared = prepared_intervals(startend_row_indices, workspace, lines, problem, **launch)
        tiling = thinned(tiling, planned_intervals(problem, startend_row_indices, _BLOCK, backward=True))
    launch |= {"block_dim": used, "trace": trace}
    report = timed(phases_of(bent), kernel, *bytes_of, workspace, tiling=tiling.data, **launch)
    if prepared is not None and not trace:
        report = prepared.followed_by(report)
    return modelled("backward", shape, tiling, report, _BLOCK, 2 * (3 * d + 2 * dv), bytes_of, soc=soc, cores=used)


def kernel_name(dtype: torch.dtype, bent: bool = False) -> str:
    """The entry of op_kernel/backward.cpp, or backward_bent.cpp."""
    return f"triangle_attn_bwd_{'bent_' if bent else ''}{'fp16' if dtype is torch.float16 else 'bf16'}"


def kernel_by_phase(dtype: torch.dtype, bent: bool, intervals: bool = False) -> Callable[[int], str]:
    """Where scores are bent, the row-wise phases are kernels of their own; with intervals the main pass is another."""
    name = kernel_name(dtype, bent)
    main = name.replace("bent_", "intervals_") if intervals else name
    return lambda phase: name.replace("bent_", "bent_rows_") if bent and phase != _WALK_SECTIONS else main


def phases_of(bent: bool) -> Sequence[int]:
    """Of each launch, as `phases_of` of op_kernel/launch.h has them where CANN starts all blocks together."""
    return (3, _WALK_SECTIONS, 8) if bent else (ALL_PHASES,)


def _check_results(
    dout: Tensor, q: Tensor, v: Tensor, out: Tensor, lse: Tensor, dlse: Tensor | None, packed: bool
) -> None:
    """The forward's results and their gradients against its arguments."""
    shape = (*q.shape[:-1], v.shape[-1])
    for name, t in (("dout", dout), ("out", out)):
        if tuple(t.shape) != shape or t.dtype != q.dtype:
            raise ValueError(f"{name}: expected {q.dtype} {list(shape)}, got {t.dtype} {list(t.shape)}")
    rows = tuple(q.shape[:2]) if packed else tuple(q.shape[:3])
    for name, row in (("lse", lse), ("dlse", dlse)):
        if row is not None and (tuple(row.shape) != rows or row.dtype != torch.float32):
            raise ValueError(f"{name}: expected torch.float32 {list(rows)}, got {row.dtype} {list(row.shape)}")
