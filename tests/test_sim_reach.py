"""The NPU kernels on the simulated AI Core where ordinary cases do not reach: offsets beyond 32 bits, rows far apart,
offsets of packed sequences that lie outside the tensors, gradients of rows with one key.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from triangle_attn_op import sim
from triangle_attn_op.sim import attention, backward, library

GRADIENTS = ("dq", "dk", "dv")


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def far(t: Tensor, pitch: int) -> Tensor:
    """[1, 1, rows, columns] with rows `pitch` elements apart, in memory of which only the rows are ever touched."""
    rows, columns = t.shape[2:]
    memory = torch.from_numpy(library.kernels().gm_array(2 * ((rows - 1) * pitch + columns))).view(t.dtype)
    view = memory.as_strided(t.shape, (0, 0, pitch, 1))
    view.copy_(t)
    return view


def backward_of(dout: Tensor, q: Tensor, k: Tensor, v: Tensor, **options: Any) -> tuple[Tensor, ...]:
    out, lse, report = sim.attn_forward(q.contiguous(), k.contiguous(), v.contiguous(), **options)
    report.raise_on_findings()
    *gradients, report = sim.attn_backward(dout, q, k, v, out, lse, **options)
    report.raise_on_findings()
    return tuple(gradients[:3])  # without those of sinks


PITCHES = {
    "last row past 2^32 bytes": (33, 2**26 + 48),  # strides that one instruction can say
    "rows more than 2^32 bytes apart": (2, 2**31 + 48),  # and that none can
}


@pytest.mark.parametrize("name", PITCHES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_offsets_past_32_bits(name: str, direction: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """An input and its result with rows so far apart that elements lie past 2^31 elements and 2^32 bytes. The memory
    between rows is never touched, so it is not there.
    """
    rows, pitch = PITCHES[name]
    assert (rows - 1) * pitch > 2**31
    q, k, v, dout = (draw(seed + i, 1, 1, rows, 16) for i in range(4))
    options = {"cores": 1}

    def like(t: Tensor, columns: int) -> Tensor:
        dense = torch.zeros(1, 1, t.shape[2], columns, dtype=t.dtype)
        return far(dense, pitch) if t.stride(2) >= pitch else dense

    if direction == "forward":
        want = sim.attn_forward(q, k, v, **options)[0]
        monkeypatch.setattr(attention, "_like", like)
        out, _, report = sim.attn_forward(far(q, pitch), k, v, **options)
        report.raise_on_findings()
        assert out.stride(2) == pitch
        assert torch.equal(out, want)
        return
    want = backward_of(dout, q, k, v, **options)
    monkeypatch.setattr(backward, "_like", like)
    got = backward_of(dout, q, far(k, pitch), v, **options)
    assert [t.stride(2) for t in got] == [16, pitch, 16]
    for gradient, ours, theirs in zip(GRADIENTS, got, want):
        assert torch.equal(ours, theirs), gradient


def test_backward_row_pitch_past_16_bits(seed: int) -> None:
    """dout, q, k and v in place from rows 70000 elements apart: Nd2Nz cannot say so in one instruction."""
    q, k, v, dout = (draw(seed + i, 1, 1, 20, 32) for i in range(4))
    want = backward_of(dout, q, k, v, cores=1)
    got = backward_of(*(far(t, 70000) for t in (dout, q, k, v)), cores=1)
    for gradient, ours, theirs in zip(GRADIENTS, got, want):
        assert torch.equal(ours, theirs), gradient


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 900, 40, 2**31 - 1],  # past the end
        [-5, 20, -(2**31), 60],  # before the beginning
        [60, 40, 20, 0],  # falling
        [2**31 - 1, -(2**31), 2**31 - 1, -(2**31)],
    ],
    ids=["past the end", "before the beginning", "falling", "extremes"],
)
@pytest.mark.parametrize("direction", ["forward", "fast", "deterministic"])
def test_packed_offsets_outside_the_tensors_are_clamped(offsets: list[int], direction: str, seed: int) -> None:
    """Results are then wrong, and documents may lie on one another, but nothing outside the tensors is touched."""
    q, k, v, dout = (draw(seed + i, 60, 2, 16) for i in range(4))
    given = torch.tensor(offsets, dtype=torch.int32)
    options: dict[str, Any] = {"cu_seq_q": given, "cu_seq_k": given.flip(0).contiguous(), "max_q": 60, "max_k": 60}
    for lengths in (options, {**options, "cu_seq_k": given}):
        if direction == "forward":
            report = sim.attn_forward(q, k, v, cores=2, **lengths)[2]
        else:
            lse = torch.zeros(60, 2)
            *_, report = sim.attn_backward(
                dout, q, k, v, v.clone(), lse, cores=2, deterministic=direction == "deterministic", **lengths
            )
        assert report.completed
        assert not [f for f in report.findings if not f.rule.startswith("race.")], report.findings


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("dlse", [False, True], ids=["no dlse", "dlse"])
@pytest.mark.parametrize("options", [{"window_size_left": 0}, {}], ids=["window 0", "one key"])
def test_rows_with_one_key(options: dict[str, int], dlse: bool, deterministic: bool, seed: int) -> None:
    """P is 1, whatever the scores: dS is exactly dlse, so without it dQ and dK are exactly 0."""
    sk = 150 if options else 1
    q, k, v, dout = (draw(seed + i, 1, 1, 150 if i in (0, 3) else sk, 16) for i in range(4))
    options = {**options, "diagonal": 0}
    out, lse, report = sim.attn_forward(q, k, v, cores=1, **options)
    report.raise_on_findings()
    given = draw(seed + 4, *lse.shape).float() if dlse else None
    dq, dk, dv, _, report = sim.attn_backward(
        dout, q, k, v, out, lse, dlse=given, cores=1, deterministic=deterministic, **options
    )
    report.raise_on_findings()
    scale, eps = 16**-0.5, torch.finfo(torch.bfloat16).eps
    rows = slice(None) if sk == 150 else slice(0, 150)
    if given is None:
        assert (dq == 0).all()
        assert (dk == 0).all()
    else:
        ds = given.double()[..., None] * scale
        exact_dq = ds * k.double().expand(1, 1, 150, 16)
        exact_dk = ds * q.double() if sk == 150 else (ds * q.double()).sum(2, keepdim=True)
        assert (dq.double() - exact_dq).abs().max() <= 4 * eps * exact_dq.abs().max()
        assert (dk.double() - exact_dk).abs().max() <= 4 * eps * (ds * q.double()).abs().sum(2).max()
    exact_dv = dout[:, :, rows].double() if sk == 150 else dout.double().sum(2, keepdim=True)
    assert (dv.double() - exact_dv).abs().max() <= eps * dout.double().abs().sum(2).max()
