"""The block schedule, for inspection: which blocks of the score matrix exist, and which core does which of them.

    python -m triangle_attn_op.schedule --shape 1,32,32,8192,8192,128 --cores 24 --png schedule.png

The schedule itself is C++ (op_host/schedule.h), the code that the kernels run; this module calls it through ctypes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .native import Problem, integer

if TYPE_CHECKING:
    import numpy as np

PLOT_EXTRA = "pip install triangle-attn-op[plot]"


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
    _problem: Problem = field(repr=False)

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
            from .image import draw
        except ImportError as error:
            raise ImportError(f"drawing a schedule needs matplotlib: {PLOT_EXTRA}") from error
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
    batch, heads_q, heads_kv, seq_q, seq_k = (integer(name, value) for name, value in zip(_SHAPE_NAMES, shape))
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
        fixed = integer("diagonal", diagonal)
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
    problem = Problem(fields, lengths)
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


def _document_lengths(name: str, cu_seq: Sequence[int], total: int) -> list[int]:
    values = [integer(name, value) for value in cu_seq]
    if not values or values[0] != 0 or values[-1] != total or any(a > b for a, b in itertools.pairwise(values)):
        text = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ValueError(f"{name}: expected cumulative lengths rising from 0 to {total}, got [{text}]")
    return [b - a for a, b in itertools.pairwise(values)]
