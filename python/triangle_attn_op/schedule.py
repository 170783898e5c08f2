"""The block schedule, for inspection: which blocks of the score matrix exist, and which core does which of them.

    python -m triangle_attn_op.schedule --shape 1,32,32,8192,8192,128 --cores 24 --png schedule.png

The schedule itself is C++ (op_host/schedule.h), the code that the kernels run; this module calls it through ctypes.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _library

if TYPE_CHECKING:
    import numpy as np

_PLOT_EXTRA = "pip install triangle-attn-op[plot]"
_INT64 = ctypes.POINTER(ctypes.c_int64)


class Piece(NamedTuple):
    """The blocks of one task and one query head that one core does, in order.

    `row` is a block row and `begin`, `end` (half-open) are key blocks; in the backward `row` is a block column and
    they are row blocks. Blocks in [full_begin, full_end) need no mask. A task cut between cores has pieces that do not
    open or do not close it. `part` is 0 for the main part of the line, 1 for fillers.
    """

    core: int
    part: int
    batch: int
    head_q: int
    head_kv: int
    row: int
    begin: int
    end: int
    full_begin: int
    full_end: int
    opens: bool
    closes: bool


class Task(NamedTuple):
    """A whole task: (batch, query head, block row), in the backward (batch, key/value head, block column)."""

    batch: int
    head: int
    row: int
    cost: int


@dataclass(frozen=True)
class Schedule:
    """Which core does which blocks. Made by `plan()`; blocks are counted once per query head."""

    heads_q: int
    heads_kv: int
    lengths: list[tuple[int, int]]
    """(Sq, Sk) of every batch item, or of every document of a packed batch."""
    packed: bool
    backward: bool
    cores: int
    block_q: int
    block_k: int
    chunk: int
    """Key blocks per chunk: tasks are cut only at its multiples. 0: never."""
    diagonals: list[int]
    """Query i of a sequence sits at position i + diagonal."""
    window_size_left: int | None
    loads: list[int]
    """Cost per core; with the default weights, blocks."""
    places: list[list[tuple[int, int, int]]]
    """[cores + 1][main part, fillers] of (sequence, task, unit): all that a kernel is told."""
    description_bytes: int
    """Size of what a kernel is told: O(cores)."""
    fillers: int
    """Block rows per sequence set aside to level the cores: the first ones, or the last if negative."""
    tasks: int
    empty_tasks: int
    """Block rows (columns) that see nothing: only their zeros are written."""
    blocks: int
    """Blocks that hold a visible pair: computed."""
    edge_blocks: int
    """Those of them that need a mask."""
    square_blocks: int
    """Blocks of the whole score matrices."""
    visible_pairs: int
    largest_unit: int
    """Cost of the largest unit (the blocks of a task in one chunk): units are never cut."""
    unit_divisor: int
    """Greatest common divisor of the units' costs."""
    lower_bound: int
    """No schedule of these indivisible units has a busiest core below this."""
    _problem: _Problem = field(repr=False)

    @property
    def mean_load(self) -> float:
        return sum(self.loads) / self.cores

    @property
    def max_load(self) -> int:
        return max(self.loads)

    @property
    def imbalance(self) -> float:
        """How much more the busiest core does than the mean, as a fraction: 0.03 is 3%."""
        total = sum(self.loads)
        return self.max_load * self.cores / total - 1.0 if total else 0.0

    @property
    def tasks_per_core(self) -> float:
        return self.tasks / self.cores

    def pieces(self) -> list[Piece]:
        """Everything that is done, core by core, in order, as the kernels' walker enumerates it."""
        rows = self._problem.rows("triangle_schedule_pieces", len(Piece._fields))
        return [Piece._make([*row[:10], bool(row[10]), bool(row[11])]) for row in rows]

    def largest_first(self) -> list[Task]:
        """Whole tasks in descending cost: the order in which dynamically scheduled workers claim them."""
        return [Task(*row) for row in self._problem.rows("triangle_schedule_largest_first", len(Task._fields))]

    def to_image(
        self, path: str | Path | None = None, heads: Sequence[int] | None = None, batch: int = 0
    ) -> np.ndarray:
        """Draws which core does which block.

        Args:
            path: where to write a PNG (or any format matplotlib knows by its suffix); None: only the returned pixels.
            heads: query heads to draw, at most 16; by default the first eight.
            batch: which batch item (not for packed batches, where all documents are drawn).

        Returns:
            The picture, uint8 `[height, width, 4]`.

        Raises:
            ImportError: matplotlib is missing.
        """
        try:
            from ._schedule_image import draw
        except ImportError as error:
            raise ImportError(f"drawing a schedule needs matplotlib: {_PLOT_EXTRA}") from error
        return draw(self, path, heads, batch)


