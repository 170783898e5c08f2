"""Occupancy charts of a launch: a panel for each pipe, a line for each core, time to the right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .pipes import PIPES

if TYPE_CHECKING:
    from .report import Report

_BINS = 600
_NAMES = {"V": "vector", "M": "cube", "FIX": "Fixpipe", "MTE1": "L1 to L0", "MTE2": "GM in", "MTE3": "out to GM"}
_ORDER = {"aic": ("M", "FIX", "MTE1", "MTE2", "MTE3"), "aiv": ("V", "MTE2", "MTE3")}


def occupancy(report: Report, core: int, pipe: str, bins: int = _BINS) -> np.ndarray[Any, Any]:
    """Share of each of `bins` equal stretches of the launch in which an instruction held the pipe, [bins]."""
    if report.events is None:
        raise ValueError("occupancy: the launch was not made with trace=True")
    width = report.cycles / bins
    mine = report.events[(report.events["core"] == core) & (report.events["pipe"] == PIPES.index(pipe))]
    busy = np.zeros(bins + 1)
    # Every bar adds its whole length up to each edge; differences of that are what falls between two edges.
    edges = np.arange(1, bins + 1) * width
    starts, ends = np.sort(mine["start"]), np.sort(mine["end"])
    for values, sign in ((starts, 1.0), (ends, -1.0)):
        sums = np.concatenate(([0.0], np.cumsum(values)))
        before = np.searchsorted(values, edges)
        busy[1:] += sign * (before * edges - sums[before])
    return np.clip(np.diff(busy) / width, 0.0, 1.0)


def write_occupancy(report: Report, path: str | os.PathLike[str], title: str = "") -> None:
    """Writes the chart as PNG (or what the file's ending says)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = {kind: [i for i, c in enumerate(report.cores) if c["name"].startswith(kind)] for kind in _ORDER}
    panels = [
        (kind, pipe, cores)
        for kind, cores in kinds.items()
        for pipe in _ORDER[kind]
        if any(pipe in report.cores[i]["pipes"] for i in cores)
    ]
    if not panels:
        raise ValueError("write_png: the launch used no pipe")
    over_time = report.events is not None and len(report.events) > 0
    heights = [min(1.6, max(0.45, 0.09 * len(cores))) for _, _, cores in panels]
    width, height = (11.0 if over_time else 8.0), sum(heights) + 0.12 * (len(panels) - 1) + 1.2
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights, hspace=0.12 * len(panels) / sum(heights))
    colours = {"aic": "Oranges", "aiv": "Blues"}
    last = None
    for row, (kind, pipe, cores) in enumerate(panels):
        axes = figure.add_subplot(grid[row], sharex=last)
        last = axes
        means = [report.cores[i]["pipes"].get(pipe, {"busy": 0.0})["busy"] / report.cycles for i in cores]
        mean = sum(means) / len(means)
        if over_time:
            image = np.stack([occupancy(report, i, pipe) for i in cores])
            axes.imshow(
                image,
                aspect="auto",
                interpolation="nearest",
                cmap=colours[kind],
                vmin=0.0,
                vmax=1.0,
                extent=(0.0, report.microseconds, len(cores) - 0.5, -0.5),
            )
        else:
            axes.barh(range(len(cores)), means, color="#d9541e" if kind == "aic" else "#1f78b4", height=0.85)
            axes.set_ylim(len(cores) - 0.5, -0.5)
            axes.set_xlim(0.0, 1.0)
        axes.set_yticks([0, len(cores) - 1] if len(cores) > 1 else [0])
        axes.set_yticklabels([report.cores[i]["name"] for i in ([cores[0], cores[-1]] if len(cores) > 1 else cores)])
        axes.tick_params(axis="both", labelsize=8, length=2, labelbottom=row == len(panels) - 1)
        axes.text(
            1.01,
            0.5,
            f"{pipe}  {mean:.0%}\n{_NAMES.get(pipe, '')}",
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            linespacing=1.3,
        )
        for side in axes.spines.values():
            side.set_linewidth(0.5)
    assert last is not None
    last.set_xlabel("microseconds, modelled" if over_time else "busy share of the launch, modelled", fontsize=9)
    path_parts = [f"{name} {share:.0%}" for name, share in list(report.critical_path.items())[:4] if share >= 0.01]
    left = 0.62 / width
    heading = title or ("Which pipe is busy when" if over_time else "How busy each pipe is")
    figure.text(left, 1 - 0.1 / height, heading, fontsize=12, va="top", weight="bold")
    dropped = int(report.raw.get("trace_dropped", 0))
    figure.text(
        left,
        1 - 0.36 / height,
        f"{report.soc}, {report.microseconds:,.1f} us modelled; "
        + (f"cube at {report.cube_peak_share:.0%} of peak; " if report.cube_flops else "")
        + f"critical path: {', '.join(path_parts)}"
        + (f"; the trace lacks the last {dropped:,} instructions" if dropped else ""),
        fontsize=8.5,
        va="top",
        color="#444444",
    )
    figure.subplots_adjust(left=left, right=1 - 1.0 / width, top=1 - 0.65 / height, bottom=0.5 / height)
    figure.savefig(os.fspath(path))
