"""The README's example: its kernel is built from the README's text, its Python runs, and it prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

README = Path(__file__).resolve().parents[2] / "sim" / "README.md"


def block(language: str) -> str:
    """The text of the README's first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_example(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    library = kernels("add").path
    code = block("python")
    for theirs, ours in (("from triangle_attn_op import", "import"), ("build/libadd.so", str(library))):
        assert theirs in code
        code = code.replace(theirs, ours)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert np.isnan(names["out"]).all()
    printed = re.sub(r"\S*/add\.cpp", "add.cpp", capsys.readouterr().out.splitlines()[0])
    shown = re.search(r"```\n(add\.cpp:.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert printed == " ".join(shown.group(1).split())
    assert (tmp_path / "trace.json").stat().st_size > 0
    assert (tmp_path / "pipes.png").read_bytes().startswith(b"\x89PNG")
