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

from ..backends import call_counts
from ..functional import triangle_attention, triangle_attention_varlen
from .exchange import counters, reset_counters
from .executed import ExecutedCalls
from .layout import ContextLayout
from .plan import least_rows_received, least_rows_sent
from .ring import ring_attention
from .slots import partial_dtype
from .ulysses import ulysses_attention

LENGTH, HEADS_Q, HEADS_KV, DIM = 2048, 8, 4, 64
DOCUMENTS = (0, 350, 356, 1400, 2048)
BLOCK = 128


@dataclass(frozen=True)
class Method:
    """One row of the table for each number of ranks."""

    name: str
    kind: str = "zigzag"
    length: int = LENGTH
    window: int | None = None
    by_window: bool = False  # the layout knows the window
    packed: bool = False
    all_to_all: bool = False
    dtype: torch.dtype = torch.float32

    def layout(self, ranks: int) -> ContextLayout:
        if self.kind == "zigzag_documents":
            return ContextLayout.zigzag_documents(DOCUMENTS, ranks)
        if self.by_window:
            return ContextLayout.zigzag(self.length, ranks, window_size_left=self.window)
        return getattr(ContextLayout, self.kind)(self.length, ranks, DOCUMENTS if self.packed else None)


METHODS = (
    Method("ring, zigzag"),
    Method("ring, zigzag, bfloat16", dtype=torch.bfloat16),
    Method("ring, contiguous chunks", kind="contiguous"),
    Method("ring, zigzag, window 256", window=256),
    Method("ring, zigzag, window 256, S = 8192", window=256, length=8192),
    Method("ring, zigzag by window 1024, S = 8192", window=1024, by_window=True, length=8192),
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
    """The table as Markdown, measured."""
    return render({ranks: measure(ranks) for ranks in rank_counts})


def render(measured: dict[int, list[dict[str, Any]]]) -> str:
    """The table as Markdown, from what `measure` found for each number of ranks."""
    lines = [
        "| method | ranks | blocks of each rank, forward | backward | imbalance | KiB sent by each rank "
        "(least possible), forward | backward | error of out | of dq, dk, dv |",
        "|" + "---|" * 9,
    ]
    for ranks, rows in measured.items():
        for method, row in zip(METHODS, rows, strict=True):
            cells = [method.name, str(ranks), _list(row["blocks forward"]), _list(row["blocks backward"])]
            cells.append(f"{100 * imbalance(row):.1f}%")
            for way in ("forward", "backward"):
                pairs = zip(row[f"sent {way}"], row[f"least {way}"])
                cells.append(_list(f"{sent / 1024:.0f} ({least / 1024:.0f})" for sent, least in pairs))
            cells += [f"{max(row['error of out']):.1e}", f"{max(row['error of gradients']):.1e}"]
            lines.append("| " + " | ".join(cells) + " |")
    shape = f"B = 1, S = {LENGTH}, {HEADS_Q} query heads, {HEADS_KV} key heads, D = {DIM}, float32 unless named, "
    shape += f"blocks of {BLOCK} x {BLOCK}"
    return f"{shape}; documents at {list(DOCUMENTS)}.\n\n" + "\n".join(lines)


def imbalance(row: dict[str, Any]) -> float:
    """How much more than the mean the busiest rank computes, in the worse direction, as a fraction."""
    ways = (row["blocks forward"], row["blocks backward"])
    return max(max(blocks) * len(blocks) / sum(blocks) - 1 for blocks in ways)


def _rank(rank: int, ranks: int, folder: str) -> None:
    """One process: its figures for all methods."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=120))
    torch.save([figures(method, rank, ranks) for method in METHODS], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def figures(method: Method, rank: int, ranks: int) -> dict[str, Any]:
    """What `rank` computed and sent for one forward and backward, and what the whole result's errors are.

    RuntimeError where the library counted other calls than were seen.
    """
    layout = method.layout(ranks)
    dim = 0 if method.packed else 2
    generator = torch.Generator().manual_seed(1)
    whole = [_random(heads, method, generator) for heads in (HEADS_Q, HEADS_KV, HEADS_KV, HEADS_Q)]
    *local, dout = (layout.split(t, rank, dim) for t in whole)
    for t in local:
        t.requires_grad_()
    attention = ulysses_attention if method.all_to_all else ring_attention
    reset_counters()
    before = _library_calls()
    with ExecutedCalls(BLOCK, BLOCK) as executed:
        out = attention(*local, layout=layout, window_size_left=method.window)
        sent = counters().bytes_sent
        out.backward(dout)
    both = counters().bytes_sent
    calls = [after - earlier for after, earlier in zip(_library_calls(), before)]
    if calls != [executed.forward.calls, executed.backward.calls]:
        raise RuntimeError(f"the library ran {calls} calls, seen were {executed.forward}, {executed.backward}")
    parts = [layout.gather(part, dim=dim) for part in (out, *(t.grad for t in local)) if part is not None]
    errors = [0.0] * len(parts)
    if rank == 0:
        errors = [float((got - one).abs().max()) for got, one in zip(parts, _one_device(method, whole), strict=True)]
    least = _least_all_to_all(layout, rank, out) if method.all_to_all else _least_ring(layout, rank, method, out)
    return {
        "blocks forward": executed.forward.blocks,
        "blocks backward": executed.backward.blocks,
        "sent forward": sent,
        "sent backward": both - sent,
        "least forward": least[0],
        "least backward": least[1],
        "error of out": errors[0],
        "error of gradients": max(errors[1:]),
    }


def _library_calls() -> list[int]:
    """Forward and backward calls that the library itself counted in this process, on any backend."""
    return [sum(n for name, n in call_counts().items() if name.endswith(way)) for way in ("forward", "backward")]


def _least_ring(layout: ContextLayout, rank: int, method: Method, out: Tensor) -> tuple[int, int]:
    """Bytes: keys and values that other ranks' queries see; in the backward those again (keeping them would take O(S)
    memory), and the gradients of those that this rank sees.
    """
    row = 2 * HEADS_KV * DIM
    keys = out.element_size() * row * least_rows_sent(layout, rank, method.window)
    gradients = partial_dtype(out).itemsize * row * least_rows_received(layout, rank, method.window)
    return keys, keys + gradients


def _least_all_to_all(layout: ContextLayout, rank: int, out: Tensor) -> tuple[int, int]:
    """Bytes: q, k and v of this rank's tokens for other ranks' heads, out of other ranks' tokens for its own heads; in
    the backward the gradients the other way round.
    """
    here, ranks = layout.local_length(rank), layout.ranks
    there = layout.length - here
    own_q, own_kv = HEADS_Q // ranks, HEADS_KV // ranks
    others_q, others_kv = HEADS_Q - own_q, HEADS_KV - own_kv
    row = out.element_size() * DIM
    forward = here * (others_q + 2 * others_kv) + there * own_q
    return row * forward, row * (here * others_q + there * (own_q + 2 * own_kv))


def _random(heads: int, method: Method, generator: torch.Generator) -> Tensor:
    shape = (method.length, heads, DIM) if method.packed else (1, heads, method.length, DIM)
    return torch.randn(shape, generator=generator).to(method.dtype)


def _one_device(method: Method, whole: list[Tensor]) -> list[Tensor]:
    """out, dq, dk, dv of the operator on the whole sequence."""
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
