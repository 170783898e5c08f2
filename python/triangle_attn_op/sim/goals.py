"""The table of modelled goals: what the kernels should reach on Ascend910B2, and what the timing model says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ascend_sim import socs
from . import library
from .backward import model_backward
from .cache_model import model_kvcache
from .model import Modelled, Shape, model_forward

# The corner of the ranges in which measurements of others leave the rates: docs/simulator-timing.md.
WORST = {"fixpipe": 95.0, "fixpipe_atomic": 53.0, "fix_latency_cycles": 450.0}
_PIPES = ("M", "FIX", "V", "MTE1", "MTE2", "MTE3")


@dataclass(frozen=True)
class Goal:
    """A shape and what its launch should reach: the share of the cube's peak, in cycles, and that in the WORST corner;
    None: stated only. against_dense: times faster than the kernel without a diagonal. deterministic: the share of the
    backward's deterministic path. Of a call over a cache, its append included: hbm_share, of HBM's bandwidth, for keys
    and values read once; of_forward, of the forward's rate for the same rows and keys.
    """

    direction: str  # "forward", "backward", "cache"
    shape: Shape
    cube_share: float | None
    worst_share: float | None = None
    most_ring_mib: float | None = None
    against_dense: float | None = None
    deterministic: float | None = None
    hbm_share: float | None = None
    of_forward: float | None = None


_LONG, _MANY_HEADS = Shape(1, 32, 32, 8192, 8192, 128), Shape(1, 52, 52, 2048, 2048, 128)
_NARROW, _SHORT = Shape(1, 32, 32, 8192, 8192, 64), Shape(4, 32, 32, 512, 512, 128)
GOALS = (
    Goal("forward", _LONG, 0.62, 0.56, 3.0, 1.85),
    Goal("forward", _MANY_HEADS, 0.50, 0.44, 3.0),
    Goal("forward", _NARROW, 0.40),
    Goal("forward", _SHORT, None),
    Goal("backward", _LONG, 0.68, 0.58, 2.5, 1.85, 0.48),
    Goal("backward", _MANY_HEADS, 0.60, 0.48, 2.5, None, 0.40),
    Goal("backward", _NARROW, 0.42),
    Goal("backward", _SHORT, None),
    Goal("cache", Shape(32, 32, 8, 1, 8192, 128), None, hbm_share=0.8),
    Goal("cache", Shape(1, 32, 8, 512, 8192, 128), None, of_forward=0.9),
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
    """Prints goal, modelled value, met or not, and for what is not met the pipe that binds. Returns 0 when all are met,
    else 1.
    """
    rows: list[tuple[Goal, Row]] = []
    if not as_json:
        corner = ", ".join(f"{name} {value:g}" for name, value in WORST.items())
        print("Ascend910B2, bf16, timing model, nothing measured; shares of the cube's peak in cycles")
        print(f"worst corner: {corner}")
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
    if goal.direction == "cache":
        return cache_rows_of(goal)
    model = model_forward if goal.direction == "forward" else model_backward
    m = model(goal.shape)
    rows = [_share("share of cube peak", m, goal.cube_share), _stated(m)]
    if goal.worst_share is not None:
        rows.append(_share("share in the worst corner", model(goal.shape, parameters=dict(WORST)), goal.worst_share))
    if goal.most_ring_mib is not None:
        ring = m.ring_bytes_per_core / 2**20
        rows.append(
            Row("ring workspace a core", f"<= {goal.most_ring_mib} MiB", f"{ring:.2f} MiB", ring <= goal.most_ring_mib)
        )
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
        whole = model_backward(goal.shape, deterministic=True)
        rows.append(_share("deterministic path", whole, goal.deterministic))
        cost = whole.microseconds / m.microseconds - 1
        figures = {"microseconds": whole.microseconds, "cost": cost}
        rows.append(Row("its time", "", f"{_times(whole)}, {cost:+.0%}", figures=figures))
    return rows


def cache_rows_of(goal: Goal) -> list[Row]:
    """Over pages of 64 keys, and of all of a sequence's."""
    rows = []
    for page_size in (64, goal.shape.sk):
        m = model_kvcache(goal.shape, page_size=page_size)
        where = f"pages of {page_size}"
        figures: dict[str, Any] = {"microseconds": m.microseconds, "hbm_share": m.hbm_share}
        if goal.hbm_share is not None:
            busy = {name: share for name, share in m.report.pipe_shares.items() if share >= 0.1}
            parts = ", ".join(f"{name} {share:.0%}" for name, share in sorted(busy.items(), key=lambda item: -item[1]))
            met = m.hbm_share >= goal.hbm_share
            value = f"{m.hbm_share:.1%}"
            reason = "" if met else f"{m.cache_bytes / 1e6:,.0f} MB in {m.microseconds:,.0f} us; busy: {parts}"
            rows.append(Row(f"share of HBM's rate, {where}", f">= {goal.hbm_share:.0%}", value, met, reason, figures))
        if goal.of_forward is not None:
            rate = model_forward(goal.shape).microseconds / m.microseconds
            rows.append(
                Row(
                    f"of the forward's rate, {where}",
                    f">= {goal.of_forward:.0%}",
                    f"{rate:.1%}",
                    rate >= goal.of_forward,
                    figures=figures | {"of_forward": rate},
                )
            )
        parts = f"{m.microseconds:,.0f} us, {m.append_microseconds:.1f} of them to append"
        rows.append(Row("time", "", parts, figures=figures))
    return rows


