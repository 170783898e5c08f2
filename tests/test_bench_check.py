"""The benchmark's gate: what is wrong stops a case before it is timed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from triangle_attn_op.bench import __main__ as command
from triangle_attn_op.bench import check, measures
from triangle_attn_op.bench.cases import TINY, cases
from triangle_attn_op.bench.check import WrongResult
from triangle_attn_op.bench.goals import (
    WRONG,
)
from triangle_attn_op.bench.problem import Problem, ours
from triangle_attn_op.bench.timing import Times

GATED = [
    Problem.square(2, 70, 16),
    Problem.square(2, 70, 16, "bf16"),
    Problem.square(2, 70, 16, "fp16"),
    Problem(4, 2, 70, 70, 24, 16),
    Problem.square(2, 70, 16).with_(keys_in_window=9),
    Problem.square(2, 80, 16).with_(documents=4),
    Problem(4, 2, 1, 70, 16, 16),
    Problem(4, 2, 5, 70, 16, 16),
]


@pytest.mark.parametrize("problem", GATED, ids=str)
def test_gate_passes_what_is_right(problem: Problem) -> None:
    check.gate(problem, lambda q, k, v: ours(problem, q, k, v), problem.tensors(), backward=True)


@pytest.mark.parametrize("problem", GATED, ids=str)
def test_gate_stops_a_wrong_row(problem: Problem) -> None:
    def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out = ours(problem, q, k, v)
        spoiled = torch.zeros_like(out)
        row = (problem.seq_q - 1, 0) if problem.documents > 1 else (0, 0, problem.seq_q - 1)
        spoiled[row] = 0.5 * out.detach()[row]
        return out + spoiled

    with pytest.raises(WrongResult, match=r"out differs from SDPA by .* allowed"):
        check.gate(problem, wrong, problem.tensors(), backward=False)


@pytest.mark.parametrize("name", ["dq", "dk", "dv"])
def test_gate_stops_a_wrong_gradient(name: str) -> None:
    problem = Problem.square(2, 70, 16)

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, t: Tensor) -> Tensor:
            return t.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            gradient = gradient.clone()
            gradient[0, 1, 40] *= 1.5
            return gradient

    def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        leaves = {"dq": q, "dk": k, "dv": v}
        leaves[name] = Wrong.apply(leaves[name])
        return ours(problem, *leaves.values())

    check.gate(problem, wrong, problem.tensors(), backward=False)
    with pytest.raises(WrongResult, match=name):
        check.gate(problem, wrong, problem.tensors(), backward=True)


def test_gate_stops_nan_and_a_wrong_shape() -> None:
    reference = torch.ones(3, 4)
    with pytest.raises(WrongResult, match="out differs"):
        check.require("out", reference.clone().fill_diagonal_(float("nan")), reference, 1e-4)
    with pytest.raises(WrongResult, match=r"shape \[3, 3\], SDPA's has \[3, 4\]"):
        check.require("out", torch.ones(3, 3), reference, 1e-4)


def test_gate_on_sampled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SDPA would need a mask too large, rows are sampled: right passes, one key too many does not."""
    monkeypatch.setattr(check, "_MOST_PAIRS", 1)
    monkeypatch.setattr(check, "_SAMPLED_ROWS", 7)
    problem = Problem.square(2, 200, 16).with_(keys_in_window=20)
    check.gate(problem, lambda q, k, v: ours(problem, q, k, v), problem.tensors(), backward=True)
    wider = problem.with_(keys_in_window=21)
    with pytest.raises(WrongResult):
        check.gate(problem, lambda q, k, v: ours(wider, q, k, v), problem.tensors(), backward=False)


def test_a_wrong_result_stops_the_case_before_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Times:
        raise AssertionError("timed a wrong result")

    monkeypatch.setattr(measures, "alternate", never)
    monkeypatch.setattr(measures, "ours", lambda problem, q, k, v: 1.01 * ours(problem, q, k, v))
    for case in cases(TINY):
        if case.family == "memory" and case.problem.dtype != "fp32":
            continue
        if case.problem.dtype == "bf16":  # 1% is less than bf16 can tell
            continue
        stopped = command.measure(case, TINY)
        assert stopped.status == WRONG, case.label()
        assert "differs from SDPA" in stopped.note
        assert stopped.rates == stopped.figures == stopped.seconds == {}


def test_a_wrong_result_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(measures, "ours", lambda problem, q, k, v: -ours(problem, q, k, v))
    assert command.main(["--tiny", "--rows", "small"]) == 1
    assert WRONG in capsys.readouterr().out
