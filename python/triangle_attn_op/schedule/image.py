"""Draws a schedule: one panel per query head coloured by core, and the cores' loads below."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

if TYPE_CHECKING:
    from . import Piece, Schedule

_DEFAULT_HEADS = 8
_MOST_HEADS = 16
_MOST_RECTANGLES = 400_000
_EDGE_SHADE = 0.72  # masked blocks are drawn this much darker

_HALO = [withStroke(linewidth=2.0, foreground="white", alpha=0.8)]  # numbers stay legible on dark colours

Color = tuple[float, float, float]


def draw(schedule: Schedule, path: str | Path | None, heads: Sequence[int] | None, batch: int) -> np.ndarray:
    """See Schedule.to_image."""
    chosen = list(range(min(schedule.heads_q, _DEFAULT_HEADS))) if heads is None else list(heads)
    if not 1 <= len(chosen) <= _MOST_HEADS or any(not 0 <= head < schedule.heads_q for head in chosen):
        raise ValueError(f"heads: expected 1 to {_MOST_HEADS} heads below {schedule.heads_q}, got {chosen}")
    if not schedule.lengths:
        raise ValueError("shape: expected at least one sequence to draw, got none")
    if not schedule.packed and not 0 <= batch < len(schedule.lengths):
        raise ValueError(f"batch: expected 0 <= batch < {len(schedule.lengths)}, got {batch}")
    pieces = [p for p in schedule.pieces() if p.head_q in chosen and (schedule.packed or p.batch == batch)]
    if 3 * len(pieces) > _MOST_RECTANGLES:
        raise ValueError(f"heads: {len(pieces)} pieces are too many to draw; choose fewer heads or larger blocks")

    columns = min(len(chosen), 4)
    rows = math.ceil(len(chosen) / columns)
    side = {1: 8.0, 2: 5.2}.get(columns, 3.4)
    width = max(side * columns + 1.0, 10.0)
    sequences = range(len(schedule.lengths)) if schedule.packed else [batch]
    total_q, total_k = (max(sum(schedule.lengths[s][i] for s in sequences), 1) for i in (0, 1))
    panel = side * min(max(total_q / total_k, 0.3), 1.6)
    figure = Figure(figsize=(width, panel * rows + 3.2 + 0.5 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[panel + 0.5] * rows + [2.2])
    for index, head in enumerate(chosen):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        _draw_head(axes, schedule, sequences, [p for p in pieces if p.head_q == head])
        axes.set_title(f"head {head}" if schedule.packed else f"batch {batch}, head {head}", fontsize=9)
        axes.set_ylabel("query" if index % columns == 0 else "")
    _draw_loads(figure.add_subplot(grid[rows, :]), schedule)
    figure.suptitle(_title(schedule), fontsize=10)
    figure.legend(
        handles=_legend(schedule), loc="outside lower center", ncols=5 if width > 12 else 3, fontsize=8, frameon=False
    )
    if path is not None:
        figure.savefig(path)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]


def _title(schedule: Schedule) -> str:
    sq, sk = (sum(length[i] for length in schedule.lengths) for i in (0, 1))
    if schedule.packed:
        shape = f"{len(schedule.lengths)} documents, {sq} x {sk} tokens"
    else:
        sq, sk = schedule.lengths[0] if schedule.lengths else (0, 0)
        shape = f"batch {len(schedule.lengths)}, {sq} x {sk}"
    window = "" if schedule.window_size_left is None else f", window {schedule.window_size_left}"
    heads = "1 head" if schedule.heads_q == 1 else f"{schedule.heads_q} heads"
    computed = schedule.blocks / schedule.square_blocks if schedule.square_blocks else 0.0
    return (
        f"{'Backward' if schedule.backward else 'Forward'}, {shape}{window}, {heads} "
        f"({schedule.heads_kv} K/V) in {schedule.block_q} x {schedule.block_k} blocks on {schedule.cores} cores\n"
        f"{schedule.blocks:,} of {schedule.square_blocks:,} blocks computed ({computed:.1%}), "
        f"{schedule.edge_blocks:,} masked; busiest core {schedule.max_load:,}, mean {schedule.mean_load:,.1f}: "
        f"imbalance {schedule.imbalance:.2%}"
    )


def _color(core: int) -> Color:
    """Neighbouring cores get hues far apart (steps of the golden ratio)."""
    return colorsys.hls_to_rgb((0.58 + core * 0.61803398875) % 1.0, (0.66, 0.56, 0.74)[core % 3], 0.62)


def _shaded(color: Color) -> Color:
    red, green, blue = (_EDGE_SHADE * channel for channel in color)
    return red, green, blue


def _draw_head(axes: Any, schedule: Schedule, sequences: Sequence[int], pieces: Sequence[Piece]) -> None:
    first_row, first_key = {}, {}
    total_q = total_k = 0
    for sequence in sequences:
        first_row[sequence], first_key[sequence] = total_q, total_k
        total_q += schedule.lengths[sequence][0]
        total_k += schedule.lengths[sequence][1]

    rectangles: list[list[tuple[float, float]]] = []
    colors: list[Color] = []
    centers: dict[int, list[tuple[float, float, float]]] = {}  # core: (x, y, area) of what it does
    for piece in pieces:
        runs = [
            (piece.begin, piece.full_begin, True),
            (piece.full_begin, piece.full_end, False),
            (piece.full_end, piece.end, True),
        ]
        for begin, end, edge in runs:
            if begin == end:
                continue
            x0, x1, y0, y1 = _extent(schedule, piece, begin, end)
            x0, x1 = x0 + first_key[piece.batch], x1 + first_key[piece.batch]
            y0, y1 = y0 + first_row[piece.batch], y1 + first_row[piece.batch]
            rectangles.append([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
            color = _color(piece.core)
            colors.append(_shaded(color) if edge else color)
            centers.setdefault(piece.core, []).append(((x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) * (y1 - y0)))
    axes.add_collection(PolyCollection(rectangles, facecolors=colors, edgecolors="none", antialiaseds=False))
    _draw_grid(axes, schedule, [(first_row[s], first_key[s], *schedule.lengths[s]) for s in sequences])
    for core, parts in centers.items():
        area = sum(a for _, _, a in parts)
        if area < 0.004 * total_q * total_k:
            continue
        # The piece nearest to the centre of mass, so that the number stands on the core's own colour.
        x, y = (sum(part[i] * part[2] for part in parts) / area for i in (0, 1))
        x, y, _ = min(parts, key=lambda part: (part[0] - x) ** 2 + 64 * (part[1] - y) ** 2)
        axes.text(x, y, str(core), ha="center", va="center", fontsize=8, fontweight="bold", path_effects=_HALO)
    axes.set_xlim(0, max(total_k, 1))
    axes.set_ylim(max(total_q, 1), 0)
    axes.set_aspect("equal" if 0.25 <= total_q / max(total_k, 1) <= 4 else "auto")
    axes.set_facecolor("#f4f4f4")
    axes.tick_params(labelsize=7)
    axes.set_xlabel("key", fontsize=8)


def _extent(schedule: Schedule, piece: Piece, begin: int, end: int) -> tuple[int, int, int, int]:
    """(first key, past key, first row, past row) of blocks [begin, end) of a piece, within its sequence."""
    sq, sk = schedule.lengths[piece.batch]
    rows, keys = (
        ((begin, end), (piece.row, piece.row + 1)) if schedule.backward else ((piece.row, piece.row + 1), (begin, end))
    )
    return (
        min(keys[0] * schedule.block_k, sk),
        min(keys[1] * schedule.block_k, sk),
        min(rows[0] * schedule.block_q, sq),
        min(rows[1] * schedule.block_q, sq),
    )


def _draw_grid(axes: Any, schedule: Schedule, places: Sequence[tuple[int, int, int, int]]) -> None:
    """Block borders where they can be told apart, and the exact border of what is visible, for every sequence."""
    lines = sum(math.ceil(sq / schedule.block_q) + math.ceil(sk / schedule.block_k) for _, _, sq, sk in places)
    for index, (row, key, sq, sk) in enumerate(places):
        if lines <= 160:
            style = {"colors": "white", "linewidth": 0.5 if lines <= 80 else 0.25}
            axes.vlines([key + x for x in range(0, sk, schedule.block_k)], row, row + sq, **style)
            axes.hlines([row + y for y in range(0, sq, schedule.block_q)], key, key + sk, **style)
        if sq == 0 or sk == 0:
            continue
        diagonal = schedule.diagonals[index if schedule.packed else 0]
        i = np.arange(sq + 1)
        borders = [i + diagonal]
        if schedule.window_size_left is not None:
            borders.append(i + diagonal - schedule.window_size_left)
        for border in borders:
            inside = (border >= 0) & (border <= sk)
            axes.plot(key + border[inside], row + i[inside], color="black", linewidth=0.8)


def _draw_loads(axes: Any, schedule: Schedule) -> None:
    cores = range(schedule.cores)
    axes.bar(cores, schedule.loads, color=[_color(core) for core in cores], width=0.85)
    axes.axhline(schedule.mean_load, color="black", linewidth=1.0, linestyle="--")
    axes.set_xlim(-0.7, schedule.cores - 0.3)
    axes.set_ylim(0, max(schedule.max_load * 1.08, 1))
    if schedule.cores <= 40:
        axes.set_xticks(list(cores))
        size = 7 if schedule.max_load < 10_000 else 6
        for core in cores:
            text = f"{schedule.loads[core]:,}"
            axes.text(core, schedule.loads[core] / 2, text, ha="center", va="center", fontsize=size, path_effects=_HALO)
    axes.set_xlabel("core", fontsize=8)
    axes.set_ylabel("blocks", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(schedule: Schedule) -> list[Any]:
    color = _color(0)
    return [
        Patch(facecolor=color, label="full block (no mask), coloured and numbered by core"),
        Patch(facecolor=_shaded(color), label="masked block"),
        Patch(facecolor="#f4f4f4", edgecolor="#cccccc", label="never touched"),
        Line2D([], [], color="black", linewidth=0.8, label="border of the visible pairs"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.0, label=f"mean load {schedule.mean_load:,.1f}"),
    ]
