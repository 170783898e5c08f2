"""The benchmark's goals: when one is met, and what a row of several cases is worth."""

from __future__ import annotations

from pathlib import Path

import pytest
from triangle_attn_op.bench import report, validity
from triangle_attn_op.bench.cases import FAMILIES, FULL, QUICK, backward_goal, cases, forward_goal
from triangle_attn_op.bench.goals import (
    FAILED,
    MET,
    NO_GOAL,
    NOT_MEASURED,
    NOT_MET,
    VOID,
    WRONG,
    Criterion,
    Goal,
    Result,
    summarise,
)


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
        "decode over a cache": {"of read bandwidth": 0.8},
        "decode over pages of 64": {"x one piece": 0.95},
        "chunk of 512 of a prompt of 8192": {"of the forward": 0.9},
        "decode over pages, 1 to 2 threads": {"x 1 thread": 1.8},
        "small, forward": {"x SDPA": 1.0},
        "small, forward+backward": {"x SDPA": 1.0},
        "odd": {"of full size": 0.9},
        "scaling": {"x 1 thread": 1.9},
        "softcap, S = 2048": {"of plain": 0.75},
        "alibi, S = 2048": {"of plain": 0.92},
        "sinks, S = 2048": {"of plain": 0.97},
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
        ([MET, VOID], VOID, 1),
        ([VOID, NOT_MET], NOT_MET, 0),
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


def timed(share: float, micro: float, **more: float) -> Result:
    measured = result("row", MET, **{"x SDPA": 2.0, "of micro-kernel": share, **more})
    measured.rates["micro"] = micro
    return measured


def test_noise_is_measured_again_and_void_where_that_does_not_help() -> None:
    """Above the kernels' own inner loop, or beside one that is far slower than in other cases: no figure counts, though
    2 x SDPA would meet the goal."""
    quiet, too_fast, slow, recovers = timed(0.9, 100), timed(1.23, 90), timed(0.7, 79), timed(1.01, 99)
    results, again = [quiet, too_fast, slow, recovers], []

    def measure(index: int) -> Result:
        again.append(index)
        return timed(0.8, 100) if index == 3 else results[index]

    validity.measure_again(results, measure, times=2)
    assert again == [1, 2, 3, 1, 2]  # the last was right at the second time
    assert [r.status for r in results] == [MET, VOID, VOID, MET]
    assert [r.note for r in results[1:3]] == [
        "1.23 of micro-kernel is above 1",
        "micro-kernel at 79 GFLOP/s, 100 in other cases",
    ]
    (row,) = summarise(results)
    assert (row.status, row.met, row.cases) == (VOID, 2, 4)
    assert row.measured == "2.00 x SDPA"


def test_the_first_look_leaves_void_cases_out() -> None:
    fast, void = timed(0.9, 100), timed(1.2, 100)
    void.status, void.direction, void.family = VOID, "backward", "backward"
    assert report.against_pytorch([fast, void]).splitlines()[2:] == ["| forward fp32 | 2.00 x | not measured |"]


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--png"):
        report.draw(tmp_path / "x.png", [result("row", NOT_MEASURED)], "title")
