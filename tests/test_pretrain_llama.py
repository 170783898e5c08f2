"""examples/pretrain_llama.py: it learns, survives SIGKILL, trains alike on two processes, and refuses bad input."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import pretrain_llama  # noqa: E402
from pretrain import arguments, checkpoint, compare, data, launch, report  # noqa: E402

pytestmark = pytest.mark.xdist_group("pretrain_llama")  # runs are shared, and each uses both cores

STEPS = 60
TINY = f"""--triangle-attn --num-layers 2 --hidden-size 64 --num-attention-heads 2 --num-query-groups 1 --seq-length 96
    --global-batch-size 8 --train-iters {STEPS} --lr 1e-2 --lr-warmup-iters 5 --save-interval 10 --eval-interval 20
    --eval-iters 2 --compare-rounds 1""".split()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real text: one package of the standard library."""
    folder = tmp_path_factory.mktemp("text") / "email"
    source = Path(sysconfig.get_paths()["stdlib"]) / "email"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def flags(text: Path, output: Path, *more: str) -> list[str]:
    return [*TINY, "--data", str(text), "--output", str(output), *more]


def command(*launcher: str) -> list[str]:
    return [sys.executable, *launcher, str(EXAMPLES / "pretrain_llama.py")]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def one_thread(two_threads: None) -> None:
    """As in the subprocesses; other tests run beside these, and threads that wait for each other would only spin."""
    torch.set_num_threads(1)


def run(arguments: list[str]) -> str:
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def losses(output: Path) -> list[float]:
    entries = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [entry["iteration"] for entry in entries] == list(range(1, len(entries) + 1))
    return [entry["loss"] for entry in entries]


# Whole runs


