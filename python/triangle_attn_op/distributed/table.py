"""Measured: what each rank computes and sends, and how far the result is from one device's, on processes of this
machine.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ..functional import triangle_attention, triangle_attention_varlen
from .exchange import counters, reset_counters
from .layout import ContextLayout
from .plan import least_rows_received, rank_blocks
from .ring import ring_attention
from .ulysses import ulysses_attention

LENGTH, HEADS_Q, HEADS_KV, DIM = 2048, 8, 4, 64
DOCUMENTS = (0, 350, 356, 1400, 2048)
BLOCK = 128


@dataclass(frozen=True)
class Method:
    """One row of the table for each number of ranks."""

    name: str
    kind: str = "zigzag"
    window: int | None = None
    packed: bool = False
    all_to_all: bool = False

    def layout(self, ranks: int) -> ContextLayout:
        if self.kind == "zigzag_documents":
            return ContextLayout.zigzag_documents(DOCUMENTS, ranks)
        return getattr(ContextLayout, self.kind)(LENGTH, ranks, DOCUMENTS if self.packed else None)


METHODS = (
    Method("ring, zigzag"),
    Method("ring, contiguous chunks", kind="contiguous"),
    Method("ring, zigzag, window 256", window=256),
    Method("ring, packed, zigzag in each document", kind="zigzag_documents", packed=True),
    Method("all-to-all", all_to_all=True),
)


def measure(ranks: int) -> list[dict[str, Any]]:
    """Runs every method on `ranks` gloo processes; for each a dict of lists over ranks."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_rank, (ranks, folder), nprocs=ranks)
        found = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(ranks)]
    return [{key: [found[rank][i][key] for rank in range(ranks)] for key in found[0][i]} for i in range(len(METHODS))]


def markdown(rank_counts: tuple[int, ...] = (2, 4)) -> str:
    """The table as Markdown."""
    lines = [
        "| method | ranks | blocks computed by each rank | imbalance | forward: KiB sent by each rank | least possible "
        "| largest error of out, dq, dk, dv |",
        "|---|---|---|---|---|---|---|",
    ]
    for ranks in rank_counts:
        for method, row in zip(METHODS, measure(ranks)):
            blocks, sent = row["blocks"], row["sent"]
            imbalance = max(blocks) / (sum(blocks) / ranks) - 1
            total, least = sum(sent), sum(row["least"])
            lines.append(
                f"| {method.name} | {ranks} | {_list(blocks)} | {100 * imbalance:.1f}% | "
                f"{_list(b // 1024 for b in sent)} "
                f"| {total / 1024:.0f} sent / {least / 1024:.0f} needed = {total / max(least, 1):.2f} | "
                f"{max(row['error']):.1e} |"
            )
    shape = f"B = 1, S = {LENGTH}, {HEADS_Q} query heads, {HEADS_KV} key heads, D = {DIM}, float32, "
    shape += f"blocks of {BLOCK} x {BLOCK}"
    return f"{shape}; documents at {list(DOCUMENTS)}.\n\n" + "\n".join(lines)


def _rank(rank: int, ranks: int, folder: str) -> None:
    """One process: its figures for all methods."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=120))
    torch.save([_figures(method, rank, ranks) for method in METHODS], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def _figures(method: Method, rank: int, ranks: int) -> dict[str, Any]:
    layout = method.layout(ranks)
    dim = 0 if method.packed else 2
    generator = torch.Generator().manual_seed(1)
    whole = [_random(heads, method.packed, generator) for heads in (HEADS_Q, HEADS_KV, HEADS_KV, HEADS_Q)]
    q, k, v, dout = (layout.split(t, rank, dim) for t in whole)
    local = [t.requires_grad_() for t in (q, k, v)]
    attention = ulysses_attention if method.all_to_all else ring_attention
    reset_counters()
    out = attention(*local, layout=layout, window_size_left=method.window)
    sent = counters().bytes_sent
    out.backward(dout)
    parts = [out, *(t.grad for t in local)]
    error = max(
        float((layout.gather(part, dim=dim) - one).abs().max())
        for part, one in zip(parts, _one_device(method, whole))
        if part is not None
    )
    if method.all_to_all:
        # All blocks of the rank's heads, counted in blocks of all heads to compare with the ring.
        blocks = sum(rank_blocks(layout, r, method.window, BLOCK, BLOCK) for r in range(ranks)) // ranks
        foreign = LENGTH - layout.local_length(rank)
        own = (HEADS_Q + 2 * HEADS_KV) // ranks
        least = 4 * DIM * (foreign * own + layout.local_length(rank) * (HEADS_Q - HEADS_Q // ranks))
        least += 4 * layout.local_length(rank) * (HEADS_Q - HEADS_Q // ranks)  # lse
    else:
        blocks = rank_blocks(layout, rank, method.window, BLOCK, BLOCK)
        least = 4 * 2 * HEADS_KV * DIM * least_rows_received(layout, rank, method.window)
    return {"blocks": blocks, "sent": sent, "least": least, "error": error}


def _random(heads: int, packed: bool, generator: torch.Generator) -> Tensor:
    return torch.randn((LENGTH, heads, DIM) if packed else (1, heads, LENGTH, DIM), generator=generator)


def _one_device(method: Method, whole: list[Tensor]) -> list[Tensor]:
    q, k, v = (t.clone().requires_grad_() for t in whole[:3])
    if method.packed:
        cu_seq = torch.tensor(DOCUMENTS, dtype=torch.int32)
        out = triangle_attention_varlen(q, k, v, cu_seq, cu_seq, LENGTH, LENGTH, window_size_left=method.window)
    else:
        out = triangle_attention(q, k, v, window_size_left=method.window)
    out.backward(whole[3])
    return [out.detach(), *(t.grad for t in (q, k, v) if t.grad is not None)]


def _list(values: Any) -> str:
    return ", ".join(str(value) for value in values)
