"""Documentation against what it speaks of: links lead somewhere, and READMEs quote the benchmark's table as it was."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (
        ROOT / name for name in subprocess.check_output(["git", "ls-files", "*.md"], cwd=ROOT, text=True).split()
    )
    if path.exists()
)


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
