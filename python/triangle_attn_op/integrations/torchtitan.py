"""torchtitan: its packed attention, computed by `triangle_attention_varlen`.

from triangle_attn_op.integrations.torchtitan import TriangleVarlenAttention

inner_attention = TriangleVarlenAttention.Config(window_size=(-1, 0))  # in place of VarlenAttention.Config
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torchtitan.models.common.attention import VarlenAttention, VarlenMetadata

from ..functional import triangle_attention_varlen


class TriangleVarlenAttention(VarlenAttention):
    """torchtitan's VarlenAttention in the inputs' own dtype, causal, on any device this package runs on.

    Raises:
        NotImplementedError: a window that reaches right of the diagonal.
    """

    @dataclass(kw_only=True, slots=True)
    class Config(VarlenAttention.Config):
        pass

    def __init__(self, config: VarlenAttention.Config) -> None:
        super().__init__(config)
        left, right = config.window_size
        if right != 0:
            raise NotImplementedError(
                f"window_size: expected (left, 0), triangle attention is causal, got {(left, right)}"
            )
        self.window_size_left = None if left < 0 else left

    def forward(
        self,
        q_BLNH: Tensor,
        k_BLNH: Tensor,
        v_BLNH: Tensor,
        *,
        attention_masks: VarlenMetadata,
        scale: float | None = None,
        out_transform: Callable[[Tensor, Tensor], Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """q `[B, L, Hq, D]`, k and v `[B, L, Hkv, D or Dv]` -> `[B, L, Hq, Dv]`, or what `out_transform` makes of it
        and lse `[B, L, Hq]`. Documents are offsets into the B * L tokens."""
        batch, length = q_BLNH.shape[:2]
        q, k, v = (t.flatten(0, 1) for t in (q_BLNH, k_BLNH, v_BLNH))
        masks = attention_masks
        out, lse = triangle_attention_varlen(
            q,
            k,
            v,
            masks.cu_seq_q,
            masks.cu_seq_k,
            masks.max_q,
            masks.max_k,
            scale=scale,
            window_size_left=self.window_size_left,
            return_lse=True,
        )
        out = out.unflatten(0, (batch, length))
        return out if out_transform is None else out_transform(out, lse.unflatten(0, (batch, length)))
