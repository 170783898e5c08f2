"""Point-to-point messages between the ranks of a group, posted without waiting, and a count of what was sent and
computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.distributed as dist
from torch import Tensor


@dataclass
class Counters:
    """What this process did since `reset_counters`.

    Attributes:
        messages: point-to-point messages sent.
        bytes_sent: their bytes; for all-to-all the bytes that leave this rank.
        bytes_received: bytes that came.
        calls: calls of the operator, forward and backward.
        pairs: visible query-key pairs that they covered, times batch and query heads.
    """

    messages: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    calls: int = 0
    pairs: int = 0


_counters = Counters()


def counters() -> Counters:
    """A copy of this process's counters."""
    return replace(_counters)


def reset_counters() -> None:
    """Sets them to zero."""
    _counters.__dict__.update(Counters().__dict__)


def count_calls(calls: int, pairs: int) -> None:
    _counters.calls += calls
    _counters.pairs += pairs


def count_bytes(messages: int, sent: int, received: int) -> None:
    _counters.messages += messages
    _counters.bytes_sent += sent
    _counters.bytes_received += received


class Pending:
    """Messages under way. Holds their buffers until `wait`."""

    def __init__(self, what: str, works: Sequence[dist.Work], buffers: Sequence[Tensor]) -> None:
        self.what = what
        self.works = works
        self.buffers = buffers

    def wait(self) -> None:
        """Returns when the messages have come (on an accelerator: makes its stream wait for them). RuntimeError when a
        peer is gone or late.
        """
        try:
            for work in self.works:
                work.wait()
        except RuntimeError as error:
            raise RuntimeError(
                f"{self.what}: a peer is gone or did not answer within the process group's timeout: {error}"
            ) from error
        self.works, self.buffers = (), ()


def post(
    what: str, group: dist.ProcessGroup, sends: Sequence[tuple[Tensor, int]], receives: Sequence[tuple[Tensor, int]]
) -> Pending:
    """Starts sending and receiving contiguous tensors to and from ranks of the group; empty ones are left out, on both
    sides alike.
    """
    sends = [(tensor, peer) for tensor, peer in sends if tensor.numel()]
    receives = [(tensor, peer) for tensor, peer in receives if tensor.numel()]
    operations = [dist.P2POp(dist.isend, tensor, group=group, group_peer=peer) for tensor, peer in sends]
    operations += [dist.P2POp(dist.irecv, tensor, group=group, group_peer=peer) for tensor, peer in receives]
    targets, sources = [peer for _, peer in sends], [peer for _, peer in receives]
    what = f"{what} (rank {dist.get_rank(group)}, sending to {targets}, receiving from {sources})"
    try:
        works = dist.batch_isend_irecv(operations) if operations else []
    except RuntimeError as error:
        raise RuntimeError(f"{what}: a peer is gone: {error}") from error
    count_bytes(len(sends), sum(t.nbytes for t, _ in sends), sum(t.nbytes for t, _ in receives))
    return Pending(what, works, [tensor for tensor, _ in (*sends, *receives)])
