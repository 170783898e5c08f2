"""The training loops of docs/transformers.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import triangle_attn_op
from transformers_models import MARKS

pytestmark = MARKS
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "transformers.md"


def block(importing: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return next(text for text in blocks if f"from {importing} import" in text)


def test_peft():
    before = sum(triangle_attn_op.call_counts().values())
    names: dict[str, Any] = {}
    exec(block("peft"), names)
    assert sum(triangle_attn_op.call_counts().values()) - before == 4  # two layers, forward and backward
    trained = [name for name, p in names["model"].named_parameters() if p.grad is not None and p.grad.any()]
    assert trained
    assert all("lora" in name for name in trained)


def test_lightning():
    before = sum(triangle_attn_op.call_counts().values())
    names: dict[str, Any] = {}
    exec(block("pytorch_lightning"), names)
    assert names["trainer"].global_step == 2
    assert sum(triangle_attn_op.call_counts().values()) - before == 8  # two steps of two layers, forward and backward


def test_accelerate_launch_with_two_processes(tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(block("accelerate"))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    run = subprocess.run(
        [*launch, "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", str(script)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true"}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    assert sorted(re.findall(r"rank \d of \d", run.stdout)) == ["rank 0 of 2", "rank 1 of 2"]
