"""Attention over keys and values in a cache, for inference: `triangle_attention_with_kvcache`, and the Python half of
its operator `triangle::attn_kvcache` (shapes for compilers, what autograd is told, FLOP counts).

A row's bits are those of `triangle_attention` over the same tokens, whatever else is in the call, however the prompt
was cut and wherever the pages lie.

Schema: csrc/schema.cpp. Kernels: csrc/cpu_kvcache.cpp, op_kernel/forward_cache.cpp.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from . import ops
from ._cache_checks import check_inference, check_kvcache

attn_kvcache = torch.ops.triangle.attn_kvcache.default


@overload
def triangle_attention_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    *,
    k: Tensor | None = ...,
    v: Tensor | None = ...,
    block_table: Tensor | None = ...,
    cu_seq_q: Tensor | None = ...,
    max_q: int | None = ...,
    cache_batch_idx: Tensor | None = ...,
    scale: float | None = ...,
    window_size_left: int | None = ...,
    softcap: float | None = ...,
    alibi_slopes: Tensor | None = ...,
    sinks: Tensor | None = ...,
    return_lse: Literal[False] = ...,
) -> Tensor: ...


@overload
def triangle_attention_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    *,
    k: Tensor | None = ...,
    v: Tensor | None = ...,
    block_table: Tensor | None = ...,
    cu_seq_q: Tensor | None = ...,
    max_q: int | None = ...,
    cache_batch_idx: Tensor | None = ...,
    scale: float | None = ...,
    window_size_left: int | None = ...,
    softcap: float | None = ...,
    alibi_slopes: Tensor | None = ...,
    sinks: Tensor | None = ...,
    return_lse: Literal[True],
) -> tuple[Tensor, Tensor]: ...


def triangle_attention_with_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    *,
    k: Tensor | None = None,
    v: Tensor | None = None,
    block_table: Tensor | None = None,
    cu_seq_q: Tensor | None = None,
    max_q: int | None = None,
    cache_batch_idx: Tensor | None = None,
    scale: float | None = None,
    window_size_left: int | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    sinks: Tensor | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Causal attention of the last rows of each sequence over the keys and values of its cache, which are read in
    place. Inference only.

    The last of a sequence's rows sits at its last key (bottom-right). One token of each sequence, a chunk of a prompt,
    a speculative run of tokens and any mix of them in one packed call have the bits of `triangle_attention` over the
    same tokens. Keys are split over threads, so that a single sequence uses them all.

    Args:
        q: `[B, Sq, Hq, D]`, or with cu_seq_q packed `[T, Hq, D]`, each sequence with a number of rows of its own.
        k_cache: `[B_cache, S_cache, Hkv, D]`, or with block_table pages `[pages, page_size, Hkv, D]`, page_size a
            multiple of 16; q's dtype, any strides with a contiguous last dimension.
        v_cache: k_cache's sizes, `Dv` for the last dimension.
        cache_seqlens: int32 `[B]` on q's device, keys of each sequence in its cache before this call. Without k and v
            they are the keys to attend to. 0 and no k: an idle place, whose rows see nothing.
        k, v: `[B, Sq, Hkv, D]` and `[B, Sq, Hkv, Dv]`, or packed as q: appended in place first. Without cu_seq_q their
            rows may be more or fewer than q's.
        block_table: int32 `[B, max_pages]`: key j of sequence b is row j % page_size of page block_table[b, j //
            page_size]. Pages that hold no visible key are not read, nor their numbers. Sequences may share pages that
            none of them appends to.
        cu_seq_q: int32 `[B + 1]` on q's device: sequence b has rows cu_seq_q[b] to cu_seq_q[b + 1] of q. Rows outside
            see nothing.
        max_q: upper bound of a sequence's rows in packed q.
        cache_batch_idx: int32 `[B]`, the entry of k_cache that each sequence has; by default its own number, and
            B_cache is then B.
        scale, window_size_left, softcap, alibi_slopes `[Hq]` or `[B, Hq]`, sinks `[Hq]`: as `triangle_attention`'s.
        return_lse: also return the log-sum-exp of each row's scores.

    Returns:
        `[B, Sq, Hq, Dv]` or `[T, Hq, Dv]`, contiguous, in q's dtype; with `return_lse` also lse `[B, Hq, Sq]` or
        `[T, Hq]`, float32 (float64 for float64 input). The caller adds to cache_seqlens what was appended.

    Raises:
        ValueError, TypeError: an argument's shape, value, dtype or device is wrong; the message names it. On the CPU
            values are checked too: lengths past the cache, more rows than keys, page numbers out of range, two
            sequences that append to one place. The caches are then as they were. In compiled code these are
            RuntimeErrors with the same words.
            On an NPU values are clamped instead, and fp32 and fp64 are a TypeError.

    Source: Dao, "FlashAttention-2", 2023 (`flash_attn_with_kvcache`); Kwon et al., "Efficient Memory Management for
        Large Language Model Serving with PagedAttention", 2023.
    """
    if isinstance(q, Tensor):
        q, *fresh = ops.autocast(q, *(t for t in (k, v) if isinstance(t, Tensor)))
        if len(fresh) == 2:
            k, v = fresh
        sinks = ops.autocast_sinks(q, sinks)
    check_inference(q=q, k_cache=k_cache, v_cache=v_cache, k=k, v=v, alibi_slopes=alibi_slopes, sinks=sinks)
    options = check_kvcache(
        q,
        k_cache,
        v_cache,
        cache_seqlens,
        k=k,
        v=v,
        block_table=block_table,
        cu_seq_q=cu_seq_q,
        max_q=max_q,
        cache_batch_idx=cache_batch_idx,
        scale=scale,
        window_size_left=window_size_left,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
        sinks=sinks,
    )
    tensors = (q, k_cache, v_cache, cache_seqlens, k, v, block_table, cu_seq_q, cache_batch_idx, alibi_slopes, sinks)
    out, lse = _run(*tensors, **options)
    return (out, lse) if return_lse else out


