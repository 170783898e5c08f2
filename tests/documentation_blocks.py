"""The Python blocks of the documentation, and a process that runs them: `python tests/documentation_blocks.py` prints
one line of JSON for each page's block, with what it printed and the error that ended it.

Each block runs as it stands, with a fresh namespace, in an empty folder, as the one rank that torchrun would start.
Stand-ins: torch_npu where there is none (its tensors stay on the CPU), MindSpeed where there is none.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import os
import re
import sys
import tempfile
import traceback
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = {
    "docs/transformers.md": (
        "from peft import",
        "from accelerate import",
        "from pytorch_lightning import",
    ),  # tests/test_transformers_loops.py
    "sim/README.md": ("ascend_sim.load(",),  # tests/sim/test_readme.py, with a kernel that is built
    "docs/simulator-timing.md": ("ascend_sim.load(",),  # the same
    "sim/CONTRIBUTING.md": ("def test_vector_add(kernels)",),  # the same
}
"""Blocks that another test runs: what marks them."""


class Block(NamedTuple):
    page: str
    line: int
    code: str

    def runs_elsewhere(self) -> bool:
        return any(mark in self.code for mark in ELSEWHERE.get(self.page, ()))


def blocks(pages: list[Path]) -> Iterator[Block]:
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            line = text.count("\n", 0, found.start(1)) + 1
            yield Block(page.relative_to(ROOT).as_posix(), line, found[1])


def to_run(found: Iterable[Block]) -> list[list[Block]]:
    """Blocks of the same code but for comments and layout together: a translation's runs with the original's. Without
    those that another test runs.
    """
    same: dict[str, list[Block]] = {}
    for block in found:
        same.setdefault(ast.dump(ast.parse(block.code)), []).append(block)
    return [group for group in same.values() if not any(block.runs_elsewhere() for block in group)]


@contextlib.contextmanager
def stand_ins(code: str) -> Iterator[None]:
    """What the code imports and this machine does not have, while it runs: other packages look for it too."""
    import torch

    added: dict[str, types.ModuleType] = {}
    if "mindspeed" in code:
        import test_mindspeed

        if not test_mindspeed.has_mindspeed():
            added = test_mindspeed.stand_in()
            added["mindspeed.megatron_adaptor"] = types.ModuleType("mindspeed.megatron_adaptor")
    if "deepspeed" in code:  # compiles a shared-memory backend at its start, for minutes; gloo serves without
        importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None  # type: ignore[attr-defined]
    if "torch_npu" in code and importlib.util.find_spec("torch_npu") is None:
        added["torch_npu"] = types.ModuleType("torch_npu")
        torch.Tensor.npu = lambda tensor: tensor  # type: ignore[method-assign, assignment]
    sys.modules.update(added)
    yield
    for name in added:
        del sys.modules[name]


def run(block: Block) -> dict[str, str]:
    import torch.distributed as dist

    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed), stand_ins(block.code):
            exec(compile(block.code, f"{block.page}:{block.line}", "exec"), {"__name__": "__main__"})
    except Exception:
        error = traceback.format_exc()
    if dist.is_initialized():
        dist.destroy_process_group()
    return {"error": error, "printed": printed.getvalue()}


def main(pages: list[str]) -> None:
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    os.environ.update(rank, DS_ACCELERATOR="cpu")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for group in to_run(blocks([ROOT / page for page in pages])):
            print(json.dumps({"blocks": [f"{b.page}:{b.line}" for b in group], **run(group[0])}), flush=True)
        os.chdir(ROOT)


if __name__ == "__main__":
    main(sys.argv[1:])
