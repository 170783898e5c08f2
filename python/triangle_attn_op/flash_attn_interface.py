"""FlashAttention 3's signatures on triangle attention: its package's only module has this name.

Layouts and meanings are those of `triangle_attn_op.flash_attn`; with `return_attn_probs` the result is (out,
softmax_lse), as there. `num_splits`, `pack_gqa` and `sm_margin` are hints about how a GPU divides the work and change
no result: they are taken and have no effect here. What would change the result and is not done (`qv`, scales of fp8,
`attention_chunk`, used lengths) raises NotImplementedError and names the argument.
"""

from __future__ import annotations

from torch import Tensor

from .flash_attn import _cached, _call

Result = Tensor | tuple[Tensor, Tensor]

__all__ = ["flash_attn_func", "flash_attn_qkvpacked_func", "flash_attn_varlen_func", "flash_attn_with_kvcache"]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    num_splits: int = 1,
    pack_gqa: bool | None = None,
    deterministic: bool = False,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
) -> Result:
    """Attention of q `[B, Sq, Hq, D]` over k `[B, Sk, Hkv, D]`, v `[B, Sk, Hkv, Dv]`: out `[B, Sq, Hq, Dv]`, and with
    `return_attn_probs` softmax_lse `[B, Hq, Sq]`.
    """
    _refuse(attention_chunk, qv=qv, q_descale=q_descale, k_descale=k_descale, v_descale=v_descale)
    out, lse = _call.dense(
        q,
        k,
        v,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        deterministic=deterministic,
    )
    return (out, lse) if return_attn_probs else out


def flash_attn_qkvpacked_func(
    qkv: Tensor,
    softmax_scale: float | None = None,
    causal: bool = False,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    deterministic: bool = False,
    num_heads_q: int | None = None,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
) -> Result:
    """`flash_attn_func` of one tensor: qkv `[B, S, 3, H, D]`, or with `num_heads_q` the heads of q, k and v one after
    another, `[B, S, Hq + 2 Hkv, D]`.
    """
    if num_heads_q is None:
        if qkv.dim() != 5 or qkv.shape[-3] != 3:
            raise ValueError(f"qkv: expected [batch, sequence, 3, heads, head size], got shape {list(qkv.shape)}")
        q, k, v = qkv.unbind(-3)
    else:
        rest = qkv.shape[2] - num_heads_q if qkv.dim() == 4 else -1
        if rest < 2 or rest % 2:
            raise ValueError(
                f"qkv: expected [batch, sequence, {num_heads_q} + 2 * heads of k, head size], got {list(qkv.shape)}"
            )
        q, k, v = qkv.split([num_heads_q, rest // 2, rest // 2], dim=-2)
    return flash_attn_func(
        q,
        k,
        v,
        softmax_scale=softmax_scale,
        causal=causal,
        q_descale=q_descale,
        k_descale=k_descale,
        v_descale=v_descale,
        window_size=window_size,
        attention_chunk=attention_chunk,
        softcap=softcap,
        deterministic=deterministic,
        sm_margin=sm_margin,
        return_attn_probs=return_attn_probs,
    )


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    seqused_q: Tensor | None = None,
    seqused_k: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    qv: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    num_splits: int = 1,
    pack_gqa: bool | None = None,
    deterministic: bool = False,
    sm_margin: int = 0,
    return_attn_probs: bool = False,
) -> Result:
    """Attention of packed sequences: out `[Tq, Hq, Dv]`, and with `return_attn_probs` softmax_lse `[Hq, Tq]`."""
    _refuse(
        attention_chunk,
        qv=qv,
        q_descale=q_descale,
        k_descale=k_descale,
        v_descale=v_descale,
        seqused_q=seqused_q,
        seqused_k=seqused_k,
    )
    out, lse = _call.packed(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        deterministic=deterministic,
    )
    return (out, lse) if return_attn_probs else out


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None = None,
    v: Tensor | None = None,
    qv: Tensor | None = None,
    rotary_cos: Tensor | None = None,
    rotary_sin: Tensor | None = None,
    cache_seqlens: int | Tensor | None = None,
    cache_batch_idx: Tensor | None = None,
    cache_leftpad: Tensor | None = None,
    page_table: Tensor | None = None,
    cu_seqlens_q: Tensor | None = None,
    cu_seqlens_k_new: Tensor | None = None,
    max_seqlen_q: int | None = None,
    rotary_seqlens: Tensor | None = None,
    q_descale: Tensor | None = None,
    k_descale: Tensor | None = None,
    v_descale: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    attention_chunk: int = 0,
    softcap: float = 0.0,
    rotary_interleaved: bool = True,
    scheduler_metadata: Tensor | None = None,
    num_splits: int = 0,
    pack_gqa: bool | None = None,
    sm_margin: int = 0,
    return_softmax_lse: bool = False,
) -> Result:
    """`triangle_attn_op.flash_attn.flash_attn_with_kvcache`, and with `cu_seqlens_q` q `[T, Hq, D]`, each sequence with
    rows of its own: k and v are then packed as q is, `cu_seqlens_k_new` is None or the same tensor, and softmax_lse is
    `[Hq, T]`. `scheduler_metadata` is a hint too.
    """
    _refuse(
        attention_chunk,
        qv=qv,
        q_descale=q_descale,
        k_descale=k_descale,
        v_descale=v_descale,
        rotary_cos=rotary_cos,
        rotary_sin=rotary_sin,
        rotary_seqlens=rotary_seqlens,
        cache_leftpad=cache_leftpad,
    )
    if cu_seqlens_k_new is not None and cu_seqlens_k_new is not cu_seqlens_q:
        raise NotImplementedError("cu_seqlens_k_new: expected None or the tensor given as cu_seqlens_q")
    out, lse = _cached.with_kvcache(
        q,
        k_cache,
        v_cache,
        k,
        v,
        cache_seqlens=cache_seqlens,
        cache_batch_idx=cache_batch_idx,
        block_table=page_table,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        cu_seq_q=cu_seqlens_q,
        max_q=None if cu_seqlens_q is None else max_seqlen_q,
    )
    return (out, lse) if return_softmax_lse else out


def _refuse(attention_chunk: int, **tensors: Tensor | None) -> None:
    if attention_chunk:
        raise NotImplementedError(
            f"attention_chunk: not supported by triangle attention, expected 0, got {attention_chunk}"
        )
    _call.refuse(**tensors)
