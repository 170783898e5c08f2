"""The benchmark: its gate, its arithmetic, its goals and its command line. No test looks at how fast anything is."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from triangle_attn_op.bench import __main__ as command
from triangle_attn_op.bench import check, measures, memory, opponents, report
from triangle_attn_op.bench.cases import FAMILIES, FULL, QUICK, TINY, Case, backward_goal, cases, forward_goal
from triangle_attn_op.bench.check import WrongResult
from triangle_attn_op.bench.goals import (
    FAILED,
    MET,
    NO_GOAL,
    NOT_MEASURED,
    NOT_MET,
    WRONG,
    Criterion,
    Goal,
    Result,
    summarise,
)
from triangle_attn_op.bench.opponents import OpponentMissing
from triangle_attn_op.bench.problem import Problem, ours
from triangle_attn_op.bench.timing import Contender, Effort, Times, alternate

# ---- goals -----------------------------------------------------------------------------------------------------------


def test_a_goal_is_met_where_any_criterion_holds() -> None:
    goal = Goal("row", "text", (Criterion("x SDPA", 1.4), Criterion("of micro-kernel", 0.85)))
    assert goal.judge({"x SDPA": 1.4, "of micro-kernel": 0.1}) == MET
    assert goal.judge({"x SDPA": 1.0, "of micro-kernel": 0.85}) == MET
    assert goal.judge({"x SDPA": 1.39, "of micro-kernel": 0.84}) == NOT_MET
    assert goal.judge({"x SDPA": float("nan")}) == NOT_MET
    assert goal.judge({"of SGEMM": 9.0}) == NOT_MET
    assert Goal("row", "none").judge({"x SDPA": 0.1}) == NO_GOAL


def test_at_most() -> None:
    goal = Goal("row", "text", (Criterion("of allowed memory", 1.0, at_most=True),))
    assert goal.judge({"of allowed memory": 1.0}) == MET
    assert goal.judge({"of allowed memory": 1.01}) == NOT_MET
    assert goal.judge({"of allowed memory": float("nan")}) == NOT_MET


def bounds(goal: Goal) -> dict[str, float]:
    return {criterion.figure: criterion.bound for criterion in goal.any_of}


@pytest.mark.parametrize(
    ("goal", "over_sdpa", "share"),
    [
        (forward_goal("fp32", 2048, 128), 1.4, 0.85),
        (forward_goal("fp32", 8192, 128), 1.4, 0.85),
        (forward_goal("fp32", 2048, 64), 1.4, 0.75),
        (forward_goal("bf16", 512, 64), 1.4, 0.75),
        (forward_goal("fp16", 2048, 64), 2.0, 0.75),
        (backward_goal("fp32", 512, 64), 1.4, 0.75),
        (backward_goal("bf16", 512, 64), 6.0, 0.65),
        (backward_goal("fp16", 8192, 128), 6.0, 0.65),
        (backward_goal("bf16", 2048, 128), 12.0, 0.65),
        (backward_goal("fp16", 2048, 128), 12.0, 0.65),
    ],
)
def test_goals_against_sdpa(goal: Goal, over_sdpa: float, share: float) -> None:
    assert bounds(goal) == {"x SDPA": over_sdpa, "of micro-kernel": share}


def test_short_fp32_forward_has_no_goal() -> None:
    assert forward_goal("fp32", 512, 64).any_of == ()


def test_goals_of_the_other_rows() -> None:
    wanted = {
        "against FlexAttention": {"x FlexAttention": 1.8},
        "against block loop": {"x block loop": 2.0},
        "against full matrix": {"x full matrix": 5.0},
        "GQA": {"x MHA": 1.0},
        "window 1024 at S = 16384": {"of prediction": 0.8},
        "packed, 8 documents of 1024": {"of prediction": 0.8},
        "decode, Sq = 1, Sk = 8192, Hq 32, Hkv 8": {"of read bandwidth": 0.8},
        "small, forward": {"x SDPA": 1.0},
        "small, forward+backward": {"x SDPA": 1.0},
        "odd": {"of full size": 0.9},
        "scaling": {"x 1 thread": 1.9},
        "extra memory": {"of allowed memory": 1.0},
    }
    rows = {case.goal.row: bounds(case.goal) for case in cases(FULL) if case.family not in ("forward", "backward")}
    for beginning, bound in wanted.items():
        matching = [found for row, found in rows.items() if row.startswith(beginning)]
        assert matching, beginning
        assert all(found == bound for found in matching), beginning


def test_the_full_run_has_every_row_of_the_table() -> None:
    full = list(cases(FULL))
    assert {case.family for case in full} == set(FAMILIES)
    shapes = {(8, 512, 64), (8, 2048, 64), (8, 2048, 128), (2, 8192, 128)}
    for direction in ("forward", "backward"):
        standard = [case.problem for case in full if case.family == direction]
        assert {(p.heads_q, p.seq_q, p.dim, p.dtype) for p in standard} == {
            (*shape, dtype) for shape in shapes for dtype in ("fp32", "bf16", "fp16")
        }
    assert {(c.problem.batch, c.problem.seq_k) for c in full if c.family == "decode"} == {(1, 8192), (8, 8192)}
    assert {c.problem.seq_q for c in full if c.family == "small"} == {64, 128, 256}
    odd = {(c.problem.seq_q, c.problem.dim, c.problem.dim_v) for c in full if c.family == "odd"}
    assert odd == {(1000, 128, 128), *((2048, d, d) for d in (80, 96, 112)), (2048, 192, 128)}
    assert {c.problem.heads_q for c in full if c.family == "scaling"} == {8, 1}
    assert FULL.effort.fewest >= 5
    assert QUICK.effort.fewest >= 5


def result(row: str, status: str, **figures: float) -> Result:
    return Result("forward", "case", "fp32", "forward", Goal(row, "text", (Criterion("x SDPA", 1),)), status, figures)


@pytest.mark.parametrize(
    ("statuses", "wanted", "met"),
    [
        ([MET, MET], MET, 2),
        ([MET, NOT_MET], NOT_MET, 1),
        ([NOT_MET, WRONG], WRONG, 0),
        ([NOT_MET, FAILED], FAILED, 0),
        ([FAILED, WRONG], WRONG, 0),
        ([MET, NOT_MEASURED], NOT_MEASURED, 1),
        ([NO_GOAL], NO_GOAL, 0),
        ([NO_GOAL, MET], MET, 1),
    ],
)
def test_a_row_is_as_good_as_its_worst_case(statuses: list[str], wanted: str, met: int) -> None:
    (row,) = summarise([result("row", status) for status in statuses])
    assert (row.status, row.met) == (wanted, met)
    assert row.cases == sum(status != NO_GOAL for status in statuses)


def test_summary_shows_the_range() -> None:
    first, second = summarise(
        [result("a", MET, **{"x SDPA": 1.5}), result("b", MET), result("a", NOT_MET, **{"x SDPA": 0.5})]
    )
    assert first.measured == "0.50 to 1.50 x SDPA"
    assert (second.row, second.measured) == ("b", "")


# ---- timing ----------------------------------------------------------------------------------------------------------


class Clock:
    """A clock that only the contenders move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, seconds: float) -> Contender:
        def run() -> None:
            self.now += seconds
            self.order.append(name)

        return Contender(run)


