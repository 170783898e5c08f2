"""Documentation against what it speaks of: links lead somewhere, Python blocks run, and READMEs quote the benchmark's
table as it was.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import documentation_blocks
import pytest
import torch
from triangle_attn_op import triangle_attention

ROOT = Path(__file__).parent.parent
BUILT = ("build", "dist", "runs")
FOLDERS = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "." and path.name not in BUILT]
FILES = [*ROOT.iterdir(), *(path for folder in FOLDERS for path in folder.rglob("*"))]
PAGES = sorted(path for path in FILES if path.suffix == ".md")
CODE = "\n".join(path.read_text() for path in FILES if path.suffix in (".py", ".cpp", ".h", ".txt", ".cmake", ".sh"))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(linked), f"{target}: no such heading"


def test_python_blocks_run() -> None:
    """Every one of every page, in one process; what a block prints last is of the form that its comment shows."""
    found = list(documentation_blocks.blocks(PAGES))
    here = [block for group in documentation_blocks.to_run(found) for block in group]
    assert len(found) - len(here) >= len(documentation_blocks.ELSEWHERE)
    command = [sys.executable, documentation_blocks.__file__, *dict.fromkeys(block.page for block in found)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ran = {name: result for result in results for name in result["blocks"]}
    assert set(ran) == {f"{block.page}:{block.line}" for block in here}
    failures = [f"{name}\n{result['error']}" for name, result in ran.items() if result["error"]]
    assert not failures, "\n".join(failures)
    for block in here:
        shown = re.findall(r'last_backend\(\)\).*"(cpu|npu)/\w+ (\w+)"', block.code)
        printed = re.findall(r"^\wpu/\w+ (\w+)$", ran[f"{block.page}:{block.line}"]["printed"], re.MULTILINE)
        assert printed == [direction for _, direction in shown], block


def test_a_calls_life_names_what_is_there() -> None:
    """Each row of docs/call.md: its (first) file has the names beside it."""
    rows = re.findall(r"^\|.*?\| (`.*) \|(.*)\|$", (ROOT / "docs" / "call.md").read_text(), re.MULTILINE)
    assert len(rows) > 25
    for files, names in rows:
        text = (ROOT / files.split("`")[1]).read_text()
        for name in re.findall(r"`([\w:]+)`", names):
            assert re.search(rf"\b{name}\b", text), f"{files}: no {name}"


def test_limits_quote_the_timing_models_error() -> None:
    timing = (ROOT / "docs" / "simulator-timing.md").read_text()
    (median, most), (cube, _) = (
        re.search(rf"^\| {row} \| \d+ \| ([\d.]+%) \| ([\d.]+%) \|", timing, re.MULTILINE).groups()  # type: ignore[union-attr]
        for row in ("all", "cube")
    )
    quoted = f"median error is {median}, nine in ten within {most}, {cube} where the cube binds"
    assert quoted in (ROOT / "docs" / "limits.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_drawn_masks_are_the_operators(name: str) -> None:
    """Drawings of 2 x 5 and 5 x 2 for both alignments, against what the operator sees."""
    drawing = re.search(r"```\nSq = 2, Sk = 5(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    assert drawing is not None
    heading, *lines = drawing[1].splitlines()[1:]
    starts = [found.start() for found in re.finditer(r"\S+", heading)]
    for index, (alignment, start) in enumerate(zip(heading.split(), starts)):
        rows, keys = ((2, 5), (5, 2))[index // 2]
        # With v the unit matrix, the keys that a row sees are its nonzero results.
        eye = torch.eye(keys, dtype=torch.float64).view(1, 1, keys, keys)
        q, k = torch.zeros(1, 1, rows, 1, dtype=torch.float64), torch.zeros(1, 1, keys, 1, dtype=torch.float64)
        seen = triangle_attention(q, k, eye, alignment=alignment)[0, 0] > 0
        drawn = [line[start : start + 2 * keys].split() for line in lines[:rows]]
        assert drawn == [["x" if pair else "." for pair in row] for row in seen.tolist()], alignment


def sources(module: str) -> str:
    """The text of a module of the package, or of all modules of a subpackage that `python -m` runs."""
    path = ROOT / "python" / Path(*module.split("."))
    files = [path.with_suffix(".py")] if path.with_suffix(".py").exists() else sorted(path.glob("**/*.py"))
    assert files, f"python -m {module}: no such module"
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    """Modules and flags of commands, targets of make, files, environment variables."""
    text = page.read_text()
    for module, rest in re.findall(r"python -m (triangle_attn_op[\w.]*)([^`\n#]*)", text):
        source = sources(module)
        for flag in re.findall(r"--[a-z][\w-]*", rest):
            assert f'"{flag}"' in source, f"python -m {module}: no {flag}"
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|^ {4}|^)make ([a-z-]+)", text, re.MULTILINE)
    assert set(named) <= targets
    for script in re.findall(r"python ([\w/]+\.py)", text):
        assert (ROOT / script).exists(), f"python {script}: no such file"
    for name in re.findall(r"`([\w/.-]+/[\w.-]+\.(?:py|h|cpp|sh|cmake|md|yml))`", text):
        places = (ROOT, ROOT / "python", ROOT / "sim", page.parent)
        assert any((place / name).exists() for place in places), f"{name}: no such file"
    for variable in set(re.findall(r"\b(?:TRIANGLE|ASCEND_SIM)_[A-Z_]+\b", text)):
        assert variable in CODE, f"{variable}: nothing reads it"


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readme_quotes_the_benchmark(name: str) -> None:
    """The first table of what `make bench BENCH_ARGS="--markdown docs/benchmark.md"` wrote, in the README's words."""
    written = (ROOT / "docs" / "benchmark.md").read_text().split("\n\n")[1].splitlines()[2:]
    quoted = (ROOT / name).read_text().split("<!-- benchmark -->\n")[1].split("\n<!-- /benchmark -->")[0]
    assert len(written) == 5
    figures = [re.findall(r"fp32|bf16|fp16|\d+\.\d+", line) for line in written]
    assert [re.findall(r"fp32|bf16|fp16|\d+\.\d+", line) for line in quoted.splitlines()[2:]] == figures
