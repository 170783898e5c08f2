"""`flash_attn_with_kvcache` of FlashAttention 2 and 3 on `triangle_attention_with_kvcache`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _numbers
from .._checks import _shape, _tensor
from ..kvcache import triangle_attention_with_kvcache
from ._call import window


def with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None,
    v: Tensor | None,
    *,
    cache_seqlens: int | Tensor | None,
    cache_batch_idx: Tensor | None,
    block_table: Tensor | None,
    softmax_scale: float | None,
    causal: bool,
    window_size: tuple[int, int],
    softcap: float,
    alibi_slopes: Tensor | None = None,
    cu_seq_q: Tensor | None = None,
    max_q: int | None = None,
) -> tuple[Tensor, Tensor]:
    """out in q's shape with v_cache's last dimension, and softmax_lse `[B, Hq, Sq]` or `[Hq, T]`."""
    left, right = window(window_size, causal)
    packed = cu_seq_q is not None
    _tensor("q", q)
    if q.dim() != (3 if packed else 4):
        raise ValueError(f"q: expected [{'T, Hq, D' if packed else 'B, Sq, Hq, D'}], got shape {_shape(q)}")
    if block_table is None and cache_batch_idx is None and not packed and k_cache.shape[0] > q.shape[0]:
        k_cache, v_cache = k_cache[: q.shape[0]], v_cache[: q.shape[0]]  # entries of their own, the first ones
    single = (max_q if packed else q.shape[1]) == 1  # one row sits at the last key, whatever is right of it
    options: dict[str, Any] = {
        "cu_seq_q": cu_seq_q,
        "max_q": max_q,
        "scale": softmax_scale,
        "window_size_left": left,
        "softcap": softcap or None,
        "alibi_slopes": alibi_slopes,
    }
    place: dict[str, Any] = {"cache_batch_idx": cache_batch_idx, "block_table": block_table}
    lengths = _lengths(cache_seqlens, q, k_cache, k, block_table, cu_seq_q)
    if right == 0 or single:
        out, lse = triangle_attention_with_kvcache(
            q, k_cache, v_cache, lengths, k=k, v=v, return_lse=True, **place, **options
        )
        return out, lse.transpose(0, 1) if packed else lse
    if left is not None or right is not None or alibi_slopes is not None or packed:
        raise NotImplementedError(
            f"causal: expected True, or one row of q a sequence, with a window, alibi_slopes or packed q; got False "
            f"and window_size {window_size}"
        )
    return _all_keys(q, k_cache, v_cache, k, v, lengths, place, options)


def _all_keys(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None,
    v: Tensor | None,
    lengths: Tensor,
    place: dict[str, Any],
    options: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """Several rows of q that all see every key: each becomes a sequence of its own over the same cache.

    k and v are appended by a call before: where the other's checks fail, they stay appended.
    """
    batch, rows = q.shape[:2]
    if k is not None:
        triangle_attention_with_kvcache(q[:, :0], k_cache, v_cache, lengths, k=k, v=v, **place, **options)
        lengths = lengths + k.shape[1]
    if place["block_table"] is None and place["cache_batch_idx"] is None:
        place = {"cache_batch_idx": torch.arange(batch, dtype=torch.int32, device=q.device)}
    place = {name: None if t is None else t.repeat_interleave(rows, 0) for name, t in place.items()}
    lengths = lengths.repeat_interleave(rows)
    out, lse = triangle_attention_with_kvcache(
        q.flatten(0, 1).unsqueeze(1), k_cache, v_cache, lengths, return_lse=True, **place, **options
    )
    return out.view(batch, rows, *out.shape[2:]), lse.view(batch, rows, q.shape[2]).transpose(1, 2)


def _lengths(
    given: int | Tensor | None,
    q: Tensor,
    k_cache: Tensor,
    k: Tensor | None,
    block_table: Tensor | None,
    cu_seq_q: Tensor | None,
) -> Tensor:
    """cache_seqlens as int32 [B]; None is the whole cache."""
    if isinstance(given, Tensor):
        return given
    if given is None:
        if k is not None:
            raise ValueError("cache_seqlens: expected an int or int32 [B] with k and v, got None")
        given = k_cache.shape[1] * (1 if block_table is None else block_table.shape[1])
    keys = _numbers.integer("cache_seqlens", given, " or int32 [B]")
    sequences = q.shape[0] if cu_seq_q is None else cu_seq_q.shape[0] - 1
    return torch.full((sequences,), keys, dtype=torch.int32, device=q.device)
