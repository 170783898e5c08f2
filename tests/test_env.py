"""What a bug report needs, and which backend ran."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
import torch
import triangle_attn_op
from triangle_attn_op import backends


def run_env(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "triangle_attn_op.env"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_env_prints_what_a_bug_report_needs() -> None:
    text = run_env(TRIANGLE_ATTN_CPU_ISA="portable")
    for line in ("torch", "torch_npu", "CANN", "CPU features", "backend cpu", "backend npu", "python", "transformers"):
        assert f"\n{line}" in text or text.startswith(line), text
    assert torch.__version__ in text
    assert "portable" in text


def test_unknown_instruction_set_is_an_error() -> None:
    assert re.search(r"^backend cpu +unavailable$", run_env(TRIANGLE_ATTN_CPU_ISA="sse9"), re.MULTILINE)
    program = "import torch, triangle_attn_op; q = torch.zeros(1, 1, 2, 4); torch.ops.triangle.attn(q, q, q)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIANGLE_ATTN_CPU_ISA": "sse9"},
    )
    assert done.returncode != 0
    assert "TRIANGLE_ATTN_CPU_ISA" in done.stderr
    assert "sse9" in done.stderr


def test_last_backend() -> None:
    q = torch.randn(1, 2, 8, 16, requires_grad=True)
    before = triangle_attn_op.call_counts()
    out = torch.ops.triangle.attn(q, q, q)
    assert triangle_attn_op.last_backend() == f"cpu/{backends.cpu_isa()} forward"
    out.sum().backward()
    assert triangle_attn_op.last_backend() == f"cpu/{backends.cpu_isa()} backward"
    after = triangle_attn_op.call_counts()
    assert {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)} == {
        f"cpu/{backends.cpu_isa()} {op}": 1 for op in ("forward", "backward")
    }


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512", "avx512_bf16", "neon"])
def test_isa_can_be_chosen(isa: str) -> None:
    program = (
        "import torch, triangle_attn_op; q = torch.randn(1, 2, 70, 16); "
        "want = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True); "
        "torch.testing.assert_close(torch.ops.triangle.attn(q, q, q), want); "
        "b = q.bfloat16(); "
        "torch.testing.assert_close(torch.ops.triangle.attn(b, b, b).float(), want, atol=2e-2, rtol=2e-2); "
        "print(triangle_attn_op.last_backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "TRIANGLE_ATTN_CPU_ISA": isa},
    )
    if done.returncode != 0:
        assert "TRIANGLE_ATTN_CPU_ISA" in done.stderr, done.stderr  # this CPU does not have it: an error that says so
        assert isa in done.stderr
        assert isa != "portable"
    else:
        assert done.stdout.strip() == f"cpu/{isa} forward"


def test_warm_up_runs_each_direction() -> None:
    before = triangle_attn_op.call_counts()
    with torch.inference_mode():  # where servers call it
        triangle_attn_op.warm_up("cpu")
    new = {name: count - before.get(name, 0) for name, count in triangle_attn_op.call_counts().items()}
    assert {name.split()[-1] for name, count in new.items() if count} == {"forward", "backward"}
    with pytest.raises(ValueError, match=r"^device: expected cpu or npu, got meta"):
        triangle_attn_op.warm_up("meta")
