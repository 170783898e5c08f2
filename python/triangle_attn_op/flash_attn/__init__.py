"""FlashAttention 2's names, parameters, layouts and results on triangle attention:

    import triangle_attn_op.flash_attn as flash_attn

Tensors are `[batch, sequence, heads, head size]`, packed ones `[tokens, heads, head size]`; causal masks are aligned to
the bottom right. With `return_attn_probs` the result is (out, softmax_lse, None): probabilities are never formed. Where
a row sees no key, softmax_lse is -inf. What cannot be honoured raises NotImplementedError and names the argument.

Differentiable, any device and dtype of `triangle_attention`. FlashAttention 3's signatures, which differ in order, are
in `triangle_attn_op.flash_attn_interface`, as that package's are in a module of this name.

Source: Dao, "FlashAttention-2", 2023; the parameter lists are those of flash-attn 2.8.
"""

from __future__ import annotations

from torch import Tensor

from . import _cached, _call

Result = Tensor | tuple[Tensor, Tensor, None]

__all__ = [
    "flash_attn_func",
    "flash_attn_kvpacked_func",
    "flash_attn_qkvpacked_func",
    "flash_attn_varlen_func",
    "flash_attn_varlen_kvpacked_func",
    "flash_attn_varlen_qkvpacked_func",
    "flash_attn_with_kvcache",
]


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Result:
    """Attention of q `[B, Sq, Hq, D]` over k `[B, Sk, Hkv, D]`, v `[B, Sk, Hkv, Dv]`, Hq a multiple of Hkv.

    Returns out `[B, Sq, Hq, Dv]`; with `return_attn_probs` (out, softmax_lse `[B, Hq, Sq]`, None).
    """
    out, lse = _call.dense(
        q,
        k,
        v,
        dropout_p=dropout_p,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
        deterministic=deterministic,
    )
    return (out, lse, None) if return_attn_probs else out