def test_contenders_alternate_and_fast_ones_are_called_often() -> None:
    clock = Clock()
    contenders = {"fast": clock.contender("fast", 0.25), "slow": clock.contender("slow", 4.0)}
    times = alternate(contenders, Effort(fewest=5, most=9, budget=0.0, sample=1.0), clock)
    assert times.rounds == {"fast": [0.25] * 5, "slow": [4.0] * 5}
    # Once to warm up (fast: and once more to count); then 4 calls of fast and 1 of slow, in reverse every other round.
    one = ["fast"] * 4 + ["slow"]
    assert clock.order == ["fast", "fast", "slow"] + (one + one[::-1]) * 2 + one


def test_as_many_rounds_as_the_budget_allows() -> None:
    for budget, rounds in ((0.0, 5), (7.0, 7), (99.0, 9)):
        clock = Clock()
        times = alternate({"a": clock.contender("a", 1.0)}, Effort(5, 9, budget, 0.01), clock)
        assert times.count() == rounds


def test_speed_up_is_the_median_of_the_rounds_ratios() -> None:
    times = Times({"ours": [1.0, 2.0, 10.0], "theirs": [3.0, 4.0, 10.0]})
    assert times.speed_up("ours", over="theirs") == 2.0  # of 3, 2 and 1
    assert times.median("ours") == 2.0
    assert times.medians() == {"ours": 2.0, "theirs": 4.0}


