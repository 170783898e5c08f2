"""Kernels whose blocks the chip does not begin together, because another stream's kernel has some of its cores.

The simulator runs one launch at a time, so the other kernel is cores that the chip lacks: blocks wait until others have
ended. A launch that meets in SyncAll then stops, as it would on the chip if the other kernel waited as well. Launches
of one phase each, which is how CANN below 9.1 gets them (op_kernel/launch.h), give the bits of an undisturbed one.
"""

from __future__ import annotations

import pytest
import torch
from cases import Case, make_inputs
from torch import Tensor
from triangle_attn_op import sim
from triangle_attn_op.ascend_sim import Report

CORES = 4
SHARED = {"aic_cores": CORES / 2, "aiv_cores": CORES}
CUT = Case("a task that several cores share", Hq=1, Hkv=1, Sq=300, Sk=2100, D=16)
GROUPS = Case("GQA", B=2, Hq=4, Hkv=2, Sq=300, Sk=300, D=32)


def assert_same_bits(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(results, expected))


def test_forward(seed: int) -> None:
    inputs = make_inputs(CUT, torch.bfloat16, seed)

    def launch(**options: object) -> tuple[Tensor, Tensor, Report]:
        return sim.attn_forward(inputs.q, inputs.k, inputs.v, cores=CORES, **options)

    *expected, report = launch()
    report.raise_on_findings()
    *_, stopped = launch(parameters=SHARED)
    assert "deadlock" in stopped.rules()
    assert "have not started" in str(stopped.findings)
    *results, report = launch(parameters=SHARED, phases=(1, 2))
    report.raise_on_findings()
    assert_same_bits(tuple(results), tuple(expected))


@pytest.mark.parametrize(("dtype", "phases"), [(torch.bfloat16, (1, 4, 8)), (torch.float16, (1, 2, 4, 8))])
def test_backward(dtype: torch.dtype, phases: tuple[int, ...], seed: int) -> None:
    inputs = make_inputs(GROUPS, dtype, seed)
    out, lse, report = sim.attn_forward(inputs.q, inputs.k, inputs.v, cores=CORES)
    report.raise_on_findings()

    def launch(**options: object) -> tuple[Tensor, Tensor, Tensor, Report]:
        tensors = inputs.dout, inputs.q, inputs.k, inputs.v, out, lse
        return sim.attn_backward(*tensors, deterministic=True, cores=CORES, **options)

    *expected, report = launch()
    report.raise_on_findings()
    *_, stopped = launch(parameters=SHARED)
    assert "deadlock" in stopped.rules()
    assert "have not started" in str(stopped.findings)
    *results, report = launch(parameters=SHARED, phases=phases)
    report.raise_on_findings()
    assert_same_bits(tuple(results), tuple(expected))
