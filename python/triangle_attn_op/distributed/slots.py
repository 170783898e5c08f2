"""The ring's slots: keys and values that come by step by step, and their gradients on the way home, while the rank
computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from .exchange import Pending, post
from .plan import RankPlan

Ranges = Sequence[tuple[int, int]]


class Arriving:
    """Keys and values, step by step: `next(t)` waits for those of step t and then asks for those of step t + 1, so that
    two slots are alive.
    """

    def __init__(self, k: Tensor, v: Tensor, group: dist.ProcessGroup, plan: RankPlan, what: str) -> None:
        self.k, self.v, self.group, self.plan, self.what = k, v, group, plan, what
        self.slot: tuple[Pending, Tensor] | None = None

    def next(self, t: int) -> tuple[Tensor, Tensor]:
        """Keys and values that step t needs, `[.., rows, ..]` as k and v."""
        arrived = self.slot
        if arrived is not None:
            arrived[0].wait()
        self.slot = self._post(t + 1) if t + 1 < self.plan.ranks else None
        if arrived is None:
            return self.k, self.v
        return _unpack(arrived[1], self.k, self.v, self.plan.steps[t].key_rows)

    def _post(self, t: int) -> tuple[Pending, Tensor]:
        plan = self.plan
        outgoing = _pack(self.k, self.v, plan.outgoing[t], self.k.dtype)
        incoming = outgoing.new_empty(_packed_size(self.k, self.v, plan.steps[t].key_rows))
        sends, receives = [(outgoing, plan.target(t))], [(incoming, plan.source(t))]
        return post(f"{self.what}, step {t} of {plan.ranks - 1}", self.group, sends, receives), incoming


class Returning:
    """Gradients of other ranks' keys and values on their way home, one step behind the computation, in `dtype`: the one
    in which they left the operator, so that sending them rounds nothing.
    """

    def __init__(self, dk: Tensor, dv: Tensor, dtype: torch.dtype, group: dist.ProcessGroup, plan: RankPlan) -> None:
        self.dk, self.dv, self.dtype, self.group, self.plan = dk, dv, dtype, group, plan
        self.slot: tuple[Pending, Tensor, int] | None = None

    def send(self, t: int, dkeys: Tensor, dvalues: Tensor) -> None:
        """Sends step t's gradients to the keys' owner, after adding what came for this rank's own keys in the step
        before.
        """
        plan = self.plan
        outgoing = _pack(dkeys, dvalues, [(0, plan.steps[t].key_rows)], self.dtype)
        incoming = outgoing.new_empty(_packed_size(self.dk, self.dv, _size(plan.outgoing[t])))
        sends, receives = [(outgoing, plan.source(t))], [(incoming, plan.target(t))]
        pending = post(f"ring attention gradients, step {t} of {plan.ranks - 1}", self.group, sends, receives)
        self.finish()
        self.slot = pending, incoming, t

    def finish(self) -> None:
        if self.slot is None:
            return
        pending, incoming, t = self.slot
        self.slot = None
        pending.wait()
        ranges = self.plan.outgoing[t]
        dim = rows_dim(self.dk)
        for total, part in zip((self.dk, self.dv), _unpack(incoming, self.dk, self.dv, _size(ranges))):
            at = 0
            for begin, end in ranges:
                rows_of(total, dim, (begin, end)).add_(part.narrow(dim, at, end - begin))
                at += end - begin


def partial_dtype(q: Tensor) -> torch.dtype:
    """In which dtype partial results leave the operator, which then runs on q, k and v of that dtype.

    The CPU kernels widen 16-bit numbers as they read them and compute in float32, so given float32 copies they do the
    same sums and only the rounding of the result falls away; with AVX512-BF16 also that of P and dS, to bf16 for
    multiplying in pairs. The NPU kernels take 16-bit numbers and no others.
    """
    narrow = q.dtype in (torch.bfloat16, torch.float16)
    return torch.float32 if narrow and q.device.type == "cpu" else q.dtype


def rows_dim(t: Tensor) -> int:
    """Where the tokens are: `[B, H, S, D]` or `[T, H, D]`; lse `[B, H, S]` or `[T, H]` has them in the same place."""
    return 2 if t.dim() == 4 else 0


def rows_of(t: Tensor, dim: int, rows: tuple[int, int]) -> Tensor:
    """A view of rows begin, ..., end - 1 in dimension dim."""
    return t.narrow(dim, rows[0], rows[1] - rows[0])


def _size(ranges: Ranges) -> int:
    return sum(end - begin for begin, end in ranges)


def _packed_size(k: Tensor, v: Tensor, rows: int) -> int:
    """Elements of one message: `rows` rows of k and v."""
    return sum(rows * t.shape[-1] * t.shape[1] * (t.shape[0] if t.dim() == 4 else 1) for t in (k, v))


def _pack(k: Tensor, v: Tensor, ranges: Ranges, dtype: torch.dtype) -> Tensor:
    """One contiguous message: the given rows of k, then those of v."""
    dim = rows_dim(k)
    message = k.new_empty(_packed_size(k, v, _size(ranges)), dtype=dtype)
    for target, t in zip(_unpack(message, k, v, _size(ranges)), (k, v)):
        at = 0
        for begin, end in ranges:
            target.narrow(dim, at, end - begin).copy_(t.narrow(dim, begin, end - begin))
            at += end - begin
    return message


def _unpack(message: Tensor, k: Tensor, v: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Views of a message as k and v with `rows` rows."""
    dim = rows_dim(k)
    shapes = [[*t.shape[:dim], rows, *t.shape[dim + 1 :]] for t in (k, v)]
    middle = _packed_size(k, k, rows) // 2
    return message[:middle].view(shapes[0]), message[middle:].view(shapes[1])