def test_threads_are_set_for_the_contender_and_put_back() -> None:
    seen = []
    before = torch.get_num_threads()
    alternate({"one": Contender(lambda: seen.append(torch.get_num_threads()), threads=1)}, Effort(1, 1, 0.0, 0.0))
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def fake_times(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Each contender takes the seconds given here by its name, spaces as underscores."""

    def timed(contenders: dict[str, object], effort: Effort) -> Times:
        for contender in contenders.values():
            contender.run() if isinstance(contender, Contender) else contender()  # type: ignore[operator]
        return Times({name: [seconds[name.replace(" ", "_").replace(".", "_")]] * 5 for name in contenders})

    monkeypatch.setattr(measures, "alternate", timed)


def test_figures_against_sdpa(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.square(2, 40, 16)
    flops = 4 * 16 * 2 * 820  # 40 * 41 / 2 pairs a head
    assert problem.flops("forward") == flops
    assert problem.flops("backward") == 2.5 * flops
    assert problem.flops("forward+backward") == 3.5 * flops
    monkeypatch.setattr(opponents, "micro_kernel", lambda dtype: (lambda: None, lambda: 3000.0))
    fake_times(monkeypatch, ours=1e-6, SDPA=3e-6, SGEMM=2.0, micro=1e-6)
    measured = measures.against_sdpa(problem, "forward", Effort())
    assert measured.figures["x SDPA"] == pytest.approx(3)
    assert measured.figures["of SGEMM"] == pytest.approx((flops / 1e-6) / (2 * 2048**3 / 2.0))
    assert measured.figures["of micro-kernel"] == pytest.approx(flops / 3000)
    assert measured.rates["ours"] == pytest.approx(flops / 1e-6 * 1e-9)
    assert measured.rates["SDPA"] == pytest.approx(flops / 3e-6 * 1e-9)
    assert measured.rounds == 5


def test_prediction_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = Problem.square(1, 1024, 16)
    window, packed = dense.with_(keys_in_window=128), dense.with_(documents=8)
    for direction in ("forward", "backward"):
        # 8 block rows of 128: 36 blocks of the triangle; a window of 128 keys leaves the diagonal and its neighbour.
        assert measures.blocks(dense, direction) == 36
        assert measures.blocks(window, direction) == 15
        assert measures.blocks(packed, direction) == 8
    fake_times(monkeypatch, ours=1.0, dense=2.0)
    measured = measures.predicted_by_blocks(packed, "forward", Effort(), dense=dense)
    assert measured.figures["of prediction"] == pytest.approx(2.0 / 4.5)
    assert measured.figures["x predicted"] == pytest.approx(4.5)


def test_figures_of_odd_sizes_compare_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_times(monkeypatch, ours=1.0, full_size=1.0)
    full = Problem.square(1, 32, 32)
    measured = measures.odd(full.with_(dim=16, dim_v=16), "backward", Effort(), full=full)
    assert measured.figures["of full size"] == pytest.approx(0.5)


def test_decode_counts_keys_and_values_against_the_best_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(4, 2, 1, 64, 16, 32, "bf16", batch=3)
    assert problem.key_value_bytes() == 3 * 2 * 64 * (16 + 32) * 2
    fake_times(monkeypatch, ours=4e-6, SDPA=8e-6, read_in_C=3e-6, read_by_torch_sum=2e-6)
    measured = measures.decode(problem, "forward", Effort())
    assert measured.figures["of read bandwidth"] == pytest.approx(0.5)
    assert measured.figures["GB/s"] == pytest.approx(problem.key_value_bytes() / 4e-6 * 1e-9)


def test_visible_pairs() -> None:
    assert Problem.square(1, 8, 4).pairs() == 36
    assert Problem.square(1, 8, 4).with_(documents=4).pairs() == 4 * 3
    assert Problem.square(1, 8, 4).with_(keys_in_window=2).pairs() == 1 + 7 * 2
    assert Problem(4, 2, 1, 100, 8, 8, batch=2).pairs() == 2 * 4 * 100


def test_allowed_memory() -> None:
    square = Problem.square(8, 1000, 16)
    copies = 4 * 6 * 1000 * 16
    assert memory.allowed(square, threads=2) == 3 * copies + 16 * 8 * 1000 + 2 * (4 << 20)
    assert memory.allowed(square.with_(heads_q=1, heads_kv=1), threads=2) == copies + 16 * 1000 + 2 * (4 << 20)
    grouped = memory.allowed(square.with_(heads_kv=1), threads=1)
    assert grouped == 4 * (2 * 8 + 4) * 1000 * 16 + 16 * 8 * 1000 + (4 << 20)


# ---- the gate --------------------------------------------------------------------------------------------------------

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


# ---- opponents -------------------------------------------------------------------------------------------------------


def test_opponents_compute_the_same() -> None:
    problem = Problem.square(2, 100, 16)
    q, k, v, _ = problem.tensors()
    reference = opponents.sdpa(problem, q, k, v)
    torch.testing.assert_close(opponents.full_matrix(problem, q, k, v), reference)
    for block in (16, 30, 100, 128):
        torch.testing.assert_close(opponents.block_loop(problem, q, k, v, block=block), reference)


def test_a_missing_opponent_is_said_and_not_met(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    case = next(case for case in cases(TINY) if case.family == "others")
    missing = command.measure(case, TINY)
    assert missing.status == NOT_MEASURED
    assert missing.note == "FlexAttention did not compile here: RuntimeError: no compiler"
    assert summarise([missing])[0].status == NOT_MEASURED


def test_a_case_that_raises_fails_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if problem.dtype == "fp16":
            raise RuntimeError("not implemented for 'Half'\nand a stack")
        return ours(problem, q, k, v)

    monkeypatch.setattr(opponents, "sdpa", broken)
    assert command.main(["--tiny", "--rows", "small"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("small")]
    assert len(lines) == 6
    for line in lines:
        assert line.endswith("FAILED (RuntimeError: not implemented for 'Half')") == ("fp16" in line), line


def test_an_unknown_instruction_set_is_said_at_once() -> None:
    environment = {**os.environ, "TRIANGLE_ATTN_CPU_ISA": "sse9"}
    line = [sys.executable, "-m", "triangle_attn_op.bench", "--tiny"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "TRIANGLE_ATTN_CPU_ISA" in done.stderr
    assert "sse9" in done.stderr


def test_scaling_needs_two_threads() -> None:
    torch.set_num_threads(1)  # the fixture puts it back
    with pytest.raises(OpponentMissing, match="one thread"):
        measures.scaling(Problem.square(1, 32, 16), "forward", Effort())


def test_the_machines_limits_run() -> None:
    for dtype in ("fp32", "bf16", "fp16"):
        run, flops = opponents.micro_kernel(dtype, repeats=10)
        run()
        one = flops()
        assert one > 0
        run, flops = opponents.micro_kernel(dtype, repeats=30)
        run()
        assert flops() == 3 * one
    words = torch.arange(1 << 12, dtype=torch.int64)
    opponents.read_in_c(words)()
    assert opponents._library.load().triangle_cpu_read(words.data_ptr(), words.numel() * 8) == int(words.sum())
    with pytest.raises(ValueError, match="contiguous"):
        opponents.read_in_c(words.view(64, 64).t())


# ---- the command -----------------------------------------------------------------------------------------------------


def run_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "triangle_attn_op.bench", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_a_tiny_run_leaves_everything(tmp_path: Path) -> None:
    """Every row but `others`, whose compiler takes long; `others` has its own test below."""
    files = [tmp_path / name for name in ("out.json", "out.csv", "out.png", "out.md")]
    rows = [name for name in FAMILIES if name not in ("others", "memory")]
    outputs = [argument for file in files for argument in (f"--{file.suffix[1:].replace('md', 'markdown')}", file)]
    done = run_command("--tiny", "--rows", ",".join(rows), *outputs, "--threads", "2")
    assert done.returncode == 0, done.stderr
    chosen = [case for case in cases(TINY) if case.family in rows]
    for case in chosen:
        assert re.search(
            rf"^{case.family} +{case.problem.dtype} {re.escape(case.direction)}", done.stdout, re.MULTILINE
        )
    assert "Goals" in done.stdout
    assert f"{len(chosen)}/{len(chosen)}" in done.stderr  # tqdm's bar
    document = json.loads(files[0].read_text())
    assert len(document["cases"]) == len(chosen)
    assert {row["row"] for row in document["rows"]} == {case.goal.row for case in chosen}
    assert document["environment"]["torch"] == torch.__version__
    for case in document["cases"]:
        assert case["status"] in (MET, NOT_MET, NO_GOAL), case
        assert case["figures"], case
        assert all(seconds > 0 for seconds in case["seconds"].values()), case
        assert case["rounds"] == 1
    records = list(csv.DictReader(files[1].open()))
    assert [record["case"] for record in records] == [str(case.problem) for case in chosen]
    first = document["cases"][0]
    assert float(records[0]["gflops: SDPA"]) == first["gflops"]["SDPA"]
    assert files[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    tables = files[3].read_text()
    for row in document["rows"]:
        assert f"| {row['row']} | {row['goal']} | {row['measured']} | " in tables
    for case in document["cases"]:
        assert f"| {case['case']} | {case['measured']} | {case['goal']} | " in tables


def test_python_opponents_and_memory_run() -> None:
    wanted = {"block loop", "full matrix"}
    ran = set()
    for case in cases(TINY):
        if case.family == "others" and any(name in case.goal.row for name in wanted):
            measured = command.measure(case, TINY)
            assert measured.status in (MET, NOT_MET), measured.note
            ran |= {name for name in measured.rates if name in wanted}
    assert ran == wanted
    case = next(case for case in cases(TINY) if case.family == "memory")
    measured = command.measure(case, TINY)
    assert measured.status == MET, measured  # a bound of megabytes at a few hundred rows
    assert measured.figures["MiB"] >= 0


def test_memory_notices_a_full_matrix() -> None:
    """The measurement itself: attention that keeps S x S scores is over the bound."""
    program = (
        "import sys, torch\n"
        "from triangle_attn_op.bench import memory, opponents, problem\n"
        "torch.set_num_threads(1)\n"
        "p = problem.Problem.square(1, 3072, 16)\n"
        "if sys.argv[1] == 'full': memory.ours = opponents.full_matrix\n"
        "print(memory.measure(p) / memory.allowed(p, 1))\n"
    )
    shares = {}
    for kind in ("full", "ours"):
        done = subprocess.run([sys.executable, "-c", program, kind], capture_output=True, text=True, check=True)
        shares[kind] = float(done.stdout)
    assert shares["full"] > 3, shares
    assert shares["ours"] < shares["full"] / 3, shares


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "forward,sideways"], r"--rows: expected names from forward, backward, .*, got 'sideways'"),
        (["--rows", "small", "--png", "x.png"], r"--png: expected rows that have GFLOP/s to draw"),
        (["--json", "/nowhere/at/all.json"], r"/nowhere/at/all.json: no such directory"),
        (["--threads", "0"], r"--threads: expected at least 1, got 0"),
        (["--quick", "--tiny"], r"not allowed with"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize(("package", "arguments"), [("tqdm", []), ("rich", []), ("matplotlib", ["--png", "x.png"])])
def test_a_missing_package_says_how_to_get_it(
    package: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as stopped:
        command.main(["--tiny", *arguments])
    assert stopped.value.code == 2
    assert f"the benchmark needs {package}: pip install triangle-attn-op[bench]" in capsys.readouterr().err


def test_lines() -> None:
    case = Case("small", Problem(8, 2, 64, 64, 64, 32), "forward", Goal("row", ">= 1 x SDPA"), measures.small)
    done = Result(case.family, str(case.problem), "fp32", "forward", case.goal, MET, measured="5 us")
    assert report.line(done) == "small    fp32 forward          [1, 8/2, 64, 64/32]: 5 us; goal >= 1 x SDPA: met"
    done.status, done.measured, done.note = WRONG, "", "out differs"
    assert report.line(done).endswith("[1, 8/2, 64, 64/32]: goal >= 1 x SDPA: WRONG RESULT (out differs)")


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--png"):
        report.draw(tmp_path / "x.png", [result("row", NOT_MEASURED)], "title")
