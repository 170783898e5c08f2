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
from megatron.core import parallel_state, tensor_parallel
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint
from torch import Tensor, nn

from ..arguments import add_arguments
from ..distributed import ContextLayout, ring_attention, ulysses_attention
from ..distributed.trade import check_heads
from ._megatron_attention import (
    causal_window,
    dense_attention,
    is_causal,
    packed_attention,
    packed_offsets,
    unsupported,
)

__all__ = ["TriangleCoreAttention", "add_arguments", "with_triangle_attention"]


class TriangleCoreAttention(MegatronModule):
    """Megatron's `DotProductAttention` with triangle attention: the same constructor, `forward` and result.

    Grouped queries, the softmax scale, sliding windows (`window_size`, `window_attn_skip_freq`), packed sequences
    (`thd`), dropout under Megatron's RNG tracker, `softmax_type` "off-by-one" and "learnable" (sinks; the parameter is
    `softmax_offset`, as in Megatron's class), and context parallelism: `cp_comm_type` "p2p" (default) is a ring, "a2a"
    an all-to-all. Query-key layer scaling needs nothing: it divides and multiplies by the same number, to keep fp16
    scores small, and here scores are float32.

    Raises:
        ValueError, NotImplementedError: at construction, for whatever it cannot honour, by name.
    """

    softmax_offset: Tensor | None

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
        if not is_causal(attn_mask_type):
            raise ValueError(
                f"attn_mask_type: expected a causal one, triangle attention has no other, got {attn_mask_type}"
            )
        if attention_type != "self":
            raise ValueError(f"attention_type: expected 'self', got {attention_type!r}")
        problem = unsupported(config, takes=("softmax_type",))
        if problem is not None:
            raise NotImplementedError(problem)
        self.layer_number = max(1, layer_number)
        self.attn_mask_type = attn_mask_type
        self.softmax_scale = softmax_scale  # None: 1/sqrt(head dimension), which the operator knows
        self.window_size_left = causal_window(config, self.layer_number)
        self.dropout_p = float(config.attention_dropout if attention_dropout is None else attention_dropout)
        if not 0.0 <= self.dropout_p < 1.0:
            raise ValueError(f"attention_dropout: expected 0 <= p < 1, got {self.dropout_p}")
        self._set_up_groups(cp_comm_type, pg_collection)
        self._set_up_sinks()

    def _set_up_groups(self, cp_comm_type: str | None, pg_collection: Any) -> None:
        config = self.config
        ranks = config.context_parallel_size
        groups = parallel_state if pg_collection is None else None  # Megatron's own, where none are given
        self.cp_group: dist.ProcessGroup | None = None
        if ranks > 1:
            self.cp_group = groups.get_context_parallel_group() if groups else pg_collection.cp
        self.cp_attention = {"p2p": ring_attention, "a2a": ulysses_attention}.get(cp_comm_type or "p2p")
        self.tp_group = groups.get_tensor_model_parallel_group() if groups else pg_collection.tp
        tp = self.tp_group.size()
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

    def _set_up_sinks(self) -> None:
        """softmax_offset: one logit for each of this rank's heads that joins the softmax, 0 or learned, or None."""
        config = self.config
        kind = getattr(config, "softmax_type", "vanilla")
        if kind == "vanilla":
            self.softmax_offset = None
            return
        if kind not in ("off-by-one", "learnable"):
            raise ValueError(f"softmax_type: expected 'vanilla', 'off-by-one' or 'learnable', got {kind!r}")
        on_cpu = config.use_cpu_initialization or not torch.cuda.is_available()
        device = "cpu" if on_cpu else torch.cuda.current_device()
        heads = config.num_attention_heads // self.tp_group.size()
        if kind == "off-by-one":
            self.register_buffer("softmax_offset", torch.zeros(heads, device=device), persistent=False)
            return
        self.softmax_offset = nn.Parameter(torch.empty(heads, device=device, dtype=config.params_dtype))
        if config.perform_initialization:
            config.init_method(self.softmax_offset)

    def sharded_state_dict(
        self, prefix: str = "", sharded_offsets: tuple[Any, ...] = (), metadata: Any = None
    ) -> dict[str, Any]:
        """As Megatron's class has it: softmax_offset is split with the heads."""
        groups = {"tp_group": self.tp_group, "dp_cp_group": (metadata or {}).get("dp_cp_group")}
        state = self.state_dict(prefix="", keep_vars=True)
        return make_sharded_tensors_for_checkpoint(state, prefix, {"softmax_offset": 0}, sharded_offsets, **groups)

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
        if attn_mask_type is not None and not is_causal(attn_mask_type) and not decodes:
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
            band: dict[str, Any] = {"scale": self.softmax_scale, "window_size_left": self.window_size_left}
            out = self.cp_attention(q, k, v, group=self.cp_group, sinks=self.softmax_offset, **band)
            return out.permute(2, 0, 1, 3)
        options = self.softmax_scale, self.window_size_left, dropout_p, self.softmax_offset
        return dense_attention(query, key, value, attention_mask, *options)

    def _packed(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, packed: Any, dropout_p: float
    ) -> Tensor:
        """-> `[t, np, dv]`"""
        if self.cp_group is None:
            options = self.softmax_scale, self.window_size_left, dropout_p, self.softmax_offset
            return packed_attention(query, key, value, attention_mask, packed, *options)
        cu_q, cu_k = packed_offsets(packed, attention_mask)
        assert self.cp_attention is not None
        layout = _documents(packed, cu_q, cu_k, self.cp_group.size())
        band: dict[str, Any] = {"scale": self.softmax_scale, "window_size_left": self.window_size_left}
        return self.cp_attention(
            query, key, value, group=self.cp_group, layout=layout, sinks=self.softmax_offset, **band
        )

    def _dropout_state(self, dropout_p: float) -> Any:
        """Tensor-parallel ranks hold different heads: Megatron's tracker gives them different random states."""
        if dropout_p == 0.0 or self.config.sequence_parallel:
            return nullcontext()
        return tensor_parallel.get_cuda_rng_tracker().fork()


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
