"""The build backend of pyproject.toml: setuptools', after a look at its version.

`pip install --no-build-isolation .` takes the setuptools that is installed. One before 77 does not know a license as
plain text and answers with a page about `project.license`.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

OLDEST = 77


def _check() -> None:
    try:
        found = version("setuptools")
    except PackageNotFoundError:
        found = "none"
    if found == "none" or int(found.partition(".")[0]) < OLDEST:
        raise SystemExit(
            f"triangle_attn_op: expected setuptools >= {OLDEST}, found {found}: pip install 'setuptools>={OLDEST}'"
        )


_check()
from setuptools.build_meta import *  # noqa: E402, F403
