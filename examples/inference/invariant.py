"""Layers whose results for a token do not depend on the tokens beside it.

torch's matrix products choose their order of summation by the number of rows, and its vectorised exp differs from the
scalar one that the last elements of a thread's share get. Both are the same bits for the same shape, so everything that
works on tokens one by one runs on tiles of 16 rows, the last one filled up with zeros.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

TILE = 16


class InTiles(nn.Module):
    """A module of rows `[..., D]`, run on 16 of them at a time."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return in_tiles(self.module, x)


def in_tiles(function: Any, x: Tensor) -> Tensor:
    """function(x) of rows `[..., D]`, each call with 16 rows."""
    rows = x.reshape(-1, x.shape[-1])
    missing = -len(rows) % TILE
    tiles = nn.functional.pad(rows, (0, 0, 0, missing)).split(TILE)
    out = torch.cat([function(tile) for tile in tiles])[: len(rows)]
    return out.view(*x.shape[:-1], out.shape[-1])


class RotaryTable(nn.Module):
    """A model's rotary embedding, computed once for all positions and looked up."""

    def __init__(self, rotary: nn.Module, like: Tensor, positions: int) -> None:
        super().__init__()
        with torch.no_grad():
            self.tables = rotary(like, torch.arange(positions)[None])

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = (table[0, position_ids].to(x.dtype) for table in self.tables)
        return cos, sin


def make_invariant(model: Any) -> None:
    """Puts the token-wise layers of a transformers Llama into tiles, in place."""
    like = model.lm_head.weight
    model.model.rotary_emb = RotaryTable(model.model.rotary_emb, like, model.config.max_position_embeddings)
    for module in list(model.modules()):
        for name, child in module.named_children():
            tokenwise = isinstance(child, nn.Linear) or name == "act_fn" or type(child).__name__.endswith("RMSNorm")
            if tokenwise and not isinstance(module, InTiles):
                setattr(module, name, InTiles(child))
