"""Pages of keys and values, shared by requests with a common prefix."""

from __future__ import annotations

import torch
from torch import Tensor


class Pages:
    """A pool of pages for every layer: k and v `[layers, pages, page_size, Hkv, D]`, and who holds which page."""

    def __init__(self, layers: int, pages: int, page_size: int, heads: int, dim: int, dtype: torch.dtype) -> None:
        self.size = page_size
        # NaN: what is read before it was written would show.
        self.k = torch.full((layers, pages, page_size, heads, dim), float("nan"), dtype=dtype)
        self.v = self.k.clone()
        self.free = list(range(pages - 1, -1, -1))
        self.holders = [0] * pages
        self.prefixes: dict[tuple[int, ...], int] = {}  # the tokens up to a full page's end -> the page
        self.shared = 0

    def take(self) -> int:
        """A page of one's own."""
        page = self.free.pop()
        self.holders[page] = 1
        return page

    def match(self, tokens: list[int]) -> list[int]:
        """Pages that hold the beginning of `tokens`, whole pages only, for one more holder."""
        found: list[int] = []
        while (len(found) + 1) * self.size < len(tokens):  # at least one token is left to compute
            page = self.prefixes.get(tuple(tokens[: (len(found) + 1) * self.size]))
            if page is None:
                break
            self.holders[page] += 1
            self.shared += 1
            found.append(page)
        return found

    def publish(self, tokens: list[int], pages: list[int]) -> None:
        """Full pages of `tokens`, which others may share from now on."""
        for i in range(len(tokens) // self.size):
            self.prefixes.setdefault(tuple(tokens[: (i + 1) * self.size]), pages[i])

    def give_back(self, pages: list[int]) -> None:
        for page in pages:
            self.holders[page] -= 1
            if self.holders[page] == 0:
                self.prefixes = {prefix: p for prefix, p in self.prefixes.items() if p != page}
                self.free.append(page)

    def gather(self, layer: int, pages: list[int], length: int) -> tuple[Tensor, Tensor]:
        """k and v `[length, Hkv, D]` of a sequence, copied: for attention that knows no pages."""
        return tuple(t[layer, pages].flatten(0, 1)[:length] for t in (self.k, self.v))  # type: ignore[return-value]
