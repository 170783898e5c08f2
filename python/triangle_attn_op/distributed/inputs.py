"""What a context-parallel call was given: checked on this rank, and compared over the group's ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .._checks import check_dense, check_varlen
from .agreement import check_agreement
from .layout import ContextLayout
from .slots import rows_dim


def agree(
    what: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    group: dist.ProcessGroup,
    layout: ContextLayout | None,
    scale: float | None,
    window_size_left: int | None,
    dropout_p: float,
    return_lse: bool,
    bends: dict[str, Any],
    check_heads: Callable[[int, int, int], None] | None = None,
) -> tuple[ContextLayout, Tensor | None]:
    """The checked layout, and what `check_agreement` says of what must be equal on all ranks.

    `bends`: alibi_slopes, softcap and sinks, whose shapes are compared, of softcap its value.
    `check_heads(Hq, Hkv, ranks)` raises ValueError for heads that the method cannot divide.
    """
    problem: str | None = None
    error: Exception | None = None
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    if rank < 0:
        raise ValueError(f"group: expected a group that this rank belongs to, got one without rank {dist.get_rank()}")
    try:
        if dropout_p != 0.0:
            raise NotImplementedError(f"dropout_p: not supported in {what} yet, expected 0.0, got {dropout_p}")
        layout = _checked_layout(q, k, v, layout, rank, ranks, scale, window_size_left, bends)
        if check_heads is not None:
            check_heads(q.shape[1], k.shape[1], ranks)
    except (ValueError, TypeError, NotImplementedError) as raised:
        problem, error = str(raised), raised
    dim = rows_dim(q) if isinstance(q, Tensor) and q.dim() in (3, 4) else None
    common = {
        "q": _shape_without(q, dim),
        "k": _shape_without(k, dim),
        "v": _shape_without(v, dim),
        "dtype": str(getattr(q, "dtype", None)),
        "scale": scale,
        "window_size_left": window_size_left,
        "return_lse": return_lse,
        "softcap": bends["softcap"],
        "alibi_slopes": _shape_without(bends["alibi_slopes"], None),
        "sinks": _shape_without(bends["sinks"], None),
        "layout": (layout.name, layout.length, layout.ranks, layout.cu_seq)
        if isinstance(layout, ContextLayout)
        else layout,
    }
    try:
        differs = check_agreement(what, group, common, problem, q.device if isinstance(q, Tensor) else None)
    except ValueError:
        if error is not None and not isinstance(error, ValueError):
            raise error from None
        raise
    assert layout is not None
    return layout, differs


def _shape_without(t: Any, dim: int | None) -> str:
    """The shape for comparing: layouts say how many tokens a rank holds, and that may differ."""
    if not isinstance(t, Tensor):
        return type(t).__name__
    return "[" + ", ".join("local" if i == dim else str(size) for i, size in enumerate(t.shape)) + "]"


def _checked_layout(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    layout: ContextLayout | None,
    rank: int,
    ranks: int,
    scale: float | None,
    window_size_left: int | None,
    bends: dict[str, Any],
) -> ContextLayout:
    packed = isinstance(q, Tensor) and q.dim() == 3
    if packed:
        ends = [
            torch.tensor([0, t.shape[0]], dtype=torch.int32, device=t.device) if isinstance(t, Tensor) else t
            for t in (q, k)
        ]
        check_varlen(
            q,
            k,
            v,
            ends[0],
            ends[1],
            q.shape[0],
            k.shape[0] if isinstance(k, Tensor) else 0,
            scale=scale,
            window_size_left=window_size_left,
            **bends,
        )
        slopes = bends["alibi_slopes"]
        if slopes is not None and slopes.dim() != 1:
            raise ValueError(
                f"alibi_slopes: expected shape [{q.shape[1]}] for packed documents, got {list(slopes.shape)}"
            )
    else:
        check_dense(q, k, v, scale=scale, window_size_left=window_size_left, **bends)
    dim = rows_dim(q)
    if layout is None:
        if packed:
            raise ValueError("layout: expected a ContextLayout with cu_seq for packed documents [T, H, D], got None")
        layout = ContextLayout.of_local(q.shape[dim], ranks)
    if not isinstance(layout, ContextLayout):
        raise TypeError(f"layout: expected a ContextLayout or None, got {type(layout).__name__}")
    if layout.ranks != ranks:
        raise ValueError(f"layout: expected one of the group's {ranks} ranks, got one of {layout.ranks}")
    if packed != (layout.cu_seq is not None):
        expected = "cu_seq with [T, H, D]" if packed else "no cu_seq with [B, H, S, D]"
        raise ValueError(f"layout: expected {expected}, got {layout.name} with cu_seq = {layout.cu_seq}")
    for name, t in (("q", q), ("k", k)):
        if t.shape[dim] != layout.local_length(rank):
            raise ValueError(
                f"{name}: expected the layout's {layout.local_length(rank)} tokens of rank {rank}, got shape "
                f"{list(t.shape)}"
            )
    return layout
