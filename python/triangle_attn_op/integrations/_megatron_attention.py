"""What the Megatron-Core class and MindSpeed's patch share: attention in Megatron's layouts, and what is refused.

Nothing here needs more of Megatron-Core than any version has: MindSpeed runs on 0.12, the class on 0.16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..functional import triangle_attention_varlen
from ..ops import dense

# Names of Megatron's AttnMaskType; not every version has every one.
CAUSAL_MASKS = ("causal", "padding_causal", "causal_bottom_right")
# Configuration switches that change the scores or the softmax, with the values that mean "off".
UNSUPPORTED = {
    "softmax_type": "vanilla",
    "qk_clip": False,
    "log_max_attention_logit": False,
    "fp8_dot_product_attention": False,
    "fp8_multi_head_attention": False,
    "hybrid_context_parallel": False,
}


def unsupported(config: Any, takes: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the switches of a TransformerConfig or of parsed arguments, or None; `takes` names those that
    the caller looks at itself.
    """
    for name, off in UNSUPPORTED.items():
        if name in takes:
            continue
        if getattr(config, name, off) != off:
            return f"{name}: not supported by triangle attention, expected {off!r}, got {getattr(config, name)!r}"
    return None


def is_causal(mask_type: Any) -> bool:
    """Whether an AttnMaskType is the causal rule."""
    return mask_type.name in CAUSAL_MASKS


def causal_window(config: Any, layer_number: int) -> int | None:
    """Keys behind the query that this layer sees, or None for all; layers are counted from 1."""
    window = getattr(config, "window_size", None)
    skip = getattr(config, "window_attn_skip_freq", None)
    if not window:
        return None
    if skip is not None and not (layer_number % skip if isinstance(skip, int) else skip[layer_number - 1]):
        return None
    left, right = window
    if right != 0:
        raise ValueError(f"window_size: expected a causal window (left, 0), got {tuple(window)}")
    return None if left < 0 else int(left)


def dense_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scale: float | None,
    window_size_left: int | None,
    dropout_p: float,
    sinks: Tensor | None = None,
) -> Tensor:
    """Megatron's layouts: query `[sq, b, np, d]`, key, value `[sk, b, ng, d]` -> `[sq, b, np, dv]`; attention_mask True
    = masked out. sinks `[np]`: Megatron's softmax_offset.
    """
    if attention_mask is not None and attention_mask.dtype is not torch.bool:
        raise TypeError(f"attention_mask: expected bool (True = masked out), got {attention_mask.dtype}")
    q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
    options: dict[str, Any] = {"scale": scale, "window_size_left": window_size_left, "dropout_p": dropout_p}
    return dense(q, k, v, hidden=attention_mask, sinks=sinks, **options)[0].permute(2, 0, 1, 3)


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Any,
    scale: float | None,
    window_size_left: int | None,
    dropout_p: float,
    sinks: Tensor | None = None,
) -> Tensor:
    """query `[t, np, d]`, key, value `[t, ng, d]` and Megatron's PackedSeqParams -> `[t, np, dv]`."""
    cu_q, cu_k = packed_offsets(packed, attention_mask)
    padded = packed.cu_seqlens_q_padded is not None
    max_q = query.shape[0] if padded or packed.max_seqlen_q is None else int(packed.max_seqlen_q)
    max_k = key.shape[0] if padded or packed.max_seqlen_kv is None else int(packed.max_seqlen_kv)
    options: dict[str, Any] = {"scale": scale, "window_size_left": window_size_left, "dropout_p": dropout_p}
    return triangle_attention_varlen(query, key, value, cu_q, cu_k, max_q, max_k, sinks=sinks, **options)


def packed_offsets(packed: Any, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """cu_seq_q and cu_seq_k. Padding at a document's end is seen by padding only, so padded offsets give each token its
    result.
    """
    if packed.qkv_format != "thd":
        raise ValueError(f"packed_seq_params: expected qkv_format 'thd', got {packed.qkv_format!r}")
    if getattr(packed, "local_cp_size", None) is not None:
        raise NotImplementedError(
            "packed_seq_params: context-parallel sizes of their own for documents are not supported"
        )
    if attention_mask is not None:
        raise ValueError(
            "attention_mask: expected None with packed_seq_params, whose documents are causal and never see each "
            f"other, got shape {list(attention_mask.shape)}"
        )
    cu_q = packed.cu_seqlens_q if packed.cu_seqlens_q_padded is None else packed.cu_seqlens_q_padded
    cu_k = packed.cu_seqlens_kv if packed.cu_seqlens_kv_padded is None else packed.cu_seqlens_kv_padded
    return cu_q.to(torch.int32), cu_k.to(torch.int32)
