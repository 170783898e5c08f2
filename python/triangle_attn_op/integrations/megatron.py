"""Triangle attention as Megatron-Core's core attention: a class for a `ModuleSpec`, and a function that puts it into a
layer spec.

    spec = with_triangle_attention(get_gpt_layer_local_spec(normalization="RMSNorm"))
    model = GPTModel(config, transformer_layer_spec=spec, ...)

Tested with megatron-core 0.16.1.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import tensor_parallel
from megatron.core.process_groups_config import ProcessGroupCollection
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.utils import is_layer_window_attention
from torch import Tensor

from ..arguments import add_arguments
from ..distributed import ContextLayout, ring_attention, ulysses_attention
from ..distributed.trade import check_heads
from ..functional import triangle_attention, triangle_attention_varlen

__all__ = ["TriangleCoreAttention", "add_arguments", "with_triangle_attention"]

CAUSAL_MASKS = (AttnMaskType.causal, AttnMaskType.padding_causal, AttnMaskType.causal_bottom_right)
# Configuration switches that change the scores or the softmax, with the values that mean "off".
UNSUPPORTED = {
    "softmax_type": "vanilla",
    "qk_clip": False,
    "log_max_attention_logit": False,
    "fp8_dot_product_attention": False,
    "fp8_multi_head_attention": False,
    "hybrid_context_parallel": False,
}


class TriangleCoreAttention(MegatronModule):
    """Megatron's `DotProductAttention` with triangle attention: the same constructor, `forward` and result.

    Grouped queries, the softmax scale, sliding windows (`window_size`, `window_attn_skip_freq`), packed sequences
    (`thd`), dropout under
    Megatron's RNG tracker, and context parallelism: `cp_comm_type` "p2p" (default) is a ring, "a2a" an all-to-all.
    Query-key layer
    scaling needs nothing: it divides and multiplies by the same number, to keep fp16 scores small, and here scores are
    float32.

    Raises:
        ValueError, NotImplementedError: at construction, for whatever it cannot honour, by name.
    """

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: AttnMaskType,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
        k_channels: int | None = None,
        v_channels: int | None = None,
    ) -> None:
        super().__init__(config=config)
        if attn_mask_type not in CAUSAL_MASKS:
            raise ValueError(
                f"attn_mask_type: expected a causal one, triangle attention has no other, got {attn_mask_type}"
            )
        if attention_type != "self":
            raise ValueError(f"attention_type: expected 'self', got {attention_type!r}")
        for name, off in UNSUPPORTED.items():
            if getattr(config, name, off) != off:
                raise NotImplementedError(
                    f"{name}: not supported by triangle attention, expected {off!r}, got {getattr(config, name)!r}"
                )
        self.layer_number = max(1, layer_number)
        self.attn_mask_type = attn_mask_type
        self.softmax_scale = softmax_scale  # None: 1/sqrt(head dimension), which the operator knows
        self.window_size_left = causal_window(config, self.layer_number)
        self.dropout_p = float(config.attention_dropout if attention_dropout is None else attention_dropout)
        if not 0.0 <= self.dropout_p < 1.0:
            raise ValueError(f"attention_dropout: expected 0 <= p < 1, got {self.dropout_p}")
        self._set_up_groups(cp_comm_type, pg_collection)

    def _set_up_groups(self, cp_comm_type: str | None, pg_collection: Any) -> None:
        config = self.config
        ranks = config.context_parallel_size
        if pg_collection is None:
            pg_collection = ProcessGroupCollection.use_mpu_process_groups(
                required_pgs=["tp", "cp"] if ranks > 1 else ["tp"]
            )
        self.cp_group: dist.ProcessGroup | None = pg_collection.cp if ranks > 1 else None
        self.cp_attention = {"p2p": ring_attention, "a2a": ulysses_attention}.get(cp_comm_type or "p2p")
        tp = pg_collection.tp.size()
        for name, heads in (
            ("num_attention_heads", config.num_attention_heads),
            ("num_query_groups", config.num_query_groups),
        ):
            if heads % tp:
                raise ValueError(f"{name}: expected a multiple of the tensor-parallel size {tp}, got {heads}")
        if ranks == 1:
            return
        if self.cp_attention is None:
            raise NotImplementedError(
                f"cp_comm_type: expected 'p2p' (ring) or 'a2a' (all-to-all), got {cp_comm_type!r}"
            )
        if self.dropout_p > 0.0:
            raise NotImplementedError(
                f"attention_dropout: not supported with context parallelism, expected 0.0, got {self.dropout_p}"
            )
        if self.cp_attention is ulysses_attention:
            try:
                check_heads(config.num_attention_heads // tp, config.num_query_groups // tp, ranks)
            except ValueError as error:
                raise ValueError(f"cp_comm_type: 'a2a' over {ranks} ranks, {tp} tensor-parallel: {error}") from None

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        /,
        *,
        attn_mask_type: AttnMaskType | None = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """query `[sq, b, np, d]`, key and value `[sk, b, ng, d]`, or `[t, heads, d]` with packed_seq_params; read in
        place.

        attention_mask: bool, True = masked out, broadcastable to `[b, np, sq, sk]`, on top of the causal rule; None is
            faster.
        Returns `[sq, b, np * dv]`, or `[t, np * dv]`.
        """
        if attention_bias is not None:
            raise NotImplementedError("attention_bias: not supported by triangle attention, expected None")
        decodes = (
            attn_mask_type is AttnMaskType.no_mask and query.shape[0] == 1
        )  # one new token sees all keys either way
        if attn_mask_type is not None and attn_mask_type not in CAUSAL_MASKS and not decodes:
            raise ValueError(f"attn_mask_type: expected a causal one, got {attn_mask_type}")
        if self.cp_group is not None and attention_mask is not None:
            raise NotImplementedError(
                "attention_mask: not supported with context parallelism, where the causal rule needs none "
                "(--no-create-attention-mask-in-dataloader)"
            )
        dropout_p = self.dropout_p if self.training else 0.0
        with self._dropout_state(dropout_p):
            if packed_seq_params is not None:
                return self._packed(query, key, value, attention_mask, packed_seq_params, dropout_p).flatten(1)
            return self._dense(query, key, value, attention_mask, dropout_p).flatten(2)

    def _dense(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, dropout_p: float
    ) -> Tensor:
        """-> `[sq, b, np, dv]`"""
        q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
        if self.cp_group is not None:
            assert self.cp_attention is not None
            out = self.cp_attention(
                q, k, v, group=self.cp_group, scale=self.softmax_scale, window_size_left=self.window_size_left
            )
            return out.permute(2, 0, 1, 3)
        return dense_attention(query, key, value, attention_mask, self.softmax_scale, self.window_size_left, dropout_p)

    def _packed(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packed: Any, dropout_p: float
    ) -> Tensor:
        """-> `[t, np, dv]`"""
        if self.cp_group is None:
            return packed_attention(
                query, key, value, attention_mask, packed, self.softmax_scale, self.window_size_left, dropout_p
            )
        cu_q, cu_k = _packed_offsets(packed, attention_mask)
        assert self.cp_attention is not None
        layout = _documents(packed, cu_q, cu_k, self.cp_group.size())
        options: dict[str, Any] = {"scale": self.softmax_scale, "window_size_left": self.window_size_left}
        return self.cp_attention(query, key, value, group=self.cp_group, layout=layout, **options)

    def _dropout_state(self, dropout_p: float) -> Any:
        """Tensor-parallel ranks hold different heads: Megatron's tracker gives them different random states."""
        if dropout_p == 0.0 or self.config.sequence_parallel:
            return nullcontext()
        return tensor_parallel.get_cuda_rng_tracker().fork()


