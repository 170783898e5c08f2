"""The simulator's examples in README, CONTRIBUTING and the page on timing run as they stand, on the README's kernel,
and print what is shown; the README's table of rules is whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "sim" / "README.md"


def block(language: str, page: Path = README) -> str:
    """The text of a page's first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


def run(code: str, library: Path) -> dict[str, Any]:
    for theirs, ours in (("from triangle_attn_op import", "import"), ("build/libadd.so", str(library))):
        assert theirs in code
        code = code.replace(theirs, ours)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_timing_example(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(block("python", ROOT / "docs" / "simulator-timing.md"), kernels("add").path)
    assert (tmp_path / "trace.json").stat().st_size > 0
    assert (tmp_path / "occupancy.png").read_bytes().startswith(b"\x89PNG")


def test_contributing_example(kernels: Any) -> None:
    names: dict[str, Any] = {}
    exec(block("python", ROOT / "sim" / "CONTRIBUTING.md"), names)
    names["test_vector_add"](kernels)


def test_example(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    library = kernels("add").path
    monkeypatch.chdir(tmp_path)
    names = run(block("python"), library)
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
