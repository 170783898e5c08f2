"""How a sequence is cut over the ranks of a context-parallel group: which global tokens each rank holds, in which
order.

Zigzag: 2n chunks, rank r holds chunks r and 2n - 1 - r, so that every rank has the same share of the triangle.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Tokens start, ..., stop - 1 of the global sequence, all of one document, which starts at token `origin`."""

    start: int
    stop: int
    origin: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ContextLayout:
    """Which tokens each rank holds. A value: hashable, the same on every rank. Made by one of the four functions below.

    Attributes:
        name: for messages.
        length: tokens of the whole sequence (of all packed documents together).
        segments: for each rank its pieces, in the order in which it holds them, which is ascending.
        cu_seq: offsets of the packed documents, or None for a dense batch `[B, H, S, D]`.
    """

    name: str
    length: int
    segments: tuple[tuple[Segment, ...], ...]
    cu_seq: tuple[int, ...] | None = None

    @staticmethod
    def zigzag(
        length: int, ranks: int, cu_seq: Sequence[int] | Tensor | None = None, window_size_left: int | None = None
    ) -> ContextLayout:
        """Rank r holds chunks r and 2n - 1 - r of 2n nearly equal chunks: Megatron's split. With cu_seq the sequence is
        packed documents.

        Under a sliding window the first w rows see less than the others, so that the busiest rank has w / (2 S - w)
        more work than the mean. With window_size_left = w those rows are cut in zigzag by themselves, and so are the
        rest: equal work, for about 4/3 of the bytes. Worth it where w is many blocks a rank, at least 2n of them.
        """
        _check_sizes(length, ranks)
        if window_size_left is not None and window_size_left < 0:
            raise ValueError(f"window_size_left: expected None or at least 0, got {window_size_left}")
        ramp = 0 if window_size_left is None or window_size_left >= length else window_size_left
        chunks: list[list[tuple[int, int]]] = [[] for _ in range(ranks)]
        for begin, end in ((0, ramp), (ramp, length)):
            edges = [begin + edge for edge in _edges(end - begin, 2 * ranks)]
            for r in range(ranks):
                chunks[r] += [(edges[c], edges[c + 1]) for c in (r, 2 * ranks - 1 - r)]
        return _cut(f"zigzag by window {ramp}" if ramp else "zigzag", length, chunks, cu_seq)

    @staticmethod
    def contiguous(length: int, ranks: int, cu_seq: Sequence[int] | Tensor | None = None) -> ContextLayout:
        """Rank r holds chunk r of n. Right for all-to-all; a ring over it leaves the first ranks idle."""
        _check_sizes(length, ranks)
        edges = _edges(length, ranks)
        return _cut("contiguous", length, [[(edges[r], edges[r + 1])] for r in range(ranks)], cu_seq)

    @staticmethod
    def zigzag_documents(cu_seq: Sequence[int] | Tensor, ranks: int) -> ContextLayout:
        """Each packed document is split in zigzag by itself, so that the work is balanced whatever the documents'
        lengths.

        Ranks hold the same number of tokens when every document's length is a multiple of 2n, and nearly so otherwise.
        """
        offsets = _offsets(cu_seq)
        _check_sizes(offsets[-1], ranks)
        segments: list[list[Segment]] = [[] for _ in range(ranks)]
        for begin, end in itertools.pairwise(offsets):
            edges = [begin + edge for edge in _edges(end - begin, 2 * ranks)]
            for r in range(ranks):
                for c in (r, 2 * ranks - 1 - r):
                    if edges[c] < edges[c + 1]:
                        segments[r].append(Segment(edges[c], edges[c + 1], begin))
        return ContextLayout("zigzag_documents", offsets[-1], tuple(map(tuple, segments)), offsets)

    @staticmethod
    @lru_cache(maxsize=256)
    def of_local(local: int, ranks: int) -> ContextLayout:
        """The zigzag layout in which every rank holds `local` tokens; ValueError where `local` is odd and so cannot be
        two equal chunks.
        """
        if local % 2 and ranks > 1:
            raise ValueError(
                f"q: expected an even number of tokens a rank (two equal chunks), got {local}; pass layout= for "
                "uneven chunks"
            )
        return ContextLayout.zigzag(local * ranks, ranks)

    @property
    def ranks(self) -> int:
        return len(self.segments)

    def __hash__(self) -> int:  # computed once: plans are looked up by layout in every layer
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.length, self.segments, self.cu_seq))

    def local_length(self, rank: int) -> int:
        """Tokens that `rank` holds."""
        return sum(segment.size for segment in self.segments[rank])

    def indices(self, rank: int) -> Tensor:
        """int64 `[local]`: the global index of each token of `rank`."""
        runs = [torch.arange(segment.start, segment.stop) for segment in self.segments[rank]]
        return torch.cat(runs) if runs else torch.empty(0, dtype=torch.int64)

    def position_ids(self, rank: int) -> Tensor:
        """int64 `[local]`: each token's position in its document (in the sequence, where it is not packed), for rotary
        embeddings.
        """
        runs = [
            torch.arange(segment.start - segment.origin, segment.stop - segment.origin)
            for segment in self.segments[rank]
        ]
        return torch.cat(runs) if runs else torch.empty(0, dtype=torch.int64)

    @cached_property
    def order(self) -> Tensor:
        """int64 `[length]`: where each global token stands in the ranks' tokens laid one rank after another."""
        return torch.argsort(torch.cat([self.indices(rank) for rank in range(self.ranks)]))

    def split(self, tensor: Tensor, rank: int, dim: int = 1) -> Tensor:
        """The part of `tensor` (size `length` in `dim`) that `rank` holds."""
        if tensor.shape[dim] != self.length:
            raise ValueError(
                f"tensor: expected {self.length} tokens in dimension {dim}, got shape {list(tensor.shape)}"
            )
        return torch.cat(
            [tensor.narrow(dim, s.start, s.size) for s in self.segments[rank]] or [tensor.narrow(dim, 0, 0)], dim
        )

    def restore(self, parts: Sequence[Tensor], dim: int = 1) -> Tensor:
        """The whole from the ranks' parts: the inverse of `split` over all ranks."""
        lengths = [part.shape[dim] for part in parts]
        expected = [self.local_length(rank) for rank in range(self.ranks)]
        if lengths != expected:
            raise ValueError(f"parts: expected {expected} tokens in dimension {dim}, got {lengths}")
        joined = torch.cat(list(parts), dim)
        return joined.index_select(dim, self.order.to(joined.device))

    def gather(self, local: Tensor, group: dist.ProcessGroup | None = None, dim: int = 1) -> Tensor:
        """The whole on every rank from each rank's part, over the group's all-gather. Not differentiable: for results,
        not for training.
        """
        rank = dist.get_rank(group)
        if local.shape[dim] != self.local_length(rank):
            raise ValueError(
                f"local: expected rank {rank}'s {self.local_length(rank)} tokens in dimension {dim}, got shape "
                f"{list(local.shape)}"
            )
        longest = max(self.local_length(r) for r in range(self.ranks))  # an all-gather wants equal sizes
        shape = list(local.shape)
        shape[dim] = longest
        padded = local.new_zeros(shape)
        padded.narrow(dim, 0, local.shape[dim]).copy_(local.detach())
        parts = [torch.empty_like(padded) for _ in range(self.ranks)]
        dist.all_gather(parts, padded, group=group)
        return self.restore([part.narrow(dim, 0, self.local_length(r)) for r, part in enumerate(parts)], dim)


