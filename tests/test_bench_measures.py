"""The benchmark's arithmetic: rounds, medians, and figures from times that a test gives."""

from __future__ import annotations

import pytest
import torch
from triangle_attn_op.bench import measures, memory, opponents
from triangle_attn_op.bench.problem import Problem
from triangle_attn_op.bench.timing import Contender, Effort, Times, alternate


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
