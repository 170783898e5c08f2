"""The rows of the table: dense triangles, grouped heads, windows, packed documents, decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..flops import visible_pairs

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FAMILIES = ("dense", "gqa", "window", "packed", "decode")
DIRECTIONS = ("forward", "backward", "both")


@dataclass(frozen=True)
class Case:
    """Causal attention of q [B, Hq, Sq, D] over k and v [B, Hkv, Sk, D], bottom-right; with `documents`, their lengths,
    of q [T, Hq, D] over [T, Hkv, D]. window: keys that a row sees at most.
    """

    family: str
    batch: int
    heads_q: int
    heads_kv: int
    seq_q: int
    seq_k: int
    dim: int
    window: int | None = None
    documents: tuple[int, ...] = ()

    def __str__(self) -> str:
        heads = f"{self.heads_q}" if self.heads_q == self.heads_kv else f"{self.heads_q}/{self.heads_kv}"
        seq = f"{self.seq_k}" if self.seq_q == self.seq_k else f"{self.seq_q}x{self.seq_k}"
        return f"{self.family} [{self.batch}, {heads}, {seq}, {self.dim}]"

    @property
    def note(self) -> str:
        if self.documents:
            return f"{len(self.documents)} documents of {min(self.documents)} to {max(self.documents)}"
        return f"window {self.window}" if self.window is not None else ""

    @property
    def directions(self) -> tuple[str, ...]:
        return ("forward",) if self.family == "decode" else DIRECTIONS

    def pairs(self) -> int:
        """Visible (query, key) pairs of all heads and batch entries."""
        left = None if self.window is None else self.window - 1
        if self.documents:
            return self.heads_q * sum(visible_pairs(n, n, 0, left) for n in self.documents)
        return self.batch * self.heads_q * visible_pairs(self.seq_q, self.seq_k, self.seq_k - self.seq_q, left)

    def flops(self, direction: str) -> int:
        """4 D a visible pair forward, 10 D backward."""
        return {"forward": 4, "backward": 10, "both": 14}[direction] * self.dim * self.pairs()

    def cache_bytes(self) -> int:
        """K and V once, in 16 bits: what decoding reads."""
        return 2 * 2 * self.batch * self.heads_kv * self.seq_k * self.dim

    def tensors(self, dtype: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v and the gradient of out on the CPU, the same in every run."""
        generator = torch.Generator().manual_seed(20261)

        def make(heads: int, seq: int) -> Tensor:
            shape = (seq, heads, self.dim) if self.documents else (self.batch, heads, seq, self.dim)
            return torch.randn(shape, generator=generator).to(DTYPES[dtype])

        q, out = make(self.heads_q, self.seq_q), make(self.heads_q, self.seq_q)
        return q, make(self.heads_kv, self.seq_k), make(self.heads_kv, self.seq_k), out


@dataclass(frozen=True)
class Sizes:
    """tokens: of a dense row's whole batch, as FlashAttention's benchmarks have it; width: heads times D."""

    lengths: tuple[int, ...] = (512, 1024, 2048, 4096, 8192, 16384, 32768)
    dims: tuple[int, ...] = (64, 128)
    tokens: int = 32768
    width: int = 2048
    gqa: tuple[int, ...] = (2048, 8192)
    gqa_heads: tuple[int, int] = (32, 8)
    windows: tuple[tuple[int, int], ...] = ((16384, 1024), (16384, 4096))
    documents: tuple[int, ...] = (8192, 8192, 4096, 4096, 2048, 2048, 2048, 2048)
    decode: tuple[tuple[int, int], ...] = ((1, 8192), (8, 8192), (32, 8192), (8, 32768))


TINY = Sizes(
    lengths=(64, 160),
    tokens=160,
    width=128,
    gqa=(96,),
    gqa_heads=(2, 1),
    windows=((128, 40),),
    documents=(70, 30, 28),
    decode=((2, 200),),
)


def cases(sizes: Sizes, families: Sequence[str] = FAMILIES) -> Iterator[Case]:
    """Dense rows first, D by D, from short to long."""
    if "dense" in families:
        for dim in sizes.dims:
            heads = max(1, sizes.width // dim)
            for seq in sizes.lengths:
                yield Case("dense", max(1, sizes.tokens // seq), heads, heads, seq, seq, dim)
    dim, (heads_q, heads_kv) = max(sizes.dims), sizes.gqa_heads
    heads = max(1, sizes.width // dim)
    if "gqa" in families:
        for seq in sizes.gqa:
            yield Case("gqa", max(1, sizes.tokens // seq), heads_q, heads_kv, seq, seq, dim)
    if "window" in families:
        for seq, window in sizes.windows:
            yield Case("window", max(1, sizes.tokens // seq), heads, heads, seq, seq, dim, window)
    if "packed" in families:
        total = sum(sizes.documents)
        yield Case("packed", 1, heads, heads, total, total, dim, documents=sizes.documents)
    if "decode" in families:
        for batch, seq in sizes.decode:
            yield Case("decode", batch, heads_q, heads_kv, 1, seq, dim)
