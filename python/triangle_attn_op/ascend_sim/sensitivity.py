"""A kernel's modelled time over the ranges of the rates nobody knows well.

    python -m triangle_attn_op.ascend_sim.sensitivity [--kernel matmul]
    python -m triangle_attn_op.ascend_sim.sensitivity --library build/libmine.so --kernel mine --args 1048576 4096 8
    ... --range fixpipe_bytes_per_cycle=95,128 --range hbm_bandwidth=1.5e12,1.8e12

    ... --goals    # the goals of the operator's kernels (triangle_attn_op.sim) over GOAL_RANGES

One parameter at a time, the others at their defaults. --args are the kernel's arguments for a timing-only launch: sizes
in bytes for pointers, integers for integers. From Python: sweep() with any function that launches.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .launch import load
from .report import Report
from .timing_kernels import timing_library
from .validate import SOC, fixpipe_output, matmul

RANGES: dict[str, tuple[float, ...]] = {
    "fixpipe_bytes_per_cycle": (95, 110, 128),
    "fixpipe_atomic_bytes_per_cycle": (53, 80, 110),
    "fix_latency_cycles": (30, 200, 450),
    "shared_piece_bytes": (256, 1e9),
    "nd2nz_bytes_per_cycle": (64, 83, 110),
    "l2_read_bandwidth": (3.6e12, 5e12),
    "l2_mixed_bandwidth": (5e12, 7e12),
    "hbm_bandwidth": (1.5e12, 1.8e12),
    "l2_warm": (0, 1),
    "mte_latency_cycles": (150, 300, 600),
    "cross_flag_latency_cycles": (50, 100, 300),
    "vector_add_cycles": (1, 2.1),
    "vector_max_cycles": (1, 2),
    "scalar_loop_cycles": (0, 5),
    "ghz": (1.5, 1.8),
}


# What the goals of the kernels are stated over: docs/simulator-timing.md. Without a limit in shared_piece_bytes, pieces
# of any length are slow where other cores read the same lines.
GOAL_RANGES: dict[str, tuple[float, ...]] = {
    "fixpipe_bytes_per_cycle": (95, 110, 128),
    "fix_latency_cycles": (30, 200, 450),
    "fixpipe_atomic_bytes_per_cycle": (53, 80, 110),
    "ghz": (1.5, 1.8),
    "shared_piece_bytes": (256, 1e9),
    "vector_add_cycles": (1, 2.1),
    "vector_max_cycles": (1, 2),
    "scalar_loop_cycles": (0, 5),
}


@dataclass(frozen=True)
class Point:
    """The launch with `parameter` at `value`; change is relative to the defaults' cycles."""

    parameter: str
    value: float
    report: Report
    change: float


def sweep(
    run: Callable[[dict[str, float]], Report], ranges: Mapping[str, Sequence[float]] = RANGES
) -> tuple[Report, list[Point]]:
    """The report with default parameters, and one point for each value of each range."""
    base = run({})
    points = []
    for name, values in ranges.items():
        for value in values:
            report = run({name: float(value)})
            points.append(Point(name, float(value), report, report.cycles / base.cycles - 1.0))
    return base, points


def sweep_text(base: Report, points: Sequence[Point]) -> str:
    """The points as an aligned text table."""
    lines = [
        f"{'parameter':32s} {'value':>10s} {'us':>12s} {'change':>8s} {'cube peak':>10s}  critical path",
        f"{'(defaults)':32s} {'':>10s} {base.microseconds:12,.2f} {'':>8s} {base.cube_peak_share:10.1%}  {_path(base)}",
    ]
    for p in points:
        lines.append(
            f"{p.parameter:32s} {p.value:10.4g} {p.report.microseconds:12,.2f} {p.change:+8.1%} "
            f"{p.report.cube_peak_share:10.1%}  {_path(p.report)}"
        )
    return "\n".join(lines)


def print_goals(ranges: Mapping[str, Sequence[float]] = GOAL_RANGES) -> None:
    """The share of the cube's peak, in cycles, of each shape with a goal: one parameter at a time, and their worst."""
    # The operator's package, which this one does not need otherwise.
    from triangle_attn_op.sim.backward import model_backward
    from triangle_attn_op.sim.goals import GOALS, WORST
    from triangle_attn_op.sim.model import model_forward

    cases = [{}, *({name: float(value)} for name, values in ranges.items() for value in values), dict(WORST)]
    print("modelled, not measured: share of the cube's peak on Ascend910B2, bf16")
    for goal in GOALS:
        if goal.cube_share is None:
            continue
        model = model_forward if goal.direction == "forward" else model_backward
        print(f"{goal.direction} {goal.shape}: goal {goal.cube_share:.0%}")
        for case in cases:
            text = ", ".join(f"{name} {value:g}" for name, value in case.items()) or "defaults"
            print(f"  {text:64s} {model(goal.shape, parameters=case).cube_share:6.1%}", flush=True)


def _path(report: Report) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in list(report.critical_path.items())[:3])


def _range(text: str) -> tuple[str, tuple[float, ...]]:
    name, _, values = text.partition("=")
    if not values:
        raise argparse.ArgumentTypeError(f"expected name=value,value,..., got {text!r}")
    return name, tuple(float(v) for v in values.split(","))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, help="a kernel library; without it one of the built-in cases")
    parser.add_argument("--kernel", default="matmul", help="matmul, fixpipe, atomic, or a kernel of --library")
    parser.add_argument("--args", nargs="*", type=int, default=[], help="arguments of a kernel of --library")
    parser.add_argument("--block-dim", type=int, default=24)
    parser.add_argument("--soc", default=SOC)
    parser.add_argument("--range", action="append", type=_range, help="name=value,value,...; may be repeated")
    parser.add_argument("--goals", action="store_true", help="the shapes that have goals, instead of a kernel")
    options = parser.parse_args()
    if options.goals:
        print_goals(dict(options.range) if options.range else GOAL_RANGES)
        return
    run: Callable[[dict[str, float]], Report]
    if options.library is not None:
        library = load(options.library)

        def run(parameters: dict[str, float]) -> Report:
            return library.launch(
                options.kernel,
                *options.args,
                block_dim=options.block_dim,
                soc=options.soc,
                parameters=parameters,
                timing_only=True,
            ).raise_on_findings()
    else:
        timing = timing_library()
        built_in: dict[str, Callable[[dict[str, float]], Report]] = {
            "matmul": lambda p: matmul(timing, 2048, p),
            "fixpipe": lambda p: fixpipe_output(timing, p),
            "atomic": lambda p: fixpipe_output(timing, p, wide=1, atomic=1),
        }
        if options.kernel not in built_in:
            parser.error(f"--kernel: expected one of {', '.join(built_in)} without --library, got {options.kernel!r}")
        run = built_in[options.kernel]
    print(f"{options.kernel}: modelled, not measured")
    print(sweep_text(*sweep(run, dict(options.range) if options.range else RANGES)))


if __name__ == "__main__":
    main()
