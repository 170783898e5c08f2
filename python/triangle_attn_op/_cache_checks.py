"""The checks of `triangle_attention_with_kvcache`'s arguments: shapes, dtypes and devices, as in `_checks`. What only
values say (lengths, page numbers, entries) the operator checks, on the CPU always.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _checks, _numbers
from ._checks import DTYPES, _shape, _tensor
from ._numbers import holds


def check_inference(**tensors: Tensor | None) -> None:
    """No gradient goes through a cache: an error, where PyTorch would leave one out in silence."""
    if torch.is_grad_enabled():
        for name, t in tensors.items():
            if isinstance(t, Tensor) and t.requires_grad:
                raise ValueError(
                    f"{name}: expected requires_grad=False or torch.no_grad(), since attention over a cache has no "
                    "gradient; triangle_attention has"
                )
    if torch.autograd.forward_ad._current_level >= 0:
        for t in tensors.values():
            if isinstance(t, Tensor) and torch.autograd.forward_ad.unpack_dual(t).tangent is not None:
                raise NotImplementedError("triangle attention: forward-mode AD is not supported over a cache")


def _floats(name: str, t: Any, q: Tensor, layout: str) -> None:
    _tensor(name, t)
    rank = layout.count(",") + 1
    if t.dim() != rank:
        raise ValueError(f"{name}: expected {rank} dimensions [{layout}], got shape {_shape(t)}")
    if t.dtype not in DTYPES:
        raise TypeError(f"{name}: expected float32, bfloat16, float16 or float64, got {t.dtype}")
    if t.dtype != q.dtype:
        raise TypeError(f"{name}: expected q's dtype {q.dtype}, got {t.dtype}")
    if t.device != q.device:
        raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")


def _ints(name: str, t: Any, q: Tensor, batch: Any, layout: str) -> None:
    _tensor(name, t)
    if t.dtype is not torch.int32:
        raise TypeError(f"{name}: expected int32 [{layout}], got {t.dtype}")
    if t.dim() != layout.count(",") + 1 or holds(t.shape[0] != batch):
        raise ValueError(f"{name}: expected int32 [{layout}] with B = {batch} sequences, got shape {_shape(t)}")
    if t.device != q.device:
        raise ValueError(f"{name}: expected q's device {q.device}, got {t.device}")
    if holds(t.shape[-1] > 1) and holds(t.stride(-1) != 1):
        raise ValueError(f"{name}: expected a contiguous last dimension, got strides {tuple(t.stride())}")


def _cache(name: str, t: Tensor, appended: bool) -> None:
    if holds(t.shape[-1] > 1) and holds(t.stride(-1) != 1):
        raise ValueError(
            f"{name}: expected a contiguous last dimension, since it is used in place, got strides {tuple(t.stride())}"
        )
    if appended and any(holds(size > 1) and holds(stride == 0) for size, stride in zip(t.shape, t.stride())):
        raise ValueError(
            f"{name}: expected memory of its own for each element, since k and v are appended to it, got strides "
            f"{tuple(t.stride())}"
        )


def check_kvcache(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    cache_seqlens: Tensor,
    *,
    k: Tensor | None,
    v: Tensor | None,
    block_table: Tensor | None,
    cu_seq_q: Tensor | None,
    max_q: int | None,
    cache_batch_idx: Tensor | None,
    scale: float | None,
    window_size_left: int | None,
    softcap: float | None,
    alibi_slopes: Tensor | None,
    sinks: Tensor | None,
) -> dict[str, Any]:
    """ValueError or TypeError names the argument. Returns max_q, scale, window_size_left and softcap as the operator
    takes them.
    """
    _tensor("q", q)
    options = _checks._options(
        scale, "bottom_right", None, window_size_left, 0.0, alibi_slopes, softcap, sinks, None, q.dtype
    )
    packed, paged = cu_seq_q is not None, block_table is not None
    _floats("q", q, q, "T, Hq, D" if packed else "B, Sq, Hq, D")
    layout = "pages, page_size, Hkv, D" if paged else "B_cache, S_cache, Hkv, D"
    _floats("k_cache", k_cache, q, layout)
    _floats("v_cache", v_cache, q, layout)
    batch = q.shape[0]
    if cu_seq_q is not None:
        _tensor("cu_seq_q", cu_seq_q)
        _tensor("cache_seqlens", cache_seqlens)
        if cache_seqlens.dim() != 1:
            raise ValueError(f"cache_seqlens: expected int32 [B], got shape {_shape(cache_seqlens)}")
        if cu_seq_q.dim() == 1 and holds(cu_seq_q.shape[0] < 1):
            raise ValueError("cu_seq_q: expected int32 [B + 1], got shape [0]")
        batch = cu_seq_q.shape[0] - 1 if cu_seq_q.dim() == 1 else cache_seqlens.shape[0]
        _ints("cu_seq_q", cu_seq_q, q, batch + 1, "B + 1")
    if max_q is not None:
        max_q = _numbers.integer("max_q", max_q, " or None")
        if not packed:
            raise ValueError(f"max_q: expected None without cu_seq_q, got {max_q}")
        if holds(max_q < 0):
            raise ValueError(f"max_q: expected an upper bound of a sequence's rows, >= 0, got {max_q}")

    heads_q, heads_kv, dim = q.shape[-2], k_cache.shape[2], q.shape[-1]
    if holds(heads_q != 0) if holds(heads_kv == 0) else holds(heads_q % heads_kv != 0):
        raise ValueError(f"k_cache: expected [{layout}] with Hq % Hkv == 0, got Hq = {heads_q}, Hkv = {heads_kv}")
    if holds(k_cache.shape[3] != dim):
        raise ValueError(f"k_cache: expected [{layout}] with q's head dimension {dim}, got shape {_shape(k_cache)}")
    if any(holds(a != b) for a, b in zip(v_cache.shape[:-1], k_cache.shape[:-1])):
        raise ValueError(
            f"v_cache: expected k_cache's sizes {_shape(k_cache)} but for the last dimension, got {_shape(v_cache)}"
        )
    _ints("cache_seqlens", cache_seqlens, q, batch, "B")
    if block_table is not None:
        _ints("block_table", block_table, q, batch, "B, max_pages")
        size = k_cache.shape[1]
        if holds(size == 0) or holds(size % 16 != 0):
            raise ValueError(f"k_cache: expected [{layout}] with a page_size that is a multiple of 16, got {size}")
        if cache_batch_idx is not None:
            raise ValueError("cache_batch_idx: expected None with block_table, which says where each sequence lies")
    elif cache_batch_idx is not None:
        _ints("cache_batch_idx", cache_batch_idx, q, batch, "B")
    elif holds(k_cache.shape[0] != batch):
        raise ValueError(
            f"k_cache: expected [{layout}] with an entry for each of {batch} sequences, or cache_batch_idx, got shape "
            f"{_shape(k_cache)}"
        )

    for name, given, other in (("k", k, v), ("v", v, k)):
        if given is None and other is not None:
            raise ValueError(f"{name}: expected a Tensor beside the other of k and v, got None")
    if k is not None and v is not None:
        of_new = "T, Hkv, D" if packed else "B, Sq, Hkv, D"
        _floats("k", k, q, of_new)
        _floats("v", v, q, of_new)
        wanted = (q.shape[0], heads_kv, dim)
        if any(holds(a != b) for a, b in zip((k.shape[0], *k.shape[-2:]), wanted)):
            raise ValueError(
                f"k: expected [{of_new}] with q's {wanted[0]}, k_cache's Hkv = {heads_kv} and D = {dim}, got shape "
                f"{_shape(k)}"
            )
        if any(holds(a != b) for a, b in zip(v.shape, (*k.shape[:-1], v_cache.shape[-1]))):
            raise ValueError(
                f"v: expected k's sizes {_shape(k)} with v_cache's last dimension {v_cache.shape[-1]}, got {_shape(v)}"
            )
    _cache("k_cache", k_cache, k is not None)
    _cache("v_cache", v_cache, k is not None)
    _checks._bends(q if packed else q.transpose(1, 2), batch, alibi_slopes, sinks)
    return {"max_q": max_q, **{name: options[name] for name in ("scale", "window_size_left", "softcap")}}
