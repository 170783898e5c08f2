"""The fp64 oracle: attention as its definition, the whole score matrix at once, independent of the kernels' code."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def visible(sq: int, sk: int, diagonal: int, window_size_left: int | None) -> Tensor:
    """bool [sq, sk]: max(0, p - w) <= j <= min(p, sk - 1) with p = i + diagonal."""
    p = torch.arange(sq).unsqueeze(1) + diagonal
    j = torch.arange(sk).unsqueeze(0)
    seen = j <= p
    return seen if window_size_left is None else seen & (j >= p - window_size_left)


def shown_by_intervals(bounds: Tensor, rows: int) -> Tensor:
    """int32 [B, H, Sk, 1, 2 or 4] -> bool [B, H, rows, Sk]: False in rows >= start, or in [start, end), of each key."""
    row = torch.arange(rows).unsqueeze(1)
    shown = torch.ones(*bounds.shape[:2], rows, bounds.shape[2], dtype=torch.bool)
    for n in range(0, bounds.shape[3], 2):
        start = bounds[..., n].unsqueeze(-2)
        end = bounds[..., n + 1].unsqueeze(-2) if bounds.shape[3] > 1 else rows
        shown &= ~((row >= start) & (row < end))
    return shown


def philox_word(seed: int, offset: int, bh: int, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """The uint32 that belongs to a pair: Philox 4x32-10 with counter (col // 4, row, bh, offset) and key seed, word col
    % 4.
    """
    mask32 = np.uint64(0xFFFFFFFF)
    row, col = np.broadcast_arrays(row.astype(np.uint64), col.astype(np.uint64))
    c = [col // np.uint64(4), row.copy(), np.full_like(row, bh), np.full_like(row, offset & 0xFFFFFFFF)]
    k0, k1 = seed & 0xFFFFFFFF, ((seed >> 32) & 0xFFFFFFFF) ^ ((offset >> 32) & 0xFFFFFFFF)
    for _ in range(10):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (b >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            b & mask32,
            (a >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            a & mask32,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.choose((col % np.uint64(4)).astype(np.int64), c).astype(np.uint32)


def dropout_keep(rng_state: Tensor, p: float, batch: int, heads: int, sq: int, sk: int, first_batch: int = 0) -> Tensor:
    """bool [batch, heads, sq, sk]: which pairs dropout keeps."""
    seed, offset = (int(x) & 0xFFFFFFFFFFFFFFFF for x in rng_state.tolist())
    threshold = int(p * 4294967296.0)
    row, col = np.arange(sq)[:, None], np.arange(sk)[None, :]
    planes = [
        philox_word(seed, offset, (first_batch * heads) + bh, row, col) >= threshold for bh in range(batch * heads)
    ]
    return (
        torch.from_numpy(np.stack(planes).reshape(batch, heads, sq, sk))
        if planes
        else torch.ones(batch, heads, sq, sk, dtype=torch.bool)
    )


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    keep: Tensor | None = None,
    dropout_p: float = 0.0,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """q [B, Hq, Sq, D], k [B, Hkv, Sk, D], v [B, Hkv, Sk, Dv] -> out, lse in q's dtype (fp64 for an oracle);
    differentiable.
    """
    sq, sk, group = q.shape[2], k.shape[2], (q.shape[1] // k.shape[1] if k.shape[1] else 1)
    scale = 1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    if diagonal is None:
        diagonal = sk - sq if alignment == "bottom_right" else 0
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = (q @ k.transpose(-1, -2)) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if alibi_slopes is not None:  # [Hq] or [B, Hq]
        distance = (torch.arange(sq).unsqueeze(1) + diagonal - torch.arange(sk)).abs().to(q.device)
        scores = scores - alibi_slopes.to(scores.dtype)[..., None, None] * distance
    seen = visible(sq, sk, diagonal, window_size_left).to(q.device)
    if startend_row_indices is not None:
        shown = shown_by_intervals(startend_row_indices, sq).repeat_interleave(
            q.shape[1] // startend_row_indices.shape[1], dim=1
        )
        seen = seen & shown
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        seen = seen & attn_mask
    elif attn_mask is not None:
        scores = scores + attn_mask.to(scores.dtype)
    scores = scores.masked_fill(~seen, -torch.inf)
    empty = (scores == -torch.inf).all(-1)
    if sinks is not None:  # a column more, which belongs to no value
        column = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
        lse = torch.logsumexp(torch.cat([scores, column], dim=-1), dim=-1)
        p = torch.exp(scores - lse.unsqueeze(-1))
        if keep is not None:
            p = torch.where(keep, p / (1.0 - dropout_p), torch.zeros_like(p))
        return p @ v, lse
    # logsumexp of nothing but -inf has a NaN gradient: such rows go through with zeros and are masked after.
    lse = torch.logsumexp(scores.masked_fill(empty.unsqueeze(-1), 0.0), dim=-1) if sk else scores.sum(-1)
    p = torch.exp(scores - lse.unsqueeze(-1)).masked_fill(scores == -torch.inf, 0.0)
    lse = lse.masked_fill(empty, -torch.inf)
    if keep is not None:
        p = torch.where(keep, p / (1.0 - dropout_p), torch.zeros_like(p))
    return p @ v, lse


def attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    lens_q: list[int],
    lens_k: list[int],
    *,
    rng_state: Tensor | None = None,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
    **options: object,
) -> tuple[Tensor, Tensor]:
    """Packed q [Tq, Hq, D], k, v [Tk, Hkv, D]: the documents one by one -> out [Tq, Hq, Dv], lse [Tq, Hq]."""
    outs, lses = [], []
    for document, (qd, kd, vd) in enumerate(zip(q.split(lens_q), k.split(lens_k), v.split(lens_k))):
        keep = None
        if rng_state is not None:
            keep = dropout_keep(rng_state, dropout_p, 1, q.shape[1], qd.shape[0], kd.shape[0], first_batch=document)
        slopes = alibi_slopes[document] if alibi_slopes is not None and alibi_slopes.dim() == 2 else alibi_slopes
        dense = (t.transpose(0, 1).unsqueeze(0) for t in (qd, kd, vd))
        bends = {"alibi_slopes": slopes, **options}
        if startend_row_indices is not None:  # counted within the pack
            q0, k0 = sum(lens_q[:document]), sum(lens_k[:document])
            own = startend_row_indices[:, :, k0 : k0 + kd.shape[0]] - q0
            bends["startend_row_indices"] = own
        out, lse = attention(*dense, keep=keep, dropout_p=dropout_p, **bends)  # type: ignore[arg-type]
        outs.append(out[0].transpose(0, 1))
        lses.append(lse[0].transpose(0, 1))
    return torch.cat(outs), torch.cat(lses)
