"""A picture of one AI core's pipes over time, from a launch made with trace=True."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .model import Modelled

_PIPES = ("MTE2", "MTE1", "M", "FIX", "V", "MTE3")
_COLOURS = {"MTE2": "#4c72b0", "MTE1": "#64b5cd", "M": "#c44e52", "FIX": "#dd8452", "V": "#55a868", "MTE3": "#8172b3"}


def draw(modelled: Modelled, path: Path, *, cores: tuple[str, ...] = ("aic0", "aiv0"), last_us: float = 60.0) -> None:
    """Writes a PNG of the pipes of `cores` up to `last_us`; ImportError names what to install."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("--png: matplotlib is missing: pip install triangle-attn-op[plot]") from None
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        modelled.report.write_trace(trace)
        events = json.loads(trace.read_text())["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    pipes = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    rows = [(core, pipe) for core in cores for pipe in _PIPES if not (core.startswith("aic") and pipe in ("V", "MTE3"))]
    rows = [(core, pipe) for core, pipe in rows if not (core.startswith("aiv") and pipe in ("MTE1", "M", "FIX"))]
    figure, axes = plt.subplots(figsize=(14, 0.5 * len(rows) + 1.4), layout="constrained")
    for i, (core, pipe) in enumerate(rows):
        bars = [
            (e["ts"], e["dur"])
            for e in events
            if e["ph"] == "X"
            and names.get(e["pid"]) == core
            and pipes.get((e["pid"], e["tid"]), "").removeprefix("PIPE_") == pipe
            and e["ts"] < last_us
        ]
        axes.broken_barh(bars, (i - 0.4, 0.8), color=_COLOURS[pipe], linewidth=0)
    axes.set_yticks(range(len(rows)), [f"{core} {pipe}" for core, pipe in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, min(last_us, modelled.microseconds))
    axes.set_xlabel("microseconds (modelled)")
    axes.set_title(
        f"{modelled.direction} {modelled.shape} on {modelled.soc}: {modelled.cube_share:.1%} of cube peak in all"
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)