def dense_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scale: float | None,
    window_size_left: int | None,
    dropout_p: float,
) -> Tensor:
    """Megatron's layouts: query `[sq, b, np, d]`, key, value `[sk, b, ng, d]` -> `[sq, b, np, dv]`; attention_mask True
    = masked out.
    """
    if attention_mask is not None and attention_mask.dtype is not torch.bool:
        raise TypeError(f"attention_mask: expected bool (True = masked out), got {attention_mask.dtype}")
    q, k, v = (t.permute(1, 2, 0, 3) for t in (query, key, value))
    mask = None if attention_mask is None else attention_mask.logical_not()
    options: dict[str, Any] = {"scale": scale, "window_size_left": window_size_left, "dropout_p": dropout_p}
    return triangle_attention(q, k, v, attn_mask=mask, **options).permute(2, 0, 1, 3)


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Any,
    scale: float | None,
    window_size_left: int | None,
    dropout_p: float,
) -> Tensor:
    """query `[t, np, d]`, key, value `[t, ng, d]` and Megatron's PackedSeqParams -> `[t, np, dv]`."""
    cu_q, cu_k = _packed_offsets(packed, attention_mask)
    padded = packed.cu_seqlens_q_padded is not None
    max_q = query.shape[0] if padded or packed.max_seqlen_q is None else int(packed.max_seqlen_q)
    max_k = key.shape[0] if padded or packed.max_seqlen_kv is None else int(packed.max_seqlen_kv)
    options: dict[str, Any] = {"scale": scale, "window_size_left": window_size_left, "dropout_p": dropout_p}
    return triangle_attention_varlen(query, key, value, cu_q, cu_k, max_q, max_k, **options)


