"""Alternated timing: every contender once a round, rounds in turn, medians and ratios of pairs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds from `fewest` to `most`, as many as `budget` seconds allow."""

    fewest: int = 5
    most: int = 15
    budget: float = 4.0
    sample: float = 0.02
    """A contender faster than this many seconds is called several times a round."""


@dataclass(frozen=True)
class Contender:
    run: Callable[[], object]
    threads: int | None = None
    """torch threads while it runs; None: as they are."""


@dataclass(frozen=True)
class Times:
    """Seconds a call of every contender in every round."""

    rounds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def medians(self) -> dict[str, float]:
        return {name: self.median(name) for name in self.rounds}

    def speed_up(self, name: str, over: str) -> float:
        """How many times faster `name` is than `over`: the median over rounds of the ratio within a round."""
        return statistics.median(b / a for a, b in zip(self.rounds[name], self.rounds[over]))

    def count(self) -> int:
        return len(next(iter(self.rounds.values())))


def alternate(
    contenders: Mapping[str, Contender | Callable[[], object]],
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Times all contenders in alternating rounds; every other round runs in reverse order.

    Each is called once before, and a fast one once more, to warm up and to choose how often a round calls it.
    """
    entries = {name: c if isinstance(c, Contender) else Contender(c) for name, c in contenders.items()}
    calls = {}
    round_seconds = 0.0
    for name, contender in entries.items():
        seconds = _time(contender, 1, clock)
        if seconds < max(effort.sample, 0.5):
            seconds = _time(contender, 1, clock)
        calls[name] = max(1, min(10_000, math.ceil(effort.sample / max(seconds, 1e-9))))
        round_seconds += calls[name] * seconds
    rounds = max(effort.fewest, min(effort.most, int(effort.budget / max(round_seconds, 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in entries}
    for index in range(rounds):
        order = list(entries) if index % 2 == 0 else list(reversed(entries))
        for name in order:
            times[name].append(_time(entries[name], calls[name], clock) / calls[name])
    return Times(times)


def _time(contender: Contender, calls: int, clock: Callable[[], float]) -> float:
    before = torch.get_num_threads()
    if contender.threads is not None:
        torch.set_num_threads(contender.threads)
    try:
        begin = clock()
        for _ in range(calls):
            contender.run()
        return clock() - begin
    finally:
        if contender.threads is not None:
            torch.set_num_threads(before)
