"""All-to-all (Ulysses) attention: each rank trades its tokens of all heads for all tokens of its heads, attends, and
trades back.

Source: Jacobs et al., "DeepSpeed Ulysses: System Optimizations for Enabling Training of Extreme Long Sequence
Transformer Models", 2023.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .. import ops
from ..functional import triangle_attention
from .agreement import poison
from .exchange import count_calls
from .inputs import agree
from .layout import ContextLayout
from .plan import rank_pairs
from .slots import partial_dtype, rows_dim
from .trade import Trade, check_heads


@overload
def ulysses_attention(
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
def ulysses_attention(
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
def ulysses_attention(
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
    """`ring_attention`'s twin, with the same arguments and results, over two all-to-alls: q, k and v in one, out in the
    other.

    Hq must be a multiple of the group's n ranks, and one of Hkv and n a multiple of the other: where Hkv < n, a key
    head goes to each rank whose query heads read it. A row's result has the bits of the operator on one device.

    Raises:
        ValueError, TypeError: bad arguments, heads that do not divide; also where ranks disagree, on all of them. On
            an accelerator later calls than the group's first are not waited for: there a disagreement gives NaN.
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
        "all-to-all attention",
        q,
        k,
        v,
        group,
        layout,
        scale,
        window_size_left,
        dropout_p,
        return_lse,
        bends,
        check_heads,
    )
    options = {"scale": scale, "softcap": softcap, "window_size_left": window_size_left}
    out, lse = _Ulysses.apply(q, k, v, alibi_slopes, sinks, group, layout, options, return_lse, differs)
    return (out, lse) if return_lse else out


class LocalAttention(nn.Module):
    """What DeepSpeed's `DistributedAttention` calls between its all-to-alls: causal attention on all tokens of this
    rank's heads.

    Args:
        sequence_dim: where the tokens are: 0 for `[s, b, h, d]`, 1 for `[b, s, h, d]` (DeepSpeed's gather_idx).
        scale: of the scores; default 1/sqrt(D).
        window_size_left: as in `triangle_attention`.
    """

    def __init__(self, sequence_dim: int = 0, scale: float | None = None, window_size_left: int | None = None) -> None:
        super().__init__()
        if sequence_dim not in (0, 1):
            raise ValueError(f"sequence_dim: expected 0 or 1, got {sequence_dim}")
        self.sequence_dim = sequence_dim
        self.scale = scale
        self.window_size_left = window_size_left

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: None = None) -> Tensor:
        """Returns the query's layout with value's head dimension, read and written in place of a transposed view."""
        if attention_mask is not None:
            raise ValueError("attention_mask: expected None, triangle attention is causal by itself")
        order = (1, 2, 0, 3) if self.sequence_dim == 0 else (0, 2, 1, 3)
        back = (2, 0, 1, 3) if self.sequence_dim == 0 else (0, 2, 1, 3)
        q, k, v = (t.permute(order) for t in (query, key, value))
        return triangle_attention(q, k, v, scale=self.scale, window_size_left=self.window_size_left).permute(back)


