"""examples/pretrain_llama.py under faults: damaged checkpoints, processes that differ, losses that are no number, two
runs in one folder, disks that are full, and the command lines of AscendSpeed's scripts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from test_pretrain_llama import EXAMPLES, command, environment, losses
from test_pretrain_llama import text as text

import pretrain_llama  # isort: skip
from pretrain import arguments, checkpoint, compare, launch, lock, model  # isort: skip

pytestmark = pytest.mark.xdist_group("pretrain_llama")

ALONE = launch.Place(torch.device("cpu"), 0, 1)
SHORT = [
    "--triangle-attn",
    "--num-layers",
    "1",
    "--hidden-size",
    "32",
    "--num-attention-heads",
    "2",
    "--seq-length",
    "32",
    "--micro-batch-size",
    "2",
    "--global-batch-size",
    "4",
    "--train-iters",
    "6",
    "--lr-warmup-iters",
    "2",
    "--save-interval",
    "2",
    "--eval-interval",
    "6",
    "--eval-iters",
    "1",
    "--no-compare",
]


@pytest.fixture(autouse=True)
def one_thread(two_threads: None) -> None:
    torch.set_num_threads(1)


def flags(text: Path, output: Path, *more: str) -> list[str]:
    return [*SHORT, "--data", str(text), "--output", str(output), *more]


# Checkpoints


def three_checkpoints(folder: Path) -> list[Path]:
    layer = torch.nn.Linear(30, 20)
    optimizer = torch.optim.AdamW(layer.parameters())
    for iteration in (1, 2):
        layer(torch.ones(1, 30)).sum().backward()
        optimizer.step()
        checkpoint.save(folder, ALONE, {}, iteration, layer, optimizer)
    return sorted(folder.glob("*.pt"))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(4000))


def another_pickle(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


@pytest.mark.parametrize("damage", [flip_a_bit, random_bytes, another_pickle])
def test_a_damaged_checkpoint_never_counts(damage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    _, newest = three_checkpoints(tmp_path)
    damage(newest)
    content = checkpoint.load(tmp_path, ALONE)
    assert content is not None
    assert content["iteration"] == 1
    assert f"warning: {newest} cannot be read" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iter_0000001.pt", "iter_0000002.unreadable"]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), PermissionError("denied"), torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory")],
)
def test_a_checkpoint_is_not_to_blame_for_the_machine(error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [path.name for path in three_checkpoints(tmp_path)]

    def short(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "load", short)
    with pytest.raises(ValueError, match=rf"--output: .* cannot be read \({str(error) or 'MemoryError'}\)"):
        checkpoint.load(tmp_path, ALONE)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_progress_is_kept_where_both_checkpoints_are_unreadable(text: Path, tmp_path: Path):
    assert pretrain_llama.main(flags(text, tmp_path / "run", "--save-interval", "3")) == 0
    (tmp_path / "run" / "summary.json").unlink()
    folder = tmp_path / "run" / "checkpoints"
    for path in sorted(folder.iterdir()):
        random_bytes(path)
        path.rename(folder / f"iter_{int(path.stem.split('_')[1]) + 90:07}.pt")  # later than all that will come
    assert pretrain_llama.main(flags(text, tmp_path / "run", "--save-interval", "3")) == 0
    assert [path.name for path in sorted(folder.glob("*.pt"))] == ["iter_0000003.pt", "iter_0000006.pt"]


def test_a_full_disk_is_one_line_and_spoils_nothing(text: Path, tmp_path: Path):
    """The disk is full from the second checkpoint on: files may not grow beyond what the first one's half takes."""
    output = tmp_path / "run"
    assert pretrain_llama.main(flags(text, output, "--train-iters", "2", "--lr-decay-iters", "6")) == 0
    (output / "summary.json").unlink()
    (first,) = (output / "checkpoints").glob("*.pt")
    size = first.stat().st_size
    done = subprocess.run(
        command() + flags(text, tmp_path / "full"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2)),
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "pretrain_llama.py: error: --output: " in done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "full" / "checkpoints").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    assert pretrain_llama.main(flags(text, tmp_path / "file" / "run")) == 2
    assert "pretrain_llama.py: error: --output: " in capsys.readouterr().err


