"""FlashAttention's arguments as triangle_attention's. Query i of a sequence has position p = i + Sk - Sq and sees keys
p - left .. p + right; -1 is no bound, and `causal` makes right 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional import triangle_attention, triangle_attention_varlen


def window(window_size: tuple[int, int], causal: bool) -> tuple[int | None, int | None]:
    """(left, right), None where there is no bound."""
    if len(window_size) != 2 or any(size < -1 for size in window_size):
        raise ValueError(f"window_size: expected (left, right), each -1 or >= 0, got {window_size}")
    left, right = (None if size == -1 else size for size in window_size)
    return left, 0 if causal else right


def band(sq: int, sk: int, left: int | None, right: int | None) -> dict[str, Any]:
    """`diagonal` and `window_size_left` for one length of queries and keys. The diagonal is moved right by `right`, and
    the window that hangs from it grows by as much; without a right bound the diagonal hides nothing.
    """
    shift = sk - sq
    diagonal = shift + right if right is not None else max(sk - 1, shift)
    return {"diagonal": diagonal, "window_size_left": None if left is None else diagonal - shift + left}


def dense(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    causal: bool,
    window_size: tuple[int, int],
    softmax_scale: float | None,
    softcap: float = 0.0,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
) -> tuple[Tensor, Tensor]:
    """out `[B, Sq, Hq, Dv]` and lse `[B, Hq, Sq]` of q `[B, Sq, Hq, D]`, k `[B, Sk, Hkv, D]`, v `[B, Sk, Hkv, Dv]`."""
    for name, t in (("q", q), ("k", k), ("v", v)):
        if t.dim() != 4:
            raise ValueError(f"{name}: expected 4 dimensions [batch, sequence, heads, head size], got {list(t.shape)}")
    left, right = window(window_size, causal)
    check_alibi(alibi_slopes, right)
    check_deterministic(deterministic, q)
    out, lse = triangle_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        scale=softmax_scale,
        dropout_p=dropout_p,
        softcap=softcap or None,
        alibi_slopes=alibi_slopes,
        return_lse=True,
        **band(q.shape[1], k.shape[1], left, right),
    )
    return out.transpose(1, 2), lse


def packed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    *,
    causal: bool,
    window_size: tuple[int, int],
    softmax_scale: float | None,
    softcap: float = 0.0,
    dropout_p: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
) -> tuple[Tensor, Tensor]:
    """out `[Tq, Hq, Dv]` and lse `[Hq, Tq]`, FlashAttention's order, of packed sequences."""
    left, right = window(window_size, causal)
    check_alibi(alibi_slopes, right)
    check_deterministic(deterministic, q)
    where: dict[str, Any]
    if right == 0:
        where = {"window_size_left": left}  # each sequence's own bottom-right diagonal
    elif cu_seqlens_q is cu_seqlens_k:
        where = band(max_seqlen_q, max_seqlen_q, left, right)  # Sk - Sq is 0 in each
    elif left is None and right is None:
        where = {"diagonal": max_seqlen_k}
    else:
        raise NotImplementedError(
            f"window_size: expected (-1, -1), causal=True, or one tensor as cu_seqlens_q and cu_seqlens_k, got "
            f"{window_size}: with causal=False each sequence would need a diagonal of its own"
        )
    out, lse = triangle_attention_varlen(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        scale=softmax_scale,
        dropout_p=dropout_p,
        softcap=softcap or None,
        alibi_slopes=alibi_slopes,
        return_lse=True,
        **where,
    )
    return out, lse.transpose(0, 1)


def check_alibi(alibi_slopes: Tensor | None, right: int | None) -> None:
    # FlashAttention measures from p = i + Sk - Sq, the operator from its diagonal: the same where that is not moved.
    if alibi_slopes is not None and right != 0:
        raise NotImplementedError(
            "alibi_slopes: expected causal=True with it, or window_size[1] == 0: the distance is measured from the "
            "diagonal, which another right bound moves"
        )


def check_deterministic(deterministic: bool, q: Tensor) -> None:
    # On the CPU the backward always is.
    if deterministic and q.device.type != "cpu" and not torch.are_deterministic_algorithms_enabled():
        raise NotImplementedError(
            f"deterministic: on {q.device.type} expected torch.use_deterministic_algorithms(True), which chooses the "
            "deterministic backward"
        )


def refuse(**given: Any) -> None:
    """NotImplementedError for the first argument that is not None."""
    for name, value in given.items():
        if value is not None:
            raise NotImplementedError(f"{name}: not supported by triangle attention, expected None")
