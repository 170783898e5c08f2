"""The schedule under `startend_row_indices`, as the NPU kernels find it for themselves on the device.

A block is left out if one interval of all its keys hides every row that the diagonal and the window leave; minima and
maxima of each block of keys tell. Cores divide whole tasks: each is done by the core in whose stretch of the line its
middle lies. A task costs its blocks and one more.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _SHAPE_NAMES, Piece, Schedule, plan
from .native import integer

Bounds = NDArray[np.int64]  # [pairs of batch and head, Sk, intervals, start and end]


@dataclass(frozen=True)
class IntervalSchedule(Schedule):
    """A schedule whose blocks intervals thin out. `places`, `largest_unit` and `lower_bound` count whole tasks."""

    _pieces: list[Piece] = field(repr=False)

    def pieces(self) -> list[Piece]:
        """Runs of blocks of one kind, core by core, in order."""
        return self._pieces


def plan_intervals(
    shape: Sequence[int],
    startend_row_indices: Any,
    *,
    cores: int,
    block_q: int = 128,
    block_k: int = 128,
    diagonal: int | None = None,
    window_size_left: int | None = None,
    backward: bool = False,
) -> IntervalSchedule:
    """Schedules a dense problem with hidden intervals on `cores` cores.

    Args:
        shape: (B, Hq, Hkv, Sq, Sk) or (B, Hq, Hkv, Sq, Sk, D).
        startend_row_indices: int32 [B or 1, 1, Hkv or Hq, Sk, 1, 2 or 4], a tensor or an array.
        diagonal: query i sits at position i + diagonal; None: Sk - Sq.
        cores, block_q, block_k, window_size_left, backward: as `plan()`.

    Raises:
        ValueError: an argument is out of its range; the message names it.
    """
    band = plan(
        shape,
        cores=cores,
        block_q=block_q,
        block_k=block_k,
        diagonal=diagonal,
        window_size_left=window_size_left,
        backward=backward,
    )
    batch, heads_q, heads_kv, sq, sk = (integer(name, size) for name, size in zip(_SHAPE_NAMES, shape))
    given = np.asarray(startend_row_indices, dtype=np.int64)
    if (
        given.ndim != 4
        or given.shape[0] not in (1, batch)
        or given.shape[1] not in (1, heads_kv, heads_q)
        or given.shape[2] != sk
        or given.shape[3] not in (1, 2, 4)
    ):
        raise ValueError(
            f"startend_row_indices: expected shape [{batch}, 1, {heads_kv} or {heads_q}, {sk}, 1, 2 or 4], "
            f"got {list(given.shape)}"
        )
    right = sk - sq if diagonal is None else diagonal
    left = None if window_size_left is None else right - window_size_left
    kinds, visible = _of_heads(_cleaned(given, sq), sq, right, left, block_q, block_k)
    pairs = np.array(
        [
            (b % given.shape[0]) * given.shape[1] + h * given.shape[1] // heads_q
            for b in range(batch)
            for h in range(heads_q)
        ],
        dtype=np.int64,
    )
    tasks = _tasks(kinds, pairs, heads_q // heads_kv, backward)
    return _divided(band, kinds[pairs], tasks, int(visible[pairs].sum()), (heads_q, heads_kv), cores)


def _cleaned(given: NDArray[np.int64], rows: int) -> Bounds:
    """Within the rows; an interval that hides nothing is [rows, 0)."""
    flat = np.clip(given.reshape(-1, *given.shape[2:]), 0, rows)
    if flat.shape[-1] == 1:
        flat = np.concatenate([flat, np.full_like(flat, rows)], axis=-1)
    bounds = flat.reshape(*flat.shape[:2], -1, 2).copy()
    bounds[bounds[..., 0] >= bounds[..., 1]] = (rows, 0)
    return bounds


def _of_heads(
    bounds: Bounds, sq: int, right: int, left: int | None, block_q: int, block_k: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """[pairs, block rows, block columns]: 0 left out, 1 masked, 2 full; visible pairs of row and key."""
    pairs, sk = bounds.shape[:2]
    key = np.arange(sk)
    first = np.clip(key - right, 0, sq)  # rows that the diagonal and the window leave of a key
    past = np.full(sk, sq) if left is None else np.clip(key - left + 1, 0, sq)
    past = np.maximum(past, first)
    inside = np.clip(bounds, first[:, None, None], past[:, None, None])
    hidden = np.maximum(inside[..., 1] - inside[..., 0], 0)
    counts = (past - first) - hidden.sum(-1)
    if bounds.shape[2] == 2:
        both = np.minimum(inside[..., 0, 1], inside[..., 1, 1]) - np.maximum(inside[..., 0, 0], inside[..., 1, 0])
        counts = counts + np.maximum(both, 0) * (hidden > 0).all(-1)
    visible = counts.sum(-1)

    rows, columns = -(-sq // block_q), -(-sk // block_k)
    kinds = np.zeros((pairs, rows, columns), dtype=np.uint8)
    row0 = np.arange(rows) * block_q
    row_end = np.minimum(row0 + block_q, sq)
    for column in range(columns):
        begin, end = column * block_k, min((column + 1) * block_k, sk)
        low, high = np.maximum(row0, begin - right), row_end
        if left is not None:
            high = np.minimum(row_end, end - left)
        part = bounds[:, begin:end]
        last_start, first_end = part[..., 0].max(1)[:, None], part[..., 1].min(1)[:, None]  # [pairs, 1, intervals]
        first_start, last_end = part[..., 0].min(1)[:, None], part[..., 1].max(1)[:, None]
        hides = ((low[:, None] >= last_start) & (high[:, None] <= first_end)).any(-1)
        touches = ((row_end[:, None] > first_start) & (row0[:, None] < last_end)).any(-1)
        in_band = low < high
        edge = (end - 1 > row0 + right) | (False if left is None else begin < row_end - 1 + left)
        kinds[:, :, column] = np.where(in_band & ~hides, np.where(touches | edge, 1, 2), 0)
    return kinds, visible


def _tasks(kinds: NDArray[np.uint8], pairs: NDArray[np.int64], group: int, backward: bool) -> list[list[int]]:
    """In order of the line: [first query head, past the last, row (or column), blocks]."""
    result = []
    step = group if backward else 1
    for head in range(0, len(pairs), step):
        counts = sum((kinds[pairs[head + i]] > 0).sum(0 if backward else 1) for i in range(step))
        result += [[head, head + step, row, int(count)] for row, count in enumerate(np.atleast_1d(counts))]
    return result


def _divided(
    band: Schedule,
    kinds: NDArray[np.uint8],
    tasks: list[list[int]],
    visible: int,
    heads: tuple[int, int],
    cores: int,
) -> IntervalSchedule:
    costs = np.array([task[3] + 1 for task in tasks], dtype=np.int64)
    total = int(costs.sum())
    middles = 2 * (np.cumsum(costs) - costs) + costs
    owner = np.minimum(middles * cores // max(2 * total, 1), cores - 1)
    loads = [0] * cores
    pieces: list[Piece] = []
    for core, (first, past, row, cost) in zip(owner.tolist(), tasks):
        loads[core] += cost
        for head in range(first, past):
            line = kinds[head, :, row] if band.backward else kinds[head, row]
            pieces += _runs(core, head // heads[0], head % heads[0], heads[0] // heads[1], row, line)
    fields = {name: getattr(band, name) for name in Schedule.__dataclass_fields__}
    fields |= {
        "loads": loads,
        "places": [],
        "description_bytes": 0,
        "fillers": 0,
        "chunk": 0,
        "tasks": len(tasks),
        "empty_tasks": sum(task[3] == 0 for task in tasks),
        "blocks": int((kinds > 0).sum()),
        "edge_blocks": int((kinds == 1).sum()),
        "visible_pairs": visible,
        "largest_unit": max((task[3] for task in tasks), default=0),
        "unit_divisor": 1,
        "lower_bound": max(max((task[3] for task in tasks), default=0), -(-sum(task[3] for task in tasks) // cores)),
    }
    return IntervalSchedule(**fields, _pieces=pieces)


def _runs(core: int, batch: int, head: int, group: int, row: int, line: NDArray[np.uint8]) -> list[Piece]:
    cuts = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
    runs = [
        (begin, end, int(line[begin])) for begin, end in itertools.pairwise(cuts) if end > begin and line[begin] > 0
    ]
    return [
        Piece(
            core=core,
            part=0,
            batch=batch,
            head_q=head,
            head_kv=head // group,
            row=row,
            begin=begin,
            end=end,
            full_begin=begin if kind == 2 else end,
            full_end=end,
            opens=i == 0,
            closes=i == len(runs) - 1,
        )
        for i, (begin, end, kind) in enumerate(runs)
    ]