def _share(name: str, m: Modelled, least: float | None) -> Row:
    met = None if least is None else m.cube_share >= least
    goal = "" if least is None else f">= {least:.0%}"
    return Row(name, goal, f"{m.cube_share:.1%}", met, "" if met else binding(m), {"cube_share": m.cube_share})


def _times(m: Modelled) -> str:
    """At the nominal clock and at the one that long runs seem to have."""
    report = m.report
    clock = float(report.raw["sustained_ghz"])
    return f"{m.microseconds:,.0f} us at {report.ghz:g} GHz, {report.sustained_microseconds:,.0f} at {clock:g}"


def binding(m: Modelled) -> str:
    """What holds a launch back: L2, where it passes a larger share of its bandwidth than any pipe is busy, else the
    busiest pipe; and what the launch would reach if that one never paused.
    """
    pipe = max(_PIPES, key=m.report.busy)
    busy = m.report.busy(pipe)
    path = ", ".join(f"{name} {share:.0%}" for name, share in list(m.report.critical_path.items())[:3])
    l2, bandwidth = l2_share(m)
    if l2 > busy:
        return (
            f"L2 binds: busy with {l2:.0%} of its {bandwidth / 1e12:g} TB/s; all of it would allow "
            f"{m.cube_share / l2:.1%} of cube peak; the busiest pipe is {pipe}, {busy:.0%}; critical path {path}"
        )
    return (
        f"{pipe} binds: busy {busy:.0%} of the time; never pausing it would allow {m.cube_share / busy:.1%} of cube "
        f"peak; critical path {path}"
    )


def l2_share(m: Modelled) -> tuple[float, float]:
    """The share of L2's bandwidth for reading and writing that the launch takes on average, and that bandwidth in B/s,
    at the default parameters of its chip.
    """
    bandwidth = float(socs(library.kernels().path)["chips"][m.report.soc]["l2_mixed_bandwidth"])
    moved = sum(count for path, count in m.report.path_bytes.items() if "GM" in path)
    return moved / (m.microseconds * 1e-6) / bandwidth, bandwidth


def _stated(m: Modelled) -> Row:
    busy = {pipe: m.report.busy(pipe) for pipe in _PIPES} | {"L2": l2_share(m)[0]}
    parts = ", ".join(f"{pipe} {share:.0%}" for pipe, share in sorted(busy.items(), key=lambda item: -item[1]))
    value = (
        f"{_times(m)}, {m.tflops:.0f} TFLOP/s at the first; {m.visible_of_computed:.1%} of computed pairs visible, "
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
