"""The tables of docs/distributed.md are what their command prints, and the model on paper counts as the plan does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import ranks
from triangle_attn_op.distributed import ContextLayout, cost, plan, table
from triangle_attn_op.distributed.__main__ import main

pytestmark = pytest.mark.xdist_group("distributed")

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "distributed.md"


def measured(rank: int, n: int) -> list[dict[str, float]]:
    return [table._figures(method, rank, n) for method in table.METHODS]


@pytest.mark.parametrize("n", [2, 4])
def test_measured_table(n: int) -> None:
    rows = ranks.run(measured, n)
    for i, method in enumerate(table.METHODS):
        figures = [rank_rows[i] for rank_rows in rows]
        assert sum(f["sent"] for f in figures) == sum(f["least"] for f in figures), method
        assert max(f["error"] for f in figures) < 1e-5, method
        blocks = [f["blocks"] for f in figures]
        if method.kind != "contiguous" and method.window is None:
            assert max(blocks) <= 1.02 * sum(blocks) / n, method
        shown = ", ".join(str(b) for b in blocks)
        kib = ", ".join(str(f["sent"] // 1024) for f in figures)
        row = f"| {method.name} | {n} | {shown} |"
        assert row in DOCUMENT.read_text()
        assert f"| {kib} |" in DOCUMENT.read_text().split(row)[1].split("\n")[0]


def test_the_documents_table_of_costs_is_the_models() -> None:
    assert cost.markdown(cost.Layer(), cost.Machine()) in DOCUMENT.read_text()


@pytest.mark.parametrize("n", [2, 8, 64])
def test_the_model_counts_as_the_plan(n: int) -> None:
    length = 2 * n * 64
    layout = ContextLayout.zigzag(length, n)
    received = [plan.rows_received(layout, rank) for rank in range(n)]
    assert max(received) == length * (n - 1) // n
    assert sum(received) / n == 0.75 * max(received)
    assert sum(plan.rank_pairs(layout, rank) for rank in range(n)) == cost._triangle(length)
    assert plan.plan_step(layout, 0, 1).pairs() == 2 * 64 * 64


def test_the_ring_waits_only_below_its_limit() -> None:
    layer, machine = cost.Layer(), cost.Machine(latency=0.0)
    limit = cost.hidden_from(layer, machine)
    assert cost.ring(int(1.01 * limit) * 64, 64, layer, machine).waiting == 0.0
    assert cost.ring(int(0.99 * limit) * 64, 64, layer, machine).waiting > 0.0
    assert cost.all_to_all(1 << 15, 128, layer, machine) is None  # more devices than query heads


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "cost.png"
    monkeypatch.setattr(sys, "argv", ["distributed", "--cost", "--png", str(picture), "--heads", "32", "4"])
    main()
    assert cost.markdown(cost.Layer(32, 4), cost.Machine()) in capsys.readouterr().out
    assert picture.stat().st_size > 10000
