#!/usr/bin/env python3
"""Runs the ladder of sim/examples by the front door of an installed package, as its pages tell, outside of a checkout.

Usage: run_ladder.py [EXAMPLES], by the Python of the environment to try; EXAMPLES is sim/examples of this checkout by
default. Each page's command has to end with 0, and with 1 where the page's flag is forgotten. Exit code 1 otherwise, or
where the package that Python finds is the checkout's.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def words_of(page: Path) -> list[str]:
    """The arguments of the front door in the page's first command."""
    command = re.search(
        r"```\npython -m triangle_attn_op\.ascend_sim (run .*?)\n```", page.read_text("utf-8"), re.DOTALL
    )
    if command is None:
        raise SystemExit(f"{page}: no command of the front door")
    return shlex.split(command[1].replace("\\\n", " "))


def main() -> int:
    examples = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "sim" / "examples"
    steps = sorted(path.parent for path in examples.glob("*/kernel.cpp"))
    failed = 0 if steps else 1
    with tempfile.TemporaryDirectory() as outside:
        where = subprocess.run(
            [sys.executable, "-c", "import triangle_attn_op; print(triangle_attn_op.__file__)"],
            cwd=outside,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        print(f"package: {where}")
        if Path(where).resolve().is_relative_to(ROOT / "python"):
            raise SystemExit("that is the checkout's package, not an installed one")
        for step in steps:
            folder = Path(shutil.copytree(step, Path(outside) / step.name))
            text = (folder / "kernel.cpp").read_text("utf-8").splitlines()
            line = next(i for i, code in enumerate(text, 1) if code.endswith("// forgotten"))
            command = [sys.executable, "-m", "triangle_attn_op.ascend_sim", *words_of(folder / "README.md")]
            for more, want in ((["--strict"], 0), (["--ignore-site", f"kernel.cpp:{line}"], 1)):
                done = subprocess.run([*command, *more], cwd=folder, capture_output=True, text=True)
                right = done.returncode == want and ("findings: none" in done.stdout) == (want == 0)
                print(f"{step.name} {' '.join(more)}: {'as its page says' if right else done.stdout + done.stderr}")
                failed += not right
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