def plan(
    shape: Sequence[int],
    *,
    cores: int,
    block_q: int = 128,
    block_k: int = 128,
    chunk: int = 4,
    alignment: str = "bottom_right",
    diagonal: int | None = None,
    window_size_left: int | None = None,
    cu_seq_q: Sequence[int] | None = None,
    cu_seq_k: Sequence[int] | None = None,
    backward: bool = False,
    cost_full: int = 1,
    cost_edge: int = 1,
    cost_task: int = 0,
    allow_fillers: bool = True,
) -> Schedule:
    """Schedules a problem on `cores` cores.

    Args:
        shape: (B, Hq, Hkv, Sq, Sk) or (B, Hq, Hkv, Sq, Sk, D); D does not matter here.
        cores: cores that share the work.
        block_q, block_k: rows and keys of a block.
        chunk: key blocks (backward: row blocks) a task may be cut at; 0: tasks are not cut.
        alignment: "bottom_right" or "top_left"; diagonal: instead of it, query i sits at position i + diagonal.
        window_size_left: None, or how many keys behind its position a query sees.
        cu_seq_q, cu_seq_k: packed documents, cumulative lengths from 0 to Sq and to Sk with B = 1; cu_seq_k defaults to
            cu_seq_q.
        backward: tasks are block columns of key/value heads instead of block rows of query heads.
        cost_full, cost_edge, cost_task: weights of a full block, of a masked block, and of a task as such.
        allow_fillers: False gives the plan that an NPU kernel computes for itself from cu_seqlens.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    if len(shape) not in (5, 6):
        raise ValueError(f"shape: expected B, Hq, Hkv, Sq, Sk[, D], got {len(shape)} numbers")
    batch, heads_q, heads_kv, seq_q, seq_k = (_integer(name, value) for name, value in zip(_SHAPE_NAMES, shape))
    if alignment not in ("bottom_right", "top_left"):
        raise ValueError(f'alignment: expected "bottom_right" or "top_left", got {alignment!r}')
    if window_size_left is not None and window_size_left < 0:
        raise ValueError(f"window_size_left: expected None or at least 0, got {window_size_left}")
    if cu_seq_q is None and cu_seq_k is not None:
        raise ValueError("cu_seq_q: expected with cu_seq_k, got None")
    packed = cu_seq_q is not None
    lengths = [(seq_q, seq_k)]
    if cu_seq_q is not None:
        if batch != 1:
            raise ValueError(f"shape: expected B = 1 for packed documents, got B = {batch}")
        lengths_q = _document_lengths("cu_seq_q", cu_seq_q, seq_q)
        lengths_k = _document_lengths("cu_seq_k", cu_seq_q if cu_seq_k is None else cu_seq_k, seq_k)
        if len(lengths_q) != len(lengths_k):
            raise ValueError(
                f"cu_seq_k: expected {len(lengths_q) + 1} entries as in cu_seq_q, got {len(lengths_k) + 1}"
            )
        lengths = list(zip(lengths_q, lengths_k))
    fixed = 0 if alignment == "top_left" else None
    if diagonal is not None:
        fixed = _integer("diagonal", diagonal)
    fields = {
        "backward": int(backward),
        "packed": int(packed),
        "batch": batch,
        "heads_q": heads_q,
        "heads_kv": heads_kv,
        "bottom_right": int(fixed is None),
        "diagonal": fixed or 0,
        "window_size_left": -1 if window_size_left is None else window_size_left,
        "block_q": block_q,
        "block_k": block_k,
        "chunk": chunk,
        "cost_full": cost_full,
        "cost_edge": cost_edge,
        "cost_task": cost_task,
        "cores": cores,
        "allow_fillers": int(allow_fillers),
    }
    problem = _Problem(fields, lengths)
    figures, loads, places = problem.plan(cores)
    copies = 1 if packed else batch
    return Schedule(
        heads_q=heads_q,
        heads_kv=heads_kv,
        lengths=lengths * copies,
        packed=packed,
        backward=backward,
        cores=cores,
        block_q=block_q,
        block_k=block_k,
        chunk=chunk,
        diagonals=[sk - sq if fixed is None else fixed for sq, sk in lengths] * copies,
        window_size_left=window_size_left,
        loads=loads,
        places=places,
        description_bytes=figures["description_bytes"],
        fillers=figures["fillers"],
        tasks=figures["tasks"],
        empty_tasks=figures["empty_tasks"],
        blocks=figures["blocks"],
        edge_blocks=figures["edge_blocks"],
        square_blocks=figures["square_blocks"],
        visible_pairs=figures["visible_pairs"],
        largest_unit=figures["largest_unit"],
        unit_divisor=figures["unit_divisor"],
        lower_bound=figures["lower_bound"],
        _problem=problem,
    )


_SHAPE_NAMES = ("B", "Hq", "Hkv", "Sq", "Sk")


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
    return int(value.__index__())


def _document_lengths(name: str, cu_seq: Sequence[int], total: int) -> list[int]:
    values = [_integer(name, value) for value in cu_seq]
    if not values or values[0] != 0 or values[-1] != total or any(a > b for a, b in itertools.pairwise(values)):
        text = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ValueError(f"{name}: expected cumulative lengths rising from 0 to {total}, got [{text}]")
    return [b - a for a, b in itertools.pairwise(values)]


# ---- the C functions -------------------------------------------------------------------------------------------------

_FIGURES = (
    "tasks",
    "empty_tasks",
    "blocks",
    "edge_blocks",
    "square_blocks",
    "visible_pairs",
    "largest_unit",
    "unit_divisor",
    "lower_bound",
    "max_load",
    "total",
    "fillers",
    "description_bytes",
)


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    library = _library.load()
    problem: list[Any] = [_INT64, ctypes.c_int64, _INT64, _INT64, ctypes.c_int64]
    outputs: dict[str, list[Any]] = {
        "triangle_schedule_plan": [_INT64, _INT64, _INT64],
        "triangle_schedule_pieces": [_INT64, ctypes.c_int64],
        "triangle_schedule_largest_first": [_INT64, ctypes.c_int64],
    }
    functions: dict[str, Callable[..., Any]] = {}
    for name, arguments in outputs.items():
        function = getattr(library, name)
        function.argtypes = problem + arguments
        function.restype = ctypes.c_int64
        functions[name] = function
    functions["triangle_schedule_error"] = library.triangle_schedule_error
    library.triangle_schedule_error.restype = ctypes.c_char_p
    return functions


class _Problem:
    """A problem as the C functions take it; the order of the fields is that of csrc/schedule_c_api.cpp."""

    def __init__(self, fields: dict[str, int], lengths: list[tuple[int, int]]) -> None:
        values = {name: _integer(name, value) for name, value in fields.items()}
        for name, value in [*values.items(), *((n, s) for pair in lengths for n, s in zip(("Sq", "Sk"), pair))]:
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"{name}: expected a 64-bit integer, got {value}")
        self._arguments = (
            (ctypes.c_int64 * len(values))(*values.values()),
            len(values),
            (ctypes.c_int64 * len(lengths))(*(q for q, _ in lengths)),
            (ctypes.c_int64 * len(lengths))(*(k for _, k in lengths)),
            len(lengths),
        )

    def plan(self, cores: int) -> tuple[dict[str, int], list[int], list[list[tuple[int, int, int]]]]:
        if not 1 <= cores <= 1 << 20:  # before the arrays are allocated
            raise ValueError(f"cores: expected at least 1 and at most {1 << 20}, got {cores}")
        summary = (ctypes.c_int64 * len(_FIGURES))()
        loads = (ctypes.c_int64 * cores)()
        places = (ctypes.c_int64 * ((cores + 1) * 2 * 3))()
        self._call("triangle_schedule_plan", summary, loads, places)
        triples = list(zip(places[0::3], places[1::3], places[2::3]))
        return dict(zip(_FIGURES, summary)), list(loads), [triples[i : i + 2] for i in range(0, len(triples), 2)]

    def rows(self, function: str, width: int) -> list[tuple[int, ...]]:
        count = self._call(function, None, 0)
        out = (ctypes.c_int64 * (count * width))()
        self._call(function, out, count)
        flat = list(out)
        return [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]

    def _call(self, function: str, *outputs: Any) -> int:
        result = _functions()[function](*self._arguments, *outputs)
        if result < 0:
            message = _functions()["triangle_schedule_error"]().decode()
            raise {-1: ValueError, -2: MemoryError}.get(result, RuntimeError)(message)
        return result


# ---- command line ----------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        schedule = plan(
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
        raise ImportError(f"printing the table needs rich: {_PLOT_EXTRA} (or use --json)") from error
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