def _run(*tensors: Tensor | None, **options: Any) -> tuple[Tensor, Tensor]:
    if torch.compiler.is_compiling():
        return attn_kvcache(*tensors, **options)
    try:
        return attn_kvcache(*tensors, **options)
    except RuntimeError as error:
        raise ops.translated(error) from None


# The operator

_NAMES = [a.name for a in attn_kvcache._schema.arguments if not a.kwarg_only]


def _named(args: tuple[Any, ...]) -> dict[str, Any]:
    """The tensors by name; the dispatcher drops arguments that have their defaults."""
    return dict.fromkeys(_NAMES) | dict(zip(_NAMES, args))


@torch.library.register_fake("triangle::attn_kvcache")
def _fake(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    given = _named(args) | {name: options.pop(name) for name in _NAMES if name in options}
    numbers: dict[str, Any] = dict.fromkeys(("max_q", "scale", "window_size_left", "softcap")) | options
    check_kvcache(**given, **numbers)
    q = given["q"]
    out = q.new_empty([*q.shape[:-1], given["v_cache"].shape[-1]])
    sizes = q.shape[:2] if given["cu_seq_q"] is not None else (q.shape[0], q.shape[2], q.shape[1])
    return out, q.new_empty(sizes, dtype=torch.float64 if q.dtype is torch.float64 else torch.float32)


def _autograd(keyset: Any, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    given = _named(args)
    check_inference(**{name: t for name, t in given.items() if t is None or t.is_floating_point()})
    with torch._C._AutoDispatchBelowAutograd():
        return attn_kvcache.redispatch(keyset & torch._C._after_autograd_keyset, *args, **options)


def _mutation(keyset: Any, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """Tells autograd of what is written: a tensor that a graph saved before is then found to have changed."""
    given = _named(args)
    for cache in (given["k_cache"], given["v_cache"]):
        if given["k"] is not None and not cache.is_inference():  # those have no version
            torch.autograd.graph.increment_version(cache)
    with torch._C._AutoDispatchBelowADInplaceOrView():
        return attn_kvcache.redispatch(keyset & torch._C._after_ADInplaceOrView_keyset, *args, **options)


ops._fragment.impl("attn_kvcache", _autograd, "Autograd", with_keyset=True)
ops._fragment.impl("attn_kvcache", _mutation, "ADInplaceOrView", with_keyset=True)


@register_flop_formula(torch.ops.triangle.attn_kvcache)
def _flops(q: Any, k_cache: Any, v_cache: Any, *args: Any, out_shape: Any = None, **options: Any) -> int:
    """An upper bound, as lengths are not looked at: every row sees all that its sequence has room for."""
    given = dict(zip(_NAMES[3:], args)) | options
    table = given.get("block_table")
    room = k_cache[1] * (1 if table is None else table[1])
    if options.get("window_size_left") is not None:
        room = min(room, options["window_size_left"] + 1)
    rows = q[0] * (q[1] if len(q) == 4 else 1)
    return 2 * rows * q[-2] * room * (q[-1] + v_cache[-1])
