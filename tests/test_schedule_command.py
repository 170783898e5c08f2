"""`python -m triangle_attn_op.schedule`, and the pictures of a schedule."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from triangle_attn_op import visibility
from triangle_attn_op.schedule import __main__ as program
from triangle_attn_op.schedule import plan
from triangle_attn_op.schedule.intervals import plan_intervals


def test_command_line_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = "--shape 1,52,52,2048,2048,128 --cores 24 --block-q 256 --pass bwd --json"
    assert program.main(arguments.split()) == 0
    printed = json.loads(capsys.readouterr().out)
    s = plan((1, 52, 52, 2048, 2048, 128), cores=24, block_q=256, backward=True)
    assert printed["loads"] == s.loads
    assert (printed["blocks"], printed["visible_pairs"]) == (s.blocks, s.visible_pairs)
    assert printed["imbalance"] == s.imbalance


def test_command_line_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--shape", "1,32,32,8192,8192,128", "--cores", "24"]) == 0
    printed = capsys.readouterr().out
    assert "66,560 (50.78%)" in printed
    assert "1,073,872,896 (50.01%)" in printed
    assert "0.02%" in printed


def test_command_line_module_runs() -> None:
    command = [sys.executable, "-m", "triangle_attn_op.schedule", "--shape", "1,2,2,300,300,64", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["blocks"] == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--shape 1,12,5,100,100,64", "error: heads_q: expected a multiple of heads_kv (5), got 12"),
        ("--shape 1,x", "argument --shape: expected integers separated by commas, got '1,x'"),
        ("--shape 1,2,2,9,9,64 --png x.png --heads 2 --json", "heads: expected 1 to 16 heads below 2, got [2]"),
        ("--shape 1,2,2,9,9,64 --png x.png --batch 1 --json", "batch: expected 0 <= batch < 1, got 1"),
        (
            "--shape 1,2,2,9,9,64 --visibility triangle:3",
            "visibility: expected one of prefix_lm:PREFIX, documents:LENGTH",
        ),
        ("--shape 1,2,2,9,9,64 --visibility chunked:x", "visibility: expected chunked:CHUNK, got chunked:x"),
        ("--shape 1,2,2,9,9,64 --visibility documents:3,3", "startend_row_indices: expected shape [1, 1, 2 or 2, 9, 1"),
        ("--shape 1,2,2,9,9,64 --visibility chunked:3 --diagonal 2", "visibility: expected neither --cu-seq nor"),
    ],
)
def test_command_line_errors(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_picture(tmp_path: Path) -> None:
    image = importlib.import_module("triangle_attn_op.schedule.image")
    s = plan((1, 4, 2, 1000, 1200), cores=6, block_q=64, block_k=64, window_size_left=700)
    pixels = s.to_image(tmp_path / "schedule.png")
    assert (tmp_path / "schedule.png").stat().st_size > 10_000
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    found = {tuple(color) for color in np.unique(pixels[..., :3].reshape(-1, 3), axis=0).tolist()}
    for core in range(6):  # each core's colour in a panel and in its bar, masked blocks darker
        for color in (image._color(core), image._shaded(image._color(core))):
            assert any(max(abs(255 * a - b) for a, b in zip(color, other)) <= 1 for other in found), core


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (1, 8, 2, 777, 777), "cu_seq_q": [0, 100, 100, 777]},
        {"shape": (2, 1, 1, 90, 4000), "backward": True},
        {"shape": (1, 1, 1, 0, 10)},
    ],
)
def test_picture_of_odd_problems(options: dict) -> None:
    assert plan(**options, cores=4, block_q=32, block_k=32).to_image().size > 0


def test_optional_packages_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "triangle_attn_op.schedule.image", raising=False)
    for name in ("matplotlib", "rich"):
        for module in [m for m in sys.modules if m == name or m.startswith(name + ".")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"drawing a schedule needs matplotlib: pip install triangle-attn-op\[plot\]"):
        plan((1, 1, 1, 9, 9), cores=1).to_image()
    with pytest.raises(SystemExit):
        program.main(["--shape", "1,1,1,9,9,64"])
    assert (
        "printing the table needs rich: pip install triangle-attn-op[plot] (or use --json)" in capsys.readouterr().err
    )
    assert program.main(["--shape", "1,1,1,9,9,64", "--json"]) == 0


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_hidden_intervals(backward: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks that hold a visible pair are drawn and counted; those without an edge are full."""
    arguments = "--shape 1,4,2,1000,1000,64 --cores 3 --visibility prefix_lm:400 --json --png"
    pictured = tmp_path / "prefix.png"
    assert program.main([*arguments.split(), str(pictured), *(["--pass", "bwd"] if backward else [])]) == 0
    assert pictured.stat().st_size > 10_000
    printed = json.loads(capsys.readouterr().out)
    row, key = np.arange(1000)[:, None], np.arange(1000)[None]
    seen = np.zeros((1024, 1024), dtype=bool)
    seen[:1000, :1000] = (key <= row) | (key < 400)
    blocks = seen.reshape(8, 128, 8, 128).transpose(0, 2, 1, 3).reshape(8, 8, -1)
    assert printed["visible_pairs"] == 4 * int(seen.sum())
    assert printed["blocks"] == 4 * int(blocks.any(-1).sum()) == sum(printed["loads"])
    options = visibility.prefix_lm(400, 1000)
    planned = plan_intervals((1, 4, 2, 1000, 1000), cores=3, backward=backward, **options)
    drawn = np.zeros((4, 8, 8), dtype=int)
    for piece in planned.pieces():
        for block in range(piece.begin, piece.end):
            place = (block, piece.row) if backward else (piece.row, block)
            drawn[(piece.head_q, *place)] = 2 if piece.full_begin <= block < piece.full_end else 1
    assert ((drawn > 0) == blocks.any(-1)).all()
    seen[1000:] = seen[:, 1000:] = True  # beyond the end
    assert seen.reshape(8, 128, 8, 128).all((1, 3))[drawn[0] == 2].all()
    assert planned.tasks == (16 if backward else 32)
    assert printed["imbalance"] == planned.imbalance < 0.15
