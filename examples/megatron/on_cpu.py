"""Lets Megatron-Core run on a machine without an accelerator, for trying the examples and for tests. On an NPU,
MindSpeed does this job.

Megatron-Core asks torch.cuda for the current device and for random states, and cuts rotary embeddings by an index in
pinned memory.
Here the CPU answers.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from triangle_attn_op.distributed import ContextLayout


def stand_in() -> None:
    """Points torch.cuda's device and random states, as far as Megatron-Core's GPT model asks for them, at the CPU."""
    from megatron.core.models.common.embeddings import rotary_pos_embedding
    from megatron.core.tensor_parallel import random as megatron_random

    def get_state(*_: object, **__: object) -> Tensor:
        return torch.get_rng_state()

    def set_state(state: Tensor, *_: object, **__: object) -> None:
        torch.set_rng_state(state)

    torch.cuda.current_device = lambda: torch.device("cpu")  # type: ignore[assignment, return-value]
    torch.cuda.get_rng_state = get_state
    torch.cuda.manual_seed = torch.manual_seed  # type: ignore[assignment]
    megatron_random._get_cuda_rng_state = get_state
    megatron_random._set_cuda_rng_state = set_state
    rotary_pos_embedding.get_pos_emb_on_this_cp_rank = _cut_rotary


def _cut_rotary(embedding: Tensor, dim: int, group: dist.ProcessGroup) -> Tensor:
    """This context-parallel rank's positions, in zigzag."""
    layout = ContextLayout.zigzag(embedding.shape[dim], group.size())
    return layout.split(embedding, group.rank(), dim)