def flash_attn_kvpacked_func(
    q: Tensor,
    kv: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Result:
    """`flash_attn_func` of k and v in one tensor, kv `[B, Sk, 2, Hkv, D]`, read in place."""
    k, v = _parts(kv, "kv", 2, 5)
    return flash_attn_func(
        q,
        k,
        v,
        dropout_p,
        softmax_scale,
        causal,
        window_size,
        softcap,
        alibi_slopes,
        deterministic,
        return_attn_probs,
    )


def flash_attn_qkvpacked_func(
    qkv: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Result:
    """`flash_attn_func` of q, k and v in one tensor, qkv `[B, S, 3, H, D]`, read in place."""
    q, k, v = _parts(qkv, "qkv", 3, 5)
    return flash_attn_func(
        q,
        k,
        v,
        dropout_p,
        softmax_scale,
        causal,
        window_size,
        softcap,
        alibi_slopes,
        deterministic,
        return_attn_probs,
    )


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
    block_table: Tensor | None = None,
) -> Result:
    """Attention of packed sequences: q `[Tq, Hq, D]`, k `[Tk, Hkv, D]`, v `[Tk, Hkv, Dv]`, offsets int32 `[B + 1]`.

    Without `causal`, bounds of a window need sequences of equal lengths in q and k: one tensor given for both offsets.

    block_table: int32 `[B, max_pages]`, with which k and v are the pages of a cache, `[pages, page_size, Hkv, D]`, and
    cu_seqlens_k says how many keys each sequence has. Inference only, without dropout, causal or one row a sequence.

    Returns out `[Tq, Hq, Dv]`; with `return_attn_probs` (out, softmax_lse `[Hq, Tq]`, None).
    """
    if block_table is not None:
        if dropout_p != 0.0:
            raise NotImplementedError(f"dropout_p: expected 0.0 with block_table, got {dropout_p}")
        out, lse = _cached.with_kvcache(
            q,
            k,
            v,
            None,
            None,
            cache_seqlens=cu_seqlens_k.diff(),
            cache_batch_idx=None,
            block_table=block_table,
            softmax_scale=softmax_scale,
            causal=causal,
            window_size=window_size,
            softcap=softcap,
            alibi_slopes=alibi_slopes,
            cu_seq_q=cu_seqlens_q,
            max_q=max_seqlen_q,
        )
        return (out, lse, None) if return_attn_probs else out
    out, lse = _call.packed(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        dropout_p=dropout_p,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
        deterministic=deterministic,
    )
    return (out, lse, None) if return_attn_probs else out


def flash_attn_varlen_kvpacked_func(
    q: Tensor,
    kv: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Result:
    """`flash_attn_varlen_func` of k and v in one tensor, kv `[Tk, 2, Hkv, D]`, read in place."""
    k, v = _parts(kv, "kv", 2, 4)
    return flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        dropout_p,
        softmax_scale,
        causal,
        window_size,
        softcap,
        alibi_slopes,
        deterministic,
        return_attn_probs,
    )


def flash_attn_varlen_qkvpacked_func(
    qkv: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Result:
    """`flash_attn_varlen_func` of q, k and v in one tensor, qkv `[T, 3, H, D]`, read in place."""
    q, k, v = _parts(qkv, "qkv", 3, 4)
    return flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens,
        cu_seqlens,
        max_seqlen,
        max_seqlen,
        dropout_p,
        softmax_scale,
        causal,
        window_size,
        softcap,
        alibi_slopes,
        deterministic,
        return_attn_probs,
    )


def flash_attn_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    k: Tensor | None = None,
    v: Tensor | None = None,
    rotary_cos: Tensor | None = None,
    rotary_sin: Tensor | None = None,
    cache_seqlens: int | Tensor | None = None,
    cache_batch_idx: Tensor | None = None,
    cache_leftpad: Tensor | None = None,
    block_table: Tensor | None = None,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    rotary_interleaved: bool = True,
    alibi_slopes: Tensor | None = None,
    num_splits: int = 0,
    return_softmax_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Attention of q `[B, Sq, Hq, D]` over the keys and values of a cache, to which k and v `[B, new, Hkv, D]` are
    appended in place first. Inference only.

    k_cache, v_cache: `[B_cache, S_cache, Hkv, D]`, or with block_table int32 `[B, max_pages]` pages `[pages, page_size,
    Hkv, D]` of a multiple of 16 keys. cache_seqlens: int, or int32 `[B]`, keys before the call; None: the whole cache.
    cache_batch_idx: int32 `[B]`, each sequence's entry. `num_splits` has no effect: keys are split between threads in
    fixed pieces, so that results do not depend on it.

    More rows of q than keys, and entries that two sequences append to, are errors. Rotary embedding, which
    FlashAttention can apply in the same call, is expected to be applied before; `cache_leftpad` is not supported.

    Returns out `[B, Sq, Hq, Dv]`; with `return_softmax_lse` (out, softmax_lse `[B, Hq, Sq]`).
    """
    _call.refuse(rotary_cos=rotary_cos, rotary_sin=rotary_sin, cache_leftpad=cache_leftpad)
    out, lse = _cached.with_kvcache(
        q,
        k_cache,
        v_cache,
        k,
        v,
        cache_seqlens=cache_seqlens,
        cache_batch_idx=cache_batch_idx,
        block_table=block_table,
        softmax_scale=softmax_scale,
        causal=causal,
        window_size=window_size,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
    )
    return (out, lse) if return_softmax_lse else out


def _parts(t: Tensor, name: str, count: int, rank: int) -> tuple[Tensor, ...]:
    if t.dim() != rank or t.shape[-3] != count:
        leading = "batch, sequence" if rank == 5 else "tokens"
        raise ValueError(f"{name}: expected [{leading}, {count}, heads, head size], got shape {list(t.shape)}")
    return t.unbind(-3)
