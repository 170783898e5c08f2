"""attn_backward: the backward kernel on CPU tensors, through the simulator; model_backward: only its modelled time."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _checks
from ..ascend_sim import Report, Struct
from . import library
from .attention import _like, _mask_rows, _memory, _nothing, _strides, _supported, core_count
from .model import Modelled, Shape
from .tiling import NO_WINDOW, Problem

_NAMES = [
    *("dout", "q", "k", "v", "out", "lse", "dlse", "mask", "cu_seq_q", "cu_seq_k"),
    *("dq", "dk", "dv", "workspace"),
]
_OUTPUTS = (10, 11, 12, 13)  # may not be read before they are written
_STRIDES = ("q", "k", "v", "out", "lse", "mask", "dout", "dq", "dk", "dv")
_BLOCK = 128
_CUBE_FLOPS = 2 * 16 * 16 * 16  # per cycle and AI core


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
) -> tuple[Tensor, Tensor, Tensor, Report]:
    """dq, dk, dv, each in its input's memory order, and the launch's report; arguments and errors as in `attn_forward`.

    dout and out [B, Hq, Sq, Dv], lse and dlse (the gradient of lse) fp32 [B, Hq, Sq]; packed [Tq, Hq, Dv], [Tq, Hq].
    deterministic: the path whose bits depend neither on the schedule nor on the number of cores; by default
    `torch.are_deterministic_algorithms_enabled()`.
    determinism: the report names atomic additions of different cores to one place, whose order is open.
    """
    packed = cu_seq_q is not None or cu_seq_k is not None
    options: dict[str, Any] = {
        "scale": scale,
        "alignment": alignment,
        "diagonal": diagonal,
        "window_size_left": window_size_left,
        "dropout_p": dropout_p,
    }
    if packed:
        if cu_seq_q is None or cu_seq_k is None:
            raise ValueError("cu_seq_q, cu_seq_k: expected both or neither")
        if attn_mask is not None:
            raise ValueError("attn_mask: expected None with packed sequences")
        longest_q = int(cu_seq_q.diff().max()) if max_q is None and cu_seq_q.numel() > 1 else max_q or 0
        longest_k = int(cu_seq_k.diff().max()) if max_k is None and cu_seq_k.numel() > 1 else max_k or 0
        _checks.check_varlen(q, k, v, cu_seq_q, cu_seq_k, longest_q, longest_k, **options)
    else:
        _checks.check_dense(q, k, v, attn_mask=attn_mask, **options)
    _supported(q, v, attn_mask, dropout_p)
    _check_results(dout, q, v, out, lse, dlse, packed)
    deterministic = torch.are_deterministic_algorithms_enabled() if deterministic is None else deterministic

    dout, q, k, v, out = (t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous() for t in (dout, q, k, v, out))
    lse = lse.contiguous()
    dlse = None if dlse is None else dlse.contiguous()
    mask = None if attn_mask is None else _mask_rows(attn_mask, q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    dq, dk, dv = (_like(t, t.shape[-1]) for t in (q, k, v))
    if out.numel() == 0 or dk.numel() == 0 or dq.numel() == 0:
        return dq.zero_(), dk.zero_(), dv.zero_(), _nothing(soc)
    named = {"q": q, "k": k, "v": v, "out": out, "dout": dout, "dq": dq, "dk": dk, "dv": dv}
    strides = {name: _strides(t, packed) for name, t in named.items()}
    strides["lse"] = (0, lse.stride(1), lse.stride(0)) if packed else (lse.stride(0), lse.stride(1), lse.stride(2))
    if mask is not None:
        strides["mask"] = (mask.stride(0), mask.stride(1), mask.stride(2))
    sq, sk = (q.shape[0], k.shape[0]) if packed else (q.shape[2], k.shape[2])
    if diagonal is None:
        bottom_right, shift = alignment == "bottom_right", sk - sq if alignment == "bottom_right" else 0
    else:
        bottom_right, shift = False, diagonal
    used = core_count(soc, cores)
    tiling = backward_tiling(
        Problem(
            batch=1 if packed else q.shape[0],
            heads_q=q.shape[1],
            heads_kv=k.shape[1],
            sq=sq,
            sk=sk,
            d=q.shape[-1],
            dv=v.shape[-1],
            scale=1.0 / math.sqrt(q.shape[-1]) if scale is None else scale,
            cores=used,
            strides=strides,
            bottom_right=bottom_right,
            diagonal=shift,
            window_left=NO_WINDOW if window_size_left is None else window_size_left,
            packed=packed,
            documents=cu_seq_q.numel() - 1 if cu_seq_q is not None else 0,
            has_mask=mask is not None,
        ),
        deterministic=deterministic,
        has_dlse=dlse is not None,
    )
    report = library.kernels().launch(
        kernel_name(q.dtype),
        *(_memory(t) for t in (dout, q, k, v, out)),
        lse,
        dlse,
        None if mask is None else _memory(mask.view(torch.uint8)),
        None if cu_seq_q is None else cu_seq_q.contiguous(),
        None if cu_seq_k is None else cu_seq_k.contiguous(),
        *(_memory(t) for t in (dq, dk, dv)),
        np.empty(tiling.workspace_bytes, dtype=np.uint8),
        Struct(tiling.data),
        block_dim=used,
        soc=soc,
        order=order,
        seed=seed,
        determinism=determinism,
        trace=trace,
        parameters=parameters,
        names=_NAMES,
        uninitialised=_OUTPUTS,
        watchdog_seconds=120.0,
        ignore_sites=ignore_sites,
    )
    return dq, dk, dv, report


def model_backward(
    shape: Shape,
    *,
    dtype: torch.dtype = torch.bfloat16,
    soc: str = "Ascend910B2",
    cores: int | None = None,
    window_size_left: int | None = None,
    diagonal: int | None = None,
    deterministic: bool = False,
    parameters: dict[str, float] | None = None,
    trace: bool = False,
) -> Modelled:
    """As `model_forward`, for the backward: its FLOPs are 2 (3 D + 2 Dv) a visible pair on either path."""
    used = core_count(soc, cores)
    b, hq, hkv, sq, sk, d = shape.batch, shape.heads_q, shape.heads_kv, shape.sq, shape.sk, shape.d
    dv = d if shape.dv is None else shape.dv
    sizes = {
        **{name: (hq, sq, d) for name in ("q", "dq")},
        **{name: (hkv, sk, d) for name in ("k", "dk")},
        **{name: (hkv, sk, dv) for name in ("v", "dv")},
        **{name: (hq, sq, dv) for name in ("out", "dout")},
        "lse": (hq, sq, 1),
    }
    tiling = backward_tiling(
        Problem(
            batch=b,
            heads_q=hq,
            heads_kv=hkv,
            sq=sq,
            sk=sk,
            d=d,
            dv=dv,
            scale=d**-0.5,
            cores=used,
            strides={name: (h * s * w, s * w, w) for name, (h, s, w) in sizes.items()},
            bottom_right=False,
            diagonal=sk - sq if diagonal is None else diagonal,
            window_left=NO_WINDOW if window_size_left is None else window_size_left,
        ),
        deterministic=deterministic,
    )

    def size(name: str) -> int | None:
        return b * math.prod(sizes[name]) * (4 if name == "lse" else 2) if name in sizes else None

    report = library.kernels().launch(
        kernel_name(dtype),
        *(size(name) for name in _NAMES[:-1]),
        tiling.workspace_bytes,
        Struct(tiling.data),
        block_dim=used,
        soc=soc,
        parameters=parameters,
        timing_only=True,
        trace=trace,
        watchdog_seconds=600.0,
    )
    report.raise_on_findings()
    flops = 2 * (3 * d + 2 * dv) * tiling.visible_pairs
    seconds = report.microseconds * 1e-6
    peak = _CUBE_FLOPS * core_count(soc, None) * report.ghz * 1e9
    return Modelled(
        direction="backward",
        shape=shape,
        soc=soc,
        cores=used,
        blocks=tiling.blocks,
        block_rows=_BLOCK,
        visible_pairs=tiling.visible_pairs,
        visible_of_computed=tiling.visible_pairs / max(tiling.blocks * _BLOCK * _BLOCK, 1),
        imbalance=tiling.imbalance,
        cycles=report.cycles,
        microseconds=report.microseconds,
        tflops=flops / seconds / 1e12 if seconds else 0.0,
        cube_share=flops / seconds / peak if seconds else 0.0,
        ring_bytes_per_core=tiling.ring_bytes // used,
        workspace_bytes=tiling.workspace_bytes,
        accumulator_bytes=tiling.accumulator_bytes,
        compulsory_bytes=sum(size(name) or 0 for name in _NAMES[:-1]),
        report=report,
    )


def kernel_name(dtype: torch.dtype) -> str:
    """The entry of op_kernel/backward.cpp."""
    return f"triangle_attn_bwd_{'fp16' if dtype is torch.float16 else 'bf16'}"


# ---- the host's tiling (op_host/tiling_backward.h) -------------------------------------------------------------------


class _Problem(ctypes.Structure):
    """BackwardProblemC of op_host/tiling_backward.cpp."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("batch", "heads_q", "heads_kv", "sq", "sk", "d", "dv")],
        ("scale", ctypes.c_double),
        *[
            (name, ctypes.c_int64)
            for name in ("bottom_right", "diagonal", "window_left", "packed", "documents", "has_mask", "cores")
        ],
        *[(name, ctypes.c_int64) for name in ("deterministic", "has_dlse")],
        ("strides", ctypes.c_int64 * 3 * len(_STRIDES)),
    ]


