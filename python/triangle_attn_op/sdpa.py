"""`scaled_dot_product_attention` with PyTorch's signature, for models that call it."""

from __future__ import annotations

from torch import Tensor

from ._checks import _shape, _tensor
from .functional import triangle_attention


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """`torch.nn.functional.scaled_dot_product_attention` on triangle attention: exact, O(S) memory, differentiable.

    Args:
        query: `[..., Hq, L, E]` of two dimensions or more; key `[..., Hkv, S, E]` and value `[..., Hkv, S, Ev]`, whose
            leading dimensions broadcast with query's. The dimension of heads, which is the first of three, does not,
            but for Hkv = 1, of key and value alike.
        attn_mask: bool (True = may attend) or float in query's dtype or float32, added to the scores; broadcastable to
            `[..., Hq, L, S]`. Its gradient is not computed.
        dropout_p: always applied: pass 0.0 for evaluation.
        is_causal: query i sees keys j <= i (top-left), and attn_mask is None. Without it every pair is computed.
        scale: of the scores, 1/sqrt(E) by default.
        enable_gqa: whether Hq may be a multiple of Hkv; Hkv = 1 broadcasts without it.

    Returns:
        `[..., Hq, L, Ev]`; a row that sees no key is 0.

    Raises:
        ValueError, TypeError: an argument is wrong; the message names it, or the operator's name for it (q, k, v).
    """
    for name, t in (("query", query), ("key", key), ("value", value)):
        _tensor(name, t)
        if t.dim() < 2:
            raise ValueError(f"{name}: expected at least 2 dimensions [..., L, E], got shape {_shape(t)}")
    if is_causal and attn_mask is not None:
        raise ValueError("attn_mask: expected None with is_causal=True")
    dims = max(query.dim(), key.dim(), value.dim())
    q, k, v = (_padded(t, max(dims, 4)) for t in (query, key, value))
    if not enable_gqa and k.shape[-3] != q.shape[-3] and k.shape[-3] != 1:
        raise ValueError(
            f"enable_gqa: expected True where query has another number of heads than key, got {q.shape[-3]} and "
            f"{k.shape[-3]}"
        )
    batch = _broadcast(query=q, key=k, value=v)
    q, k, v = (t.expand(*batch, *t.shape[-3:]).flatten(0, -4) for t in (q, k, v))
    if attn_mask is not None:
        _tensor("attn_mask", attn_mask)
        if attn_mask.dim() > 3:
            attn_mask = _padded(attn_mask, len(batch) + 3)
            leading = attn_mask.shape[:-3]
            whole = leading if all(size == 1 for size in leading) else batch
            if any(size not in (1, wanted) for size, wanted in zip(leading, whole)):
                raise ValueError(f"attn_mask: expected leading dimensions that broadcast to {batch}, got {leading}")
            attn_mask = attn_mask.expand(*whole, *attn_mask.shape[-3:]).flatten(0, -4)
    diagonal = 0 if is_causal else max(k.shape[-2] - 1, 0)
    out = triangle_attention(q, k, v, attn_mask=attn_mask, scale=scale, dropout_p=dropout_p, diagonal=diagonal)
    return out.unflatten(0, batch)[(0,) * (max(dims, 4) - dims)]


def _padded(t: Tensor, dims: int) -> Tensor:
    """With leading dimensions of 1."""
    return t[(None,) * (dims - t.dim())] if t.dim() < dims else t


def _broadcast(**tensors: Tensor) -> list[int]:
    """The common sizes of all dimensions before the last three."""
    first = next(iter(tensors.values()))
    sizes = [1] * (first.dim() - 3)
    for name, t in tensors.items():
        for i, size in enumerate(t.shape[:-3]):
            if size != 1 and sizes[i] not in (1, size):
                raise ValueError(f"{name}: expected leading dimensions that broadcast to {sizes}, got {_shape(t)}")
            if size != 1:
                sizes[i] = size
    return sizes