@pytest.fixture(scope="module")
def reference(text: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run from beginning to end on one process, with the comparison: its folder and what it printed."""
    output = tmp_path_factory.mktemp("reference") / "run"
    return output, run(command() + flags(text, output, "--micro-batch-size", "4", "--compare-seq-lengths", "96", "160"))


def test_learns_more_than_unigrams_and_says_so(reference: tuple[Path, str], text: Path):
    output, printed = reference
    summary = json.loads((output / "summary.json").read_text())
    assert summary["validation_loss"] < summary["unigram_entropy"] - 0.1
    assert f"validation loss  {summary['validation_loss']:.4f} nats" in printed
    assert f"unigram entropy  {summary['unigram_entropy']:.4f} nats" in printed
    assert summary["unigram_entropy"] == pytest.approx(data.load(text, 96).unigram_entropy())
    assert summary["last_backend"].startswith("cpu/")
    assert f"last backend     {summary['last_backend']}" in printed
    curve = losses(output)
    assert len(curve) == STEPS
    assert np.mean(curve[-5:]) < curve[0] - 1
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in sorted((output / "checkpoints").iterdir())] == ["iter_0000050.pt", "iter_0000060.pt"]


def test_comparison_measures_the_same_computation(reference: tuple[Path, str]):
    output, printed = reference
    rows = json.loads((output / "summary.json").read_text())["comparison"]
    seen = [(row["seq_length"], row["implementation"]) for row in rows]
    assert seen == [(length, name) for length in (96, 160) for name in arguments.IMPLEMENTATIONS]
    for row in rows:
        assert row["tokens_per_second"] > 0
        assert row["peak_bytes"] > 0
        assert row["backend"].startswith("cpu/" if row["implementation"] == "triangle" else "torch ")
        same = [other["first_loss"] for other in rows if other["seq_length"] == row["seq_length"]]
        assert row["first_loss"] == pytest.approx(same[0], rel=1e-5)
        assert f"{row['tokens_per_second']:,.0f}" in printed


@pytest.mark.parametrize("shared", [("--micro-batch-size", "2"), ("--context-parallel-size", "2")])
def test_two_processes_give_the_losses_of_one(
    shared: tuple[str, str], reference: tuple[Path, str], text: Path, tmp_path: Path
):
    torchrun = command("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    output = tmp_path / "run"
    schedule = ("--train-iters", "20", "--lr-decay-iters", str(STEPS))  # the first third of the reference
    printed = run(torchrun + flags(text, output, *shared, *schedule, "--no-compare"))
    assert "x 2 processes" in printed
    # Sums in another order: rounding grows from step to step.
    assert losses(output) == pytest.approx(losses(reference[0])[:20], rel=1e-3)
    validated = [
        [json.loads(line).get("validation_loss") for line in (folder / "metrics.jsonl").read_text().splitlines()][19]
        for folder in (output, reference[0])
    ]
    assert validated[0] == pytest.approx(validated[1], rel=1e-3)


def test_goes_on_after_sigkill_as_if_nothing_had_happened(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """With dropout, so that the random state counts too."""
    steps = 40
    more = ("--micro-batch-size", "8", "--no-compare", "--attention-dropout", "0.2", "--train-iters", str(steps))
    assert pretrain_llama.main(flags(text, tmp_path / "whole", *more)) == 0
    expected = losses(tmp_path / "whole")

    output = tmp_path / "killed"
    metrics = output / "metrics.jsonl"
    with subprocess.Popen(
        command() + flags(text, output, *more), env=environment(), stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= 24):
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = metrics.read_text().count("\n")
    assert done < steps, "the run ended before it was killed"
    with metrics.open("a") as file:
        file.write('{"iteration": 99, "lo')  # as a kill in the middle of a line leaves it
    (output / "checkpoints" / "iter_0000099.part").write_bytes(b"half a checkpoint")

    capsys.readouterr()
    assert pretrain_llama.main(flags(text, output, *more)) == 0
    begun = int(capsys.readouterr().out.split("going on after step ")[1].split()[0])
    assert begun >= done - 10, "more than the last interval was lost"
    assert losses(output) == pytest.approx(expected, rel=1e-5)

    # The finished run stays when a new one begins in its folder.
    assert pretrain_llama.main(flags(text, output, *more, "--train-iters", "5", "--seed", "7")) == 0
    assert f"the run that was in {output} is now in {output}-1" in capsys.readouterr().out
    assert len(losses(tmp_path / "killed-1")) == steps
    assert len(losses(output)) == 5


def test_bf16_trains_alike(reference: tuple[Path, str], text: Path, tmp_path: Path):
    more = ("--micro-batch-size", "4", "--no-compare", "--bf16", "--save-interval", "100", "--train-iters", "30")
    assert pretrain_llama.main(flags(text, tmp_path / "run", *more, "--lr-decay-iters", str(STEPS))) == 0
    expected = losses(reference[0])[:30]
    got = losses(tmp_path / "run")
    assert got[:5] == pytest.approx(expected[:5], rel=2e-2)
    assert got != expected
    assert np.mean(got[-5:]) == pytest.approx(np.mean(expected[-5:]), rel=0.1)


# Parts


def test_a_checkpoint_of_another_run_is_refused():
    content = {"identity": {"hidden_size": 64, "seed": 1}}
    with pytest.raises(ValueError, match=r"--output: .*holds another run: --seed was 1, now 2\. Give the same"):
        checkpoint.check_identity(content, {"hidden_size": 64, "seed": 2}, Path("runs/x/checkpoints"))


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = launch.Place(torch.device("cpu"), 0, 1)
    assert checkpoint.load(tmp_path, place) is None
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    for iteration in (1, 2, 3):
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        checkpoint.save(tmp_path, place, {}, iteration, layer, optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iter_0000002.pt", "iter_0000003.pt"]
    newest = tmp_path / "iter_0000003.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    content = checkpoint.load(tmp_path, place)
    assert content is not None
    assert content["iteration"] == 2
    assert "cannot be read" in capsys.readouterr().out


def test_held_out_text_is_whole_files_apart_from_training(tmp_path: Path):
    for index in range(50):
        (tmp_path / f"file{index:02}.txt").write_bytes(bytes([index]) * 100)
    (tmp_path / ".hidden").write_bytes(bytes([200]) * 100)
    corpus = data.load(tmp_path, 10)
    train, held_out = (set(part.tolist()) - {0} for part in (corpus.train, corpus.held_out))
    assert corpus.files == 50
    assert not train & held_out
    assert train | held_out == set(range(1, 50))
    assert 300 <= len(corpus.held_out) <= 310  # 5 % of 5000 bytes, rounded up to files, and separators
    again = data.load(tmp_path, 10)
    assert np.array_equal(again.train, corpus.train)


def test_batches_depend_on_seed_and_step_alone():
    corpus = data.Corpus(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)[::-1].copy(), 1, "")
    batch = corpus.train_batch(5, 3, 4, 16)
    assert batch.shape == (4, 16)
    assert torch.equal(batch, corpus.train_batch(5, 3, 4, 16))
    assert not torch.equal(batch, corpus.train_batch(5, 4, 4, 16))
    assert not torch.equal(batch, corpus.train_batch(6, 3, 4, 16))
    assert torch.equal(batch[:, 1:], batch[:, :-1] + 1)
    windows = torch.cat([corpus.held_out_batch(index, 3, 2, 16) for index in range(3)])
    assert windows[0, 0] == 255
    assert windows[-1, -1] == 0
    assert corpus.unigram_entropy() == pytest.approx(np.log(256))


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path: Path):
    metrics = report.Metrics(tmp_path / "metrics.jsonl")
    for iteration in (1, 2, 3):
        metrics.add({"iteration": iteration})
    metrics.keep_until(2, write=True)
    assert [entry["iteration"] for entry in report.Metrics(metrics.path).entries] == []
    assert metrics.path.read_text() == '{"iteration": 1}\n{"iteration": 2}\n'


def test_a_failing_comparison_says_which_and_keeps_the_run(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    config = arguments.parse(flags(text, tmp_path), 1)
    here, there = multiprocessing.Pipe()
    here.send("step")
    compare._work(compare.Job(config, "nonsense", torch.zeros(1, 8, dtype=torch.long), torch.device("cpu"), 1), there)
    with pytest.raises(compare.ComparisonError, match=r"^comparison: nonsense, \[1, 8\] tokens: ") as failed:
        compare._ask(here)
    there.close()
    with pytest.raises(compare.ComparisonError, match="ended without an answer"):
        compare._ask(here)

    def fail(*_: object) -> None:
        raise failed.value

    monkeypatch.setattr(compare, "measure", fail)
    assert pretrain_llama.main(flags(text, tmp_path / "run", "--train-iters", "5", "--micro-batch-size", "8")) == 2
    assert "error: comparison: nonsense" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["comparison"] == []


BAD: list[tuple[str, str]] = [
    (
        "--global-batch-size 6 --micro-batch-size 4",
        "--global-batch-size: expected a multiple of .*4 x 1 process = 4, got 6",
    ),
    (
        "--hidden-size 100 --num-attention-heads 3",
        "--hidden-size: expected a multiple of --num-attention-heads 3, got 100",
    ),
    (
        "--hidden-size 6 --num-attention-heads 2",
        r"--hidden-size: expected an even number for each of 2 heads .*, got 6",
    ),
    ("--num-attention-heads 4 --num-query-groups 3", "--num-query-groups: expected a divisor of .* 4, got 3"),
    ("--lr 0", r"--lr: expected a number > 0, got '0'"),
    ("--lr nan", r"--lr: expected a number > 0, got 'nan'"),
    ("--lr 1e-3 --min-lr 1e-2", r"--min-lr: expected at most --lr 0\.001, got 0\.01"),
    ("--train-iters 0", "--train-iters: expected an integer >= 1, got 0"),
    ("--train-iters 10 --lr-warmup-iters 11", "--lr-warmup-iters: expected at most --train-iters 10, got 11"),
    ("--context-parallel-size 2", "--context-parallel-size: expected a divisor of the 1 processes, got 2"),
    ("--seq-length 1", "--seq-length, .*: expected at least 2"),
    ("--seq-length x", "--seq-length: expected an integer, got 'x'"),
    ("--attention-dropout 1", "--attention-dropout: expected 0 <= p < 1, got 1"),
    ("--data /nowhere/at/all", "--data: expected a file or a folder, found nothing at /nowhere/at/all"),
    (
        "--triangle-attn --attn-implementation sdpa",
        "--attn-implementation: expected no such flag with --triangle-attn, got sdpa",
    ),
    ("--triangle-block-size 0", "--triangle-block-size: expected an integer >= 1, got 0"),
    ("--preset huge", "--preset: invalid choice: 'huge'"),
    ("--hidden-sice 8", "unrecognized arguments: --hidden-sice 8"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_bad_flags_are_refused_before_anything_runs(line: str, message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        pretrain_llama.main(line.split())
    assert stopped.value.code == 2
    error = " ".join(capsys.readouterr().err.split("error: ")[1].split())
    assert re.search(message, error.replace("argument ", "")), error


def test_a_batch_that_does_not_divide_by_the_processes_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        arguments.parse(["--global-batch-size", "8", "--micro-batch-size", "2"], world_size=3)
    assert "2 x 3 processes = 6, got 8" in capsys.readouterr().err


def test_too_little_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "text.txt").write_text("too short")
    assert pretrain_llama.main(["--data", str(tmp_path), "--output", str(tmp_path / "run")]) == 2
    assert "--data: expected at least 4096 bytes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_flag_wins_over_its_preset():
    demo = arguments.parse(["--preset", "demo"], 1)
    assert (demo.attn_implementation, demo.seq_length, demo.output) == ("triangle", 512, Path("runs/demo"))
    changed = arguments.parse(["--preset", "demo", "--seq-length", "1024", "--attn-implementation", "eager"], 1)
    assert (changed.attn_implementation, changed.seq_length, changed.num_layers) == ("eager", 1024, demo.num_layers)
    assert changed.compare_seq_lengths == (1024, 4096)


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        pretrain_llama.main(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for flag in (
        "--num-layers N",
        "--ffn-hidden-size N",
        "--triangle-attn",
        "--triangle-block-size",
        "--micro-batch-size N",
    ):
        assert flag in printed
    assert "tokens a sequence (default: 1024)" in printed
    assert "torchrun" in printed
