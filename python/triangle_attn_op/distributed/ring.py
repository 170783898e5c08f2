"""Ring attention: each rank keeps its queries, the keys and values of the others come by in turn, and partial results
merge by lse.

In step t rank r computes with the keys of rank r - t, while those of rank r - t - 1 are on their way. They come
straight from their owner, so that only rows which some query sees travel, once.
Source: Liu et al., "Ring Attention with Blockwise Transformers", 2023.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal, overload

import torch
import torch.distributed as dist
from torch import Tensor

from .. import ops
from ..functional import merge_attention
from .agreement import poison
from .exchange import count_calls
from .inputs import agree
from .layout import ContextLayout
from .plan import Call, RankPlan, Step, rank_plan
from .slots import Arriving, Returning, partial_dtype, rows_dim, rows_of


@overload
def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    group: dist.ProcessGroup | None = ...,
    layout: ContextLayout | None = ...,
    scale: float | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[False] = ...,
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
) -> Tensor: ...


@overload
def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    group: dist.ProcessGroup | None = ...,
    layout: ContextLayout | None = ...,
    scale: float | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[True],
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...


@torch._disable_dynamo  # torch.compiler.disable would import the compiler here, this does at the first call
def ring_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    group: dist.ProcessGroup | None = None,
    layout: ContextLayout | None = None,
    scale: float | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    return_lse: bool = False,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Causal attention of a sequence that is cut over the ranks of `group`; every rank calls it with its own tokens, in
    forward and backward.

    Args:
        q: this rank's queries, `[B, Hq, local, D]`, or `[local, Hq, D]` for packed documents; any strides with a
            contiguous last dimension.
        k: `[B, Hkv, local, D]` or `[local, Hkv, D]`; sent as it is, never repeated for the heads of a group.
        v: `[B, Hkv, local, Dv]` or `[local, Hkv, Dv]`.
        group: the context-parallel group; the default group where None.
        layout: which tokens each rank holds; by default zigzag over equal parts, for a dense batch. Packed documents
            need theirs.
        scale: of the scores; default 1/sqrt(D).
        window_size_left: None, or w >= 0: a query sees itself and the w tokens before it. Keys that no query sees are
            not sent.
        dropout_p: must be 0.
        return_lse: also return lse.
        alibi_slopes: `[Hq]`, dense also `[B, Hq]`; softcap, sinks `[Hq]`: as in `triangle_attention`. A rank's gradient
            of the sinks is its share: the ranks' gradients add up.

    Returns:
        out like q with v's head dimension, and lse `[B, Hq, local]` or `[local, Hq]` in float32 (float64 for float64).
        Both are differentiable.
        They equal the operator's on the whole sequence but for the rounding of the merge, in float32, and, on backends
        whose kernels take 16-bit only, of partial results in q's dtype (`partial_dtype`).

    Raises:
        ValueError, TypeError: bad arguments; also where ranks disagree, on all of them, with the ranks' values. On an
            accelerator later calls than the group's first are not waited for: there a disagreement gives NaN.
        NotImplementedError: dropout_p > 0.
        RuntimeError: a rank is gone, or did not answer within the group's timeout.
    """
    group = group if group is not None else dist.group.WORLD
    if group is None:
        raise ValueError("group: expected an initialised process group (torch.distributed.init_process_group)")
    if all(isinstance(t, Tensor) for t in (q, k, v)):
        q, k, v = ops.autocast(q, k, v)
        sinks = ops.autocast_sinks(q, sinks)
    bends = {"alibi_slopes": alibi_slopes, "softcap": softcap, "sinks": sinks}
    layout, differs = agree(
        "ring attention", q, k, v, group, layout, scale, window_size_left, dropout_p, return_lse, bends
    )
    plan = rank_plan(layout, dist.get_rank(group), window_size_left, alibi_slopes is not None)
    out, lse = _Ring.apply(q, k, v, alibi_slopes, sinks, group, plan, scale, softcap, differs)
    return (out, lse) if return_lse else out


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        alibi_slopes: Tensor | None,
        sinks: Tensor | None,
        group: dist.ProcessGroup,
        plan: RankPlan,
        scale: float | None,
        softcap: float | None,
        differs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        scores = Scores(scale, softcap, alibi_slopes)
        out, lse = _forward(q, k, v, sinks, group, plan, scores)
        poison(out, differs)
        ctx.save_for_backward(q, k, v, out, lse, sinks)
        ctx.group, ctx.plan, ctx.scores = group, plan, scores
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse, sinks = ctx.saved_tensors
        # Without a gradient on this rank the others still wait for its share of theirs.
        dout = torch.zeros_like(out) if dout is None else dout
        dq, dk, dv = _backward(dout, dlse, q, k, v, out, lse, ctx.group, ctx.plan, ctx.scores)
        dsinks = None if sinks is None else _dsinks(dout, dlse, out, lse, sinks)
        return dq, dk, dv, None, dsinks, None, None, None, None, None


