"""The gradient of the gradient: `attn_backward` differentiated, block row by block row, in PyTorch operations.

Every block row's scores are made again, so the extra memory is O(S). Nothing is read back to the host, also of packed
sequences, whose rows are told apart by their offsets on the device: their cost is that of one long sequence.

With S = scale q k^T + mask, P = exp(S - lse) where visible, F the dropout factors, delta = rowsum(dout * out) - dlse:
    dP = F * (dout v^T), dS = P * (dP - delta), dq = scale dS k, dk = scale dS^T q, dv = (P * F)^T dout.
`attn_backward` is a function of dout, dlse, q, k, v, out and lse; what flows to out and lse goes on through the
forward's own gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

BLOCK_ROWS = 128


class Problem(NamedTuple):
    """What decides over pairs: everything of the operator but q, k and v. Shapes as in `attn_backward`, with packed
    sequences as a batch of one.
    """

    attn_mask: Tensor | None
    cu_seq_q: Tensor | None
    cu_seq_k: Tensor | None
    rng_state: Tensor | None
    scale: float
    diagonal: int | None  # None: bottom-right
    window: int | None
    dropout_p: float
    mask_hides: bool
    softcap: float
    alibi_slopes: Tensor | None
    sinks: Tensor | None
    startend_row_indices: Tensor | None


def double_backward(
    gradients: Sequence[Tensor | None], given: Sequence[Any], options: dict[str, Any]
) -> tuple[Tensor | None, ...]:
    """gradients: of dq, dk, dv, dsinks; given: what `attn_backward` took -> gradients of its dout, dlse, q, k, v, out,
    lse and sinks.
    """
    dout, dlse, q, k, v, out, lse, mask, cu_q, cu_k, rng, slopes, sinks, bounds = given
    packed = cu_q is not None
    diagonal = options.get("diagonal")
    if diagonal is None and options.get("alignment", "bottom_right") == "top_left":
        diagonal = 0
    scale = options.get("scale")
    problem = Problem(
        mask,
        cu_q,
        cu_k,
        rng if options.get("dropout_p", 0.0) > 0 else None,
        1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale,
        diagonal,
        options.get("window_size_left"),
        options.get("dropout_p", 0.0),
        options.get("mask_hides", False),
        options.get("softcap") or 0.0,
        slopes,
        sinks,
        bounds,
    )
    *first, of_dsinks = gradients
    tensors = (*first, dout, dlse, q, k, v, out, lse)
    wide = torch.float64 if q.dtype is torch.float64 else torch.float32

    def grouped(t: Tensor | None, like: Tensor) -> Tensor:
        """[B, Hkv, group, S, D], or of lse [B, Hkv, group, S], in the scores' precision; keys have a group of 1."""
        t = torch.zeros_like(like) if t is None else t
        if packed:
            t = t.transpose(0, 1).unsqueeze(0)
        return t.to(wide).unflatten(1, (k.shape[1], t.shape[1] // max(k.shape[1], 1)))

    # What the forward gives for these rows, bit for bit: an lse that is not this one was merged over more keys.
    with torch.no_grad():
        own = torch.ops.triangle.attn_lse(
            *(t.detach() for t in (q, k, v)), mask, cu_q, cu_k, rng, slopes, sinks, bounds, **options
        )[1]
    tensors = (*tensors, own)
    likes = (q, k, v, dout, lse, q, k, v, out, lse, lse)
    wide_tensors = [grouped(t, like) for t, like in zip(tensors, likes)]
    shape = wide_tensors[3].shape[1:3]  # Hkv, group
    at_sinks = None
    if sinks is not None:
        at_sinks = sinks.to(wide).view(*shape, 1), torch.zeros_like(sinks, dtype=wide).view(*shape, 1)
        if of_dsinks is not None:
            at_sinks = at_sinks[0], of_dsinks.to(wide).view(*shape, 1)
    *results, of_sinks = _whole(wide_tensors, problem, at_sinks)

    def back(t: Tensor, like: Tensor) -> Tensor:
        t = t.flatten(1, 2)
        return (t[0].transpose(0, 1) if packed else t).to(like.dtype)

    of_dout, of_dlse, *others = (back(t, like) for t, like in zip(results, (dout, lse, q, k, v, out, lse)))
    return (
        of_dout,
        None if dlse is None else of_dlse,
        *others,
        None if sinks is None else of_sinks.flatten().to(sinks.dtype),
    )


def _whole(tensors: Sequence[Tensor], problem: Problem, sinks: tuple[Tensor, Tensor] | None) -> list[Tensor]:
    """gq, gk, gv, dout, dlse, q, k, v, out, lse, the forward's lse, each [B, Hkv, group, S, ..] -> gradients from
    dout's on, and the sinks'; sinks: they and what comes for dsinks, [Hkv, group, 1].
    """
    gq, gk, gv, dout, dlse, q, k, v, out, lse, own = tensors
    sq, sk = q.shape[3], k.shape[3]
    rows: list[list[Tensor]] = []
    to_k, to_v = torch.zeros_like(k), torch.zeros_like(v)
    to_sinks = q.new_zeros(*q.shape[1:3])
    for begin in range(0, sq, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, sq)
        cols = sk
        if problem.cu_seq_q is None:  # keys beyond the last row's diagonal take no part
            cols = min(max(end + (sk - sq if problem.diagonal is None else problem.diagonal), 0), sk)
        block = [t[:, :, :, begin:end] for t in (gq, dout, dlse, q, out, lse, own)]
        keys = [t[:, :, :, :cols] for t in (gk, gv, k, v)]
        seen, factor, added = _pairs(problem, q, begin, end, cols, sk)
        *of_rows, of_k, of_v, of_sinks = _block_row(block, keys, seen, factor, added, problem, sinks)
        to_sinks = to_sinks + of_sinks
        rows.append(of_rows)
        to_k = to_k + torch.nn.functional.pad(of_k, (0, 0, 0, sk - cols))
        to_v = to_v + torch.nn.functional.pad(of_v, (0, 0, 0, sk - cols))
    if not rows:
        return [torch.zeros_like(t) for t in (dout, dlse, q, k, v, out, lse, to_sinks)]
    to_dout, to_dlse, to_q, to_out, to_lse = (torch.cat(part, dim=3) for part in zip(*rows))
    return [to_dout, to_dlse, to_q, to_k, to_v, to_out, to_lse, to_sinks]


def _block_row(
    rows: Sequence[Tensor],
    keys: Sequence[Tensor],
    seen: Tensor,
    factor: Tensor | None,
    added: Tensor | None,
    problem: Problem,
    sinks: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, ...]:
    """One block row [.., rows, cols] from its gq, dout, dlse, q, out, lse, the forward's lse, and all keys' gk, gv, k,
    v: gradients of its dout, dlse, q, out and lse, and its share of k's, v's and the sinks'.
    """
    gq, dout, dlse, q, out, lse, own = rows
    gk, gv, k, v = keys
    empty = lse == -torch.inf
    dlse = torch.where(empty, 0.0, dlse)  # autograd may hand such rows NaN
    delta = ((dout * out).sum(-1) - dlse).unsqueeze(-1)
    scale, softcap = problem.scale, problem.softcap
    s = scale * (q @ k.mT)
    capped = torch.tanh(s / softcap) if softcap else None  # its slope is 1 - capped^2
    s = s if capped is None else softcap * capped
    bent = (lambda t: t) if capped is None else (lambda t: t * (1 - capped.square()))
    if added is not None:
        s = s + added
    s = torch.where(seen, s, -torch.inf)
    finite = torch.where(empty, torch.zeros_like(lse), lse)
    top, factor_p = _normaliser(s, finite, own, None if sinks is None else sinks[0])
    p = torch.where(seen & ~empty.unsqueeze(-1), torch.exp(s - top) * factor_p, 0.0)
    dropped = (lambda t: t) if factor is None else (lambda t: t * factor)
    dp = dropped(dout @ v.mT)
    ds = p * (dp - delta)
    ds_before = bent(ds)  # of the product, before what bends it

    to_before = scale * (gq @ k.mT + q @ gk.mT)
    to_ds = bent(to_before)
    to_p = dropped(dout @ gv.mT) + to_ds * (dp - delta)
    to_dp = to_ds * p
    to_delta = -to_dp.sum(-1, keepdim=True)
    to_s = to_p * p
    to_lse = -to_s.sum(-1)
    to_sinks = q.new_zeros(q.shape[1:3])
    if sinks is not None:  # dsinks = -sum over rows of P_sink delta
        sink, g = sinks
        p_sink = torch.where(empty, 0.0, torch.exp(sink - top.squeeze(-1)) * factor_p.squeeze(-1))
        to_delta = to_delta - (g * p_sink).unsqueeze(-1)
        of_sink = -g * delta.squeeze(-1) * p_sink
        to_lse, to_sinks = to_lse - of_sink, of_sink.sum((0, -1))
    to_s = bent(to_s)
    if capped is not None:  # the slope's own slope
        to_s = to_s + to_before * ds * (-2 / softcap) * capped * (1 - capped.square())
    to_product = dropped(to_dp)  # of dout v^T
    to_q = scale * (to_s @ k + ds_before @ gk)
    to_dout = to_product @ v + dropped(p) @ gv + to_delta * out
    group = 2  # keys take the sum over their group's heads
    to_k = scale * (to_s.mT @ q + ds_before.mT @ gq).sum(group, keepdim=True)
    to_v = (to_product.mT @ dout).sum(group, keepdim=True)
    return to_dout, -to_delta.squeeze(-1), to_q, to_delta * dout, to_lse, to_k, to_v, to_sinks


def _normaliser(s: Tensor, lse: Tensor, own: Tensor, sink: Tensor | None) -> tuple[Tensor, Tensor]:
    """[.., rows, 1] shift and factor with P = exp(s - shift) * factor: lse and 1, but where lse is so large that its
    rounding is not small beside log(sum) the maximum and 1 / sum, made again, as csrc/cpu/large_lse.h does for the
    first gradient, and by its rule: an lse further than 3/4 epsilon from the forward's own was merged over more keys
    and stays.

    s: -inf where hidden; lse and own [.., rows]; sink broadcasts to lse.
    """
    given, s = lse.detach(), s.detach()  # P stays a function of score and lse, also where it is differentiated again
    limit, eps = 2.0**30 if lse.dtype is torch.float64 else 2.0**11, torch.finfo(lse.dtype).eps
    low = torch.full_like(given, -torch.inf) if sink is None else sink.detach().expand(lse.shape)
    top = torch.cat([s, low.unsqueeze(-1)], -1).amax(-1)
    top = top.clamp(min=torch.finfo(lse.dtype).min)  # a row that sees nothing: no inf - inf
    total = torch.exp(s - top.unsqueeze(-1)).sum(-1) + torch.exp(low - top)
    again = (given.abs() > limit) & given.isfinite() & (total > 0)
    again = again & ((own - given).abs() <= 0.75 * eps * given.abs())
    shift = lse + torch.where(again, top - given, 0.0)  # exact: they are close
    return shift.unsqueeze(-1), torch.where(again, 1 / total, 1.0).unsqueeze(-1)


def _pairs(
    problem: Problem, q: Tensor, begin: int, end: int, cols: int, sk: int
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Of rows [begin, end) and keys [0, cols): bool, visible; the dropout factors; the float mask. Each broadcasts to
    [B, Hkv, group, rows, cols].
    """
    sq = q.shape[3]
    i, j = torch.arange(begin, end, device=q.device), torch.arange(cols, device=q.device)
    document = torch.zeros_like(i)
    if problem.cu_seq_q is None or problem.cu_seq_k is None:
        row, column, same = i, j, None
        shift: Any = sk - sq if problem.diagonal is None else problem.diagonal
    else:
        cu_q, cu_k = problem.cu_seq_q.long(), problem.cu_seq_k.long()
        if cu_q.shape[0] == 1:  # no document: nothing is seen
            cu_q, cu_k = (torch.zeros(2, dtype=torch.long, device=q.device) for _ in range(2))
        # Rows and keys outside of all documents have the number -1, or that of the documents: those of none are seen.
        of_row, of_key = (torch.bucketize(at, cu, right=True) - 1 for at, cu in ((i, cu_q), (j, cu_k)))
        last = cu_q.shape[0] - 2
        same = (of_row.unsqueeze(-1) == of_key) & ((of_row >= 0) & (of_row <= last)).unsqueeze(-1)
        document = of_row.clamp(0, last)
        row, column = i - cu_q[document], j - cu_k[of_key.clamp(0, last)]
        lengths = (cu_k[1:] - cu_k[:-1]) - (cu_q[1:] - cu_q[:-1])
        shift = lengths[document] if problem.diagonal is None else problem.diagonal
    seen = column <= (row + _int64(shift)).unsqueeze(-1)
    if problem.window is not None:
        seen = seen & (column >= (row + _int64(shift - problem.window)).unsqueeze(-1))
    if same is not None:
        seen = seen & same
    added = None
    heads = q.shape[1] * q.shape[2]
    if problem.startend_row_indices is not None:  # rows and keys of packed sequences count within the pack
        bounds = problem.startend_row_indices[:, :, :cols]
        of_queries = bounds.shape[1] == heads  # else of key heads, or of all
        bounds = bounds.unflatten(1, q.shape[1:3]) if of_queries else bounds.unsqueeze(2)
        at = i.unsqueeze(-1)
        for n in range(0, bounds.shape[-1], 2):
            hidden = at >= bounds[..., n].unsqueeze(-2)
            if bounds.shape[-1] > 1:
                hidden = hidden & (at < bounds[..., n + 1].unsqueeze(-2))
            seen = seen & ~hidden
    if problem.attn_mask is not None:
        mask = problem.attn_mask.reshape((1,) * (4 - problem.attn_mask.dim()) + tuple(problem.attn_mask.shape))
        mask = mask if mask.shape[2] == 1 else mask[:, :, begin:end]
        mask = mask if mask.shape[3] == 1 else mask[..., :cols]
        mask = mask.unsqueeze(1) if mask.shape[1] == 1 else mask.unflatten(1, q.shape[1:3])
        if mask.dtype is torch.bool:
            seen = seen & (~mask if problem.mask_hides else mask)
        else:
            added = mask.to(q.dtype)
            seen = seen & (added != -torch.inf)
            added = torch.where(seen, added, 0.0)
    if problem.alibi_slopes is not None:
        slopes = problem.alibi_slopes.to(q.dtype)
        if slopes.dim() == 1:
            slopes = slopes.view(1, *q.shape[1:3], 1, 1)
        elif problem.cu_seq_q is None:
            slopes = slopes.view(-1, *q.shape[1:3], 1, 1)
        else:  # of each row's document
            slopes = slopes[document].t().reshape(1, *q.shape[1:3], -1, 1)
        far = slopes * ((row + _int64(shift)).unsqueeze(-1) - column).abs()
        added = -far if added is None else added - far
    factor = None
    if problem.rng_state is not None:
        head = torch.arange(q.shape[0] * heads, device=q.device).view(*q.shape[:3], 1, 1)
        if problem.cu_seq_q is not None:
            head = head + (document * heads).unsqueeze(-1)
        factor = dropout_factors(problem.rng_state, problem.dropout_p, head, row.unsqueeze(-1), column).to(q.dtype)
    return seen, factor, added


def _int64(shift: Any) -> Any:
    """A number that rows can be added to: beyond 2^62 nothing changes any more."""
    return shift if isinstance(shift, Tensor) else min(max(shift, -(2**62)), 2**62)


def dropout_factors(rng_state: Tensor, dropout_p: float, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """0 or 1 / (1 - p) of the pairs that head, row and column (int64) broadcast to: op_host/philox.h in tensors."""
    low = 0xFFFFFFFF
    seed, offset = rng_state[0], rng_state[1]
    counter = [column.clamp(min=0) // 4, row, head, offset & low]
    key = [seed & low, ((seed >> 32) & low) ^ ((offset >> 32) & low)]
    for _ in range(10):
        (high_a, low_a), (high_b, low_b) = _product(counter[0], 0xD2511F53), _product(counter[2], 0xCD9E8D57)
        counter = [high_b ^ counter[1] ^ key[0], low_b, high_a ^ counter[3] ^ key[1], low_a]
        key = [(key[0] + 0x9E3779B9) & low, (key[1] + 0xBB67AE85) & low]
    words = torch.stack(torch.broadcast_tensors(*counter))
    place = (column.clamp(min=0) % 4).expand(words.shape[1:]).unsqueeze(0)
    word = words.gather(0, place).squeeze(0)
    return torch.where(word >= int(dropout_p * 2.0**32), 1.0 / (1.0 - dropout_p), 0.0)


def _product(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """The high and the low 32 bits of a * b, both below 2^32, in int64: b by halves, so that nothing overflows."""
    low_half, high_half = a * (b & 0xFFFF), a * (b >> 16)
    middle = high_half + (low_half >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low_half & 0xFFFF)