class _Figures(ctypes.Structure):
    """BackwardFiguresC."""

    _fields_ = [
        *[
            (name, ctypes.c_int64)
            for name in ("workspace_bytes", "ring_bytes", "accumulator_bytes", "blocks", "visible_pairs")
        ],
        ("imbalance", ctypes.c_double),
    ]


@dataclass(frozen=True)
class BackwardTiling:
    """data: the kernel's struct. blocks: 128 x 128, computed once; blocks and visible_pairs 0 for packed sequences.
    workspace_bytes: rings of all cores (ring_bytes), lse and delta, and the fp32 accumulators (accumulator_bytes).
    """

    data: bytes
    workspace_bytes: int
    ring_bytes: int
    accumulator_bytes: int
    blocks: int
    visible_pairs: int
    imbalance: float


def backward_tiling(problem: Problem, *, deterministic: bool = False, has_dlse: bool = False) -> BackwardTiling:
    """ValueError names the argument that does not fit the kernel."""
    lib = library.tiling()
    lib.triangle_backward_tiling_bytes.restype = ctypes.c_int64
    lib.triangle_backward_tiling_error.restype = ctypes.c_char_p
    c = _Problem(deterministic=deterministic, has_dlse=has_dlse)
    for name in (field[0] for field in _Problem._fields_):
        if name not in ("strides", "deterministic", "has_dlse"):
            setattr(c, name, getattr(problem, name))
    for i, name in enumerate(_STRIDES):
        for j, stride in enumerate(problem.strides.get(name, (0, 0, 0))):
            c.strides[i][j] = stride
    data = ctypes.create_string_buffer(lib.triangle_backward_tiling_bytes())
    figures = _Figures()
    if lib.triangle_backward_tiling(ctypes.byref(c), data, ctypes.byref(figures)) != 0:
        raise ValueError(lib.triangle_backward_tiling_error().decode())
    return BackwardTiling(data=data.raw, **{field[0]: getattr(figures, field[0]) for field in _Figures._fields_})


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
