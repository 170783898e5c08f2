"""One run at a time in an output folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive(output: Path) -> Iterator[None]:
    """Holds `output` for this process; ValueError where another run has it.

    The lock is a file beside the folder, since a finished run's folder is renamed, and the system frees it however the
    process ends. OSError where the folder cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.parent / f".{output.name}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ValueError(
                f"--output: another run is at work in {output} (process {holder}); wait for it, or give another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
