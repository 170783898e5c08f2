"""A problem of the benchmark: its shape, its tensors, its FLOPs, and attention on it by this package."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import triangle_attention, triangle_attention_varlen, triangle_attention_with_kvcache, visibility
from ..flops import visible_pairs

if TYPE_CHECKING:
    from ..schedule.intervals import IntervalSchedule

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BENDS = ("softcap", "alibi", "sinks")
INTERVALS = ("prefix-LM", "documents", "window and sinks")
DIRECTIONS = ("forward", "backward", "forward+backward")


@dataclass(frozen=True)
class Problem:
    """Causal attention of q [B, Hq, Sq, D] over k [B, Hkv, Sk, D] and v [B, Hkv, Sk, Dv], bottom-right; with
    `documents` > 1 that many packed sequences of equal length, q [Sq, Hq, D].
    """

    heads_q: int
    heads_kv: int
    seq_q: int
    seq_k: int
    dim: int
    dim_v: int
    dtype: str = "fp32"
    batch: int = 1
    keys_in_window: int | None = None
    documents: int = 1
    bend: str | None = None
    """What bends the scores, one of BENDS."""
    intervals: str | None = None
    """What hides rows by startend_row_indices, one of INTERVALS."""
    page_size: int | None = None
    """Keys and values lie in a cache, in pages of so many keys or, where it is 0, in one piece."""

    @staticmethod
    def square(heads: int, seq: int, dim: int, dtype: str = "fp32") -> Problem:
        return Problem(heads, heads, seq, seq, dim, dim, dtype)

    def with_(self, **changes: int | str | None) -> Problem:
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        heads = f"{self.heads_q}/{self.heads_kv}" if self.heads_kv != self.heads_q else f"{self.heads_q}"
        seq = f"{self.seq_q}x{self.seq_k}" if self.seq_q != self.seq_k else f"{self.seq_q}"
        dim = f"{self.dim}/{self.dim_v}" if self.dim_v != self.dim else f"{self.dim}"
        text = f"[{self.batch}, {heads}, {seq}, {dim}]"
        if self.keys_in_window is not None:
            text += f" window {self.keys_in_window}"
        if self.documents > 1:
            text += f" as {self.documents} documents"
        if self.bend is not None:
            text += f" {self.bend}"
        if self.intervals is not None:
            text += f" {self.intervals}"
        if self.page_size is not None:
            text += f" in pages of {self.page_size}" if self.page_size else " in a cache"
        return text

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v and the gradient of out, normally distributed, the same in every run."""
        generator = torch.Generator().manual_seed(20260)

        def make(heads: int, seq: int, dim: int) -> Tensor:
            shape = (seq, heads, dim) if self.documents > 1 else (self.batch, heads, seq, dim)
            t = torch.empty(shape, dtype=DTYPES[self.dtype])
            return t.normal_(generator=generator)

        return (
            make(self.heads_q, self.seq_q, self.dim),
            make(self.heads_kv, self.seq_k, self.dim),
            make(self.heads_kv, self.seq_k, self.dim_v),
            make(self.heads_q, self.seq_q, self.dim_v),
        )

    def pairs(self) -> int:
        if self.intervals is not None:
            return self.planned().visible_pairs
        sq, sk = self.seq_q // self.documents, self.seq_k // self.documents
        window = None if self.keys_in_window is None else self.keys_in_window - 1
        return self.batch * self.heads_q * self.documents * visible_pairs(sq, sk, sk - sq, window)

    def flops(self, direction: str) -> float:
        """2 (D + Dv) for every visible pair; the backward 2.5 times as much."""
        forward = 2.0 * (self.dim + self.dim_v) * self.pairs()
        return forward * {"forward": 1.0, "backward": 2.5, "forward+backward": 3.5}[direction]

    def key_value_bytes(self) -> int:
        size = DTYPES[self.dtype].itemsize
        return self.batch * self.heads_kv * self.seq_k * (self.dim + self.dim_v) * size

    def cu_seq(self) -> Tensor:
        length = self.seq_q // self.documents
        return torch.arange(0, self.seq_q + 1, length, dtype=torch.int32)

    def bends(self) -> dict[str, Any]:
        """Keyword arguments of the attention: a softcap as Gemma 2's, ALiBi's slopes, or sinks."""
        heads = torch.arange(self.heads_q, dtype=torch.float32)
        options: dict[str | None, dict[str, Any]] = {
            None: {},
            "softcap": {"softcap": 50.0},
            "alibi": {"alibi_slopes": 2.0 ** (-8.0 * (heads + 1.0) / self.heads_q)},
            "sinks": {"sinks": heads / self.heads_q},
        }
        return options[self.bend]

    def hidden(self) -> dict[str, Any]:
        """Keyword arguments of the attention: a prefix of a quarter, eight documents of uneven lengths, a window of an
        eighth beside 128 keys that all rows see.
        """
        length = self.seq_k
        if self.intervals == "prefix-LM":
            return visibility.prefix_lm(length // 4, length)
        if self.intervals == "documents":
            cuts = [length * part // 64 for part in (0, 3, 8, 17, 24, 36, 41, 55, 64)]
            return visibility.documents([b - a for a, b in itertools.pairwise(cuts)])
        if self.intervals == "window and sinks":
            return visibility.sliding_window_with_sinks(length // 8 - 1, min(128, length // 8), length)
        return {}

    def planned(self, backward: bool = False) -> IntervalSchedule:
        """Its blocks that hold a visible pair."""
        from ..schedule.intervals import plan_intervals  # needs numpy

        hidden = self.hidden()
        return plan_intervals(
            (self.batch, self.heads_q, self.heads_kv, self.seq_q, self.seq_k),
            hidden["startend_row_indices"].numpy(),
            cores=1,
            diagonal=hidden.get("diagonal"),
            backward=backward,
        )

    def interval(self) -> tuple[Tensor, Tensor, int]:
        """First and past the last row that each key hides, and the diagonal."""
        hidden = self.hidden()
        bounds = hidden["startend_row_indices"][0, 0]
        end = bounds[:, 1] if bounds.shape[1] == 2 else torch.full_like(bounds[:, 0], self.seq_q)
        return bounds[:, 0], end, hidden.get("diagonal", self.seq_k - self.seq_q)

    def mask(self, rows: Tensor | None = None) -> Tensor:
        """bool [rows or Sq, Sk]: True where a row may see a key, with intervals."""
        start, end, diagonal = self.interval()
        row = (torch.arange(self.seq_q) if rows is None else rows).unsqueeze(1)
        return (torch.arange(self.seq_k) <= row + diagonal) & ((row < start) | (row >= end))

    def scale(self) -> float:
        return 1.0 / math.sqrt(self.dim)


def ours(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The package's own attention on the problem."""
    window = None if problem.keys_in_window is None else problem.keys_in_window - 1
    if problem.documents > 1:
        longest = problem.seq_q // problem.documents
        cu_seq = problem.cu_seq()
        return triangle_attention_varlen(q, k, v, cu_seq, cu_seq, longest, longest, window_size_left=window)
    if problem.page_size is not None:
        k_cache, v_cache, options = caches(problem, k, v)
        lengths = torch.full((problem.batch,), problem.seq_k, dtype=torch.int32)
        rows = q.detach().transpose(1, 2)
        return triangle_attention_with_kvcache(rows, k_cache, v_cache, lengths, **options).transpose(1, 2)
    if window is None:
        return triangle_attention(q, k, v, **problem.bends(), **problem.hidden())
    return triangle_attention(q, k, v, window_size_left=window, **problem.bends())


def caches(problem: Problem, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """k and v `[B, Hkv, Sk, D]` in a cache `[B, Sk, Hkv, D]`, or in pages in random order with their block_table."""
    rows = [t.detach().transpose(1, 2).contiguous() for t in (k, v)]
    if not problem.page_size:
        return rows[0], rows[1], {}
    count = problem.batch * problem.seq_k // problem.page_size
    order = torch.randperm(count, generator=torch.Generator().manual_seed(20260))
    k_cache, v_cache = (torch.empty_like(t).view(count, problem.page_size, *t.shape[2:]) for t in rows)
    for cache, t in ((k_cache, rows[0]), (v_cache, rows[1])):
        cache[order] = t.view_as(cache)
    return k_cache, v_cache, {"block_table": order.int().view(problem.batch, -1)}
