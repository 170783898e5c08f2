"""What a case has to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MET, NOT_MET, NO_GOAL = "met", "NOT MET", "no goal"
WRONG, FAILED, NOT_MEASURED, VOID = "WRONG RESULT", "FAILED", "not measured", "void"


@dataclass(frozen=True)
class Criterion:
    """A figure of a case and its bound: at least `bound`, or at most it."""

    figure: str
    bound: float
    at_most: bool = False

    def holds(self, figures: Mapping[str, float]) -> bool:
        """False for a figure that is missing or NaN: what was not measured is not met."""
        value = figures.get(self.figure, float("nan"))
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(frozen=True)
class Goal:
    """A row of the table of goals. It is met where any of the criteria holds, or all where it needs every one; without
    criteria it is only shown.
    """

    row: str
    text: str
    any_of: tuple[Criterion, ...] = ()
    every: bool = False

    def judge(self, figures: Mapping[str, float]) -> str:
        if not self.any_of:
            return NO_GOAL
        held = [criterion.holds(figures) for criterion in self.any_of]
        return MET if (all(held) if self.every else any(held)) else NOT_MET


@dataclass
class Result:
    """One case: what it measured, and how that stands to its goal."""

    family: str
    """The name that --rows takes."""
    case: str
    """Shape and options in words."""
    dtype: str
    direction: str
    goal: Goal
    status: str
    figures: dict[str, float] = field(default_factory=dict)
    """Ratios and shares by name; `measured` spells them out."""
    rates: dict[str, float] = field(default_factory=dict)
    """GFLOP/s by contender, of medians; FLOPs of the triangle only."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Median seconds a call, by contender."""
    rounds: int = 0
    measured: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "row": self.goal.row,
            "case": self.case,
            "dtype": self.dtype,
            "direction": self.direction,
            "goal": self.goal.text,
            "measured": self.measured,
            "status": self.status,
            "figures": self.figures,
            "gflops": self.rates,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "note": self.note,
        }


@dataclass(frozen=True)
class RowSummary:
    """A row of the table of goals over all its cases."""

    row: str
    goal: str
    cases: int
    met: int
    measured: str
    status: str


def summarise(results: Sequence[Result]) -> list[RowSummary]:
    """One line a row, in the order of the results: met where every case with a goal is. Void cases give no figures."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.goal.row, []).append(result)
    summaries = []
    for row, cases in rows.items():
        statuses = [case.status for case in cases]
        judged = [case for case in cases if case.status != NO_GOAL]
        # The worst first: a wrong result or an error outweighs an unmet goal, which outweighs what was not measured.
        status = next(
            (s for s in (WRONG, FAILED, NOT_MET, NOT_MEASURED, VOID) if s in statuses), MET if judged else NO_GOAL
        )
        goals = list(dict.fromkeys(case.goal.text for case in judged)) or [cases[0].goal.text]
        met = sum(case.status == MET for case in judged)
        summaries.append(RowSummary(row, "; ".join(goals), len(judged), met, _ranges(judged or cases), status))
    return summaries


def _ranges(cases: Sequence[Result]) -> str:
    """The range of every figure that the row's goals name."""
    names = dict.fromkeys(c.figure for case in cases for c in case.goal.any_of) or dict.fromkeys(
        name for case in cases for name in case.figures
    )
    parts = []
    for name in names:
        values = [case.figures[name] for case in cases if name in case.figures and case.status != VOID]
        if values:
            low, high = min(values), max(values)
            parts.append(f"{low:.2f} {name}" if low == high else f"{low:.2f} to {high:.2f} {name}")
    return ", ".join(parts)
