"""Keyword arguments that say which pairs are visible in memory linear in the keys: `startend_row_indices` and the
diagonal that goes with it.

    triangle_attention(q, k, v, **visibility.prefix_lm(256, 4096))

Each key hides at most two intervals of rows, on top of the diagonal and the window
(Wang et al., "FlashMask: Efficient and Rich Mask Extension of FlashAttention", 2024, arXiv 2410.01359). Blocks that
hold no visible pair are not computed. Everything here is square (Sq = Sk) but for the two conversions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "chunked",
    "documents",
    "from_block_mask",
    "from_bool_mask",
    "prefix_lm",
    "shared_question",
    "sliding_window_with_sinks",
]

Options = dict[str, Any]


def documents(lengths: Sequence[int], device: Any = None) -> Options:
    """Causal documents one after another that never see each other: a dense twin of packed sequences.

    Args:
        lengths: of the documents, >= 0; their sum is the sequence's length.
    """
    _lengths("lengths", lengths)
    sizes = torch.tensor(list(lengths), dtype=torch.int64)
    return {"startend_row_indices": _bounds([sizes.cumsum(0).repeat_interleave(sizes)], device)}


def prefix_lm(prefix: int | Sequence[int], length: int, device: Any = None) -> Options:
    """The prefix sees itself both ways, everything after it is causal (T5, PaliGemma).

    Args:
        prefix: tokens of the prefix, for all or for each entry of the batch.
        length: of the sequence.
    """
    prefixes = [prefix] if isinstance(prefix, int) else list(prefix)
    for p in prefixes:
        _between("prefix", p, 0, length)
    key = torch.arange(length)
    # A key after the prefix hides the rows before it, as the causal rule would.
    end = torch.stack([torch.where(key < p, 0, key) for p in prefixes])
    return {"startend_row_indices": _bounds([torch.zeros_like(end), end], device), "diagonal": max(length - 1, 0)}


def shared_question(question: int, answers: Sequence[int], device: Any = None) -> Options:
    """A question and several answers in one sequence: each answer sees the question and, causally, itself (reward
    models, DPO).

    Args:
        question: tokens of the question.
        answers: tokens of each answer.
    """
    _lengths("answers", answers)
    _between("question", question, 0, None)
    sizes = torch.tensor(list(answers), dtype=torch.int64)
    ends = question + sizes.cumsum(0)
    total = question + int(sizes.sum())
    start = torch.cat([torch.full((question,), total), ends.repeat_interleave(sizes)])
    return {"startend_row_indices": _bounds([start], device)}


def sliding_window_with_sinks(window_size_left: int, sinks: int, length: int, device: Any = None) -> Options:
    """A causal window beside the first `sinks` keys, which every row after them sees (StreamingLLM).

    Args:
        window_size_left: keys before itself that a row sees, as in `triangle_attention`.
        sinks: keys at the beginning.
        length: of the sequence.
    """
    _between("window_size_left", window_size_left, 0, None)
    _between("sinks", sinks, 0, None)
    key = torch.arange(length)
    start = torch.where(key < sinks, length, (key + window_size_left + 1).clamp(max=length))
    return {"startend_row_indices": _bounds([start], device)}


def chunked(chunk: int, length: int, device: Any = None) -> Options:
    """Causal within chunks of `chunk` tokens (Llama 4)."""
    _between("chunk", chunk, 1, None)
    key = torch.arange(length)
    return {"startend_row_indices": _bounds([((key // chunk + 1) * chunk).clamp(max=length)], device)}


def from_bool_mask(mask: Tensor) -> Options:
    """From a mask, True = may attend.

    Args:
        mask: bool `[Sq, Sk]` or `[B, 1 or H, Sq, Sk]`.

    Raises:
        ValueError: some key is hidden from more than two intervals of rows. Where no row sees a key right of the
            bottom-right diagonal, what that hides does not count.
    """
    if mask.dtype is not torch.bool or mask.dim() not in (2, 4):
        raise ValueError(f"mask: expected bool [Sq, Sk] or [B, 1 or H, Sq, Sk], got {mask.dtype} {list(mask.shape)}")
    mask = mask[None, None] if mask.dim() == 2 else mask
    return _from_parts(lambda begin, end: mask[..., begin:end], mask.shape, mask.device)


def from_block_mask(block_mask: Any) -> Options:
    """From FlexAttention's BlockMask (`create_block_mask`), whose mask_mod is evaluated a few columns at a time.

    Raises:
        ValueError: as `from_bool_mask`.
    """
    batch, heads, rows, keys = block_mask.shape
    device = block_mask.kv_indices.device
    b, h, r = (
        torch.arange(size, device=device).view(shape)
        for size, shape in ((batch, (-1, 1, 1, 1)), (heads, (-1, 1, 1)), (rows, (-1, 1)))
    )

    def part(begin: int, end: int) -> Tensor:
        seen: Tensor = block_mask.mask_mod(b, h, r, torch.arange(begin, end, device=device))
        return seen.expand(batch, heads, rows, end - begin)

    return _from_parts(part, (batch, heads, rows, keys), device)


_COLUMNS = 128  # looked at together


def _from_parts(part: Callable[[int, int], Tensor], shape: Sequence[int], device: Any) -> Options:
    rows, keys = shape[-2:]
    ranges = [(begin, min(begin + _COLUMNS, keys)) for begin in range(0, keys, _COLUMNS)]
    row = torch.arange(rows, device=device).unsqueeze(-1)

    def beyond(begin: int, end: int) -> Tensor:
        return torch.arange(begin, end, device=device) > row + (keys - rows)

    causal = not any(bool((part(*r) & beyond(*r)).any()) for r in ranges)
    found = [_intervals(part(*r) | beyond(*r) if causal else part(*r), r[0]) for r in ranges]
    if not found:
        found = [torch.zeros(*shape[:2], 0, 4, dtype=torch.int32, device=device)]
    options: Options = {"startend_row_indices": torch.cat(found, dim=2)}
    if not causal:
        options["diagonal"] = max(keys - 1, 0)
    return options


def _intervals(seen: Tensor, first_key: int) -> Tensor:
    """bool [B, H, rows, keys] -> int32 [B, H, keys, 4]"""
    hidden = (~seen).transpose(-1, -2).to(torch.int8)  # [B, H, keys, rows]
    edges = torch.nn.functional.pad(hidden, (1, 1)).diff(dim=-1)  # [.., rows + 1]: 1 where an interval starts
    starts, ends = edges == 1, edges == -1
    counts = starts.sum(-1)
    if int(counts.max() if counts.numel() else 0) > 2:
        key = first_key + int((counts > 2).nonzero()[0, -1])
        raise ValueError(
            f"mask: expected at most two intervals of hidden rows for each key, got {int(counts.max())} "
            f"for one, the first such key being {key}"
        )
    bounds = []
    for which in (starts, ends):
        first = which.int().argmax(-1)
        second = (which & (torch.arange(which.shape[-1], device=seen.device) > first.unsqueeze(-1))).int().argmax(-1)
        bounds.append((torch.where(counts >= 1, first, 0), torch.where(counts >= 2, second, 0)))
    (start, start2), (end, end2) = bounds
    return torch.stack([start, end, start2, end2], dim=-1).int()


def _bounds(columns: list[Tensor], device: Any) -> Tensor:
    """int32 [B or 1, 1, Sk, bounds] from [Sk] or [B, Sk] each."""
    stacked = torch.stack(columns, dim=-1)
    stacked = stacked.unsqueeze(0) if stacked.dim() == 2 else stacked
    return stacked.unsqueeze(1).to(dtype=torch.int32, device=device)


def _lengths(name: str, lengths: Sequence[int]) -> None:
    if any(length < 0 for length in lengths):
        raise ValueError(f"{name}: expected lengths >= 0, got {list(lengths)}")


def _between(name: str, value: int, low: int, high: int | None) -> None:
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name}: expected {low} .. {'' if high is None else high}, got {value}")
