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


def test_bits_of_bent_rows_do_not_depend_on_the_length() -> None:
    q, k, v = (torch.randn(1, 2, 700, 32, generator=torch.Generator().manual_seed(i)).half() for i in range(3))
    options = {"softcap": 5.0, "sinks": torch.ones(2), "cores": 2}  # not with slopes: docs/limits.md
    out, lse, report = sim.attn_forward(q, k, v, **options)
    report.raise_on_findings()
    for begin, end in ((0, 130), (100, 101), (699, 700)):
        part = sim.attn_forward(q[:, :, begin:end], k[:, :, :end], v[:, :, :end], **options)
        assert torch.equal(part[0], out[:, :, begin:end])
        assert torch.equal(part[1], lse[:, :, begin:end])


def test_rows_of_no_document_add_nothing_to_dsinks() -> None:
    q, k, v, dout = (torch.randn(40, 1, 32, generator=torch.Generator().manual_seed(i)).half() for i in range(4))
    cu = torch.tensor([0, 30], dtype=torch.int32)
    options = {"sinks": torch.ones(1), "cu_seq_q": cu, "cu_seq_k": cu, "cores": 1}
    out, lse, _ = sim.attn_forward(q, k, v, **options)
    out[30:], lse[30:] = 0, -torch.inf
    results = []
    for tail in (0.0, torch.nan):
        dout[30:] = tail
        *gradients, report = sim.attn_backward(dout, q, k, v, out, lse, **options)
        report.raise_on_findings()
        results.append(gradients[-1])
    assert torch.equal(*results)
    assert results[0].abs() > 1e-3
