"""Packed documents in transformers: recognised in its mask functions or given as offsets, and computed as such, so that
nothing of size S x S is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triangle_attn_op.functional import triangle_attention_varlen
from triangle_attn_op.integrations._transformers_mask import CausalMask, Documents, OpaqueMask
from triangle_attn_op.integrations._transformers_rules import free_variables, is_causal, parts


def documents_in(mask_function: Callable[..., Any], window: int | None) -> Documents | None:
    """The documents of a mask function that says nothing but them, the causal rule and a window of that size; None for
    any other.

    On a device other than the CPU their number is read back, once a pass, as transformers has done to find them.
    Compiled code reads nothing back: there are as many documents as tokens, those beyond the last one empty.
    """
    both = parts(mask_function)
    if len(both) != 2:
        return None
    ids = free_variables(both[1]).get("packed_sequence_mask")
    remapped = free_variables(both[0])  # positions counted within the document: the same distances
    rule = remapped["mask_function"] if remapped.keys() == {"mask_function", "position_ids"} else both[0]
    if not isinstance(ids, Tensor) or not is_causal(rule, window):
        return None
    begins = torch.ones_like(ids, dtype=torch.bool)
    begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
    if torch.compiler.is_compiling():
        offsets = _offsets_of_any_number(begins.flatten())
        return Documents(offsets, offsets, ids.shape[1], ids.shape[1])
    starts = begins.flatten().nonzero().squeeze(1).int()
    offsets = torch.cat([starts, starts.new_full((1,), ids.numel())])
    longest = int(offsets.diff().max()) if ids.device.type == "cpu" else ids.shape[1]
    return Documents(offsets, offsets, longest, longest)


def _offsets_of_any_number(begins: Tensor) -> Tensor:
    """int32 `[T + 1]`: where the documents begin, then T for those that are empty. begins: bool `[T]`."""
    count = begins.shape[0]
    rows = torch.arange(count, dtype=torch.int32, device=begins.device)
    starts = torch.where(begins, rows, count).int().sort().values
    return torch.cat([starts, starts.new_full((1,), count)])


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
        says_more = any(part is not None for part in (mask.padding, mask.written, mask.intervals))
    if says_more:
        raise ValueError("attention_mask: expected None beside cu_seq_lens_q, and no rule of the model's own")
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
