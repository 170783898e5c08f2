"""Scores bent on the NPU kernels: the error of softcap's tanh, and what a float mask may hold."""

from __future__ import annotations

import torch
from triangle_attn_op import sim


def test_error_of_tanh() -> None:
    """One key a row: lse is the score, softcap * tanh(x): within 2^-23 softcap, beside the rounding of x and of lse."""
    softcap = 8.0
    x = torch.cat([torch.logspace(-6, 1.5, 100, dtype=torch.float64), torch.tensor([40.0, 200.0])])
    q = (torch.cat([x, -x]) * softcap).half()[None, None, :, None]
    k = torch.ones(1, 1, 1, 1, dtype=torch.float16)
    _, lse, report = sim.attn_forward(q, k, k, scale=1.0, softcap=softcap, diagonal=0, cores=1)
    report.raise_on_findings()
    score = q[0, 0, :, 0].double() / softcap
    error = (lse[0, 0].double() / softcap - score.tanh()).abs()
    rounding = 2.0**-22 * score.abs() * (1 - score.tanh() ** 2)  # of x: two operations, each half an ulp
    assert (error <= 2.0**-23 + rounding + 2.0**-24).all(), float(error.max())
    assert error.max() > 2.0**-26  # the bound is not empty


def test_rows_of_finfo_min_and_of_inf() -> None:
    """The least finite number is an ordinary one; -inf hides, and a row of it is empty."""
    q, k, v = (torch.randn(1, 1, 3, 16, generator=torch.Generator().manual_seed(i)).bfloat16() for i in range(3))
    mask = torch.zeros(3, 3)
    mask[1] = torch.finfo(torch.float32).min
    mask[2] = -torch.inf
    out, lse, report = sim.attn_forward(q, k, v, attn_mask=mask, diagonal=2, cores=1)
    report.raise_on_findings()
    torch.testing.assert_close(out[0, 0, 1].float(), v[0, 0].float().mean(0), atol=0.02, rtol=0.0)
    assert lse[0, 0, 1] == torch.finfo(torch.float32).min
    assert (out[0, 0, 2] == 0).all()
    assert lse[0, 0, 2] == -torch.inf
