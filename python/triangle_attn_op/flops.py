"""Floating-point operations of triangle attention: exact for causal and windowed shapes, an upper bound for packed
ones.
"""

from __future__ import annotations

from typing import Any


def visible_pairs(sq: int, sk: int, diagonal: int, window_size_left: int | None = None) -> int:
    """Pairs (query i, key j) with max(0, p - window_size_left) <= j <= min(p, sk - 1) and p = i + diagonal."""

    def below(shift: int) -> int:
        """Sum over i in [0, sq) of clamp(i + shift, 0, sk)."""
        first = min(max(-shift, 0), sq)  # rows before this one count 0
        last = min(max(sk - shift, first), sq)  # rows from this one on count sk
        ramp = (last - first) * (first + last - 1 + 2 * shift) // 2
        return ramp + (sq - last) * sk

    hidden = 0 if window_size_left is None else below(diagonal - window_size_left)
    return below(diagonal + 1) - hidden


def attention_flops(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    cu_seq_q: Any = None,
    cu_seq_k: Any = None,
    *_: Any,
    backward: bool,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    max_q: int | None = None,
    max_k: int | None = None,
    **__: Any,
) -> int:
    """2 (D + Dv) a visible pair forward, 2 (3 D + 2 Dv) backward; masks are ignored. q, k, v are shapes.

    Packed sequences: a bound from T and the longest document, for the lengths themselves lie on the device.
    """
    dim, dim_v = q[-1], v[-1]
    per_pair = 2 * (3 * dim + 2 * dim_v) if backward else 2 * (dim + dim_v)
    if cu_seq_q is None:
        batch, heads, sq, _ = q
        sk = k[2]
        if diagonal is None:
            diagonal = sk - sq if alignment == "bottom_right" else 0
        return per_pair * batch * heads * visible_pairs(sq, sk, diagonal, window_size_left)
    rows, heads, _ = q
    keys = min(k[0], max_k if max_k is not None else k[0])
    if window_size_left is not None:
        keys = min(keys, window_size_left + 1)
    return per_pair * heads * rows * keys
