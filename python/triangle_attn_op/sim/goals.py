"""The table of modelled goals: what the kernels should reach on Ascend910B2, and what the timing model says."""

from __future__ import annotations

from dataclasses import dataclass

from .model import Modelled, Shape, model_forward

# Fixpipe's rate is the least certain published figure; 53 B/cycle is the default.
_FIXPIPE_RATES = (41, 53, 66)


@dataclass(frozen=True)
class Goal:
    name: str
    shape: Shape
    cube_share: float


GOALS = [
    Goal("forward, S = 8192", Shape(1, 32, 32, 8192, 8192, 128), 0.50),
    Goal("forward, S = 2048 (33B Llama)", Shape(1, 52, 52, 2048, 2048, 128), 0.40),
]
_MOST_RING_MIB = 3.0
_LEAST_SPEEDUP = 1.85


def print_goals() -> int:
    """Prints goal, modelled value, met or not. Returns 0 when all are met at the default rate."""
    rows: list[tuple[str, str, str, bool]] = []
    first: Modelled | None = None
    for goal in GOALS:
        by_rate = {rate: model_forward(goal.shape, parameters={"fixpipe": rate}) for rate in _FIXPIPE_RATES}
        m = by_rate[53]
        first = first or m
        shares = " / ".join(f"{by_rate[rate].cube_share:.1%}" for rate in _FIXPIPE_RATES)
        met = m.cube_share >= goal.cube_share
        rows.append((f"{goal.name}: share of cube peak", f">= {goal.cube_share:.0%}", shares, met))
        busiest = max(("M", "FIX", "V", "MTE1", "MTE2", "MTE3"), key=m.report.busy)
        computed = f"{m.visible_of_computed:.1%} of computed pairs visible, {m.imbalance:.2%} imbalance"
        rows.append((f"  {m.microseconds:,.0f} us, {m.tflops:.0f} TFLOP/s", "", f"{computed}, {busiest} binds", True))
        ring = m.ring_bytes_per_core / 2**20
        rows.append(("  ring workspace a core", f"<= {_MOST_RING_MIB} MiB", f"{ring:.2f} MiB", ring <= _MOST_RING_MIB))
    assert first is not None
    s = first.shape
    dense = model_forward(s, diagonal=s.sk - 1)
    speedup = dense.microseconds / first.microseconds
    rows.append(
        ("S = 8192 against dense attention", f">= {_LEAST_SPEEDUP}x", f"{speedup:.2f}x", speedup >= _LEAST_SPEEDUP)
    )
    print("Ascend910B2, bf16, timing model; shares at Fixpipe " + " / ".join(map(str, _FIXPIPE_RATES)) + " B/cycle")
    for name, goal_text, value, met in rows:
        print(f"{name:44} {goal_text:>10}  {value:58} {'' if not goal_text else 'met' if met else 'NOT MET'}")
    return 0 if all(met for *_, met in rows) else 1
