"""What the tests of kernels/races.cpp and kernels/rules.cpp share: tiles of numbers, marked lines, the one finding."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

KERNELS = Path(__file__).parent / "kernels"
RACES, RULES = KERNELS / "races.cpp", KERNELS / "rules.cpp"
TILE = 512
ORDERS = ["eager", "lazy", "random"]
RAW, WAR, WAW = "race.read-after-write", "race.write-after-read", "race.write-after-write"


def line_of(mark: str, *sources: Path) -> int:
    """The line of `// @mark` in `sources`, by default races.cpp and rules.cpp."""
    texts = (source.read_text().splitlines() for source in sources or (RACES, RULES))
    lines = [i for text in texts for i, line in enumerate(text, 1) if re.search(rf"// @{mark}\b", line)]
    assert len(lines) == 1, f"{mark}: {lines}"
    return lines[0]


def tiles(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 8, (count, TILE)).astype(np.float32)


def only(report, rule: str):
    """The finding of `rule`, which must be the only rule broken."""
    assert report.rules() == {rule}, "\n".join(map(str, report.findings))
    return report.findings[0]
