"""A rank that dies, or does not come, in the middle of a ring step or of an all-to-all, in the forward or the backward:
the others end by themselves with an error that says so, within the process group's timeout, and nobody is left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ranks
import torch
from triangle_attn_op import distributed

pytestmark = pytest.mark.xdist_group("distributed")


@dataclass(frozen=True)
class Moment:
    """When rank 1 dies: in its nth call of a function, counted from 1.

    `under_way`: a collective that it has started; otherwise after the call where `after`, else before it.
    """

    method: str
    module: str
    function: str
    call: int
    after: bool = False
    under_way: bool = False


# With four ranks: a forward has four steps and two all-to-alls, a backward the same.
MOMENTS = {
    "ring, forward, first step": Moment("ring", "triangle_attn_op.distributed.ring", "_call_forward", 1, after=True),
    "ring, forward, a later step": Moment("ring", "triangle_attn_op.distributed.ring", "_call_forward", 3),
    "ring, backward, first step": Moment("ring", "triangle_attn_op.distributed.ring", "_call_backward", 1, after=True),
    # It has the gradients of another rank's keys, which waits for them.
    "ring, backward, gradients": Moment("ring", "triangle_attn_op.distributed.ring", "_call_backward", 2, after=True),
    "all-to-all, forward": Moment("all-to-all", "torch.distributed", "all_to_all_single", 1),
    "all-to-all, forward, out": Moment("all-to-all", "torch.distributed", "all_to_all_single", 2, under_way=True),
    "all-to-all, backward": Moment("all-to-all", "torch.distributed", "all_to_all_single", 3),
    "all-to-all, backward, gradients": Moment(
        "all-to-all", "torch.distributed", "all_to_all_single", 4, under_way=True
    ),
}
METHODS: dict[str, Callable[..., Any]] = {
    "ring": distributed.ring_attention,
    "all-to-all": distributed.ulysses_attention,
}


def attend(method: str) -> None:
    """A forward and a backward."""
    q = torch.randn(1, 4, 1024, 16, requires_grad=True)
    METHODS[method](q, q, q).sum().backward()


def plan_death(moment: Moment) -> None:
    """Replaces the function by one that ends this process, without a word, at the given call."""
    import importlib

    module = importlib.import_module(moment.module)
    real = getattr(module, moment.function)
    calls = 0

    def last_words(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < moment.call:
            return real(*args, **kwargs)
        if moment.under_way:
            real(*args, async_op=True, **kwargs)
        elif moment.after:
            real(*args, **kwargs)
        os._exit(3)

    setattr(module, moment.function, last_words)


def dies(rank: int, n: int, moment: Moment, folder: str) -> None:
    """Rank 1 dies; the others write down what they are told, and their process."""
    attend(moment.method)  # all agree
    if rank == 1:
        plan_death(moment)
    try:
        for _ in range(2):  # a message that was wholly on its way when its sender died still arrives
            attend(moment.method)
        message = "no error"
    except RuntimeError as error:
        message = str(error)
    Path(folder, str(rank)).write_text(f"{os.getpid()} {message}")


@pytest.mark.parametrize("name", MOMENTS)
def test_a_rank_that_dies_ends_the_others(name: str, tmp_path: Path) -> None:
    moment = MOMENTS[name]
    with pytest.raises(ranks.RankFailed) as caught:
        ranks.run(dies, 4, moment, str(tmp_path), group_timeout=20, limit=60)
    # The others returned: none raised something else, none was still running.
    assert caught.value.failures == {1: "died without a word"}
    told = {path.name: path.read_text().split(" ", 1) for path in tmp_path.iterdir()}
    assert sorted(told) == ["0", "2", "3"]
    expected = "ring attention" if moment.method == "ring" else "all-to-all attention"
    for process, message in told.values():
        assert message.startswith(expected), message
        assert "a peer is gone" in message
        with pytest.raises(ProcessLookupError):  # no orphan
            os.kill(int(process), 0)
    if moment.method == "ring":  # the death came where it was meant to
        ways = ("backward", "gradients") if "backward" in name else ("forward", "backward")
        assert any(message.startswith(f"ring attention {way}") for _, message in told.values() for way in ways), told


def is_late(rank: int, n: int, method: str) -> str:
    attend(method)
    if rank == 1:
        time.sleep(5)
        return ""
    try:
        attend(method)
    except RuntimeError as error:
        return str(error)
    return "no error"


@pytest.mark.parametrize("method", METHODS)
def test_a_rank_that_does_not_come_is_a_timeout(method: str) -> None:
    expected = f"{method} attention, comparing options (rank 0): a peer is gone or did not answer within the process"
    assert expected in ranks.run(is_late, 2, method, group_timeout=2, limit=60)[0]


def never_comes(rank: int, n: int) -> str:
    """A rank that goes on to something else in the middle of a backward, and stays alive."""
    q = torch.randn(1, 2, 64, 16, requires_grad=True)
    out = distributed.ring_attention(q, q, q)
    if rank == 1:
        time.sleep(5)
        return ""
    try:
        out.sum().backward()
    except RuntimeError as error:
        return str(error)
    return "no error"


def test_a_backward_that_does_not_come_is_a_timeout() -> None:
    message = ranks.run(never_comes, 2, group_timeout=2, limit=60)[0]
    assert message.startswith("ring attention backward, step 1 of 1 (rank 0, ")
    assert "did not answer within the process group's timeout" in message
