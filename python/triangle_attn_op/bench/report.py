"""What a run leaves: a line a case, the table of goals, JSON, CSV, Markdown and a picture."""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .goals import MET, NO_GOAL, VOID, Result, RowSummary
from .problem import DTYPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"ours": "#1b7f5c", "SDPA": "#c8553d", "other": "#8d99ae"}


def line(result: Result) -> str:
    """One case in one line."""
    parts = [f"{result.family:<8} {result.dtype} {result.direction:<16} {result.case}:"]
    if result.measured:
        parts.append(f"{result.measured};")
    if result.status != NO_GOAL:
        parts.append(f"goal {result.goal.text}:")
    parts.append(result.status)
    if result.note:
        parts.append(f"({result.note})")
    return " ".join(parts)


def print_summary(rows: Sequence[RowSummary]) -> None:
    """The table of goals: goal, measured, met or not for each row."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Goals")
    for column in ("row", "goal", "measured", "cases met", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "green" if row.status == MET else "" if row.status == NO_GOAL else "red"
        met = f"{row.met} of {row.cases}" if row.cases else ""
        table.add_row(row.row, row.goal, row.measured, met, row.status, style=style)
    # Away from a terminal, as in a log, rich would take 80 columns.
    Console(width=None if sys.stdout.isatty() else 150).print(table)


def write_json(path: Path, environment: dict[str, str], results: Sequence[Result], rows: Sequence[RowSummary]) -> None:
    document: dict[str, Any] = {
        "environment": environment,
        "rows": [vars(row) for row in rows],
        "cases": [result.as_json() for result in results],
    }
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_csv(path: Path, results: Sequence[Result]) -> None:
    """A line a case; figures, rates and seconds have a column each."""
    plain = ("family", "row", "case", "dtype", "direction", "goal", "measured", "status", "rounds", "note")
    nested = ("figures", "gflops", "seconds")
    records = [result.as_json() for result in results]
    extra = list(dict.fromkeys(f"{kind}: {name}" for r in records for kind in nested for name in r[kind]))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*plain, *extra], lineterminator="\n")
        writer.writeheader()
        for record in records:
            values = {name: record[name] for name in plain}
            values.update({f"{kind}: {name}": value for kind in nested for name, value in record[kind].items()})
            writer.writerow(values)


def against_pytorch(results: Sequence[Result]) -> str:
    """A Markdown table for a first look: how many times faster than SDPA and FlexAttention each direction and dtype is,
    over all cases of the rows `forward`, `backward` and `others`. What has only void cases is left out.
    """
    lines = []
    for direction in ("forward", "backward"):
        for dtype in DTYPES:
            sdpa = [r for r in results if (r.family, r.dtype) == (direction, dtype) and r.status != VOID]
            flex = [r for r in results if (r.family, r.dtype, r.direction) == ("others", dtype, direction)]
            if figures := [r.figures["x SDPA"] for r in sdpa if "x SDPA" in r.figures]:
                other = [r.figures["x FlexAttention"] for r in flex if "x FlexAttention" in r.figures]
                none = "not measured" if direction == "forward" else "has no backward on a CPU"
                lines.append((f"{direction} {dtype}", _times(figures), _times(other) if other else none))
    return _markdown_table(("", "SDPA", "FlexAttention"), lines)


def _times(figures: Sequence[float]) -> str:
    low, high = min(figures), max(figures)
    return f"{low:.2f} x" if low == high else f"{low:.2f} to {high:.2f} x"


def write_markdown(path: Path, title: str, results: Sequence[Result], rows: Sequence[RowSummary]) -> None:
    """A line that says what ran, the table that README shows, the table of goals, and a table of all cases."""
    goals = [
        (row.row, row.goal, row.measured, f"{row.met} of {row.cases}" if row.cases else "", _emphasis(row.status))
        for row in rows
    ]
    cases = [
        (
            f"{'' if r.family == r.direction else r.family} {r.dtype} {r.direction}".strip(),
            r.case,
            r.measured,
            r.goal.text,
            r.note,
            _emphasis(r.status),
        )
        for r in results
    ]
    tables = (
        against_pytorch(results),
        _markdown_table(("row", "goal", "measured", "cases met", ""), goals),
        _markdown_table(("case", "shape", "measured", "goal", "note", ""), cases),
    )
    path.write_text("\n".join((f"{title}\n", *tables)))


def _emphasis(status: str) -> str:
    return status if status in (MET, NO_GOAL) else f"**{status}**"


def _markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    texts = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in text)} |\n" for text in texts)


def drawable(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.family in ("forward", "backward", "others") and result.rates]


def draw(path: Path, results: Sequence[Result], title: str) -> None:
    """Bars of GFLOP/s against the SGEMM line and each case's micro-kernel; one panel each for forward, backward and
    others.

    Raises ValueError where no result has rates to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        family: [r for r in drawable(results) if r.family == family] for family in ("forward", "backward", "others")
    }
    panels = {family: chosen for family, chosen in panels.items() if chosen}
    if not panels:
        raise ValueError("--png: no measured case of forward, backward or others to draw")
    measured = [r.rates["SGEMM"] for chosen in panels.values() for r in chosen if "SGEMM" in r.rates]
    sgemm = statistics.median(measured) if measured else None
    widest = max(map(len, panels.values()))
    figure = Figure(figsize=(max(7.5, 0.95 * widest + 1.5), 3.7 * len(panels) + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    for index, (family, chosen) in enumerate(panels.items()):
        axes = figure.add_subplot(len(panels), 1, index + 1)
        _draw_panel(axes, family, chosen, sgemm)
    figure.savefig(path)


def _draw_panel(axes: Axes, family: str, results: Sequence[Result], sgemm: float | None) -> None:
    micro_drawn = False
    for x, result in enumerate(results):
        opponent = next(name for name in result.rates if name not in ("ours", "SGEMM", "micro"))
        for offset, name in ((-0.2, "ours"), (0.2, opponent)):
            rate = result.rates[name]
            axes.bar(x + offset, rate, 0.38, color=COLORS.get(name, COLORS["other"]))
            label = axes.text(x + offset, rate, f"{rate:.0f}", ha="center", va="bottom", fontsize=6.5, zorder=4)
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85})  # over the lines
        if "micro" in result.rates:
            label_once = "" if micro_drawn else "micro-kernel in cache"
            axes.hlines(result.rates["micro"], x - 0.45, x + 0.45, "black", ":", linewidth=1, label=label_once)
            micro_drawn = True
    if sgemm is not None:
        axes.axhline(sgemm, color="black", linewidth=1, label=f"torch.mm 2048\u00b3, fp32: {sgemm:.0f}")
    axes.bar(0, 0, color=COLORS["ours"], label="triangle_attn_op")
    if family == "others":
        axes.bar(0, 0, color=COLORS["other"], label="opponent named below")
    else:
        axes.bar(0, 0, color=COLORS["SDPA"], label="PyTorch SDPA")
    axes.set_xticks(range(len(results)), [_tick(result) for result in results], fontsize=7)
    axes.set_xlim(-0.6, len(results) - 0.4)
    top = max([rate for r in results for name, rate in r.rates.items() if name != "SGEMM"] + [sgemm or 0.0])
    axes.set_ylim(0, top * 1.32)
    axes.set_ylabel("GFLOP/s, triangle only", fontsize=8)
    axes.set_title({"others": "against attention written in Python"}.get(family, family), fontsize=9)
    axes.legend(fontsize=7, ncols=4, loc="upper center", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _tick(result: Result) -> str:
    if result.family != "others":
        return f"{result.dtype}\n{result.case}"
    opponent = next(name for name in result.rates if name != "ours")
    direction = "fwd" if result.direction == "forward" else "fwd+bwd"
    return f"{opponent}\n{result.dtype} {direction}\n{result.case}"
