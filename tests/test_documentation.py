"""Documentation against what it speaks of: links lead somewhere, and READMEs quote the benchmark's table as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split(" | ")]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readme_quotes_the_benchmark(name: str) -> None:
    """Row, goal, figures and cases met, as `make bench BENCH_ARGS="--markdown docs/benchmark.md"` wrote them."""
    goals = (ROOT / "docs" / "benchmark.md").read_text().split("\n\n")[1].splitlines()[2:]
    quoted = (
        (ROOT / name).read_text().split("<!-- benchmark -->\n")[1].split("\n<!-- /benchmark -->")[0].splitlines()[2:]
    )
    assert len(goals) == len(quoted)
    for goal, line in zip(goals, quoted):
        row, asked, measured, met, status = cells(goal)
        assert cells(line) == [row, asked, measured, met or status]
        assert ("**" in line) == (status not in ("met", "no goal"))
