"""The CANN at ASCEND_HOME_PATH (or ASCEND_TOOLKIT_HOME, where only that is set): its version and how kernels are built
with it. Imports nothing of the package.

The build reads it before the package exists (setup.py, CMake); `python -m triangle_attn_op.env` shows it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# 8.1.RC1, 8.3.RC1.alpha002, 8.5.0, 9.0.0.beta2, 9.1.0-beta.2. Not 7.7.0.1.238, a number of CANN's own packages.
VERSION = re.compile(r"(\d+)\.(\d+)\.(?:RC)?\d+(?:[.-](?:alpha|beta|rc)\.?\d*)?", re.IGNORECASE)
OLDEST = (8, 1)
VARIABLES = ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME")  # CANN's set_env.sh sets both, its rules read the first
USUAL = Path("/usr/local/Ascend")  # where CANN installs itself


class Cann(NamedTuple):
    """home: the toolkit's folder; version: as CANN writes it; way: of cmake/TriangleKernels.cmake."""

    home: Path
    version: str
    way: str

    @property
    def generator(self) -> str:
        """Of CMake. CANN's nested projects of 8.1 to 8.3 look files up by names, which Ninja spells otherwise."""
        return "Unix Makefiles" if self.way == "ascendc_library" else "Ninja"


def named() -> tuple[str, str] | None:
    """The variable that names a toolkit, and the folder; None where none is set."""
    return next(((name, os.environ[name]) for name in VARIABLES if os.environ.get(name)), None)


def forgotten() -> str:
    """What to say where a CANN seems to be installed and no variable names it, "" otherwise."""
    if named() is not None or not USUAL.is_dir():
        return ""
    scripts = sorted(path for pattern in ("*/set_env.sh", "*/latest/set_env.sh") for path in USUAL.glob(pattern))
    script = scripts[0] if scripts else "its set_env.sh"
    return (
        f"{USUAL} exists, but neither {' nor '.join(VARIABLES)} is set: CPU only. For the NPU kernels: source {script}"
    )


def find(home: str | None = None) -> Cann | None:
    """The CANN at `home`, by default the one that ASCEND_HOME_PATH or ASCEND_TOOLKIT_HOME names; None where neither is
    set. ValueError where the folder tells no version or holds a CANN older than 8.1.
    """
    variable = VARIABLES[0]
    if not home:
        found = named()
        if found is None:
            return None
        variable, home = found
    text = next((v for v in stated(Path(home)) if VERSION.fullmatch(v)), None)
    if text is None:
        raise ValueError(
            f"{variable}: expected the folder of a CANN toolkit, found no version of CANN below {home} "
            "(unset it for a CPU-only build)"
        )
    match = VERSION.fullmatch(text)
    assert match is not None
    number = (int(match[1]), int(match[2]))
    if number < OLDEST:
        raise ValueError(f"{variable}: expected CANN 8.1 or newer, found {text} at {home}")
    return Cann(Path(home), text, "asc" if number >= (8, 5) else "ascendc_library")


def stated(home: Path) -> Iterator[str]:
    """What the files of a toolkit say of its version, the most reliable first; some of it are other numbers."""
    for pattern, keys in (
        ("*-linux/ascend_*_install.info", ("version",)),
        ("ascend_*_install.info", ("version",)),
        ("version.info", ("version", "version_dir")),
        ("share/info/asc-devkit/version.info", ("version", "version_dir")),
        ("compiler/version.info", ("version", "version_dir")),
        ("toolkit/version.info", ("version", "version_dir")),
        ("runtime/version.info", ("version", "version_dir")),
        ("version.cfg", ("toolkit_running_version", "compiler_running_version", "runtime_running_version")),
    ):
        for file in sorted(home.glob(pattern)):
            if not file.is_file():
                continue
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
                key, _, value = line.partition("=")
                if key.strip().lower() in keys:
                    yield value.strip(" \t\"'[]").rpartition(":")[2]  # [7.7.0.1.238:8.1.RC1]


def in_wheel_names(version: str) -> str:
    """A version of CANN as PEP 440 spells the local part of a version, one form for what CANN's files and its runtime
    write differently: lower case, dots between the fields, a stage and its number in one. 8.1.RC1 gives 8.1.rc1;
    9.1.0-beta.2 and 9.1.0.beta2 give 9.1.0.beta2. csrc/npu/cann_version.cpp does the same for messages.
    """
    return re.sub(r"(?<=\.)(alpha|beta|rc)\.(?=\d+(?:\.|$))", r"\1", version.lower().replace("-", "."))


def wheel_version(version: str, cann: Cann | None, torch: str = "") -> str:
    """`version`, with the CANN and the torch (`_torch.Torch.label`) as its local part: 0.1.0+cann8.2.rc1.torch2.6 of
    8.2.RC1 and torch 2.6, 0.1.0+cann9.1.0 of 9.1.0 and any torch from 2.10 on.
    """
    parts = [f"cann{in_wheel_names(cann.version)}" if cann else "", torch]
    local = ".".join(part for part in parts if part)
    return f"{version}+{local}" if local else version


def main() -> int:
    """Prints version;way;home, for CMake; `none;none;` without CANN, and on stderr what was forgotten. Exit code 1 and
    a message where the CANN cannot be used.
    """
    try:
        cann = find()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if message := forgotten():
        print(message, file=sys.stderr)
    print(f"{cann.version};{cann.way};{cann.home}" if cann else "none;none;")
    return 0


if __name__ == "__main__":
    sys.exit(main())