def with_triangle_attention(spec: ModuleSpec) -> ModuleSpec:
    """A copy of a layer (or block) spec whose self-attention layers have `TriangleCoreAttention` as their core
    attention.

    Raises:
        ValueError: the spec has no core attention.
    """
    copied = copy.deepcopy(spec)
    if _replace(copied) == 0:
        raise ValueError(f"spec: expected a ModuleSpec with a core_attention somewhere in its submodules, got {spec}")
    return copied


def _replace(node: Any) -> int:
    """Puts the class in wherever a field is called core_attention, below `node`; returns how often."""
    if isinstance(node, (list, tuple)):
        return sum(_replace(item) for item in node)
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return 0
    count = 0
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if field.name == "core_attention":
            setattr(node, field.name, TriangleCoreAttention)
            count += 1
        elif field.name != "cross_attention":
            count += _replace(value)
    return count


def causal_window(config: Any, layer_number: int) -> int | None:
    """Keys behind the query that this layer sees, or None for all."""
    window = getattr(config, "window_size", None)
    if not is_layer_window_attention(window, getattr(config, "window_attn_skip_freq", None), layer_number):
        return None
    assert window is not None
    left, right = window
    if right != 0:
        raise ValueError(f"window_size: expected a causal window (left, 0), got {tuple(window)}")
    return None if left < 0 else int(left)


def _packed_offsets(packed: Any, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
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
        raise ValueError("attention_mask: expected None with packed_seq_params, documents never see each other")
    cu_q = packed.cu_seqlens_q if packed.cu_seqlens_q_padded is None else packed.cu_seqlens_q_padded
    cu_k = packed.cu_seqlens_kv if packed.cu_seqlens_kv_padded is None else packed.cu_seqlens_kv_padded
    return cu_q.to(torch.int32), cu_k.to(torch.int32)


def _documents(packed: Any, cu_q: Tensor, cu_k: Tensor, ranks: int) -> ContextLayout:
    """Each document in zigzag, as Megatron splits packed batches; read from the device once a batch."""
    layout = getattr(packed, "triangle_layout", None)
    if layout is None:
        offsets = cu_q.tolist()
        if cu_k.tolist() != offsets:
            expected = "cu_seqlens_kv equal to cu_seqlens_q with context parallelism"
            raise ValueError(f"packed_seq_params: expected {expected}, got {cu_k.tolist()[:8]} and {offsets[:8]}")
        lengths = [end - begin for begin, end in itertools.pairwise(offsets)]
        if any(length % (2 * ranks) for length in lengths):
            expected = f"documents padded to a multiple of {2 * ranks} tokens"
            raise ValueError(f"packed_seq_params: expected {expected}, got lengths {lengths[:8]}")
        layout = ContextLayout.zigzag_documents(offsets, ranks)
        packed.triangle_layout = layout
    return layout