# Processes


def test_processes_must_agree(text: Path, tmp_path: Path):
    """Each process reads its own learning rate; without the check they train different models."""
    script = tmp_path / "differ.py"
    script.write_text(
        f"import os, sys; sys.path.insert(0, {str(EXAMPLES)!r}); import pretrain_llama\n"
        "sys.exit(pretrain_llama.main([*sys.argv[1:], '--lr', f'1e-{3 + int(os.environ[\"RANK\"])}']))"
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [sys.executable, *launcher, *flags(text, tmp_path / "run")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode != 0
    assert "--lr is 0.001 in process 0, 0.0001 in process 1" in done.stderr


def test_the_first_process_chooses_the_step_to_go_on_at(tmp_path: Path):
    three_checkpoints(tmp_path)
    answers = iter([None, "iter_0000001.pt", None])

    class Second(launch.Place):
        def from_all(self, value: Any) -> list[Any]:
            return [next(answers), value]

    content = checkpoint.load(tmp_path, Second(torch.device("cpu"), 1, 2))
    assert content is not None
    assert content["iteration"] == 1
    answers = iter([None, "iter_0000009.pt", None])
    with pytest.raises(ValueError, match="process 1: --output: expected a folder that all processes share"):
        checkpoint.load(tmp_path, Second(torch.device("cpu"), 1, 2))


# Losses


def test_a_loss_that_is_no_number_stops_the_run(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    whole = model.loss
    calls = iter(range(1000))
    monkeypatch.setattr(model, "loss", lambda *args: whole(*args) * (torch.nan if next(calls) >= 7 else 1.0))
    output = tmp_path / "run"
    assert pretrain_llama.main(flags(text, output, "--save-interval", "1")) == 2
    assert "error: step 4: the loss is nan" in capsys.readouterr().err
    assert [path.name for path in sorted((output / "checkpoints").iterdir())] == ["iter_0000002.pt", "iter_0000003.pt"]
    assert not (output / "summary.json").exists()
    for line in (output / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    monkeypatch.undo()
    assert pretrain_llama.main(flags(text, output, "--save-interval", "1")) == 0
    assert len(losses(output)) == 6


# Two at once, and ends


def test_a_folder_takes_one_run_at_a_time(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with lock.exclusive(tmp_path / "run"):
        assert pretrain_llama.main(flags(text, tmp_path / "run")) == 2
    assert f"another run is at work in {tmp_path / 'run'} (process {os.getpid()})" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert pretrain_llama.main(flags(text, tmp_path / "run")) == 0


def test_a_killed_measuring_process_is_one_line():
    job = compare.Job(arguments.parse(SHORT, 1), "sdpa", torch.zeros(1, 32, dtype=torch.long), torch.device("cpu"), 1)
    with compare._workers([job]) as pipes:
        compare._ask(pipes[0])
        (worker,) = measuring_processes()
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(compare.ComparisonError, match="ended without an answer"):
            compare._ask(pipes[0])


def measuring_processes() -> list[int]:
    """Grandchildren of this process by multiprocessing's fork server."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
    servers = [child for child, parent in parents.items() if parent == os.getpid()]
    return [child for child, parent in parents.items() if parent in servers]


def test_ctrl_c_in_the_comparison_keeps_the_summary(text: Path, tmp_path: Path):
    output = tmp_path / "run"
    line = [flag for flag in flags(text, output) if flag != "--no-compare"]
    more = ["--compare-seq-lengths", "32", "--compare-rounds", "100000"]
    with subprocess.Popen(
        command() + line + more,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job that a shell starts in the background ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            while "measuring" not in process.stdout.readline():
                assert process.poll() is None
            time.sleep(3)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
            _, errors = process.communicate(timeout=100)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in errors, errors
    assert json.loads((output / "summary.json").read_text())["comparison"] == []


# Command lines of AscendSpeed's scripts

SCRIPT = """--DDP-impl local --use-contiguous-buffers-in-ddp --tensor-model-parallel-size 1
    --pipeline-model-parallel-size 1 --num-layers 2 --hidden-size 32 --ffn-hidden-size 88 --num-attention-heads 2
    --position-embedding-type rope --normalization RMSNorm --micro-batch-size 2 --global-batch-size 8 --seq-length 32
    --max-position-embeddings 32 --train-iters 6 --lr-decay-iters 12 --data-path TEXT
    --tokenizer-name-or-path ./tokenizer --tokenizer-not-use-fast --data-impl mmap --split 949,50,1
    --distributed-backend nccl --lr 1e-3 --lr-decay-style cosine --min-lr 1.0e-6 --weight-decay 1e-2 --clip-grad 1.0
    --lr-warmup-fraction .1 --log-interval 1 --save-interval 10000 --eval-interval 1000 --eval-iters 1
    --initial-loss-scale 4096.0 --checkpoint-activations --recompute-method uniform --recompute-num-layers 30
    --triangle-attn --fp16 --no-compare"""


def script_line(text: Path, folder: Path, *more: str) -> list[str]:
    return [*SCRIPT.replace("TEXT", str(text)).split(), "--save", str(folder), "--load", str(folder), *more]


def test_the_line_of_a_launch_script_runs_on_two_processes(text: Path, tmp_path: Path):
    launcher = ["-m", "torch.distributed.launch", "--nproc_per_node", "2", "--master_port", "29571"]
    done = subprocess.run(
        command(*launcher) + script_line(text, tmp_path / "local"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "note: no effect here: --data-impl (the text is read as it is)" in done.stderr
    assert "x 2 processes" in done.stdout
    assert "float16" in done.stdout
    assert pretrain_llama.main(script_line(text, tmp_path / "one", "--DDP-impl", "torch")) == 0
    assert losses(tmp_path / "local") == pytest.approx(losses(tmp_path / "one"), rel=2e-3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--pipeline-model-parallel-size 4", "--pipeline-model-parallel-size: expected 1, no pipeline .*, got 4"),
        ("--normalization LayerNorm", "--normalization: expected RMSNorm, got LayerNorm"),
        ("--tensor-model-parallel-size 8", "--tensor-model-parallel-size: expected 1, got 8"),
        ("--bf16 --fp16", "expected at most one"),
        ("--seed 99999999999999999999", r"--seed: expected an integer below 2\*\*63, got 99999999999999999999"),
        ("--save a --load b", "--load: expected the folder of the run, a, .* got b"),
        ("--max-position-embeddings 16 --seq-length 32", "--max-position-embeddings: expected at least .* 32, got 16"),
        ("--lr-warmup-fraction 1.5", "--lr-warmup-fraction: expected 0 <= p < 1, got 1.5"),
    ],
)
def test_what_it_does_not_do_is_refused(line: str, message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        arguments.parse(line.split(), 1)
    printed = " ".join(capsys.readouterr().err.split("error: ")[1].split()).replace("argument ", "")
    assert re.search(message, printed), printed


def test_a_run_goes_on_with_its_loss_scale(text: Path, tmp_path: Path):
    more = ("--fp16", "--initial-loss-scale", str(2.0**40), "--save-interval", "3")
    assert pretrain_llama.main(flags(text, tmp_path / "whole", *more)) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    (tmp_path / "part" / "summary.json").unlink()
    (tmp_path / "part" / "checkpoints" / "iter_0000006.pt").unlink()
    assert pretrain_llama.main(flags(text, tmp_path / "part", *more)) == 0
    scales = [
        [json.loads(line)["loss_scale"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "part")
    ]
    assert scales[0] == scales[1]
    assert scales[0][-1] < scales[0][0] < 2.0**40  # such a scale overflows: steps are left out and it is halved
