"""How the processes share a step: groups of `--context-parallel-size` neighbours cut their sequences among themselves,
the groups divide the batch."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn
from triangle_attn_op.distributed import ContextLayout, split_batch

from . import model
from .arguments import Config
from .launch import Place


class Share:
    """This process's part of every batch, and the loss over it."""

    def __init__(self, config: Config, place: Place) -> None:
        self.config = config
        ranks = config.context_parallel_size
        self.parts, self.part = place.world_size // ranks, place.rank // ranks
        self.rank = place.rank % ranks
        self.layout = ContextLayout.zigzag(config.seq_length, ranks)
        self.group: dist.ProcessGroup | None = None
        if ranks > 1:
            groups = [dist.new_group(list(range(first, first + ranks))) for first in range(0, place.world_size, ranks)]
            self.group = groups[self.part]

    def of(self, batch: Tensor) -> Tensor:
        """The whole sequences of this process's group: int64 [its part of the batch, S]."""
        return batch.chunk(self.parts)[self.part]

    def loss(self, network: nn.Module, tokens: Tensor) -> Tensor:
        """Nats a predicted token of `tokens` [B, S]; where sequences are cut, as the mean over the group."""
        config, ranks = self.config, self.config.context_parallel_size
        if ranks == 1:
            return model.loss(network, {"input_ids": tokens, "labels": tokens}, config)
        from triangle_attn_op.integrations.context_parallel import context_parallel

        mine = split_batch({"input_ids": tokens, "labels": tokens}, self.layout, self.rank)
        mine["num_items_in_batch"] = tokens.shape[0] * (tokens.shape[1] - 1) / ranks
        with context_parallel(self.layout, self.group):
            return model.loss(network, mine, config)
