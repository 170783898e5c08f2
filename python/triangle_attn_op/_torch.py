"""The torch that a build is for. Imports nothing: the build reads it before the package exists, and torch's version is
found without loading torch.

From 2.10 on PyTorch has the stable ABI that the operators use: one binary serves every torch from there on. For torch
2.6 to 2.9, which most installations of CANN 8.1 to 9.0 pair with, the same sources are compiled against PyTorch's C++
API (`csrc/torch_api.h`): one binary a torch minor, which its version names.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

OLDEST = (2, 6)
STABLE = (2, 10)


class Torch(NamedTuple):
    """folder: the installed package; version: as torch writes it, 2.9.0+cpu."""

    folder: Path
    version: str

    @property
    def minor(self) -> tuple[int, int]:
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        assert numbers is not None
        return int(numbers[1]), int(numbers[2])

    @property
    def stable(self) -> bool:
        """Whether the build uses the stable ABI."""
        return self.minor >= STABLE

    @property
    def label(self) -> str:
        """Of the wheel's local version: "" or "torch2.9"."""
        return "" if self.stable else "torch{}.{}".format(*self.minor)

    @property
    def requirement(self) -> str:
        """What the wheel depends on."""
        return "torch>=2.10" if self.stable else "torch=={}.{}.*".format(*self.minor)


def find() -> Torch | None:
    """The torch that this interpreter would import, or None. ValueError where it is older than 2.6."""
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin else None
    if file is None or not file.exists():
        return None
    text = re.search(r"^__version__ *= *['\"](.+)['\"]", file.read_text(), re.MULTILINE)
    if text is None:
        return None
    torch = Torch(file.parent, text[1])
    if torch.minor < OLDEST:
        raise ValueError(f"torch: expected 2.6 or newer, found {torch.version} at {torch.folder}")
    return torch


def mismatch(built: str, running: str) -> str | None:
    """Why a library built against torch `built` does not serve torch `running`, or None."""
    there, here = Torch(Path(), built), Torch(Path(), running)
    if there.stable and here.stable:
        return None
    if not there.stable and there.minor == here.minor:
        return None
    serves = "torch >= 2.10" if there.stable else "torch {}.{}".format(*there.minor)
    wheel = f"the wheel whose name has {here.label}" if here.label else "a wheel without torch in its name"
    return (
        f"triangle_attn_op: this build is for {serves}, found torch {running}; install {wheel}, or build from source "
        "beside that torch: pip install --no-build-isolation ."
    )
