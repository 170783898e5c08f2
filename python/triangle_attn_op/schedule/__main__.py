"""Prints and draws a schedule.

python -m triangle_attn_op.schedule --shape 1,32,32,8192,8192,128 --cores 24 --png schedule.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import visibility
from . import PLOT_EXTRA, Schedule, plan


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        schedule = (
            _under_visibility(options)
            if options.visibility
            else plan(
                options.shape,
                cores=options.cores,
                block_q=options.block_q,
                block_k=options.block_k,
                chunk=options.chunk,
                alignment=options.alignment,
                diagonal=options.diagonal,
                window_size_left=options.window_size_left,
                cu_seq_q=options.cu_seq,
                cu_seq_k=options.cu_seq_k,
                backward=options.direction == "bwd",
                cost_edge=options.cost_edge,
                cost_full=options.cost_full,
                cost_task=options.cost_task,
            )
        )
        if options.json:
            print(json.dumps(_as_json(schedule)))
        else:
            _print_table(schedule, options.shape)
        if options.png:
            schedule.to_image(options.png, options.heads, options.batch)
            print(f"wrote {options.png}", file=sys.stderr)
    except (ValueError, ImportError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    return 0


def _under_visibility(options: argparse.Namespace) -> Schedule:
    """`--visibility NAME:NUMBERS` as the helper of `triangle_attn_op.visibility` of that name makes it."""
    try:
        from .intervals import plan_intervals
    except ImportError as error:
        raise ImportError("visibility: needs numpy: pip install numpy") from error
    if options.cu_seq is not None or options.alignment != "bottom_right" or options.diagonal is not None:
        raise ValueError("visibility: expected neither --cu-seq nor --alignment nor --diagonal with it")
    batch, heads_q, heads_kv, seq_q, seq_k = _sizes(options.shape)
    name, _, text = options.visibility.partition(":")
    if name not in _VISIBILITY or seq_q != seq_k:
        expected = ", ".join(f"{known}:{usage}" for known, (usage, _) in _VISIBILITY.items())
        raise ValueError(f"visibility: expected one of {expected} with Sq = Sk, got {options.visibility}")
    usage, make = _VISIBILITY[name]
    try:
        given = make([int(part) for part in text.split(",")], seq_k)
    except (TypeError, IndexError, ValueError) as error:
        raise ValueError(f"visibility: expected {name}:{usage}, got {options.visibility} ({error})") from None
    return plan_intervals(
        [batch, heads_q, heads_kv, seq_q, seq_k],
        given["startend_row_indices"].numpy(),
        diagonal=given.get("diagonal"),
        cores=options.cores,
        block_q=options.block_q,
        block_k=options.block_k,
        window_size_left=options.window_size_left,
        backward=options.direction == "bwd",
    )


def _sizes(shape: Sequence[int]) -> Sequence[int]:
    if len(shape) not in (5, 6):
        raise ValueError(f"shape: expected B, Hq, Hkv, Sq, Sk[, D], got {len(shape)} numbers")
    return shape[:5]


# What follows the name, and the call.
_VISIBILITY: dict[str, tuple[str, Callable[[list[int], int], dict[str, Any]]]] = {
    "prefix_lm": ("PREFIX", lambda n, length: visibility.prefix_lm(n[0], length)),
    "documents": ("LENGTH,...", lambda n, length: visibility.documents(n)),
    "shared_question": ("QUESTION,ANSWER,...", lambda n, length: visibility.shared_question(n[0], n[1:])),
    "sliding_window_with_sinks": (
        "WINDOW,SINKS",
        lambda n, length: visibility.sliding_window_with_sinks(n[0], n[1], length),
    ),
    "chunked": ("CHUNK", lambda n, length: visibility.chunked(n[0], length)),
}


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected integers separated by commas, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m triangle_attn_op.schedule", description="Which core does which block of the score matrix."
    )
    parser.add_argument("--shape", type=_numbers, required=True, metavar="B,Hq,Hkv,Sq,Sk,D")
    parser.add_argument("--cores", type=int, default=24, help="default: 24, the cube cores of an Ascend 910B2")
    parser.add_argument("--block-q", type=int, default=128, help="rows of a block (default: 128)")
    parser.add_argument("--block-k", type=int, default=128, help="keys of a block (default: 128)")
    parser.add_argument("--chunk", type=int, default=4, help="blocks a task may be cut at, 0: never (default: 4)")
    position = parser.add_mutually_exclusive_group()
    position.add_argument("--alignment", choices=("bottom_right", "top_left"), default="bottom_right")
    position.add_argument("--diagonal", type=int, help="query i sits at position i + DIAGONAL")
    parser.add_argument("--window-size-left", type=int, metavar="W", help="keys behind its position a query sees")
    parser.add_argument("--cu-seq", type=_numbers, metavar="0,n1,n2,...", help="packed documents: cumulative lengths")
    parser.add_argument("--cu-seq-k", type=_numbers, metavar="0,m1,m2,...", help="of the keys, if they differ")
    parser.add_argument(
        "--visibility", metavar="NAME:NUMBERS", help="hidden intervals, such as prefix_lm:256 or documents:3000,1096"
    )
    parser.add_argument("--pass", dest="direction", choices=("fwd", "bwd"), default="fwd")
    parser.add_argument("--cost-full", type=int, default=1, help="weight of a full block (default: 1)")
    parser.add_argument("--cost-edge", type=int, default=1, help="weight of a masked block (default: 1)")
    parser.add_argument("--cost-task", type=int, default=0, help="weight of a task besides its blocks (default: 0)")
    parser.add_argument("--png", metavar="FILE", help="draw which core does which block")
    parser.add_argument(
        "--heads", type=_numbers, metavar="H1,H2,...", help="query heads to draw (default: the first 8)"
    )
    parser.add_argument("--batch", type=int, default=0, help="batch item to draw (default: 0)")
    parser.add_argument("--json", action="store_true", help="print figures and loads as JSON")
    return parser


def _as_json(schedule: Schedule) -> dict[str, Any]:
    names = [
        "heads_q heads_kv packed backward cores block_q block_k chunk window_size_left loads description_bytes fillers",
        "tasks empty_tasks tasks_per_core blocks edge_blocks square_blocks visible_pairs lower_bound",
        "mean_load max_load imbalance",
    ]
    result: dict[str, Any] = {name: getattr(schedule, name) for line in names for name in line.split()}
    result["min_load"] = min(schedule.loads)
    return result


def _print_table(schedule: Schedule, shape: Sequence[int]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError as error:
        raise ImportError(f"printing the table needs rich: {PLOT_EXTRA} (or use --json)") from error
    area = sum(sq * sk for sq, sk in schedule.lengths) * schedule.heads_q

    def share(part: int, whole: int) -> str:
        return f"{part:,} ({part / whole:.2%})" if whole else f"{part:,}"

    kind = "backward: block columns of key/value heads" if schedule.backward else "forward: block rows of query heads"
    table = Table(title=f"Schedule of [{', '.join(map(str, shape))}] on {schedule.cores} cores", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = [
        ("tasks", f"{schedule.tasks:,}, {schedule.tasks_per_core:.1f} a core ({kind})"),
        ("blocks of the full matrices", f"{schedule.square_blocks:,} of {schedule.block_q} x {schedule.block_k}"),
        ("blocks computed", share(schedule.blocks, schedule.square_blocks)),
        ("  of them masked", share(schedule.edge_blocks, schedule.blocks)),
        ("visible pairs", share(schedule.visible_pairs, area)),
        (
            "  of the computed area",
            share(schedule.visible_pairs, schedule.blocks * schedule.block_q * schedule.block_k),
        ),
        ("load min / mean / max", f"{min(schedule.loads):,} / {schedule.mean_load:,.2f} / {schedule.max_load:,}"),
        ("least possible max", f"{schedule.lower_bound:,}"),
        ("imbalance", f"{schedule.imbalance:.2%}"),
        ("told to a kernel", f"{schedule.description_bytes:,} bytes"),
    ]
    if schedule.empty_tasks:
        rows.insert(1, ("tasks that see nothing", f"{schedule.empty_tasks:,}"))
    if schedule.fillers:
        side = "first" if schedule.fillers > 0 else "last"
        rows.insert(-1, ("fillers", f"the {side} {abs(schedule.fillers)} task rows of each sequence and head"))
    if len(shape) == 6:
        products = 10 if schedule.backward else 4
        rows.insert(
            -3, ("FLOP on visible pairs", f"{products * shape[5] * schedule.visible_pairs:.4g} ({products} D a pair)")
        )
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
