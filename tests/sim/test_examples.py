"""The ladder of sim/examples by the front door: each page's command, its numbers, and its finding without one flag."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "sim" / "examples"
STEPS = sorted(path.parent.name for path in EXAMPLES.glob("*/kernel.cpp"))
Array = np.ndarray[Any, Any]


def softmax(x: Array) -> Array:
    p = np.exp(x - x.max(-1, keepdims=True))
    result: Array = p / p.sum(-1, keepdims=True)
    return result


def floats(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(5).standard_normal(shape, np.float32).astype(dtype)


def halves(*shape: int) -> Array:
    return floats(*shape, dtype=np.float16)


# Inputs, further arguments, shape of the output (the argument after the inputs and the workspace), blocks, reference.
CASES: dict[str, tuple[list[Array], list[Any], tuple[int, ...], int, Callable[..., Array]]] = {
    "1_vector_add": ([floats(2, 1024)] * 2, [], (2, 1024), 2, lambda x, y: x + y),
    "2_double_buffer": ([floats(2, 5, 1024)] * 2, [5], (2, 5, 1024), 2, lambda x, y: x + y),
    "3_queues": ([floats(2, 5, 1024)] * 2, [5], (2, 5, 1024), 2, lambda x, y: (x + y) * x),
    "4_row_softmax": ([floats(2, 32, 64)], [], (2, 32, 64), 2, softmax),
    "5_matmul_tile": ([halves(64, 64)] * 2, [], (64, 64), 1, lambda a, b: a @ b),
    "6_matmul": ([halves(256, 384), halves(128, 384)], [384], (256, 128), 2, lambda a, b: a @ b.T),
    "7_two_core_types": (
        [halves(128, 64), halves(64, 64)],
        [0.5],
        (128, 64),
        2,
        lambda a, b: np.maximum(a @ b, 0) + 0.5,
    ),
    "8_flash_attention": (
        [halves(128, 64), halves(192, 64), halves(192, 64)],
        [192, 0.125],
        (128, 64),
        2,
        lambda q, k, v: softmax(q @ k.T * 0.125) @ v,
    ),
}
WORKSPACE = {"7_two_core_types": 2 * 64 * 64 * 4, "8_flash_attention": 2 * 64 * 64 * 10}


def test_every_step_has_a_case() -> None:
    assert list(CASES) == STEPS
    assert len(STEPS) == 8


@pytest.fixture
def front_door(kernels: Any, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("ASCEND_SIM_LIBRARY", str(kernels("vector_add").path.parent / "sim" / "libascend_sim.so"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "ladder"))


@pytest.mark.usefixtures("front_door")
@pytest.mark.parametrize("step", STEPS)
def test_step(step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import ascend_sim
    from ascend_sim.command import run_command as main

    folder = EXAMPLES / step
    name = step.split("_", 1)[1]
    inputs, numbers, shape, blocks, reference = CASES[step]
    library = ascend_sim.build(folder / "kernel.cpp", kernels=[name])
    want = reference(*(x.astype(np.float32) for x in inputs))
    workspace = [np.zeros(WORKSPACE[step], np.uint8)] if step in WORKSPACE else []
    for order in ("lazy", "random"):
        out = np.zeros(shape, np.float32)
        arguments = [*inputs, *workspace, out, *numbers]
        unset = list(range(len(inputs), len(inputs) + len(workspace) + 1))
        library.launch(name, *arguments, block_dim=blocks, order=order, uninitialised=unset).raise_on_findings()
        np.testing.assert_allclose(out, want, rtol=2e-3, atol=2e-3)

    page = (folder / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(folder)
    command = re.search(r"```\npython -m triangle_attn_op\.ascend_sim (run .*?)\n```", page, re.DOTALL)
    assert command is not None
    words = shlex.split(command[1].replace("\\\n", " "))
    assert main([*words, "--strict"]) == 0
    assert "findings: none" in capsys.readouterr().out
    text = (folder / "kernel.cpp").read_text(encoding="utf-8")
    line = next(i for i, code in enumerate(text.splitlines(), 1) if code.endswith("// forgotten"))
    assert main([*words, "--ignore-site", f"kernel.cpp:{line}"]) == 1
    printed = capsys.readouterr().out.replace(f"{folder}/", "")
    shown = re.search(r"```\n(kernel\.cpp:.*?)\n```", page, re.DOTALL)
    assert shown is not None
    assert " ".join(shown[1].split()) in printed
    assert (folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
