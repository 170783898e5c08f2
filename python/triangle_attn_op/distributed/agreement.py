"""The first call of a group checks that its ranks agree on shapes and options: one small all-gather, instead of a hang
or wrong numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import torch.distributed as dist

_agreed: WeakKeyDictionary[dist.ProcessGroup, set[str]] = WeakKeyDictionary()


def check_once(what: str, group: dist.ProcessGroup, common: Mapping[str, Any], problem: str | None) -> None:
    """On the group's first call of `what`: every rank learns of every rank's values, and all raise together.

    Args:
        what: the operation, for the message; each has its own first call.
        group: whose ranks take part.
        common: what must be equal on all ranks, by name.
        problem: what is wrong with this rank's own arguments, or None.

    Raises:
        ValueError: names what differs with each rank's value, or which ranks have a problem. A rank's own problem
            raises on every later call too, though then only on that rank.
    """
    done = _agreed.setdefault(group, set())
    if what in done:
        if problem is not None:
            raise ValueError(problem)
        return
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
    done.add(what)
