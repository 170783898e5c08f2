"""Builds in a CMake folder that is used again and again, also after a full disk or a kill damaged it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from . import _cache

# pip puts build tools beside the interpreter, which need not be on PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def build_folder(variable: str, default: str) -> Path:
    """The folder that an environment variable names, else one in the user's cache; made with mode 0700.

    PermissionError where it belongs to somebody else or anybody may write to it.
    """
    named = os.environ.get(variable, "")
    if not named:
        return _cache.own_folder(default)
    folder = Path(named).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{variable}: {folder} belongs to somebody else, or anybody may write to it")
    return folder


def build(source: Path, folder: Path, libraries: list[str], what: str) -> None:
    """Brings libraries of the CMake project `source` up to date in `folder`.

    A library that is not as it was made is made again; so are build files that ninja cannot read. FileNotFoundError
    where a build tool is missing, ValueError where the folder is another project's, RuntimeError where the build fails.
    """
    for tool in ("cmake", "ninja"):
        if shutil.which(tool, path=_PATH) is None:
            raise FileNotFoundError(f"{what}: `{tool}` is needed to build the kernels: pip install {tool}")
    with _cache.locked(folder / ".lock"):
        _check_project(source, folder)
        for name in libraries:
            if (folder / name).exists() and _noted(folder, name) != _cache.digest(folder / name):
                (folder / name).unlink()  # ninja goes by its time alone
        build = ["ninja", "-C", str(folder), *libraries]
        configured = (folder / "build.ninja").exists()
        if not configured:
            _configure(source, folder)
        done = _run(build)
        if done.returncode != 0 and configured and "FAILED:" not in done.stdout:
            for name in ("CMakeCache.txt", "build.ninja", ".ninja_deps", ".ninja_log"):
                (folder / name).unlink(missing_ok=True)
            _configure(source, folder)
            done = _run(build)
        if done.returncode != 0:
            raise RuntimeError(
                f"{' '.join(build)} failed (deleting {folder} makes it build anew):\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        for name in libraries:
            _note(folder, name)


def _digest_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.sha256"


def _noted(folder: Path, name: str) -> str:
    try:
        return _digest_file(folder, name).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _note(folder: Path, name: str) -> None:
    value = _cache.digest(folder / name)
    if _noted(folder, name) != value:
        _digest_file(folder, name).write_text(value + "\n", encoding="utf-8")


def _check_project(source: Path, folder: Path) -> None:
    """ValueError where the folder was configured for another source tree: its kernels would run instead of these."""
    try:
        text = (folder / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    home = next((line.split("=", 1)[1] for line in text.splitlines() if line.startswith("CMAKE_HOME_DIRECTORY:")), "")
    if home and Path(home).resolve() != source.resolve():
        raise ValueError(f"{folder}: is the build folder of {home}, not of {source}: name another one")


def _configure(source: Path, folder: Path) -> None:
    command = ["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja"]
    done = _run(command)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    tool = shutil.which(command[0], path=_PATH) or command[0]
    environment = {**os.environ, "PATH": _PATH}
    return subprocess.run([tool, *command[1:]], env=environment, capture_output=True, text=True, errors="replace")