@dataclass(frozen=True)
class Scores:
    """What makes scores of products, the same in every step."""

    scale: float | None
    softcap: float | None
    alibi_slopes: Tensor | None

    def options(self, call: Call) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "softcap": self.softcap,
            "alibi_slopes": self.alibi_slopes,
            "diagonal": call.diagonal,
            "window_size_left": call.window_size_left,
        }


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sinks: Tensor | None,
    group: dist.ProcessGroup,
    plan: RankPlan,
    scores: Scores,
) -> tuple[Tensor, Tensor]:
    dim = rows_dim(q)
    dtype, partial = q.dtype, partial_dtype(q)
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    acc = ops.like_layout(q, [*q.shape[:-1], v.shape[-1]]).to(wide).zero_()
    lse = q.new_full(q.shape[:-1], -torch.inf, dtype=wide)
    arriving = Arriving(k, v, group, plan, "ring attention forward")
    q = q.to(partial)
    for t, step in enumerate(plan.steps):
        keys, values = (slot.to(partial) for slot in arriving.next(t))
        for call in step.calls:
            rows = call.q_range
            part, part_lse = _call_forward(
                rows_of(q, dim, rows),
                rows_of(keys, dim, call.k_range),
                rows_of(values, dim, call.k_range),
                call,
                scores,
            )
            if rows == (0, q.shape[dim]) and not t:  # the first of all
                acc.copy_(part)
                lse.copy_(part_lse)
                continue
            merged, merged_lse = merge_attention(rows_of(acc, dim, rows), rows_of(lse, dim, rows), part, part_lse)
            rows_of(acc, dim, rows).copy_(merged)
            rows_of(lse, dim, rows).copy_(merged_lse)
        _count(q, step)
    if sinks is not None:  # as a last part, of one key a head and without a value
        total = torch.logaddexp(lse, _by_head(sinks.to(wide), lse))
        acc.mul_(torch.where(lse == -torch.inf, 0.0, torch.exp(lse - total)).unsqueeze(-1))
        lse = total
    return acc.to(dtype), lse


def _by_head(t: Tensor, lse: Tensor) -> Tensor:
    """[Hq] so that it broadcasts over lse `[B, Hq, local]` or `[local, Hq]`."""
    return t if lse.dim() == 2 else t.unsqueeze(-1)


def _dsinks(dout: Tensor, dlse: Tensor | None, out: Tensor, lse: Tensor, sinks: Tensor) -> Tensor:
    """This rank's share, summed over its rows: the sink's dS = P (0 - delta), as in the operator's backward."""
    delta = (dout.to(lse.dtype) * out.to(lse.dtype)).sum(-1)
    if dlse is not None:
        delta = delta - dlse
    share = torch.where(lse == -torch.inf, 0.0, -torch.exp(_by_head(sinks.to(lse.dtype), lse) - lse) * delta)
    return share.sum(0 if lse.dim() == 2 else (0, 2)).to(sinks.dtype)


def _backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    group: dist.ProcessGroup,
    plan: RankPlan,
    scores: Scores,
) -> tuple[Tensor, Tensor, Tensor]:
    """Each pair's probability follows from the final lse, so every step gives its exact share of dq, dk and dv; shares
    add up in wide precision.
    """
    dim = rows_dim(q)
    dtype, partial, wide = q.dtype, partial_dtype(q), lse.dtype
    dq, dk, dv = (ops.like_layout(t, list(t.shape)).to(wide).zero_() for t in (q, k, v))
    arriving = Arriving(k, v, group, plan, "ring attention backward")
    returning = Returning(dk, dv, partial, group, plan)
    q, dout, out = (t.to(partial) for t in (q, dout, out))
    for t, step in enumerate(plan.steps):
        keys, values = (slot.to(partial) for slot in arriving.next(t))
        dkeys, dvalues = (
            (dk, dv) if t == 0 else (keys.new_zeros(keys.shape, dtype=wide), values.new_zeros(values.shape, dtype=wide))
        )
        for call in step.calls:
            rows, columns = call.q_range, call.k_range
            shares = _call_backward(
                rows_of(dout, dim, rows),
                None if dlse is None else rows_of(dlse, dim, rows),
                rows_of(q, dim, rows),
                rows_of(keys, dim, columns),
                rows_of(values, dim, columns),
                rows_of(out, dim, rows),
                rows_of(lse, dim, rows),
                call,
                scores,
            )
            for total, share, where in zip((dq, dkeys, dvalues), shares, (rows, columns, columns)):
                rows_of(total, dim, where).add_(share)
        _count(q, step)
        if t:
            returning.send(t, dkeys, dvalues)
    returning.finish()
    return dq.to(dtype), dk.to(dtype), dv.to(dtype)


def _call_forward(q: Tensor, k: Tensor, v: Tensor, call: Call, scores: Scores) -> tuple[Tensor, Tensor]:
    band = scores.options(call)
    if q.dim() == 4:
        return ops.attn_lse(q, k, v, **band)
    cu_q, cu_k, longest = _packed_offsets(call, q.device)
    return ops.attn_lse(q, k, v, None, cu_q, cu_k, **longest, **band)


def _call_backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    call: Call,
    scores: Scores,
) -> tuple[Tensor, Tensor, Tensor]:
    band = scores.options(call)
    if q.dim() == 4:
        return ops.attn_backward(dout, dlse, q, k, v, out, lse, **band)[:3]
    cu_q, cu_k, longest = _packed_offsets(call, q.device)
    return ops.attn_backward(dout, dlse, q, k, v, out, lse, None, cu_q, cu_k, **longest, **band)[:3]


def _packed_offsets(call: Call, device: torch.device) -> tuple[Tensor, Tensor, dict[str, int]]:
    offsets = call.offsets()
    cu_q, cu_k = (torch.tensor(own, dtype=torch.int32, device=device) for own in offsets)
    max_q, max_k = (max(end - begin for begin, end in itertools.pairwise(own)) for own in offsets)
    return cu_q, cu_k, {"max_q": max_q, "max_k": max_k}


def _count(q: Tensor, step: Step) -> None:
    heads = q.shape[1] * (q.shape[0] if q.dim() == 4 else 1)
    count_calls(len(step.calls), heads * step.pairs())
