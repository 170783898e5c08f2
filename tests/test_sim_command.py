"""python -m triangle_attn_op.sim: what it prints for either pass, its files, the table of goals, bad arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from triangle_attn_op import sim
from triangle_attn_op.sim.__main__ import main
from triangle_attn_op.sim.goals import GOALS, Goal, print_goals

SHAPE = ["--shape", "1,2,1,150,200,32", "--cores", "2"]


@pytest.mark.parametrize(
    ("options", "results"),
    [
        ([], ["out"]),
        (["--pass", "bwd"], ["dq", "dk", "dv"]),
        (["--pass", "bwd", "--deterministic", "--window-size-left", "40", "--order", "lazy"], ["dq", "dk", "dv"]),
    ],
    ids=["fwd", "bwd", "bwd deterministic"],
)
def test_json_of_either_pass(options: list[str], results: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHAPE, "--json", *options]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["pass"] == ("backward" if options else "forward")
    assert figures["findings"] == []
    assert list(figures["largest_error"]) == results
    assert all(0 < error < 0.05 for error in figures["largest_error"].values())
    assert 0 < figures["visible_of_computed"] <= 1
    assert figures["compulsory_bytes"] < sum(figures["bytes"].values())
    assert (figures["accumulator_bytes"] > 0) == bool(options)
    assert figures["microseconds"] > 0


@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_files_of_either_pass(direction: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, png = tmp_path / "t.json", tmp_path / "p.png"
    files = ["--trace", str(trace), "--png", str(png)]
    assert main([*SHAPE, "--pass", direction, "--timing-only", *files]) == 0
    text = capsys.readouterr().out
    assert text.startswith("forward [1, 2/1, 150x200, 32]" if direction == "fwd" else "backward [1, 2/1, 150x200, 32]")
    assert "error" not in text
    assert {e["name"] for e in json.loads(trace.read_text())["traceEvents"]} >= {"Mmad", "Fixpipe", "Exp"}
    assert png.read_bytes().startswith(b"\x89PNG")


def test_goals(capsys: pytest.CaptureFixture[str]) -> None:
    """Met and unmet goals of small shapes; what is not met names the pipe that binds."""
    shape = sim.Shape(1, 2, 2, 512, 512, 64)
    assert print_goals([Goal("forward", shape, 0.0, None, 3.0), Goal("backward", shape, 0.0, 0.0, 2.5)]) == 0
    text = capsys.readouterr().out
    assert "NOT MET" not in text
    assert text.count("  met") == 5
    assert "worst corner: fixpipe 95, fixpipe_atomic 53, fix_latency_cycles 450" in text
    assert text.count("us at 1.8 GHz, ") == 3
    assert print_goals([Goal("backward", shape, 0.99, 0.98, 0.5, 99.0, 0.97)]) == 1
    lines = capsys.readouterr().out.splitlines()
    unmet = [line for line in lines if line.endswith("NOT MET")]
    assert [line.split("  ")[1].strip() for line in unmet] == [
        "share of cube peak",
        "share in the worst corner",
        "ring workspace a core",
        "against dense attention",
        "deterministic path",
    ]
    assert sum("because" in line and "binds: busy" in line for line in lines) == 4
    assert print_goals([Goal("forward", shape, None)], as_json=True) == 0  # stated, with what binds
    (share, *_) = json.loads(capsys.readouterr().out)
    assert (share["name"], share["met"]) == ("share of cube peak", None)
    assert "binds: busy" in share["reason"]
    assert 0 < share["figures"]["cube_share"] < 1


def test_the_goals_are_those_of_both_passes() -> None:
    assert [(g.direction, g.shape.sq, g.shape.d, g.cube_share, g.worst_share, g.deterministic) for g in GOALS] == [
        ("forward", 8192, 128, 0.62, 0.56, None),
        ("forward", 2048, 128, 0.50, 0.44, None),
        ("forward", 8192, 64, 0.40, None, None),
        ("forward", 512, 128, None, None, None),
        ("backward", 8192, 128, 0.68, 0.58, 0.48),
        ("backward", 2048, 128, 0.60, 0.48, 0.40),
        ("backward", 8192, 64, 0.42, None, None),
        ("backward", 512, 128, None, None, None),
        ("cache", 1, 128, None, None, None),
        ("cache", 512, 128, None, None, None),
    ]
    assert [(g.shape.batch, g.shape.sk, g.hbm_share, g.of_forward) for g in GOALS if g.direction == "cache"] == [
        (32, 8192, 0.8, None),
        (1, 8192, None, 0.9),
    ]


def test_goals_over_a_cache(capsys: pytest.CaptureFixture[str]) -> None:
    """Both kinds of goals, of small shapes; what is not met says how busy the pipes are."""
    shape = sim.Shape(2, 8, 2, 1, 700, 64)
    assert print_goals([Goal("cache", shape, None, hbm_share=0.01, of_forward=0.1)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Ascend910B2, bf16, timing model")
    assert text.count("  met") == 4
    assert "share of HBM's rate, pages of 700" in text
    assert print_goals([Goal("cache", shape, None, hbm_share=0.99)]) == 1
    assert "MB in" in capsys.readouterr().out


def test_reading_ahead_pays_in_decoding() -> None:
    """Without it, by the cube's loads alone, this step takes half of HBM's bandwidth."""
    assert sim.model_kvcache(sim.Shape(8, 32, 8, 1, 8192, 128)).hbm_share > 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--shape: expected B,Hq,Hkv,Sq,Sk,D"),
        (
            ["--shape", "1,2,3"],
            "--shape: expected B,Hq,Hkv,Sq,Sk,D or B,Hq,Hkv,Sq,Sk,D,Dv of positive sizes, got 1,2,3",
        ),
        (["--shape", "1,3,2,8,8,16"], "--shape: expected Hq % Hkv == 0, got Hq = 3, Hkv = 2"),
        ([*SHAPE, "--set", "fixpipe"], "--set: expected NAME=VALUE with a number, got fixpipe"),
        ([*SHAPE, "--parameters", "/nowhere.json"], "--parameters: [Errno 2] No such file"),
        ([*SHAPE, "--parameters", __file__], "--parameters: "),
        ([*SHAPE, "--soc", "Ascend310", "--timing-only"], "soc: expected one of Ascend910B1"),
    ],
    ids=["no shape", "short shape", "heads", "set", "no file", "no JSON", "soc"],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