class _Ulysses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        alibi_slopes: Tensor | None,
        sinks: Tensor | None,
        group: dist.ProcessGroup,
        layout: ContextLayout,
        score_options: dict[str, Any],
        with_lse: bool,
        differs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        trade = Trade(group, layout, q.shape[1], k.shape[1], rows_dim(q))
        whole_q, whole_k, whole_v = trade.to_heads([q, k, v], [True, False, False])
        options: dict[str, Any] = {"diagonal": 0, **score_options}
        window_size_left = options["window_size_left"]
        first, past = trade.heads(dist.get_rank(group), True)
        slopes = None if alibi_slopes is None else alibi_slopes[..., first:past]
        # In float32, which goes with every dtype of q: the backward may widen it.
        own = None if sinks is None else sinks[first:past].to(torch.promote_types(sinks.dtype, torch.float32))
        cu_seq = None
        if layout.cu_seq is not None:
            cu_seq = torch.tensor(layout.cu_seq, dtype=torch.int32, device=q.device)
            options.update(max_q=layout.length, max_k=layout.length)
        whole_out, whole_lse = ops.attn_lse(
            whole_q, whole_k, whole_v, None, cu_seq, cu_seq, None, slopes, own, **options
        )
        out = ops.like_layout(q, [*q.shape[:-1], v.shape[-1]]).zero_()
        trade.to_tokens([whole_out], [True], [out])
        poison(out, differs)
        lse = whole_lse.new_zeros(q.shape[:-1] if with_lse else [0])
        if with_lse:
            trade.to_tokens([whole_lse], [True], [lse])
        ctx.save_for_backward(whole_q, whole_k, whole_v, whole_out, whole_lse, cu_seq, slopes, own)
        ctx.sinks = None if sinks is None else (sinks.shape[0], first, past, sinks.dtype)
        # Where the gradients will lie in memory, without keeping the inputs.
        ctx.like = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta") for t in (q, k, v)]
        ctx.trade, ctx.options, ctx.window_size_left = trade, options, window_size_left
        ctx.set_materialize_grads(False)
        ctx.with_lse = with_lse
        if not with_lse:
            ctx.mark_non_differentiable(lse)
        _count(whole_q, layout, window_size_left)
        return out, lse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
        whole_q, whole_k, whole_v, whole_out, whole_lse, cu_seq, slopes, own = ctx.saved_tensors
        trade: Trade = ctx.trade
        # A rank without a gradient of its own still takes part in the others'.
        shape = list(ctx.like[0].shape[:-1])
        dout = whole_out.new_zeros([*shape, whole_v.shape[-1]]) if dout is None else dout
        (whole_dout,) = trade.to_heads([dout], [True])
        whole_dlse = None
        if ctx.with_lse:
            (whole_dlse,) = trade.to_heads([whole_lse.new_zeros(shape) if dlse is None else dlse], [True])
        saved = [whole_dout, whole_q, whole_k, whole_v, whole_out]
        if trade.shares_key_heads:  # a key head's gradient is a sum over ranks: no share of it is rounded
            saved = [t.to(partial_dtype(t)) for t in saved]
        whole_dout, whole_q, whole_k, whole_v, whole_out = saved
        results = whole_q, whole_k, whole_v, whole_out, whole_lse
        dq, dk, dv, own_dsinks = ops.attn_backward(
            whole_dout, whole_dlse, *results, None, cu_seq, cu_seq, None, slopes, own, **ctx.options
        )
        dsinks = None
        if ctx.sinks is not None:  # of this rank's heads; the ranks' gradients add up
            heads, first, past, dtype = ctx.sinks
            dsinks = own_dsinks.new_zeros(heads)
            dsinks[first:past] = own_dsinks
            dsinks = dsinks.to(dtype)
        _count(whole_q, trade.layout, ctx.window_size_left)
        targets = [torch.empty_like(t, device=dout.device, dtype=whole_lse.dtype).zero_() for t in ctx.like]
        if dk.dtype is dout.dtype:
            trade.to_tokens([dq, dk, dv], [True, False, False], targets)
        else:
            trade.to_tokens([dq.to(dout.dtype)], [True], targets[:1])
            trade.to_tokens([dk, dv], [False, False], targets[1:])
        gradients = (target.to(like.dtype) for target, like in zip(targets, ctx.like))
        return *gradients, None, dsinks, None, None, None, None, None


def _count(whole_q: Tensor, layout: ContextLayout, window_size_left: int | None) -> None:
    heads = whole_q.shape[1] * (whole_q.shape[0] if whole_q.dim() == 4 else 1)
    count_calls(1, heads * sum(rank_pairs(layout, rank, window_size_left) for rank in range(layout.ranks)))
