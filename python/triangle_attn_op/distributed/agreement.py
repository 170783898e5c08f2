"""The ranks of a group agree on shapes and options: compared with their values in the first call, by a digest of
8 bytes a rank in every later one, instead of a hang or wrong numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

_agreed: WeakKeyDictionary[dist.ProcessGroup, set[str]] = WeakKeyDictionary()


def check_agreement(
    what: str, group: dist.ProcessGroup, common: Mapping[str, Any], problem: str | None, device: torch.device | None
) -> Tensor | None:
    """Every rank learns whether all were given the same, and all raise together.

    Args:
        what: the operation, for the message; each has its own first call.
        group: whose ranks take part.
        common: what must be equal on all ranks, by name; what `repr` gives of it is compared in later calls.
        problem: what is wrong with this rank's own arguments, or None.
        device: of this rank's q; None where that is no tensor, which is a problem of its own.

    Returns:
        None, but on devices that the host would have to wait for, from the second call on, a bool tensor of no
        dimensions there: whether ranks differ. `poison` makes an error of it that cannot be overlooked.

    Raises:
        ValueError: names what differs with each rank's value, or which ranks have a problem.
        RuntimeError: a rank is gone or late.
    """
    done = _agreed.setdefault(group, set())
    if what in done:
        if device is None:
            raise ValueError(problem)
        differs = _digests_differ(what, group, repr((sorted(common.items()), problem)), device)
        if device.type != "cpu":
            if problem is not None:
                raise ValueError(problem)
            return differs
        if not differs:
            if problem is not None:
                raise ValueError(problem)
            return None
    _compare(what, group, common, problem)
    done.add(what)
    return None


def poison(out: Tensor, differs: Tensor | None) -> None:
    """Makes a result NaN, in place, where the ranks differ; without waiting for the device."""
    if differs is not None:
        out.masked_fill_(differs, float("nan"))


def _digests_differ(what: str, group: dist.ProcessGroup, text: str, device: torch.device) -> Tensor:
    digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
    own = torch.full((1,), digest, dtype=torch.int64, device=device)  # no copy from the host
    gathered = own.new_empty(dist.get_world_size(group))
    try:
        dist.all_gather_into_tensor(gathered, own, group=group)
    except RuntimeError as error:
        raise RuntimeError(
            f"{what}, comparing options (rank {dist.get_rank(group)}): a peer is gone or did not answer within the "
            f"process group's timeout: {error}"
        ) from error
    return (gathered != own).any()


def _compare(what: str, group: dist.ProcessGroup, common: Mapping[str, Any], problem: str | None) -> None:
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, (dict(common), problem), group=group)
    problems = [f"rank {rank}: {text}" for rank, (_, text) in enumerate(gathered) if text is not None]
    if problems:
        raise ValueError(f"{what}: " + "; ".join(problems))
    for name in common:
        values = [values.get(name) for values, _ in gathered]
        if any(value != values[0] for value in values):
            shown = ", ".join(f"rank {rank}: {value}" for rank, value in enumerate(values))
            raise ValueError(f"{what}: {name}: expected the same on all ranks, got {shown}")
