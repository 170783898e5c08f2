"""What comes before a kernel with startend_row_indices: tables (op_kernel/intervals.h), in launches of their own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..ascend_sim import KernelLibrary, Report, Struct

READ_INTERVALS, COUNT_BLOCKS = 16, 32  # phases of op_host/tiling.h
WALK_TASKS = (1,)  # of the forward, which cuts no task where there are intervals
NAMES = ["startend", "cu_seq_q", "cu_seq_k", "workspace"]


def prepare(
    lib: KernelLibrary,
    startend_row_indices: Tensor,
    cu_seq_q: Tensor | None,
    cu_seq_k: Tensor | None,
    workspace: NDArray[np.uint8],
    tilings: Sequence[bytes],
    *,
    batch: int,
    cores: int,
    **options: Any,
) -> Report:
    """Minima and maxima, then what each task costs, a launch for each of `tilings`. A finding stops what follows."""
    startend = startend_row_indices.expand(batch, -1, -1, -1).contiguous()
    report: Report | None = None
    for phase, tiling in ((READ_INTERVALS, tilings[0]), *((COUNT_BLOCKS, tiling) for tiling in tilings)):
        launch = lib.launch(
            "triangle_attn_intervals",
            startend,
            None if cu_seq_q is None else cu_seq_q.contiguous(),
            None if cu_seq_k is None else cu_seq_k.contiguous(),
            workspace,
            Struct(phase.to_bytes(4, sys.byteorder) + tiling[4:]),
            block_dim=2 * cores,
            names=NAMES,
            uninitialised=() if report is not None else [NAMES.index("workspace")],
            unused_sites=True,
            **options,
        )
        report = launch if report is None else report.followed_by(launch)
        if not report.ok:
            break
    assert report is not None
    return report
