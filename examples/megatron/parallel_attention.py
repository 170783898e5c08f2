"""`TriangleAttention` inside a tensor-parallel self-attention layer, after the rotary embedding: how AscendSpeed's
Llama used it.

A layer of one's own, on Megatron-Core's parallel linears. Models built from Megatron's layer specs need only
`triangle_attn_op.integrations.megatron.with_triangle_attention`.
"""

from __future__ import annotations

from typing import Any

import torch
from megatron.core import tensor_parallel
from megatron.core.fusions.fused_softmax import FusedScaleMaskSoftmax
from megatron.core.models.common.embeddings.rope_utils import apply_rotary_pos_emb
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.utils import attention_mask_func
from torch import Tensor
from triangle_attn_op import TriangleAttention


class LlamaParallelAttention(MegatronModule):
    """Self-attention whose heads are divided over the tensor-parallel group.

    Args:
        config: Megatron's TransformerConfig; as many key heads as query heads.
        triangle_attn: use triangle attention (`--triangle-attn`), else the full score matrix.
        triangle_block_size: `--triangle-block-size`.
    """

    def __init__(self, config: Any, triangle_attn: bool, triangle_block_size: int, tp_group: Any) -> None:
        super().__init__(config=config)
        heads, ranks = config.num_attention_heads, tp_group.size()
        if heads % ranks:
            raise ValueError(
                f"num_attention_heads: expected a multiple of the tensor-parallel size {ranks}, got {heads}"
            )
        self.heads, self.dim = heads // ranks, config.kv_channels
        linear = {
            "config": config,
            "bias": False,
            "skip_bias_add": True,
            "init_method": config.init_method,
            "tp_group": tp_group,
        }
        self.query_key_value = tensor_parallel.ColumnParallelLinear(
            config.hidden_size, 3 * heads * self.dim, gather_output=False, **linear
        )
        self.dense = tensor_parallel.RowParallelLinear(
            heads * self.dim, config.hidden_size, input_is_parallel=True, **linear
        )
        self.scale_mask_softmax = FusedScaleMaskSoftmax(
            input_in_fp16=config.fp16,
            input_in_bf16=config.bf16,
            attn_mask_type=AttnMaskType.causal,
            scaled_masked_softmax_fusion=False,
            mask_func=attention_mask_func,
            softmax_in_fp32=True,
            scale=self.dim**-0.5,
        )
        self.triangle_attn: TriangleAttention | None = None
        if triangle_attn:
            self.triangle_attn = TriangleAttention(triangle_block_size, masked_softmax_func=self.scale_mask_softmax)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None, rotary_pos_emb: Tensor) -> Tensor:
        """hidden_states `[s, b, h]`, attention_mask bool `[1 or b, 1, s, s]` (True = masked out) or None -> `[s, b,
        h]`.
        """
        mixed, _ = self.query_key_value(hidden_states)
        length, batch = mixed.shape[:2]
        # Each head's q, k and v lie together, so that every tensor-parallel rank has whole heads.
        q, k, v = mixed.view(length, batch, self.heads, 3 * self.dim).split(self.dim, dim=-1)
        q, k = (apply_rotary_pos_emb(t, rotary_pos_emb, config=self.config) for t in (q, k))
        q, k, v = (t.permute(1, 2, 0, 3) for t in (q, k, v))  # [b, n, s, d]
        if self.triangle_attn is not None:
            context = self.triangle_attn(q, k, v, attention_mask)  # [b, s, n * d]
        else:
            probabilities = self.scale_mask_softmax(q @ k.transpose(-1, -2), attention_mask)
            context = (probabilities @ v).transpose(1, 2).flatten(2)
        output, _ = self.dense(context.transpose(0, 1))
        return output


def causal_mask(length: int, device: torch.device) -> Tensor:
    """bool `[1, 1, length, length]`, True above the diagonal: what Megatron's data loader makes."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)[None, None]
