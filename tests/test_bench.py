"""The benchmark's opponents and its command line. No test looks at how fast anything is."""

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
from triangle_attn_op.bench import measures, opponents, report
from triangle_attn_op.bench.cases import FAMILIES, TINY, Case, cases
from triangle_attn_op.bench.goals import (
    MET,
    NO_GOAL,
    NOT_MEASURED,
    NOT_MET,
    WRONG,
    Goal,
    Result,
    summarise,
)
from triangle_attn_op.bench.opponents import OpponentMissing
from triangle_attn_op.bench.problem import Problem, ours
from triangle_attn_op.bench.timing import Effort

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
