"""attn_forward: the forward kernel on CPU tensors, through the simulator."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from .. import _checks, backends
from ..ascend_sim import KernelLibrary, Report, Struct, socs
from . import library
from .intervals import WALK_TASKS, prepare
from .tiling import NO_WINDOW, Problem, forward_tiling

NAMES = ["q", "k", "v", "mask", "cu_seq_q", "cu_seq_k", "out", "lse", "workspace"]
BENT_NAMES = [*NAMES[:6], "slopes", "sinks", *NAMES[6:]]
ALL_PHASES = 15  # kAllPhases of op_host/tiling.h: in one launch
_OUTPUTS = {"out", "lse", "workspace"}  # may not be read before they are written


def attn_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
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
    soc: str = "Ascend910B2",
    cores: int | None = None,
    order: str = "eager",
    seed: int = 0,
    trace: bool = False,
    parameters: dict[str, float] | None = None,
    ignore_sites: Sequence[str] = (),
    phases: Sequence[int] = (ALL_PHASES,),
) -> tuple[Tensor, Tensor, Report]:
    """out, lse and the launch's report; arguments as in `triangle_attention`, for fp16 and bf16 CPU tensors.

    q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv]; with cu_seq_q and cu_seq_k (int32 [documents + 1]) packed
    q [Tq, Hq, D], k [Tk, Hkv, D], v [Tk, Hkv, Dv]. D and Dv at most 256. Strided inputs are read in place.
    out like q with Dv columns, lse fp32 [B, Hq, Sq] or [Tq, Hq].
    cores: AI cores used, by default the chip's. phases: of each launch (op_host/tiling.h); the report is that of
    all of them, up to one with findings. The other options are those of `KernelLibrary.launch`.
    What the kernel does not support is a NotImplementedError, TypeError or ValueError that names the argument.
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

    q, k, v = (t if t.stride(-1) == 1 or t.shape[-1] == 1 else t.contiguous() for t in (q, k, v))
    mask = None if attn_mask is None else _mask_rows(attn_mask, q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    out = _like(q, v.shape[-1])
    lse = torch.empty(q.shape[:-1], dtype=torch.float32)
    if packed:  # as the operator on an NPU does for rows of no document
        out.zero_()
        lse.fill_(-math.inf)
    strides = {name: _strides(t, packed) for name, t in (("q", q), ("k", k), ("v", v), ("out", out))}
    strides["lse"] = (0, lse.stride(1), lse.stride(0)) if packed else (lse.stride(0), lse.stride(1), lse.stride(2))
    if mask is not None:
        strides["mask"] = (mask.stride(0), mask.stride(1), mask.stride(2))
    slopes, sinks = score_vectors(options)
    if out.numel() == 0:
        return out, lse.fill_(-math.inf), _nothing(soc)
    lib = library.kernels()
    used = core_count(soc, cores)
    problem = problem_of(q, k, v, cu_seq_q, mask, strides, used, options)
    tiling = forward_tiling(problem)
    bounds = options["startend_row_indices"]
    takes_bends = problem.bent or bounds is not None
    names = BENT_NAMES if takes_bends else NAMES
    workspace = np.empty(tiling.workspace_bytes, dtype=np.uint8)
    unwritten = _OUTPUTS
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
        prepared = prepare(
            lib, bounds, cu_seq_q, cu_seq_k, workspace, [tiling.data], batch=problem.batch, cores=used, **launch
        )
        if not prepared.ok:
            return out, lse, prepared
        phases, unwritten = WALK_TASKS, _OUTPUTS - {"workspace"}
        launch["unused_sites"] = True
    report = launch_phases(
        lib,
        phases,
        kernel_name(q.dtype, tiling.wide, problem.bent, bounds is not None),
        _memory(q),
        _memory(k),
        _memory(v),
        mask_memory(mask),
        None if cu_seq_q is None else cu_seq_q.contiguous(),
        None if cu_seq_k is None else cu_seq_k.contiguous(),
        *((slopes, sinks) if takes_bends else ()),
        _memory(out),
        lse,
        workspace,
        tiling=tiling.data,
        block_dim=used,
        names=names,
        uninitialised=[i for i, name in enumerate(names) if name in unwritten],
        **launch,
    )
    return out, lse, report if prepared is None else prepared.followed_by(report)


def launch_phases(
    lib: KernelLibrary,
    phases: Sequence[int],
    kernel: str | Callable[[int], str],
    *args: Any,
    tiling: bytes,
    uninitialised: Sequence[int] = (),
    **options: Any,
) -> Report:
    """One launch for each item of `phases`, whose tiling begins with it; what one has written the next may read. A
    finding stops what follows. kernel: its name, or the name by phase.
    """
    report: Report | None = None
    options.setdefault("unused_sites", len(phases) > 1)
    for phase in phases:
        data = Struct(phase.to_bytes(4, sys.byteorder) + tiling[4:])
        name = kernel if isinstance(kernel, str) else kernel(phase)
        options["uninitialised"] = uninitialised if report is None else ()
        launch = lib.launch(name, *args, data, **options)
        report = launch if report is None else report.followed_by(launch)
        if not report.ok:
            break
    assert report is not None
    return report


class Options(TypedDict):
    """Keyword arguments that the checks take as they are."""

    scale: float | None
    alignment: str
    diagonal: int | None
    window_size_left: int | None
    dropout_p: float
    alibi_slopes: Tensor | None
    softcap: float | None
    sinks: Tensor | None
    startend_row_indices: Tensor | None


def check_arguments(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None,
    cu_seq_q: Tensor | None,
    cu_seq_k: Tensor | None,
    max_q: int | None,
    max_k: int | None,
    options: Options,
) -> bool:
    """Whether the sequences are packed; an error that names what does not fit the operator or its kernels. Numbers
    among the options become those that the checks made of them.
    """
    packed = cu_seq_q is not None or cu_seq_k is not None
    if packed:
        if cu_seq_q is None or cu_seq_k is None:
            raise ValueError("cu_seq_q, cu_seq_k: expected both or neither")
        if attn_mask is not None:
            raise ValueError("attn_mask: expected None with packed sequences")
        longest_q = int(cu_seq_q.diff().max()) if max_q is None and cu_seq_q.numel() > 1 else max_q or 0
        longest_k = int(cu_seq_k.diff().max()) if max_k is None and cu_seq_k.numel() > 1 else max_k or 0
        checked = _checks.check_varlen(q, k, v, cu_seq_q, cu_seq_k, longest_q, longest_k, **options)
    else:
        checked = _checks.check_dense(q, k, v, attn_mask=attn_mask, **options)
    options.update({name: checked[name] for name in options})  # type: ignore[typeddict-item]
    _supported(q, v, options)
    return packed


def problem_of(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seq_q: Tensor | None,
    mask: Tensor | None,
    strides: dict[str, tuple[int, int, int]],
    cores: int,
    options: Options,
) -> Problem:
    """strides: with those of the mask where there is one."""
    packed = cu_seq_q is not None
    sq, sk = (q.shape[0], k.shape[0]) if packed else (q.shape[2], k.shape[2])
    bottom_right = options["diagonal"] is None and options["alignment"] == "bottom_right"
    window, scale, slopes = options["window_size_left"], options["scale"], options["alibi_slopes"]
    bounds = options["startend_row_indices"]
    return Problem(
        batch=1 if packed else q.shape[0],
        heads_q=q.shape[1],
        heads_kv=k.shape[1],
        sq=sq,
        sk=sk,
        d=q.shape[-1],
        dv=v.shape[-1],
        scale=1.0 / math.sqrt(q.shape[-1]) if scale is None else scale,
        cores=cores,
        strides=strides,
        bottom_right=bottom_right,
        diagonal=sk - sq if bottom_right else options["diagonal"] or 0,
        window_left=NO_WINDOW if window is None else window,
        packed=packed,
        documents=cu_seq_q.numel() - 1 if cu_seq_q is not None else 0,
        has_mask=mask is not None and mask.dtype is torch.bool,
        softcap=options["softcap"] or 0.0,
        alibi=slopes is not None,
        sinks=options["sinks"] is not None,
        mask_element=0 if mask is None or mask.dtype is torch.bool else mask.element_size(),
        mask_by_row=mask is not None and mask.shape[-1] == 1,
        slope_batch=slopes.shape[1] if slopes is not None and slopes.dim() == 2 else 0,
        interval_bounds=0 if bounds is None else bounds.shape[3],
        interval_heads=1 if bounds is None else bounds.shape[1],
    )


def score_vectors(options: Options) -> tuple[Tensor | None, Tensor | None]:
    """alibi_slopes and sinks as the kernels read them."""
    slopes, sinks = options["alibi_slopes"], options["sinks"]
    return (
        None if slopes is None else slopes.float().contiguous(),
        None if sinks is None else sinks.float().contiguous(),
    )


def mask_memory(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else _memory(mask.view(torch.uint8) if mask.dtype is torch.bool else mask)


def kernel_name(dtype: torch.dtype, wide: bool, bent: bool = False, intervals: bool = False) -> str:
    """The entry of op_kernel/forward.cpp, forward_bent.cpp or forward_intervals.cpp."""
    kind = "intervals_" if intervals else "bent_" if bent else ""
    return f"triangle_attn_fwd_{kind}{'fp16' if dtype is torch.float16 else 'bf16'}_{256 if wide else 128}"


def core_count(soc: str, cores: int | None) -> int:
    """AI cores to launch on; ValueError for an unknown chip or more cores than it has."""
    chips = socs(library.kernels().path)["chips"]
    if soc not in chips:
        raise ValueError(f"soc: expected one of {', '.join(chips)}, got {soc!r}")
    most = int(chips[soc]["aic_cores"])
    if cores is not None and not 1 <= cores <= most:
        raise ValueError(f"cores: expected 1 .. {most} on {soc}, got {cores}")
    return most if cores is None else cores


def _supported(q: Tensor, v: Tensor, options: Options) -> None:
    """What the operator allows and this kernel does not do, in the words of the operator on an NPU."""
    if q.device.type != "cpu":
        raise ValueError(f"q: expected CPU tensors, got device {q.device}")
    why = backends.npu_refuses(str(q.dtype), q.shape[-1], v.shape[-1], options["dropout_p"])
    if why:
        raise _checks.refusal(why)


def _mask_rows(mask: Tensor, batch: int, heads: int, sq: int, sk: int) -> Tensor:
    """The mask as a [B, Hq, Sq, Sk] view, a float mask of one column as [B, Hq, Sq, 1]; only a bool mask of one column
    is copied, to give it Sk columns.
    """
    if mask.dtype is not torch.bool and (mask.dim() == 0 or mask.shape[-1] == 1 or mask.stride(-1) == 0):
        return (mask if mask.dim() == 0 else mask[..., :1]).expand(batch, heads, sq, 1)
    mask = mask.expand(*mask.shape[:-1], sk)
    if mask.stride(-1) != 1:
        mask = mask.contiguous()
    return mask.expand(batch, heads, sq, sk)


def _like(q: Tensor, columns: int) -> Tensor:
    """An empty tensor with q's sizes but the last, in q's memory order."""
    stride = q.stride()
    order = sorted(range(q.dim() - 1), key=lambda i: (-stride[i], i))
    flat = torch.empty([*(q.shape[i] for i in order), columns], dtype=q.dtype)
    return flat.permute([*(order.index(i) for i in range(q.dim() - 1)), q.dim() - 1])


def _strides(t: Tensor, packed: bool) -> tuple[int, int, int]:
    return (0, t.stride(1), t.stride(0)) if packed else (t.stride(0), t.stride(1), t.stride(2))


def _memory(t: Tensor) -> Tensor:
    """The memory a strided tensor lies in, as one contiguous row that begins at its first element."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(t.shape, t.stride())) if t.numel() else 0
    return t.as_strided((extent,), (1,), t.storage_offset())


def _nothing(soc: str) -> Report:
    """The report of a launch that is not made, because there is nothing to compute."""
    return Report(True, [], soc, 0.0, 0.0, 0, 0, {}, [], {})
