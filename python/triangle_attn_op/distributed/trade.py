"""The all-to-all of Ulysses: tokens of all heads against heads of all tokens, several tensors in one message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from .exchange import count_bytes
from .layout import ContextLayout


@dataclass(frozen=True)
class Trade:
    """Who trades what. Heads are dimension 1, in `[B, H, S, D]` and in `[T, H, D]`; rank j attends to query heads j Hq
    / n and on.

    Attributes:
        group: the ranks.
        layout: which tokens each has.
        heads_q, heads_kv: heads of the whole problem.
        dim: where the tokens are.
    """

    group: dist.ProcessGroup
    layout: ContextLayout
    heads_q: int
    heads_kv: int
    dim: int

    @property
    def shares_key_heads(self) -> bool:
        """Whether a key head goes to several ranks, so that its gradient comes back in shares."""
        return self.heads_kv % self.layout.ranks != 0

    def heads(self, rank: int, query: bool) -> tuple[int, int]:
        """First and past the last head that `rank` attends with; key heads go to every rank whose query heads read
        them.
        """
        share = self.heads_q // self.layout.ranks
        begin, end = rank * share, (rank + 1) * share
        if query:
            return begin, end
        group_size = self.heads_q // self.heads_kv
        return begin // group_size, (end - 1) // group_size + 1

    def to_heads(self, tensors: Sequence[Tensor], query: Sequence[bool]) -> list[Tensor]:
        """From this rank's tokens of all heads to all tokens, in their order, of this rank's heads; query says whose
        heads a tensor has.
        """
        me, layout = dist.get_rank(self.group), self.layout
        dim = self.dim
        outgoing = [
            [_part(t, 1, self.heads(rank, is_query)) for t, is_query in zip(tensors, query)]
            for rank in range(layout.ranks)
        ]
        shapes = [
            [
                _resized(t, {1: self._count(me, is_query), dim: layout.local_length(rank)})
                for t, is_query in zip(tensors, query)
            ]
            for rank in range(layout.ranks)
        ]
        wholes = [
            t.new_empty(_resized(t, {1: self._count(me, is_query), dim: layout.length}))
            for t, is_query in zip(tensors, query)
        ]
        for rank, parts in enumerate(self._all_to_all(outgoing, shapes)):
            for whole, part in zip(wholes, parts):
                at = 0
                for segment in layout.segments[rank]:
                    whole.narrow(dim, segment.start, segment.size).copy_(part.narrow(dim, at, segment.size))
                    at += segment.size
        return wholes

    def to_tokens(self, wholes: Sequence[Tensor], query: Sequence[bool], targets: Sequence[Tensor]) -> None:
        """The way back: adds all heads of this rank's tokens into `targets`, whose heads are the whole problem's."""
        me, layout = dist.get_rank(self.group), self.layout
        dim = self.dim
        outgoing = [[layout.split(whole, rank, dim) for whole in wholes] for rank in range(layout.ranks)]
        shapes = [
            [
                _resized(whole, {1: self._count(rank, is_query), dim: layout.local_length(me)})
                for whole, is_query in zip(wholes, query)
            ]
            for rank in range(layout.ranks)
        ]
        for rank, parts in enumerate(self._all_to_all(outgoing, shapes)):
            for target, part, is_query in zip(targets, parts, query):
                _part(target, 1, self.heads(rank, is_query)).add_(part)

    def _count(self, rank: int, query: bool) -> int:
        begin, end = self.heads(rank, query)
        return end - begin

    def _all_to_all(self, outgoing: list[list[Tensor]], shapes: list[list[list[int]]]) -> list[list[Tensor]]:
        """Sends outgoing[r] to rank r; returns what came from each rank as tensors of shapes[r]."""
        sent = [sum(t.numel() for t in parts) for parts in outgoing]
        received = [sum(math.prod(shape) for shape in parts) for parts in shapes]
        message = torch.cat([t.reshape(-1) for parts in outgoing for t in parts])
        arrived = message.new_empty(sum(received))
        me = dist.get_rank(self.group)
        try:
            dist.all_to_all_single(arrived, message, received, sent, group=self.group)
        except RuntimeError as error:
            raise RuntimeError(
                f"all-to-all attention (rank {me}): a peer is gone or did not answer within the process group's "
                f"timeout: {error}"
            ) from error
        size = message.element_size()
        count_bytes(len(sent) - 1, size * (sum(sent) - sent[me]), size * (sum(received) - received[me]))
        result = []
        for flat, parts in zip(arrived.split(received), shapes):
            tensors = flat.split([math.prod(shape) for shape in parts])
            result.append([t.view(shape) for t, shape in zip(tensors, parts)])
        return result


def check_heads(heads_q: int, heads_kv: int, ranks: int) -> None:
    """ValueError unless every rank gets equally many query heads: whole groups of them, or parts of one."""
    if heads_q % ranks:
        raise ValueError(f"q: expected query heads that {ranks} ranks divide for an all-to-all, got Hq = {heads_q}")
    if heads_kv % ranks and ranks % heads_kv:
        raise ValueError(
            f"k: expected key heads that {ranks} ranks divide, or that divide {ranks}, for an all-to-all, got Hkv = "
            f"{heads_kv}"
        )


def _part(t: Tensor, dim: int, ends: tuple[int, int]) -> Tensor:
    return t.narrow(dim, ends[0], ends[1] - ends[0])


def _resized(t: Tensor, sizes: dict[int, int]) -> list[int]:
    return [sizes.get(dim, size) for dim, size in enumerate(t.shape)]
