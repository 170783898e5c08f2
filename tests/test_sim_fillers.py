"""Launches whose shares are levelled by fillers, whole tasks that a core walks after its own (op_host/task_line.h).
That there are some is asserted first: a change of the schedule cannot leave the kernels' second walk untested.
"""

from __future__ import annotations

import pytest
import reference
import torch
from test_accuracy import max_abs
from torch import Tensor
from triangle_attn_op import sim
from triangle_attn_op.sim.tiling import NO_WINDOW, Problem, backward_tiling, forward_tiling

CORES = 3
D = 16
# Query heads, key/value heads, length, window.
SHAPES = [(2, 2, 700, None), (2, 1, 700, 300)]


def draw(seed: int, heads: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, heads, length, D, generator=generator, dtype=torch.float64).to(torch.bfloat16)


@pytest.mark.parametrize(("heads_q", "heads_kv", "length", "window"), SHAPES)
def test_fillers(heads_q: int, heads_kv: int, length: int, window: int | None, seed: int) -> None:
    sizes = (1, heads_q, heads_kv, length, length, D, D)
    limit = NO_WINDOW if window is None else window
    problem = Problem(*sizes, scale=D**-0.5, cores=CORES, strides={}, window_left=limit)
    backward = backward_tiling(problem, deterministic=True)
    assert forward_tiling(problem).filler_tasks > 0
    assert backward.filler_columns > 0
    assert backward.filler_rows > 0

    q, k, v, dout = (draw(seed + i, heads_kv if i in (1, 2) else heads_q, length) for i in range(4))
    results = []
    for cores in (CORES, 1):  # one core has no fillers
        out, lse, report = sim.attn_forward(q, k, v, window_size_left=window, cores=cores)
        report.raise_on_findings()
        *gradients, report = sim.attn_backward(
            *(dout, q, k, v, out, lse), window_size_left=window, cores=cores, deterministic=True
        )
        report.raise_on_findings()
        results.append((out, lse, *gradients))
    inputs = [t.double().requires_grad_() for t in (q, k, v)]
    exact, exact_lse = reference.attention(*inputs, window_size_left=window)
    wanted = (exact, exact_lse, *torch.autograd.grad(exact, inputs, dout.double()))
    eps = torch.finfo(torch.bfloat16).eps
    for name, levelled, alone, want in zip(("out", "lse", "dq", "dk", "dv"), *results, wanted):
        assert torch.equal(levelled, alone), name
        assert max_abs(levelled.double() - want.detach()) <= 4 * eps * max_abs(want.detach()), name