def split_batch(batch: Mapping[str, Any], layout: ContextLayout, rank: int, dim: int = 1) -> dict[str, Any]:
    """A language-model batch cut for `rank`: every tensor with the sequence in `dim` is split, everything else is kept.

    `position_ids` `[1, local]` are added where the batch has none, since a rank cannot know them from its own tokens.
    Beside `labels` come `shift_labels`, shifted by one token before the split: transformers' models use them where they
    would otherwise shift inside the rank's own tokens.

    Raises:
        ValueError: a tensor with another size in `dim`, or an attention mask with two sequence dimensions.
    """
    result: dict[str, Any] = {}
    for name, value in batch.items():
        if not isinstance(value, Tensor) or value.dim() <= dim:
            result[name] = value
            continue
        if name == "attention_mask" and value.dim() > 2:
            raise ValueError(
                f"attention_mask: context parallelism takes no [.., Sq, Sk] mask, got shape {list(value.shape)}; "
                "pack documents instead"
            )
        if value.shape[dim] != layout.length:
            raise ValueError(
                f"{name}: expected {layout.length} tokens in dimension {dim}, got shape {list(value.shape)}"
            )
        result[name] = layout.split(value, rank, dim)
        if name == "labels":
            ahead = torch.nn.functional.pad(value.narrow(dim, 1, layout.length - 1), (0, 1), value=-100)
            result["shift_labels"] = layout.split(ahead, rank, dim)
    if "position_ids" not in result:
        device = next((v.device for v in result.values() if isinstance(v, Tensor)), torch.device("cpu"))
        result["position_ids"] = layout.position_ids(rank).unsqueeze(0).to(device)
    return result


def _check_sizes(length: int, ranks: int) -> None:
    if ranks < 1:
        raise ValueError(f"ranks: expected at least 1, got {ranks}")
    if length < 0:
        raise ValueError(f"length: expected at least 0 tokens, got {length}")


def _edges(length: int, parts: int) -> list[int]:
    """parts + 1 boundaries that cut `length` into parts whose sizes differ by at most one."""
    return [length * i // parts for i in range(parts + 1)]


def _offsets(cu_seq: Sequence[int] | Tensor) -> tuple[int, ...]:
    offsets = tuple(int(offset) for offset in (cu_seq.tolist() if isinstance(cu_seq, Tensor) else cu_seq))
    if not offsets or offsets[0] != 0 or any(a > b for a, b in itertools.pairwise(offsets)):
        raise ValueError(f"cu_seq: expected offsets from 0 that never decrease, got {offsets[:8]}")
    return offsets


def _cut(
    name: str, length: int, chunks: list[list[tuple[int, int]]], cu_seq: Sequence[int] | Tensor | None
) -> ContextLayout:
    """The layout of token ranges, cut further at document boundaries."""
    if cu_seq is None:
        return ContextLayout(name, length, tuple(tuple(Segment(a, b) for a, b in own if a < b) for own in chunks))
    offsets = _offsets(cu_seq)
    if offsets[-1] != length:
        raise ValueError(f"cu_seq: expected its last offset to be the {length} tokens, got {offsets[-1]}")
    documents = [(a, b) for a, b in itertools.pairwise(offsets) if a < b]
    segments = tuple(
        tuple(
            Segment(max(a, begin), min(b, end), begin)
            for a, b in own
            for begin, end in documents
            if max(a, begin) < min(b, end)
        )
        for own in chunks
    )
    return ContextLayout(name, length, segments, offsets)
