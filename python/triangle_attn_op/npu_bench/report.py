"""What a run leaves: a line a row, the table for an issue, JSON, a picture. Of a simulated run every line says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .calibrate import Calibration
from .cases import DIRECTIONS, Case
from .chip import Chip
from .measure import Timed

Row = tuple[Case, list[Timed]]
_COLORS = ("#1b7f5c", "#c8553d", "#8d99ae", "#e0a458", "#5b7db1")


class Printer:
    """print(), with "simulated" before each line where that is what the times are."""

    def __init__(self, simulated: bool) -> None:
        self._before = "simulated: " if simulated else ""

    def __call__(self, text: str = "") -> None:
        for line in text.splitlines() or [""]:
            print(f"{self._before}{line}".rstrip(), flush=True)


def figures(case: Case, timed: Timed, chip: Chip) -> dict[str, float]:
    """ms, tflops of the visible triangle, share of the chip's peak; of decoding gbytes, of K and V a second."""
    median = timed.median
    if median is None:
        return {}
    found = {"ms": median, "tflops": case.flops(timed.direction) / median / 1e9}
    if chip.peak_tflops is not None:
        found["share"] = found["tflops"] / chip.peak_tflops
    if case.family == "decode":
        found["gbytes"] = case.cache_bytes() / median / 1e6
    return found


def cell(case: Case, timed: Timed, chip: Chip) -> str:
    """ms / TFLOP/s / share of peak; of decoding ms / GB/s."""
    found = figures(case, timed, chip)
    if not found:
        return "wrong" if timed.wrong else "-"
    if case.family == "decode":
        return f"{found['ms']:.3f} / {found['gbytes']:.0f} GB/s"
    share = f" / {found['share']:.1%}" if "share" in found else ""
    return f"{found['ms']:.3f} / {found['tflops']:.0f}{share}"


def lines(case: Case, results: Sequence[Timed], chip: Chip) -> str:
    """One row as it finishes."""
    text = []
    for timed in results:
        if not timed.milliseconds:
            text.append(f"{case}: {timed.contender}: {'WRONG RESULT: ' if timed.wrong else ''}{timed.note}")
            continue
        mode = f" ({timed.mode})" if timed.mode else ""
        note = f" {case.note}" if case.note else ""
        text.append(f"{case}{note} {timed.direction}: {timed.contender}{mode} {cell(case, timed, chip)}")
    return "\n".join(text)


def markdown(chip: Chip, dtype: str, rows: Sequence[Row]) -> str:
    """The tables, ready for an issue: one a direction, as FlashAttention's benchmark has them, and decoding."""
    names = list(dict.fromkeys(t.contender for _, results in rows for t in results if t.milliseconds))
    text = [f"**{chip.heading(dtype)}**", ""]
    for title, what, chosen in (
        *((d, "ms / TFLOP/s of the visible triangle / share of peak", d) for d in DIRECTIONS),
        ("decode", "ms / K and V read a second", "forward"),
    ):
        part = [(case, results) for case, results in rows if (case.family == "decode") == (title == "decode")]
        body = []
        for case, results in part:
            found = {t.contender: t for t in results if t.direction == chosen}
            if not found:
                continue
            heads = f"{case.heads_q}" if case.heads_q == case.heads_kv else f"{case.heads_q}/{case.heads_kv}"
            seq = f"{case.seq_k}" if case.seq_q == case.seq_k else f"{case.seq_q} x {case.seq_k}"
            cells = [cell(case, found[name], chip) if name in found else "-" for name in names]
            body.append([f"{case.dim}", f"{case.batch}", heads, seq, case.note, *cells])
        if body:
            head = ["D", "batch", "heads", "S", "", *names]
            table = [head, ["---"] * len(head), *body]
            text += [f"{title}: {what}", "", *(f"| {' | '.join(line)} |" for line in table), ""]
    modes = {(t.contender, t.mode) for _, results in rows for t in results if t.milliseconds and t.mode}
    if modes:
        text.append("Modes: " + "; ".join(f"{name} {mode}" for name, mode in sorted(modes)) + ".")
    text.append("Medians of alternated rounds between device events; each result was compared with fp32 first.")
    return "\n".join(text)


def document(
    chip: Chip, dtype: str, environment: dict[str, str], rows: Sequence[Row], calibration: Calibration | None
) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "simulated": chip.simulated,
        "chip": asdict(chip) | {"peak_tflops": chip.peak_tflops, "ghz": chip.ghz},
        "dtype": dtype,
        "environment": environment,
        "rows": [
            {**asdict(case), "documents": list(case.documents), **asdict(timed), **figures(case, timed, chip)}
            for case, results in rows
            for timed in results
        ],
        "calibration": None if calibration is None else asdict(calibration),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def draw(path: Path, chip: Chip, dtype: str, rows: Sequence[Row]) -> None:
    """TFLOP/s over S of the dense rows: a panel for each D, forward and backward. ValueError without such rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dense = [(case, results) for case, results in rows if case.family == "dense"]
    if not dense:
        raise ValueError("--png: expected dense rows, which are what is drawn")
    dims = sorted({case.dim for case, _ in dense})
    figure = Figure(figsize=(13, 3.6 * len(dims) + 0.7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(("simulated, not measured: " if chip.simulated else "") + chip.heading(dtype), fontsize=9)
    panels = figure.subplots(len(dims), 2, squeeze=False)
    for line, dim in zip(panels, dims):
        for axes, direction in zip(line, ("forward", "backward")):
            part = [(case, results) for case, results in dense if case.dim == dim]
            names = list(dict.fromkeys(t.contender for _, results in part for t in results if t.milliseconds))
            width = 0.8 / max(len(names), 1)
            for index, name in enumerate(names):
                bars = [
                    (x, figures(case, t, chip)["tflops"])
                    for x, (case, results) in enumerate(part)
                    for t in results
                    if t.contender == name and t.direction == direction
                ]
                at = [x + (index - (len(names) - 1) / 2) * width for x, _ in bars]
                drawn = axes.bar(at, [rate for _, rate in bars], width, label=name, color=_COLORS[index % 5])
                axes.bar_label(drawn, fmt="%.0f", fontsize=6)
            if chip.peak_tflops is not None:
                axes.axhline(chip.peak_tflops, color="black", linewidth=0.8)
            axes.set_xticks(range(len(part)), [f"{case.seq_k}" for case, _ in part], fontsize=8)
            axes.set_title(f"{direction}, D = {dim}, causal", fontsize=9)
            axes.set_ylabel("TFLOP/s, visible triangle", fontsize=8)
            axes.legend(fontsize=7, frameon=False)
    figure.savefig(path)
