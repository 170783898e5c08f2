"""Checkpoints that a kill at any moment leaves whole: written beside, flushed to disk, then renamed; the last two are
kept. What a disk did to one is found by the archive's checksums, which torch.load does not look at."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from .launch import Place

KEPT = 2


def save(
    folder: Path,
    place: Place,
    identity: dict[str, Any],
    iteration: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    extra: dict[str, Any] | None = None,
) -> None:
    """Called by every process; the first one writes `folder/iter_<iteration>.pt`.

    It holds weights, optimizer, the random states of all processes, the iteration and `extra`. The position in the data
    is the iteration itself: batches are a function of seed and iteration. OSError where it cannot be written; what was
    there before is untouched then.
    """
    states = place.from_all(_random_state(place))
    if not place.first:
        return
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "iteration": iteration,
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random_states": states,
        **(extra or {}),
    }
    final = folder / f"iter_{iteration:07d}.pt"
    part = final.with_suffix(".part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
    except (RuntimeError, OSError) as error:  # torch's writer has its own words for a full disk
        part.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else "the disk may be full"
        raise OSError(f"--output: {part} cannot be written ({reason})") from error
    os.replace(part, final)
    _sync_folder(folder)
    for old in _found(folder)[:-KEPT]:
        if old != final:
            old.unlink()


def load(folder: Path, place: Place) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, the same one in every process, or None.

    The first process chooses. One that cannot be read is renamed with a warning, so that it never counts among those
    that are kept; where memory or permission is short, no file is to blame and none is renamed. ValueError in all
    processes where the first one cannot choose or another one cannot read what it chose.
    """
    name, content, problem = None, None, None
    if place.first:
        try:
            name, content = _newest(folder, place.device)
        except Exception as error:  # every process must hear of it: they wait for the name
            problem = f"--output: {folder} cannot be read ({_words(error)})"
    place.agree(problem)
    name = place.from_all(name)[0]
    if name is None:
        return None
    if not place.first:
        try:
            content = _read(folder / name, place.device)
        except Exception as error:
            shared = "" if _is_of_the_machine(error) else "expected a folder that all processes share, "
            problem = f"--output: {shared}{folder / name} cannot be read ({_words(error)})"
    place.agree(problem)
    return content


def _is_of_the_machine(error: Exception) -> bool:
    """Whether it says nothing about the file: bytes that are no pickle end in almost any exception, not in these."""
    if isinstance(error, (MemoryError, PermissionError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__  # a MemoryError has no words


def _newest(folder: Path, device: torch.device) -> tuple[str | None, dict[str, Any] | None]:
    for path in reversed(_found(folder)):
        try:
            return path.name, _read(path, device)
        except Exception as error:
            if _is_of_the_machine(error):
                raise
            aside = path.with_suffix(".unreadable")
            os.replace(path, aside)
            print(f"warning: {path} cannot be read ({error}), now {aside.name}; trying the one before", flush=True)
    return None, None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its checksum does not fit, in {damaged}")
    content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    missing = {"iteration", "identity", "model", "optimizer", "random_states"} - content.keys()
    if missing:
        raise ValueError(f"expected a checkpoint of pretrain_llama.py, without {', '.join(sorted(missing))}")
    return content


def check_identity(content: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """ValueError that lists the arguments in which the checkpoint's run differs from this one."""
    saved = content["identity"]
    differing = [
        f"--{name.replace('_', '-')} was {saved.get(name)}, now {value}"
        for name, value in wanted.items()
        if saved.get(name) != value
    ]
    if differing:
        raise ValueError(
            f"--output: {folder.parent} holds another run: {'; '.join(differing)}. "
            "Give the same arguments to go on with it, --fresh to start anew, or another --output"
        )


def restore(content: dict[str, Any], place: Place, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Puts everything back and returns the iteration that was finished last."""
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    states = content["random_states"]
    if len(states) == place.world_size:
        mine = states[place.rank]
        torch.set_rng_state(mine["cpu"].cpu())
        if place.device.type != "cpu" and "device" in mine:
            getattr(torch, place.device.type).set_rng_state(mine["device"].cpu())
    elif place.first:
        print(
            f"note: saved by {len(states)} processes, continued by {place.world_size}: dropout masks will be others",
            flush=True,
        )
    return int(content["iteration"])


def _random_state(place: Place) -> dict[str, torch.Tensor]:
    mine = {"cpu": torch.get_rng_state()}
    if place.device.type != "cpu":
        mine["device"] = getattr(torch, place.device.type).get_rng_state()
    return mine


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("iter_*.pt"))


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
