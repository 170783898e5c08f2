"""The functional API: `triangle_attention`, `triangle_attention_varlen`, `merge_attention`."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor

from . import ops
from ._checks import check_merge

Alignment = Literal["bottom_right", "top_left"]


@overload
def triangle_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    attn_mask: Tensor | None = ...,
    scale: float | None = ...,
    alignment: Alignment = ...,
    diagonal: int | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[False] = ...,
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
    startend_row_indices: Tensor | None = ...,
) -> Tensor: ...


@overload
def triangle_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    attn_mask: Tensor | None = ...,
    scale: float | None = ...,
    alignment: Alignment = ...,
    diagonal: int | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[True],
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
    startend_row_indices: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...


def triangle_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
    alignment: Alignment = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    return_lse: bool = False,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Exact causal attention softmax(scale * Q K^T + mask) V over the blocks on and below the diagonal only.

    Args:
        q: `[B, Hq, Sq, D]`, any strides with a contiguous last dimension (a transposed `[B, S, H, D]` view is read in
            place);
            float32, bfloat16, float16, or float64 on the CPU.
        k: `[B, Hkv, Sk, D]` with Hq a multiple of Hkv (grouped-query attention; never repeated in memory).
        v: `[B, Hkv, Sk, Dv]`.
        attn_mask: bool (True = may attend) or float in q's dtype or float32 (added to the scaled scores), broadcastable
            to `[B, Hq, Sq, Sk]`,
            combined with the causal rule. Its gradient is not computed.
        scale: of the scores; default 1/sqrt(D).
        alignment: `"bottom_right"`: query i sees keys j <= i + Sk - Sq (FlashAttention 2.1 and later); `"top_left"`: j
            <= i (SDPA's `is_causal`).
        diagonal: replaces alignment: query i has position p = i + diagonal and sees keys j <= p.
        window_size_left: None, or w >= 0: only keys j >= p - w.
        dropout_p: probability that a pair is dropped, always applied: pass 0.0 for evaluation.
        return_lse: also return the log-sum-exp of each row's scores.
        alibi_slopes: float32 `[Hq]` or `[B, Hq]` (packed: `[documents, Hq]`): slope * |p - j| is subtracted from the
            capped score of query position p and key j. Its gradient is not computed.
        softcap: None, or c > 0: the scaled score s becomes c * tanh(s / c); 0.0 means none.
        sinks: `[Hq]` in q's dtype or float32: a logit a head that joins each row's sum and carries no value (gpt-oss).
            Its gradient is computed. lse includes it.
        startend_row_indices: int32 `[B or 1, 1 or Hkv or Hq, Sk, 1 or 2 or 4]` (packed: `[1, .., Tk, ..]`, rows and
            keys counted within the pack), rows that each key hides besides: 1: rows >= start; 2: rows in [start, end);
            4: those in two such intervals. No S x S mask, and blocks without a visible pair are not computed;
            `visibility` makes it. With diagonal Sk - 1 nothing else hides.

    Returns:
        `[B, Hq, Sq, Dv]` in q's dtype and memory order; with `return_lse` also lse `[B, Hq, Sq]`, natural logarithm,
        float32 (float64 for float64 input).
        A row that sees no key gives out 0, lse -inf (with sinks: the sink) and zero gradients.

    Raises:
        ValueError, TypeError: an argument's shape, value, dtype or device is wrong; the message names it.
        NotImplementedError: an argument that is not supported yet.

    Source: Dao, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning", 2023; AscendSpeed's
        `TriangleAttention`.
    """
    out, lse = ops.dense(
        q,
        k,
        v,
        attn_mask=attn_mask,
        **_options(
            scale, alignment, diagonal, window_size_left, dropout_p, alibi_slopes, softcap, sinks, startend_row_indices
        ),
    )
    return (out, lse) if return_lse else out


@overload
def triangle_attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = ...,
    alignment: Alignment = ...,
    diagonal: int | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[False] = ...,
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
    startend_row_indices: Tensor | None = ...,
) -> Tensor: ...


