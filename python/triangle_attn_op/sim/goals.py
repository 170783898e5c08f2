"""The table of modelled goals: what the kernels should reach on Ascend910B2, and what the timing model says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .backward import model_backward
from .model import Modelled, Shape, model_forward

# Fixpipe's rate is the least certain published figure; the goals are for the second, which is the default.
FIXPIPE_RATES = (41, 53, 66)
_DEFAULT_RATE = FIXPIPE_RATES[1]
_PIPES = ("M", "FIX", "V", "MTE1", "MTE2", "MTE3")


@dataclass(frozen=True)
class Goal:
    """A shape and what its launch should reach. against_dense: times faster than the kernel without a diagonal."""

    direction: str  # "forward", "backward"
    shape: Shape
    cube_share: float
    most_ring_mib: float
    against_dense: float | None = None


GOALS = (
    Goal("forward", Shape(1, 32, 32, 8192, 8192, 128), 0.50, 3.0, 1.85),
    Goal("forward", Shape(1, 52, 52, 2048, 2048, 128), 0.40, 3.0),
    Goal("backward", Shape(1, 32, 32, 8192, 8192, 128), 0.45, 2.5, 1.85),
    Goal("backward", Shape(1, 52, 52, 2048, 2048, 128), 0.35, 2.5),
)


@dataclass(frozen=True)
class Row:
    """One line of the table. met: None where it only states something. reason: why a goal is not reached."""

    name: str
    goal: str
    value: str
    met: bool | None = None
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def print_goals(goals: Sequence[Goal] = GOALS, *, as_json: bool = False) -> int:
    """Prints goal, modelled value, met or not, and for what is not met the pipe that binds. Returns 0 when all are met
    at the default rate, else 1.
    """
    rows: list[tuple[Goal, Row]] = []
    if not as_json:
        rates = " / ".join(map(str, FIXPIPE_RATES))
        print(f"Ascend910B2, bf16, timing model; shares at Fixpipe {rates} B/cycle, plain and atomic alike")
        print(f"everything else at {_DEFAULT_RATE} B/cycle")
    for goal in goals:
        if not as_json:
            print(f"{goal.direction} {goal.shape}")
        for row in rows_of(goal):
            rows.append((goal, row))
            if not as_json:
                _print(row)
    if as_json:
        print(json.dumps([{"pass": g.direction, "shape": str(g.shape), **vars(row)} for g, row in rows], indent=2))
    return 1 if any(row.met is False for _, row in rows) else 0


def rows_of(goal: Goal) -> list[Row]:
    """Models the goal's launches."""
    model = model_forward if goal.direction == "forward" else model_backward
    by_rate = {rate: model(goal.shape, parameters={"fixpipe": rate, "fixpipe_atomic": rate}) for rate in FIXPIPE_RATES}
    m = by_rate[_DEFAULT_RATE]
    met = m.cube_share >= goal.cube_share
    shares = {rate: by_rate[rate].cube_share for rate in FIXPIPE_RATES}
    rows = [
        Row(
            "share of cube peak",
            f">= {goal.cube_share:.0%}",
            " / ".join(f"{share:.1%}" for share in shares.values()),
            met,
            "" if met else binding(m),
            {"cube_share": shares},
        ),
        _stated(m),
    ]
    ring = m.ring_bytes_per_core / 2**20
    ring_met = ring <= goal.most_ring_mib
    rows.append(Row("ring workspace a core", f"<= {goal.most_ring_mib} MiB", f"{ring:.2f} MiB", ring_met))
    if m.accumulator_bytes:
        rows.append(Row("fp32 accumulators, beside the ring", "", f"{m.accumulator_bytes / 2**20:.1f} MiB"))
    rows.append(_traffic(m))
    if goal.against_dense is not None:
        dense = model(goal.shape, diagonal=goal.shape.sk - 1)
        speedup = dense.microseconds / m.microseconds
        fast = speedup >= goal.against_dense
        reason = "" if fast else f"{m.visible_of_computed:.1%} of computed pairs are visible; {binding(m)}"
        rows.append(Row("against dense attention", f">= {goal.against_dense}x", f"{speedup:.2f}x", fast, reason))
    if goal.direction == "backward":
        rows.append(_slow_atomics(goal))
        whole = model_backward(goal.shape, deterministic=True)
        cost = whole.microseconds / m.microseconds - 1
        value = f"{whole.microseconds:,.0f} us, {cost:+.0%}; {whole.cube_share:.1%} of cube peak"
        rows.append(Row("deterministic path", "", value, figures={"microseconds": whole.microseconds, "cost": cost}))
    return rows


def binding(m: Modelled) -> str:
    """Which pipe holds a launch back: the busiest one, and what the launch would reach if that one never paused."""
    pipe = max(_PIPES, key=m.report.busy)
    busy = m.report.busy(pipe)
    path = ", ".join(f"{name} {share:.0%}" for name, share in list(m.report.critical_path.items())[:3])
    return (
        f"{pipe} binds: busy {busy:.0%} of the time; never pausing it would allow {m.cube_share / busy:.1%} of cube "
        f"peak; critical path {path}"
    )


def _slow_atomics(goal: Goal) -> Row:
    """The rate of Fixpipe's atomic additions is published nowhere: the share at half that of plain stores, against the
    same goal, which counts at equal rates only.
    """
    rate = _DEFAULT_RATE / 2
    m = model_backward(goal.shape, parameters={"fixpipe": _DEFAULT_RATE, "fixpipe_atomic": rate})
    reaches = m.cube_share >= goal.cube_share
    verdict = "reaches" if reaches else "MISSES"
    value = f"{m.cube_share:.1%}, for information: {verdict} the goal of {goal.cube_share:.0%}"
    figures = {"cube_share": m.cube_share, "fixpipe_atomic": rate, "reaches": reaches}
    return Row(f"atomic additions at {rate} B/cycle", "", value, None, "" if reaches else binding(m), figures)


def _stated(m: Modelled) -> Row:
    busy = {pipe: m.report.busy(pipe) for pipe in _PIPES}
    parts = ", ".join(f"{pipe} {share:.0%}" for pipe, share in sorted(busy.items(), key=lambda item: -item[1]))
    value = (
        f"{m.microseconds:,.0f} us, {m.tflops:.0f} TFLOP/s; {m.visible_of_computed:.1%} of computed pairs visible, "
        f"imbalance {m.imbalance:.2%}; busy: {parts}"
    )
    figures = {"microseconds": m.microseconds, "tflops": m.tflops, "imbalance": m.imbalance, "busy": busy}
    return Row("time", "", value, figures=figures | {"visible_of_computed": m.visible_of_computed})


def _traffic(m: Modelled) -> Row:
    paths = {path: count for path, count in m.report.path_bytes.items() if "GM" in path}
    text = ", ".join(f"{path} {count / 1e9:.2f}" for path, count in paths.items())
    beyond = sum(paths.values()) - m.compulsory_bytes
    value = f"{beyond / 1e9:.2f} GB beyond the compulsory {m.compulsory_bytes / 1e9:.2f}; in all {text}"
    return Row("GM traffic", "", value, figures={"path_bytes": paths, "compulsory_bytes": m.compulsory_bytes})


def _print(row: Row) -> None:
    verdict = "" if row.met is None else "  met" if row.met else "  NOT MET"
    print(f"  {row.name:34} {row.goal:>10}  {row.value}{verdict}")
    if row.reason:
        print(f"  {'':34} {'':>10}  because {row.reason}")
