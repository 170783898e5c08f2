"""Packed documents in transformers: recognised in its mask functions or given as offsets, and computed as such, so that
nothing of size S x S is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import causal_mask_function

from triangle_attn_op.functional import triangle_attention_varlen
from triangle_attn_op.integrations._transformers_mask import CausalMask, Documents, OpaqueMask


def documents_in(mask_function: Callable[..., Any], window: int | None) -> Documents | None:
    """The documents of a mask function that says nothing but them, the causal rule and a window of that size; None for
    any other. On a device other than the CPU their number is read back, once a pass, as transformers has done to find
    them."""
    parts = _parts(mask_function)
    if len(parts) != 2:
        return None
    ids = free_variables(parts[1]).get("packed_sequence_mask")
    remapped = free_variables(parts[0])  # positions counted within the document: the same distances
    rule = remapped["mask_function"] if remapped.keys() == {"mask_function", "position_ids"} else parts[0]
    if not isinstance(ids, Tensor) or not _is_causal(rule, window):
        return None
    first = torch.ones_like(ids, dtype=torch.bool)
    first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    starts = first.flatten().nonzero().squeeze(1).int()
    offsets = torch.cat([starts, starts.new_full((1,), ids.numel())])
    longest = int(offsets.diff().max()) if ids.device.type == "cpu" else ids.shape[1]
    return Documents(offsets, offsets, longest, longest)


def _is_causal(rule: Callable[..., Any], window: int | None) -> bool:
    if window is None:
        return rule is causal_mask_function
    parts = _parts(rule)
    return (
        len(parts) == 2 and parts[1] is causal_mask_function and free_variables(parts[0]) == {"sliding_window": window}
    )


def _parts(function: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """What transformers' and_masks intersects; nothing for another function."""
    if getattr(function, "__name__", "") != "and_mask":
        return ()
    return tuple(free_variables(function).get("mask_functions", ()))


def free_variables(function: Callable[..., Any]) -> dict[str, Any]:
    code, closure = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or closure is None:
        return {}
    return dict(zip(code.co_freevars, (cell.cell_contents for cell in closure)))


def documents_given(mask: Tensor | OpaqueMask | None, offsets: dict[str, Any]) -> Documents | None:
    """The documents of the keywords that transformers calls `cu_seq_lens_q`, `cu_seq_lens_k`, `max_length_q` and
    `max_length_k`; None where the offsets are not given.

    Raises:
        ValueError: some but not all are given, or there is a mask that they do not say.
    """
    if offsets["cu_seq_lens_q"] is None and offsets["cu_seq_lens_k"] is None:
        return None
    for name, value in offsets.items():
        if value is None:
            raise ValueError(f"{name}: expected beside {', '.join(other for other in offsets if other != name)}")
    says_more = mask is not None
    if isinstance(mask, CausalMask):
        says_more = mask.padding is not None or mask.written is not None
    if says_more:
        raise ValueError(
            "attention_mask: expected None beside cu_seq_lens_q, and no rule of the model's own; compiled code takes "
            "packed documents as position_ids alone"
        )
    return Documents(
        offsets["cu_seq_lens_q"].int(), offsets["cu_seq_lens_k"].int(), offsets["max_length_q"], offsets["max_length_k"]
    )


def packed_attention(query: Tensor, key: Tensor, value: Tensor, documents: Documents, **options: Any) -> Tensor:
    """query `[B, Hq, Sq, D]`, key and value `[B, Hkv, Sk, D]` -> `[B, Sq, Hq, Dv]`; rows are counted through the
    batch."""
    batch, heads, q_length, _ = query.shape
    q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in (query, key, value))
    offsets = (documents.cu_seq_q, documents.cu_seq_k, documents.max_q, documents.max_k)
    out: Tensor = triangle_attention_varlen(q, k, v, *offsets, **options)
    return out.view(batch, q_length, heads, value.shape[-1])
