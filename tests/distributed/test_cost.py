"""The tables of docs/distributed.md are what their command prints, and the model on paper counts as the plan does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from triangle_attn_op.distributed import ContextLayout, cost, plan, table
from triangle_attn_op.distributed.__main__ import main

pytestmark = pytest.mark.xdist_group("distributed")

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "distributed.md"


def measured(rank: int, n: int) -> list[dict[str, Any]]:
    return [table.figures(method, rank, n) for method in table.METHODS]


@pytest.mark.parametrize("n", [2, 4])
def test_measured_table(n: int) -> None:
    """What the ranks executed and sent is what the plan says, the least possible, and what the document shows."""
    found = ranks.run(measured, n)
    rows = [{key: [of_rank[i][key] for of_rank in found] for key in found[0][i]} for i in range(len(table.METHODS))]
    for method, row in zip(table.METHODS, rows):
        assert row["sent forward"] == row["least forward"], method
        assert row["sent backward"] == row["least backward"], method
        rounding = 5e-2 if method.dtype is torch.bfloat16 else 1e-5  # gradients reach 8, where bf16 steps by 2^-5
        assert max(row["error of out"] + row["error of gradients"]) < rounding, method
        if not method.all_to_all:
            layout = method.layout(n)
            planned = [table.HEADS_Q * plan.rank_blocks(layout, rank, method.window) for rank in range(n)]
            assert row["blocks forward"] == row["blocks backward"] == planned, method
        if method.kind != "contiguous" and (method.window is None or method.length >= 8192):
            assert table.imbalance(row) <= 0.02, method
    shown = table.render({n: rows}).splitlines()
    document = DOCUMENT.read_text().splitlines()
    for line in shown[-len(rows) :]:
        without_errors = line.rsplit("|", 3)[0]
        assert any(text.startswith(without_errors) for text in document), line


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


def test_measuring_without_numpy_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setattr(sys, "argv", ["distributed", "--table"])
    with pytest.raises(SystemExit):
        main()
    assert "error: --table: needs numpy: pip install numpy" in capsys.readouterr().err


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "cost.png"
    monkeypatch.setattr(sys, "argv", ["distributed", "--cost", "--png", str(picture), "--heads", "32", "4"])
    main()
    assert cost.markdown(cost.Layer(32, 4), cost.Machine()) in capsys.readouterr().out
    assert picture.stat().st_size > 10000
