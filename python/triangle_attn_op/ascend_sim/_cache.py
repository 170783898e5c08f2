"""Folders for what is compiled: the user's own, closed to others, and every file in them known by its digest.

A library is code that runs in this process, so nothing is loaded that somebody else could have put there, nor a file
that a full disk or a kill left half written: such a file is compiled anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path


def digest(path: Path) -> str:
    """SHA-256 of a file; "" where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _read(file)
    except OSError:
        return ""


def _read(file: object) -> str:  # Python 3.10
    state = hashlib.sha256()
    while block := file.read(1 << 20):  # type: ignore[attr-defined]
        state.update(block)
    return state.hexdigest()


def check_owned(folder: Path) -> None:
    """PermissionError where a folder belongs to somebody else, or anybody may write to it."""
    status = folder.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise PermissionError(f"{folder}: belongs to user {status.st_uid}: nothing is loaded from there")
    if status.st_mode & stat.S_IWOTH:
        raise PermissionError(f"{folder}: anybody may write to it: nothing is loaded from there (chmod o-w)")


def own_folder(name: str) -> Path:
    """A folder of the user's cache, of mode 0700: XDG_CACHE_HOME, where that is an absolute path, or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    top = base / "triangle_attn_op"
    folder = top / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise PermissionError(
            f"{folder}: cannot be used to keep compiled files ({error.strerror}): set XDG_CACHE_HOME"
        ) from None
    check_owned(base)  # first: where anybody may write, `top` may be somebody's link
    for made in (top, folder):
        if made.stat().st_uid == os.geteuid():
            made.chmod(0o700)
        check_owned(made)
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on a file, so that of several processes one compiles."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def record(folder: Path, files: list[str], extra: dict[str, str] | None = None) -> None:
    """Writes the digests of a folder's files beside them, last of all."""
    content = {"files": {name: digest(folder / name) for name in files}, "inputs": extra or {}}
    temporary = folder / "manifest.json.new"
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(temporary, folder / "manifest.json")


def intact(folder: Path) -> bool:
    """Whether a folder's files are those that `record` saw, and so are the files that they were made from."""
    try:
        content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        made = all(digest(folder / name) == value for name, value in content["files"].items())
        return made and all(digest(Path(name)) == value for name, value in content["inputs"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def keep_newest(folder: Path, count: int) -> None:
    """Deletes the folders that were not used for longest, so that a cache does not grow for ever."""
    folders = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in folders[count:]:
        shutil.rmtree(old, ignore_errors=True)
