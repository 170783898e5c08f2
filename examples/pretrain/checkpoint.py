"""Checkpoints that a kill at any moment leaves whole: written beside, flushed to disk, then renamed; the last two are
kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .launch import Place

KEPT = 2


def save(
    folder: Path,
    place: Place,
    identity: dict[str, Any],
    iteration: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Called by every process; the first one writes `folder/iter_<iteration>.pt`.

    It holds weights, optimizer, the random states of all processes, and the iteration. The position in the data is the
    iteration itself: batches are a function of seed and iteration.
    """
    states = _random_states(place)
    if not place.first:
        return
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "iteration": iteration,
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random_states": states,
    }
    final = folder / f"iter_{iteration:07d}.pt"
    part = final.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, final)
    _sync_folder(folder)
    for old in _found(folder)[:-KEPT]:
        old.unlink()


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None; one that cannot be (a disk error) is passed over with a
    warning."""
    for path in reversed(_found(folder)):
        try:
            content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError) as error:
            print(f"warning: {path} cannot be read ({error}), trying the one before", flush=True)
            continue
        return content
    return None


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


def _random_states(place: Place) -> list[dict[str, torch.Tensor]]:
    mine = {"cpu": torch.get_rng_state()}
    if place.device.type != "cpu":
        mine["device"] = getattr(torch, place.device.type).get_rng_state()
    if place.world_size == 1:
        return [mine]
    states: list[Any] = [None] * place.world_size
    dist.all_gather_object(states, mine)
    return states


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("iter_*.pt"))


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself last through a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