@overload
def triangle_attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = ...,
    alignment: Alignment = ...,
    diagonal: int | None = ...,
    window_size_left: int | None = ...,
    dropout_p: float = ...,
    return_lse: Literal[True],
    alibi_slopes: Tensor | None = ...,
    softcap: float | None = ...,
    sinks: Tensor | None = ...,
    startend_row_indices: Tensor | None = ...,
) -> tuple[Tensor, Tensor]: ...


def triangle_attention_varlen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    alignment: Alignment = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    dropout_p: float = 0.0,
    return_lse: bool = False,
    alibi_slopes: Tensor | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    startend_row_indices: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """`triangle_attention` over packed sequences (documents), which never see each other.

    Args:
        q: `[Tq, Hq, D]`, the documents' rows one after another.
        k: `[Tk, Hkv, D]`.
        v: `[Tk, Hkv, Dv]`.
        cu_seq_q: int32 `[documents + 1]` on q's device: document n has rows cu_seq_q[n] to cu_seq_q[n + 1] of q. Within
            0 and Tq, never decreasing; rows before the first and after the last offset belong to no document and see
            nothing (out 0, lse -inf, gradients 0).
        cu_seq_k: the same for k and v.
        max_q: upper bound of a document's rows in q.
        max_k: upper bound of a document's rows in k.

    The other arguments are `triangle_attention`'s, within each document. The offsets' values are checked by the
    operator: on the CPU always, with max_q and max_k.

    Returns:
        `[Tq, Hq, Dv]`; with `return_lse` also lse `[Tq, Hq]`.

    Raises:
        ValueError, TypeError, NotImplementedError: as `triangle_attention`. In compiled code what only the operator can
            check, the offsets' values, is a RuntimeError with the same words.
    """
    out, lse = ops.varlen(
        q,
        k,
        v,
        cu_seq_q,
        cu_seq_k,
        max_q,
        max_k,
        **_options(
            scale, alignment, diagonal, window_size_left, dropout_p, alibi_slopes, softcap, sinks, startend_row_indices
        ),
    )
    return (out, lse) if return_lse else out


def merge_attention(o1: Tensor, lse1: Tensor, o2: Tensor, lse2: Tensor) -> tuple[Tensor, Tensor]:
    """Attention over two disjoint sets of keys from the attention over each; differentiable in all four.

    With sinks, give them to exactly one of the two.

    Args:
        o1, o2: `[..., Dv]`, results over each set.
        lse1, lse2: `[...]`, their log-sum-exp; -inf where a row saw no key.

    Returns:
        (out `[..., Dv]` in o1's dtype, lse `[...]`), computed in float32 (float64 where lse1 is).

    Raises:
        ValueError, TypeError: what is no tensor of the others' shape and device; the message names it.
    """
    check_merge(o1, lse1, o2, lse2)
    # -inf - -inf is NaN: a row empty on both sides is computed with a finite maximum and then masked.
    top = torch.maximum(lse1, lse2).detach()
    finite = torch.where(top == -torch.inf, torch.zeros_like(top), top)
    w1, w2 = torch.exp(lse1 - finite), torch.exp(lse2 - finite)
    total = w1 + w2
    empty = total == 0
    safe = torch.where(empty, torch.ones_like(total), total)
    out = o1.to(lse1.dtype) * (w1 / safe).unsqueeze(-1) + o2.to(lse1.dtype) * (w2 / safe).unsqueeze(-1)
    lse = torch.where(empty, torch.full_like(total, -torch.inf), finite + torch.log(safe))
    return out.to(o1.dtype), lse


def _options(
    scale: float | None,
    alignment: str,
    diagonal: int | None,
    window_size_left: int | None,
    dropout_p: float,
    alibi_slopes: Tensor | None,
    softcap: float | None,
    sinks: Tensor | None,
    startend_row_indices: Tensor | None,
) -> dict[str, Any]:
    return {
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
