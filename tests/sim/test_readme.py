"""The README's example: its kernel is built from the README's text, its Python runs, and it prints what is shown. And
its table of rules."""

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


def test_every_rule_has_a_test_and_a_row() -> None:
    """The row says with a ! whether the rule stops the launch."""
    source = (README.parent / "core" / "findings.cpp").read_text()
    rules = dict(re.findall(r'^ +\{"([a-z][a-z.-]+)", "\w*", (true|false)\}', source, re.MULTILINE))
    assert len(rules) >= 40
    tests = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [rule for rule in rules if f'"{rule}"' not in tests and f"{rule}: " not in tests] == []
    table = README.read_text(encoding="utf-8").split("## What is checked")[1].split("Each has a bad kernel")[0]
    rows = {}
    for name, stops in re.findall(r"`([a-z.-]+\*?)`(!?)", table):
        whole = f"cross-flag{name}" if name.startswith(".") else name
        for rule in rules:
            if rule == whole or (whole.endswith("*") and rule.startswith(whole[:-1])):
                rows[rule] = "true" if stops else "false"
    assert rows == rules
